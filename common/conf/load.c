/*
 * conf/load.c - conf_load(): read lines, then expand $names, then check types and bounds, in three passes over one array of items.
 */
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/text.h"
#include "conf/builtin.h"
#include "conf/conf.h"
#include "conf/expand.h"
#include "conf/typed.h"

#define FILE_MAX (1u << 20)
#define LINE_DEFAULT 0
#define LINE_OVERRIDE (-1)

struct item {
	const struct conf_param *p;
	struct slice raw;                                             /* as written, or the default */
	int line;                                                     /* in the file, or LINE_ */
	enum { UNEXPANDED, EXPANDING, EXPANDED } state;
	struct slice text;                                            /* expanded */
};

struct loader {
	struct settings *s;
	struct item *items;
	size_t n;
	struct item *open;                                            /* the item that a continued line belongs to */
	struct buf *warnings;
	struct err *e;
};

static int fail_at(struct loader *l, int line)
{
	if (line == LINE_OVERRIDE)
		return err_context(l->e, "command line");
	if (line == LINE_DEFAULT)
		return err_context(l->e, "default");
	return err_context(l->e, "%s:%d", l->s->path, line);
}

static struct item *find_item(struct loader *l, struct slice name)
{
	for (size_t i = 0; i < l->n; i++)
		if (slice_eqs(name, l->items[i].p->name))
			return &l->items[i];
	return NULL;
}

static int unknown_name(struct loader *l, struct slice name)
{
	const char *near = conf_nearest(arena_str(l->s->arena, name));

	return err_set(l->e, ERR_NOTFOUND, 0, "there is no setting '%.*s'; did you mean '%s'?", SLICE_FMT(slice_head(name, 64)), near);
}

static void make_items(struct loader *l)
{
	const struct conf_param *p = NULL;

	while ((p = conf_next(p)) != NULL)
		l->n++;
	l->items = arena_array(l->s->arena, l->n, sizeof(*l->items));
	for (size_t i = 0; (p = conf_next(p)) != NULL; i++)
		l->items[i] = (struct item){ .p = p, .raw = slice_of(p->def), .line = LINE_DEFAULT };
}

static int check_octets(struct loader *l, struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\t' && text_has_ctl(slice_mem(text.p + i, 1)))
			return err_set(l->e, ERR_SYNTAX, 0, "octet 0x%02x does not belong into a settings file", (unsigned char)text.p[i]);
	if (!text_is_utf8(text))
		return err_set(l->e, ERR_SYNTAX, 0, "this is not UTF-8 text");
	return 0;
}

/* A comment behind a value would become part of it, which nobody means. */
static int check_comment(struct loader *l, struct slice value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '#' && (i == 0 || ascii_is_blank(value.p[i - 1])))
			return err_set(l->e, ERR_SYNTAX, 0, "a comment stands on a line of its own, not behind a value");
	return 0;
}

static int set_item(struct loader *l, struct slice text, int line)
{
	ptrdiff_t equals = slice_chr(text, '=');
	struct slice name = slice_trim(slice_head(text, equals < 0 ? 0 : (size_t)equals));
	struct item *item = find_item(l, name);

	if (equals < 0)
		return err_set(l->e, ERR_SYNTAX, 0, "a setting is written 'name = value'");
	if (item == NULL)
		return unknown_name(l, name);
	if (item->line > 0 && line > 0)
		return err_set(l->e, ERR_SYNTAX, 0, "%s was set in line %d already", item->p->name, item->line);
	item->raw = slice_trim(slice_from(text, (size_t)equals + 1));
	item->line = line;
	l->open = item;
	return check_comment(l, item->raw);
}

static int continue_item(struct loader *l, struct slice text)
{
	if (l->open == NULL)
		return err_set(l->e, ERR_SYNTAX, 0, "a line that begins with a blank goes on with a value, but there is none to go on with");
	if (l->open->raw.n + text.n > CONF_VALUE_MAX)
		return err_set(l->e, ERR_LIMIT, 0, "%s is longer than %u octets", l->open->p->name, CONF_VALUE_MAX);
	l->open->raw = slice_trim(slice_of(arena_printf(l->s->arena, "%.*s %.*s", SLICE_FMT(l->open->raw), SLICE_FMT(text))));
	return check_comment(l, text);
}

static int read_line(struct loader *l, struct slice line, int number)
{
	struct slice text = slice_trim(line);

	if (text.n == 0 || text.p[0] == '#')
		return 0;
	if (check_octets(l, text) < 0)
		return -1;
	if (ascii_is_blank(line.p[0]))
		return continue_item(l, text);
	return set_item(l, text, number);
}

static int read_lines(struct loader *l, const char *path)
{
	struct buf whole;
	struct slice rest, line;
	int number = 0;

	buf_init(&whole, FILE_MAX);
	if (file_read(path, &whole, l->e) < 0) {
		buf_done(&whole);
		return -1;
	}
	rest = arena_dup(l->s->arena, buf_view(&whole));
	buf_done(&whole);
	while (slice_next(&rest, '\n', &line))
		if (read_line(l, line, ++number) < 0)
			return fail_at(l, number);
	return 0;
}

static int read_overrides(struct loader *l, const char *const *overrides)
{
	for (; overrides != NULL && *overrides != NULL; overrides++) {
		struct slice text = slice_trim(slice_of(*overrides));

		if (check_octets(l, text) < 0 || set_item(l, arena_dup(l->s->arena, text), LINE_OVERRIDE) < 0)
			return fail_at(l, LINE_OVERRIDE);
	}
	return 0;
}

static int expand_item(struct loader *l, struct item *item);

/* What $name stands for: another item, expanded first, or a built-in. */
static int lookup_item(void *ctx, struct slice name, struct buf *out, struct err *e)
{
	struct loader *l = ctx;
	struct item *item = find_item(l, name), *host = find_item(l, SLICE("myhostname"));

	if (item == NULL && slice_eqs(name, "parent_domain") && expand_item(l, host) < 0)
		return -1;
	if (item == NULL)
		return conf_builtin_put(l->s, host->state == EXPANDED ? host->text.p : "", name, out) ? 0 : unknown_name(l, name);
	if (expand_item(l, item) < 0)
		return -1;
	return buf_add(out, item->text) == 0 ? 0 : err_set(e, ERR_LIMIT, 0, "longer than %u octets when expanded", CONF_VALUE_MAX);
}

static int expand_item(struct loader *l, struct item *item)
{
	struct buf out;
	int rc;

	if (item->state == EXPANDED)
		return 0;
	if (item->state == EXPANDING) {
		err_set(l->e, ERR_SYNTAX, 0, "%s refers to itself, by way of the settings in its value", item->p->name);
		return -1;
	}
	item->state = EXPANDING;
	buf_init(&out, CONF_VALUE_MAX);
	rc = conf_expand(item->raw, lookup_item, l, &out, l->e);
	if (rc == 0) {
		item->text = arena_dup(l->s->arena, slice_trim(buf_view(&out)));
		item->state = EXPANDED;
	}
	buf_done(&out);
	return rc;
}

static int fill(struct loader *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct item *item = &l->items[i];

		if (expand_item(l, item) < 0)
			return fail_at(l, item->line);
		if (conf_typed_read(l->s, item->p, item->text, l->e) < 0) {
			err_context(l->e, "%s = %.*s", item->p->name, SLICE_FMT(slice_head(item->text, 80)));
			return fail_at(l, item->line);
		}
	}
	return 0;
}

/* Times of which one must not be over the other. */
static int check_order(struct loader *l)
{
	static const struct { const char *less, *more; } pairs[] = {
		{ "minimal_backoff_time", "maximal_backoff_time" },
		{ "drac_lifetime", "drac_max_age" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct item *less = find_item(l, slice_of(pairs[i].less)), *more = find_item(l, slice_of(pairs[i].more));
		struct settings *s = l->s;
		const uint32_t *a = (const void *)((const char *)s + less->p->offset), *b = (const void *)((const char *)s + more->p->offset);

		if (*a <= *b)
			continue;
		err_set(l->e, ERR_SYNTAX, 0, "%s = %.*s is more than %s = %.*s", less->p->name, SLICE_FMT(less->text), more->p->name, SLICE_FMT(more->text));
		return fail_at(l, less->line != LINE_DEFAULT ? less->line : more->line);
	}
	if (*l->s->myhostname == '\0') {
		err_set(l->e, ERR_SYNTAX, 0, "myhostname is empty; give the name that this machine greets with");
		return fail_at(l, find_item(l, SLICE("myhostname"))->line);
	}
	return 0;
}

/* What conf_where() needs: the lines, in the order of the rows. */
static void keep_lines(struct loader *l)
{
	int *lines = arena_array(l->s->arena, l->n, sizeof(*lines));

	for (size_t i = 0; i < l->n; i++)
		lines[i] = l->items[i].line;
	l->s->lines = lines;
}

const char *conf_where(const struct settings *s, const char *name, struct arena *a)
{
	const char *slash = strrchr(s->path, '/');
	const struct conf_param *p = NULL;
	size_t i = 0;

	while ((p = conf_next(p)) != NULL && strcmp(p->name, name) != 0)
		i++;
	if (p == NULL || s->lines == NULL || s->lines[i] == LINE_DEFAULT)
		return arena_printf(a, "%s by default", name);
	if (s->lines[i] == LINE_OVERRIDE)
		return arena_printf(a, "-o %s", name);
	return arena_printf(a, "%s:%d", slash != NULL ? slash + 1 : s->path, s->lines[i]);
}

static void warn(struct loader *l)
{
	if (l->warnings != NULL && strchr(l->s->myhostname, '.') == NULL)
		buf_putf(l->warnings, "%s: myhostname = %s has no domain; other servers may refuse its greeting\n",
		    *l->s->path != '\0' ? l->s->path : "settings", l->s->myhostname);
}

int conf_load(struct settings **s_out, const char *path, const char *const *overrides, struct buf *warnings, struct err *e)
{
	struct err own = ERR_INIT;
	struct arena *arena = arena_new(16u << 10);
	struct settings *s = arena_alloc(arena, sizeof(*s));
	struct loader l = { .s = s, .warnings = warnings, .e = e != NULL ? e : &own };

	s->arena = arena;
	s->path = arena_str(arena, slice_of(path));
	conf_builtin_init(s, path);
	make_items(&l);
	if ((path != NULL && read_lines(&l, path) < 0) || read_overrides(&l, overrides) < 0 || fill(&l) < 0 || check_order(&l) < 0) {
		arena_free(&arena);
		return -1;
	}
	keep_lines(&l);
	warn(&l);
	*s_out = s;
	return 0;
}

void conf_free(struct settings **s)
{
	struct arena *arena;

	if (s == NULL || *s == NULL)
		return;
	arena = (*s)->arena;                                          /* it holds the struct too */
	*s = NULL;
	arena_free(&arena);
}
