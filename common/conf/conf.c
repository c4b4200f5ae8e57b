/*
 * conf/conf.c - what the rows tell: names, values as written, the manual page. Reading a file is load.c.
 */
#include "conf/conf.h"

#include <string.h>

#include "conf/builtin.h"
#include "conf/expand.h"
#include "conf/tables.h"
#include "conf/typed.h"

const struct conf_table *const conf_tables[] = {
	&conf_site_table, &conf_auth_table, &conf_smtpd_table, &conf_queue_table, &conf_drac_table, &conf_mail_table, NULL,
};

const struct conf_param *conf_next(const struct conf_param *p)
{
	size_t t = 0;

	if (p == NULL)
		return conf_tables[0]->rows;
	while (p < conf_tables[t]->rows || p >= conf_tables[t]->rows + conf_tables[t]->n)
		t++;
	if (p + 1 < conf_tables[t]->rows + conf_tables[t]->n)
		return p + 1;
	return conf_tables[t + 1] == NULL ? NULL : conf_tables[t + 1]->rows;
}

const struct conf_param *conf_find(const char *name)
{
	const struct conf_param *p = NULL;

	while ((p = conf_next(p)) != NULL)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

static size_t least(size_t a, size_t b, size_t c)
{
	size_t least_of_two = a < b ? a : b;

	return least_of_two < c ? least_of_two : c;
}

#define NAME_MAX_COMPARED 64

/* Levenshtein: letters to add, drop or change; '-' is as good as '_', and case does not matter. */
static size_t distance(struct slice a, struct slice b)
{
	size_t row[NAME_MAX_COMPARED + 1], i, k;

	a = slice_head(a, NAME_MAX_COMPARED);
	b = slice_head(b, NAME_MAX_COMPARED);
	for (k = 0; k <= b.n; k++)
		row[k] = k;
	for (i = 0; i < a.n; i++) {
		size_t diagonal = row[0];
		char c = a.p[i] == '-' ? '_' : ascii_lower(a.p[i]);

		row[0] = i + 1;
		for (k = 0; k < b.n; k++) {
			size_t above = row[k + 1];

			row[k + 1] = least(above + 1, row[k] + 1, diagonal + (c != b.p[k]));
			diagonal = above;
		}
	}
	return row[b.n];
}

const char *conf_nearest(const char *name)
{
	const struct conf_param *p = NULL, *best = conf_next(NULL);
	size_t least_so_far = SIZE_MAX;

	while ((p = conf_next(p)) != NULL) {
		size_t d = distance(slice_of(name), slice_of(p->name));

		if (d < least_so_far) {
			least_so_far = d;
			best = p;
		}
	}
	return best->name;
}

void conf_value(const struct settings *s, const struct conf_param *p, struct buf *out)
{
	struct buf text;
	struct slice rest, part;

	buf_init(&text, BUF_UNBOUNDED);
	conf_typed_put(s, p, &text);
	rest = buf_view(&text);
	while (slice_next(&rest, '$', &part)) {
		buf_put(out, part);
		if (rest.p != NULL)
			buf_puts(out, "$$");
	}
	buf_done(&text);
}

static int lookup_loaded(void *ctx, struct slice name, struct buf *out, struct err *e)
{
	const struct settings *s = ctx;
	const struct conf_param *p = NULL;

	if (conf_builtin_put(s, s->myhostname, name, out))
		return 0;
	while ((p = conf_next(p)) != NULL)
		if (slice_eqs(name, p->name)) {
			conf_typed_put(s, p, out);
			return 0;
		}
	return err_set(e, ERR_NOTFOUND, 0, "no setting '%.*s'", SLICE_FMT(name));
}

/* The default, expanded with the values of now, brought into the form that the value is in. */
bool conf_is_default(const struct settings *s, const struct conf_param *p)
{
	struct settings probe = *s;
	struct buf text, def, now;
	bool same = false;

	buf_init(&text, BUF_UNBOUNDED);
	buf_init(&def, BUF_UNBOUNDED);
	buf_init(&now, BUF_UNBOUNDED);
	probe.arena = arena_new(0);
	if (conf_expand(slice_of(p->def), lookup_loaded, &probe, &text, NULL) == 0 && conf_typed_read(&probe, p, buf_view(&text), NULL) == 0) {
		conf_typed_put(&probe, p, &def);
		conf_typed_put(s, p, &now);
		same = slice_eq(buf_view(&def), buf_view(&now));
	}
	arena_free(&probe.arena);
	buf_done(&text);
	buf_done(&def);
	buf_done(&now);
	return same;
}

void conf_dump(const struct settings *s, bool only_changed, struct buf *out)
{
	const struct conf_param *p = NULL;
	size_t at;

	while ((p = conf_next(p)) != NULL) {
		if (only_changed && conf_is_default(s, p))
			continue;
		buf_putf(out, "%s = ", p->name);
		at = out->len;
		conf_value(s, p, out);
		if (out->len == at)
			buf_cut(out, at - 1);                         /* no blank behind "name =" */
		buf_putc(out, '\n');
	}
}

static const char *type_words(enum conf_type type)
{
	static const char *const words[] = {
		[CONF_T_STRING] = "text", [CONF_T_LIST] = "list", [CONF_T_BOOL] = "yes or no", [CONF_T_NUMBER] = "number",
		[CONF_T_SECS] = "time", [CONF_T_SIZE] = "size", [CONF_T_CHOICE] = "one word",
	};

	return words[type];
}

/* Text that mdoc takes as it stands: no macro at its beginning, no escape inside. */
static void put_mdoc(const char *text, struct buf *out)
{
	buf_puts(out, "\\&");
	for (; *text != '\0'; text++)
		if (*text == '\\')
			buf_puts(out, "\\e");
		else
			buf_putc(out, *text);
}

#define MDOC_LINE 78

/* Prose as mandoc -Tlint wants it: short lines, and a new one for each sentence. */
static void put_prose(const char *text, struct buf *out)
{
	struct slice rest = slice_of(text), word;
	size_t column = 0;

	while (slice_word(&rest, &word)) {
		if (column > 0 && (column + word.n >= MDOC_LINE || slice_ends(buf_view(out), SLICE(".")))) {
			buf_putc(out, '\n');
			column = 0;
		} else if (column > 0) {
			buf_putc(out, ' ');
			column++;
		}
		buf_putf(out, "%s%.*s", column == 0 && word.p[0] == '.' ? "\\&" : "", SLICE_FMT(word));
		column += word.n;
	}
	buf_putc(out, '\n');
}

static void print_row(const struct conf_param *p, struct buf *out)
{
	buf_putf(out, ".It Ic %s\n%s", p->name, type_words(p->type));
	if (p->type == CONF_T_CHOICE)
		buf_putf(out, ": %s", p->min);
	else if (p->min != NULL && p->max != NULL)
		buf_putf(out, " from %s to %s", p->min, p->max);
	buf_puts(out, "; default: ");
	if (*p->def == '\0')
		buf_puts(out, "empty");
	else
		put_mdoc(p->def, out);
	buf_puts(out, "\n.Pp\n");
	put_prose(p->prose, out);
}

void conf_print_mdoc(struct buf *out)
{
	for (size_t t = 0; conf_tables[t] != NULL; t++) {
		buf_putf(out, ".Ss %s\n.Bl -tag -width Ds\n", conf_tables[t]->title);
		for (size_t i = 0; i < conf_tables[t]->n; i++)
			print_row(&conf_tables[t]->rows[i], out);
		buf_puts(out, ".El\n");
	}
}

bool conf_word(struct slice *rest, struct slice *word_out)
{
	return slice_word(rest, word_out);
}
