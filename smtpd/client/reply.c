/*
 * client/reply.c - see reply.h.
 */
#include "client/reply.h"

#include <string.h>

#include "base/limits.h"

void reply_init(struct reply *r)
{
	memset(r, 0, sizeof(*r));
	buf_init(&r->text, REPLY_KEEP_MAX);
}

void reply_done(struct reply *r)
{
	buf_done(&r->text);
}

void reply_reset(struct reply *r)
{
	r->code = r->lines = 0;
	r->dsn[0] = '\0';
	buf_reset(&r->text);
}

/* "5.1.1 text": 3 numbers of at most 1, 3 and 3 digits, the first one the code's class. Length, or 0. */
static size_t dsn_length(struct slice s, unsigned code)
{
	size_t at = 2;

	if (s.n < 5 || s.p[0] != (char)('0' + code / 100) || s.p[1] != '.')
		return 0;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;

		for (; at < s.n && ascii_is_digit(s.p[at]); at++)
			digits++;
		if (digits == 0 || digits > 3)
			return 0;
		if (part == 0 && (at >= s.n || s.p[at++] != '.'))
			return 0;
	}
	return at == s.n || s.p[at] == ' ' ? at : 0;
}

static void add_text(struct reply *r, struct slice text, bool keep_lines)
{
	size_t dsn = dsn_length(text, r->code), room;

	if (dsn > 0 && dsn < REPLY_DSN_MAX) {
		if (r->dsn[0] == '\0') {
			memcpy(r->dsn, text.p, dsn);
			r->dsn[dsn] = '\0';
		}
		text = slice_trim(slice_from(text, dsn));
	}
	if (!keep_lines && r->text.len >= REPLY_TEXT_MAX)
		return;
	if (r->text.len > 0 && !keep_lines)
		buf_putc(&r->text, ' ');
	room = (keep_lines ? REPLY_KEEP_MAX : REPLY_TEXT_MAX) - r->text.len;
	buf_put(&r->text, slice_head(text, keep_lines && room > 0 ? room - 1 : room));
	if (keep_lines && buf_addc(&r->text, '\n') < 0)
		return;
}

/* -1: bad; 0: a line between; 1: the last one. */
static int take_line(struct reply *r, struct slice line, bool keep_lines, const char **why_out)
{
	unsigned code;

	*why_out = "a line without a code";
	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' || !ascii_is_digit(line.p[1]) || !ascii_is_digit(line.p[2]))
		return -1;
	code = (unsigned)(line.p[0] - '0') * 100 + (unsigned)(line.p[1] - '0') * 10 + (unsigned)(line.p[2] - '0');
	if (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-')
		return -1;
	*why_out = "the code changes inside a reply";
	if (r->lines > 0 && code != r->code)
		return -1;
	*why_out = "too many lines";
	if (++r->lines > LIMIT_REPLY_LINES)
		return -1;
	r->code = code;
	add_text(r, slice_from(line, 4), keep_lines);
	return line.n == 3 || line.p[3] == ' ';
}

enum parse reply_take(struct reply *r, struct slice in, bool keep_lines, size_t *used_out, const char **why_out)
{
	size_t used = 0, n;
	struct slice line;

	for (;;) {
		enum parse p = line_take(slice_from(in, used), &line, &n);
		int last;

		if (p == PARSE_MORE && in.n - used > LIMIT_REPLY_LINE) {
			*why_out = "a line that does not end";
			return PARSE_BAD;
		}
		if (p == PARSE_BAD || (p == PARSE_OK && line.n > LIMIT_REPLY_LINE)) {
			*why_out = p == PARSE_BAD ? "a line end that is not CRLF, or a NUL" : "a line that is too long";
			return PARSE_BAD;
		}
		*used_out = used;
		if (p == PARSE_MORE)
			return PARSE_MORE;
		used += n;
		last = take_line(r, line, keep_lines, why_out);
		if (last < 0)
			return PARSE_BAD;
		*used_out = used;
		if (last > 0)
			return PARSE_OK;
	}
}

const char *reply_dsn(const struct reply *r)
{
	if (r->dsn[0] != '\0')
		return r->dsn;
	return r->code < 400 ? "2.0.0" : r->code < 500 ? "4.0.0" : "5.0.0";
}
