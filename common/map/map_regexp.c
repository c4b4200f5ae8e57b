/*
 * map/map_regexp.c - patterns in order, the first that matches wins: "/^spam(.*)@/ REJECT not $1". Case does not count unless the flag i is given
 * (pcre_table(5) of Postfix: i, s, m, x each turn their option over); "!/pattern/" matches what the pattern does not.
 * $1 or ${1} in the value is what the parentheses caught, $$ a dollar sign. Match and depth limits keep a bad pattern from holding a process.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "base/buf.h"
#include "map/map_impl.h"

#define MATCH_LIMIT 100000u
#define DEPTH_LIMIT 1000u
#define HEAP_LIMIT_KIB 4096u

struct pattern {
	struct map_rule rule;
	pcre2_code *code;
	bool negate;
};

struct map_regexp {
	struct map base;
	struct map_rules *now;
	struct stat seen;
	pcre2_match_context *limits;
};

static struct map_regexp *self(struct map *m)
{
	return (struct map_regexp *)(void *)m;
}

static void free_code(void *code)
{
	pcre2_code_free(code);
}

static int flags_of(struct slice flags, uint32_t *options_out)
{
	uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;

	for (size_t i = 0; i < flags.n; i++) {
		switch (flags.p[i]) {
		case 'i': options ^= PCRE2_CASELESS; break;
		case 's': options ^= PCRE2_DOTALL; break;
		case 'm': options ^= PCRE2_MULTILINE; break;
		case 'x': options ^= PCRE2_EXTENDED; break;
		default: return -1;
		}
	}
	*options_out = options;
	return 0;
}

static int compile(struct map_rules *c, struct pattern *p, unsigned line, struct slice regex, uint32_t options, struct err *e)
{
	int number = 0;
	PCRE2_SIZE offset = 0;
	PCRE2_UCHAR text[120];

	p->code = pcre2_compile((PCRE2_SPTR)regex.p, regex.n, options, &number, &offset, NULL);
	if (p->code == NULL) {
		pcre2_get_error_message(number, text, sizeof(text));
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: pattern, octet %zu: %s", c->path, line, (size_t)offset, (const char *)text);
	}
	arena_on_reset(c->arena, free_code, p->code);
	return 0;
}

/* The text reader cuts the key at the first blank, but a pattern may hold blanks: put the line together again and cut at the closing '/'. */
static int split(struct map_rules *c, unsigned line, struct slice whole, struct slice *regex_out, struct slice *flags_out, struct slice *value_out, struct err *e)
{
	size_t at = 1;

	while (at < whole.n && whole.p[at] != '/')
		at += whole.p[at] == '\\' && at + 1 < whole.n ? 2 : 1;
	if (whole.n == 0 || whole.p[0] != '/' || at >= whole.n)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: a pattern is written /pattern/flags value", c->path, line);
	struct slice rest = slice_from(whole, at + 1);

	*regex_out = slice_head(slice_from(whole, 1), at - 1);
	size_t n = 0;
	while (n < rest.n && !ascii_is_blank(rest.p[n]))
		n++;
	*flags_out = slice_head(rest, n);
	*value_out = slice_trim(slice_from(rest, n));
	if (value_out->n == 0)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: the pattern has no value", c->path, line);
	return 0;
}

static int add(void *rules, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct map_rules *c = rules;
	struct pattern *p = arena_alloc(c->arena, sizeof(*p));
	struct slice whole = slice_of(arena_printf(c->arena, "%.*s %.*s", SLICE_FMT(key), SLICE_FMT(value)));
	struct slice regex = SLICE_NONE, flags = SLICE_NONE, answer = SLICE_NONE;
	uint32_t options;

	if (whole.p[0] == '!') {
		p->negate = true;
		whole = slice_from(whole, 1);
	}
	if (split(c, line, whole, &regex, &flags, &answer, e) != 0)
		return -1;
	if (flags_of(flags, &options) != 0)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: flags are of i, s, m, x, not '%.*s'", c->path, line, SLICE_FMT(slice_head(flags, 20)));
	if (compile(c, p, line, regex, options, e) != 0)
		return -1;
	map_rules_append(c, &p->rule, line, answer);
	return 0;
}

static int regexp_load(struct map *m, bool exists, struct err *e)
{
	return map_rules_load(&self(m)->now, m, exists, add, e);
}

static int regexp_refresh(struct map *m, struct err *e)
{
	return map_impl_reload(m, &self(m)->seen, self(m)->now != NULL, regexp_load, e);
}

/* "$1" or "${1}" at the head of s: how many octets it takes, 0 when it is none. */
static size_t reference(struct slice s, unsigned *group_out)
{
	size_t at = s.n > 2 && s.p[1] == '{' ? 2 : 1;

	if (s.n <= at || s.p[0] != '$' || !ascii_is_digit(s.p[at]))
		return 0;
	*group_out = (unsigned)(s.p[at] - '0');
	if (at == 1)
		return 2;
	return s.n > 3 && s.p[3] == '}' ? 4 : 0;
}

static void substitute(struct slice value, struct slice subject, const PCRE2_SIZE *ov, unsigned groups, struct buf *out)
{
	for (size_t i = 0; i < value.n;) {
		unsigned group = 0;
		size_t used = reference(slice_from(value, i), &group);
		if (used == 0) {
			if (slice_starts(slice_from(value, i), SLICE("$$")))
				i++;
			buf_putc(out, value.p[i++]);
			continue;
		}
		if (group < groups && ov[2 * group] != PCRE2_UNSET && ov[2 * group] <= ov[2 * group + 1])
			buf_put(out, slice_head(slice_from(subject, ov[2 * group]), ov[2 * group + 1] - ov[2 * group]));
		i += used;
	}
}

static struct slice answer(const struct pattern *p, struct slice key, pcre2_match_data *md, int matched, struct arena *a)
{
	struct buf out;

	if (slice_chr(p->rule.value, '$') < 0)
		return arena_dup(a, p->rule.value);
	buf_init(&out, BUF_UNBOUNDED);
	substitute(p->rule.value, key, pcre2_get_ovector_pointer(md), matched > 0 ? (unsigned)matched : 0, &out);
	struct slice s = arena_dup(a, buf_view(&out));

	buf_done(&out);
	return s;
}

static int regexp_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e)
{
	pcre2_match_data *md = pcre2_match_data_create(10, NULL);
	int found = 0;

	if (md == NULL)
		abort();
	for (const struct map_rule *r = self(m)->now->first; r != NULL && found == 0; r = r->next) {
		const struct pattern *p = (const struct pattern *)(const void *)r;
		int rc = pcre2_match(p->code, (PCRE2_SPTR)key.p, key.n, 0, 0, md, self(m)->limits);
		if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
			found = err_set(e, ERR_TEMP, 0, "%s:%u: the pattern is too costly to match", m->path, r->line);
		} else if ((rc >= 0) != p->negate) {
			*value_out = answer(p, key, md, rc, a);
			map_impl_where(m, m->path, r->line);
			found = 1;
		}
	}
	pcre2_match_data_free(md);
	return found;
}

static void regexp_close(struct map *m)
{
	map_rules_free(&self(m)->now);
	pcre2_match_context_free(self(m)->limits);
}

static const struct map_ops regexp_ops = { .raw_key = true, .get = regexp_get, .refresh = regexp_refresh, .close = regexp_close };

int map_regexp_open(struct map **m_out, const char *path, struct err *e)
{
	struct map_regexp *mr = map_impl_new(sizeof(*mr), &regexp_ops, path);
	struct map *m = &mr->base;

	mr->limits = pcre2_match_context_create(NULL);
	if (mr->limits == NULL)
		abort();
	pcre2_set_match_limit(mr->limits, MATCH_LIMIT);
	pcre2_set_depth_limit(mr->limits, DEPTH_LIMIT);
	pcre2_set_heap_limit(mr->limits, HEAP_LIMIT_KIB);
	if (regexp_refresh(m, e) != 0) {
		map_close(&m);
		return -1;
	}
	*m_out = m;
	return 0;
}
