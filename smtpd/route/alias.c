/*
 * route/alias.c - a small scanner: items apart by commas outside of quotes, then each item by its first octets.
 */
#include "route/alias.h"

#include "base/num.h"
#include "base/text.h"
#include "reply/codes.h"

struct scan {
	struct slice in;
	size_t at;
};

/* The next item with its quotes, without outer blanks. False at the end; empty items ("a,,b") are skipped by the caller. */
static int next_item(struct scan *s, struct slice *item_out, struct err *e)
{
	size_t from = s->at;
	bool quoted = false;

	for (; s->at < s->in.n; s->at++) {
		char c = s->in.p[s->at];

		if (quoted && c == '\\' && s->at + 1 < s->in.n)
			s->at++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ',' || c == '\n'))
			break;
	}
	if (quoted)
		return err_set(e, ERR_SYNTAX, 0, "a quote is opened but not closed");
	*item_out = slice_trim(slice_mem(s->in.p + from, s->at - from));
	s->at++;
	return 0;
}

/* "|prog a" with quotes around the whole item: taken off, with backslashes inside. */
static struct slice unquote_whole(struct slice item, struct arena *a)
{
	char *p;
	size_t n = 0;

	if (item.n < 2 || item.p[0] != '"' || item.p[item.n - 1] != '"')
		return item;
	p = arena_alloc(a, item.n);
	for (size_t i = 1; i + 1 < item.n; i++) {
		if (item.p[i] == '\\' && i + 2 < item.n)
			i++;
		else if (item.p[i] == '"')
			return item;                                  /* "joe x"@dom."y": quotes that belong inside */
		p[n++] = item.p[i];
	}
	return slice_mem(p, n);
}

static struct slice strip_angles(struct slice item)
{
	ptrdiff_t open = slice_chr(item, '<');

	if (open >= 0 && item.p[item.n - 1] == '>')                   /* Ann <ann@x> */
		return slice_mem(item.p + open + 1, item.n - (size_t)open - 2);
	return item;
}

static bool is_redirect(struct slice s)
{
	return slice_iends(s, SLICE(".REDIRECT")) && s.n > 9;
}

struct slice alias_error_text(struct slice value, struct arena *a)
{
	struct slice rest = value, dsn = SLICE("5.0.0"), code, word;
	ptrdiff_t colon = slice_chr(rest, ':');
	uint64_t n;

	if (colon > 0 && ascii_is_digit(rest.p[0])) {                  /* 5.1.1:550 text */
		dsn = slice_head(rest, (size_t)colon);
		rest = slice_from(rest, (size_t)colon + 1);
	} else if (rest.n > 0 && !ascii_is_digit(rest.p[0]) && slice_word(&rest, &word)) {
		dsn = slice_ieqs(word, "nouser") ? SLICE("5.1.1") : slice_ieqs(word, "nohost") ? SLICE("5.1.2") : dsn;
	}
	if (!slice_word(&rest, &code) || code.n != 3 || num_u64(code, 599, &n) != 0 || n < 400)
		return slice_of(code_reply(a, CODE_MAP_WORDS, "%.*s", SLICE_FMT(slice_trim(value))));
	if (dsn.p[0] != code.p[0])
		dsn = code.p[0] == '4' ? SLICE("4.0.0") : SLICE("5.0.0");
	rest = slice_trim(rest);
	if (rest.n > 6 && ascii_is_digit(rest.p[0]) && rest.p[1] == '.')      /* "550 5.1.1 text" after "error:nouser" */
		(void)slice_word(&rest, &dsn);
	return slice_of(code_reply_as(a, arena_printf(a, "%.*s %.*s", SLICE_FMT(code), SLICE_FMT(dsn)), CODE_MAP_WORDS, "%.*s", SLICE_FMT(slice_trim(rest))));
}

static struct alias_target target(enum alias_kind kind, struct slice text)
{
	return (struct alias_target){ kind, text };
}

static int read_item(struct slice item, struct arena *a, struct alias_target *out, struct err *e)
{
	struct slice s = unquote_whole(item, a);

	if (text_has_ctl(s))
		return err_set(e, ERR_SYNTAX, 0, "a control character in an alias");
	if (slice_istarts(s, SLICE("error:")))
		*out = target(ALIAS_ERROR, alias_error_text(slice_from(s, 6), a));
	else if (slice_istarts(s, SLICE(":include:")))
		*out = target(ALIAS_INCLUDE, slice_trim(slice_from(s, 9)));
	else if (s.n > 0 && s.p[0] == '|')
		*out = target(ALIAS_PROGRAM, slice_trim(slice_from(s, 1)));
	else if (slice_eqs(s, "/dev/null"))
		*out = target(ALIAS_DISCARD, s);
	else if (s.n > 0 && s.p[0] == '/' && slice_chr(s, '@') < 0)
		*out = target(ALIAS_FILE, s);
	else if (s.n > 1 && s.p[0] == '\\')
		*out = target(ALIAS_MAILBOX, slice_from(s, 1));
	else if (is_redirect(s))
		*out = target(ALIAS_REDIRECT, slice_head(s, s.n - 9));
	else
		*out = target(ALIAS_ADDRESS, strip_angles(item.n > 0 && item.p[0] == '"' && slice_chr(s, '@') < 0 ? s : item));
	if (out->text.n == 0)
		return err_set(e, ERR_SYNTAX, 0, "an empty target");
	return 0;
}

int alias_parse(struct slice in, struct arena *a, struct alias_target **targets_out, size_t *n_out, struct err *e)
{
	struct scan scan = { slice_trim(in), 0 };
	struct alias_target *list;
	struct slice item;
	size_t n = 0, max = 1;

	/* "error:" takes the whole value: its text may hold commas. */
	if (slice_istarts(scan.in, SLICE("error:"))) {
		list = arena_array(a, 1, sizeof(*list));
		if (read_item(scan.in, a, list, e) != 0)
			return -1;
		*targets_out = list;
		*n_out = 1;
		return 0;
	}
	for (size_t i = 0; i < scan.in.n; i++)
		max += scan.in.p[i] == ',' || scan.in.p[i] == '\n';
	list = arena_array(a, max, sizeof(*list));
	while (scan.at < scan.in.n) {
		if (next_item(&scan, &item, e) != 0)
			return -1;
		if (item.n == 0)
			continue;
		if (read_item(item, a, &list[n], e) != 0)
			return -1;
		n++;
	}
	*targets_out = list;
	*n_out = n;
	return 0;
}
