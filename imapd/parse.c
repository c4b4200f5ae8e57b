/*
 * imapd/parse.c - see parse.h. Row 20 of the vulnerability table (parentheses, literals, tags before the login) ends here and in reader.c.
 */
#include "imapd/parse.h"

#include <string.h>

#include "base/limits.h"
#include "base/num.h"
#include "mail/header.h"

void imap_text_init(struct imap_text *t, struct slice command, struct arena *a)
{
	*t = (struct imap_text){ .rest = command, .a = a, .why = "a command was expected" };
}

static int fail(struct imap_text *t, const char *why)
{
	t->why = why;
	return -1;
}

static void skip(struct imap_text *t, size_t n)
{
	t->rest = slice_from(t->rest, n);
}

bool imap_at_end(struct imap_text *t)
{
	for (size_t i = 0; i < t->rest.n; i++)
		if (t->rest.p[i] != ' ')
			return false;
	skip(t, t->rest.n);
	return true;
}

bool imap_peek(const struct imap_text *t, char c)
{
	return t->rest.n > 0 && t->rest.p[0] == c;
}

int imap_char(struct imap_text *t, char c)
{
	if (!imap_peek(t, c))
		return fail(t, "a punctuation mark is missing");
	skip(t, 1);
	return 0;
}

int imap_space(struct imap_text *t)
{
	if (!imap_peek(t, ' '))
		return fail(t, t->rest.n == 0 ? "arguments are missing" : "a space was expected");
	while (imap_peek(t, ' '))
		skip(t, 1);
	return 0;
}

int imap_open(struct imap_text *t)
{
	if (!imap_peek(t, '('))
		return fail(t, "a parenthesized list was expected");
	if (t->depth >= LIMIT_IMAP_DEPTH)
		return fail(t, "parentheses are nested too deep");
	t->depth++;
	skip(t, 1);
	while (imap_peek(t, ' '))
		skip(t, 1);
	return 0;
}

int imap_close(struct imap_text *t)
{
	size_t blanks = 0;

	while (blanks < t->rest.n && t->rest.p[blanks] == ' ')
		blanks++;
	if (blanks == t->rest.n || t->rest.p[blanks] != ')' || t->depth == 0)
		return fail(t, "a closing parenthesis is missing");
	t->depth--;
	skip(t, blanks + 1);
	return 0;
}

/* ---- words ---- */

enum { C_ATOM = 1, C_ASTRING = 2, C_LIST = 4, C_TAG = 8 };

/* RFC 3501: ATOM-CHAR, ASTRING-CHAR (with "]"), list-char (with % * ]), tag (ASTRING-CHAR but "+"). 8-bit octets pass as mailbox and search words. */
static unsigned class_of(unsigned char c)
{
	if (c <= 0x20 || c == 0x7f || strchr("(){\"\\", c) != NULL)
		return 0;
	if (c == '%' || c == '*')
		return C_LIST;
	if (c == ']')
		return C_ASTRING | C_LIST | C_TAG;
	if (c >= 0x80)
		return C_ASTRING | C_LIST;
	return C_ATOM | C_ASTRING | C_LIST | (c == '+' ? 0 : C_TAG);
}

static size_t run_of(const struct imap_text *t, unsigned class)
{
	size_t n = 0;

	while (n < t->rest.n && (class_of((unsigned char)t->rest.p[n]) & class) != 0)
		n++;
	return n;
}

static int take_run(struct imap_text *t, unsigned class, const char *why, struct slice *out)
{
	size_t n = run_of(t, class);

	if (n == 0)
		return fail(t, why);
	*out = slice_head(t->rest, n);
	skip(t, n);
	return 0;
}

int imap_tag(struct imap_text *t, struct slice *out)
{
	return take_run(t, C_TAG, "a command begins with a tag", out);
}

int imap_atom(struct imap_text *t, struct slice *out)
{
	return take_run(t, C_ATOM, "a word was expected", out);
}

bool imap_word(struct imap_text *t, const char *word)
{
	struct slice w = slice_of(word);

	if (!slice_istarts(t->rest, w))
		return false;
	if (t->rest.n > w.n && (class_of((unsigned char)t->rest.p[w.n]) & C_ATOM) != 0 && t->rest.p[w.n] != '[')
		return false;
	skip(t, w.n);
	return true;
}

static int take_quoted(struct imap_text *t, struct slice *out)
{
	char *copy = NULL;
	size_t n = 0, i = 1;

	for (; i < t->rest.n && t->rest.p[i] != '"'; i++) {
		char c = t->rest.p[i];

		if (c == '\r' || c == '\n' || c == '\0')
			return fail(t, c == '\0' ? "NUL is not allowed" : "a quoted string ends on its line");
		if (c == '\\') {
			if (i + 1 == t->rest.n || (t->rest.p[i + 1] != '"' && t->rest.p[i + 1] != '\\'))
				return fail(t, "a backslash in a quoted string stands before \" or \\ only");
			if (copy == NULL) {
				copy = arena_alloc(t->a, t->rest.n);
				memcpy(copy, t->rest.p + 1, n);
			}
			c = t->rest.p[++i];
		}
		if (copy != NULL)
			copy[n] = c;
		n++;
	}
	if (i == t->rest.n)
		return fail(t, "a quoted string has no end");
	*out = slice_mem(copy != NULL ? copy : t->rest.p + 1, n);
	skip(t, i + 1);
	return 0;
}

/* "{n}" CRLF octets, with "+" or "-" behind the number, "~" before the brace (RFC 7888, 3516). The reader has checked n against its caps. */
static int take_literal(struct imap_text *t, struct slice *out)
{
	struct slice s = t->rest;
	bool binary = s.p[0] == '~';
	uint32_t n;

	s = slice_from(s, binary ? 2 : 1);
	ptrdiff_t brace = slice_chr(s, '}');
	struct slice digits = slice_head(s, brace < 0 ? 0 : (size_t)brace);

	if (slice_ends(digits, SLICE("+")) || slice_ends(digits, SLICE("-")))
		digits.n--;
	if (num_u32(digits, UINT32_MAX, &n) != 0)
		return fail(t, "a literal begins with {number}");
	s = slice_from(s, (size_t)brace + 1);
	if (!slice_starts(s, SLICE("\r\n")) || s.n - 2 < n)
		return fail(t, "a literal begins behind a line end");
	*out = slice_mem(s.p + 2, n);
	if (!binary && n > 0 && memchr(out->p, '\0', n) != NULL)
		return fail(t, "NUL is not allowed");
	t->rest = slice_from(s, n + 2);
	return 0;
}

int imap_string(struct imap_text *t, struct slice *out)
{
	if (imap_peek(t, '"'))
		return take_quoted(t, out);
	if (imap_peek(t, '{') || slice_starts(t->rest, SLICE("~{")))
		return take_literal(t, out);
	return fail(t, "a string was expected");
}

static int string_or_run(struct imap_text *t, unsigned class, struct slice *out)
{
	if (imap_peek(t, '"') || imap_peek(t, '{'))
		return imap_string(t, out);
	return take_run(t, class, t->rest.n == 0 ? "arguments are missing" : "a word or string was expected", out);
}

int imap_astring(struct imap_text *t, struct slice *out)
{
	return string_or_run(t, C_ASTRING, out);
}

int imap_list_mailbox(struct imap_text *t, struct slice *out)
{
	return string_or_run(t, C_LIST, out);
}

int imap_nstring(struct imap_text *t, struct slice *out)
{
	if (imap_word(t, "NIL")) {
		*out = SLICE_NONE;
		return 0;
	}
	return imap_string(t, out);
}

/* ---- numbers and dates ---- */

int imap_number64(struct imap_text *t, uint64_t *out)
{
	size_t n = 0;

	while (n < t->rest.n && ascii_is_digit(t->rest.p[n]))
		n++;
	if (n == 0)
		return fail(t, "a number was expected");
	if (num_u64(slice_head(t->rest, n), INT64_MAX, out) != 0)
		return fail(t, "number out of range");
	skip(t, n);
	return 0;
}

int imap_number(struct imap_text *t, uint32_t *out)
{
	struct imap_text probe = *t;
	uint64_t v;

	if (imap_number64(&probe, &v) != 0)
		return fail(t, probe.why);
	if (v > UINT32_MAX)
		return fail(t, "number out of range");
	*t = probe;
	*out = (uint32_t)v;
	return 0;
}

/* date_parse() of mail/header.h does the calendar; here the dashes become blanks: "22-Nov-2026 ..." to "22 Nov 2026 ...". */
static int when_of(struct slice date, const char *time, int64_t *out)
{
	char text[64];
	struct slice s = slice_trim(date);

	if (s.n < 10 || s.n > 40)
		return -1;
	memcpy(text, s.p, s.n);
	for (size_t i = 0, dashes = 0; i < s.n && dashes < 2; i++) {
		if (text[i] != '-')
			continue;
		text[i] = ' ';
		dashes++;
	}
	size_t more = strlen(time);

	memcpy(text + s.n, time, more);
	return date_parse(slice_mem(text, s.n + more), out, NULL);
}

int imap_date(struct imap_text *t, int64_t *day_out)
{
	struct imap_text probe = *t;
	struct slice s;

	if (imap_astring(&probe, &s) != 0 || when_of(s, " 00:00:00 +0000", day_out) != 0)
		return fail(t, "a date such as 22-Nov-2026 was expected");
	*t = probe;
	return 0;
}

int imap_date_time(struct imap_text *t, int64_t *when_out)
{
	struct imap_text probe = *t;
	struct slice s;

	if (imap_string(&probe, &s) != 0 || s.n < 20 || when_of(s, "", when_out) != 0)
		return fail(t, "a date such as \"22-Nov-2026 01:48:07 +0100\" was expected");
	*t = probe;
	return 0;
}

/* ---- flags ---- */

static const struct { const char *name; uint32_t flag; } system_flags[] = {
	{ "Seen", 1 }, { "Answered", 2 }, { "Flagged", 4 }, { "Deleted", 8 }, { "Draft", 16 }, { "Recent", 0 },
};
#define FLAG_FORWARDED 32                                             /* MSG_FORWARDED: $Forwarded has a letter of its own on disk */

static int take_flag(struct imap_text *t, struct imap_flags *out, size_t *cap)
{
	bool backslash = imap_char(t, '\\') == 0;
	struct slice word;

	if (imap_atom(t, &word) != 0)
		return fail(t, "a flag was expected");
	for (size_t i = 0; backslash && i < sizeof system_flags / sizeof *system_flags; i++) {
		if (!slice_ieqs(word, system_flags[i].name))
			continue;
		out->flags |= system_flags[i].flag;
		return 0;
	}
	if (backslash)
		return fail(t, "there is no such flag: \\Seen \\Answered \\Flagged \\Deleted \\Draft and words without backslash");
	if (slice_ieqs(word, "$Forwarded")) {
		out->flags |= FLAG_FORWARDED;
		return 0;
	}
	if (word.n > LIMIT_KEYWORD || out->n_keywords == LIMIT_IMAP_KEYWORDS)
		return fail(t, "that keyword is too long, or there are too many");
	if (out->n_keywords == *cap) {
		struct slice *more = arena_array(t->a, *cap * 2 + 8, sizeof *more);

		if (*cap > 0)
			memcpy(more, out->keywords, *cap * sizeof *more);
		out->keywords = more;
		*cap = *cap * 2 + 8;
	}
	out->keywords[out->n_keywords++] = word;
	return 0;
}

int imap_flags(struct imap_text *t, bool need_parens, struct imap_flags *out)
{
	struct imap_flags got = { 0, NULL, 0 };
	bool parens = imap_peek(t, '(');
	size_t cap = 0;

	if (need_parens && !parens)
		return fail(t, "a list of flags in parentheses was expected");
	if (parens && imap_open(t) != 0)
		return -1;
	while (!parens || imap_close(t) != 0) {
		if (take_flag(t, &got, &cap) != 0)
			return -1;
		if (!parens && !imap_peek(t, ' '))
			break;
		if (imap_peek(t, ' ') && imap_space(t) != 0)
			return -1;
	}
	*out = got;
	return 0;
}
