#include "mail/line.h"

#include "base/limits.h"

enum parse line_take(struct slice in, struct slice *line_out, size_t *used_out)
{
	ptrdiff_t lf = slice_chr(in, '\n');
	struct slice line;

	if (lf < 0)
		return PARSE_MORE;
	*used_out = (size_t)lf + 1;
	if (lf == 0 || in.p[lf - 1] != '\r')
		return PARSE_BAD;                                     /* bare LF is how mail is smuggled */
	line = slice_head(in, (size_t)lf - 1);
	if (slice_chr(line, '\r') >= 0 || slice_chr(line, '\0') >= 0)
		return PARSE_BAD;
	*line_out = line;
	return PARSE_OK;
}

/* AT_LINE is 0, so that a zeroed struct dot is a fresh one. */
enum { AT_LINE, IN_LINE, AFTER_CR, AFTER_DOT, AFTER_DOT_CR };

void dot_init(struct dot *d)
{
	*d = (struct dot){ .state = AT_LINE };
}

static void spoil(struct dot *d, enum dot_bad why)
{
	if (d->bad_line != 0)
		return;
	d->bad = why;
	d->bad_line = d->lines + 1;
}

/* How many octets at the start are neither CR, LF nor NUL. memchr three times is faster than one loop over octets. */
static size_t plain_run(struct slice s)
{
	static const char special[] = { '\r', '\n', '\0' };

	for (size_t i = 0; i < sizeof(special); i++) {
		ptrdiff_t at = slice_chr(s, special[i]);

		if (at >= 0)
			s.n = (size_t)at;
	}
	return s.n;
}

/* Takes the rest of a line as far as it is there, and one special octet behind it. */
static size_t take_line_octets(struct dot *d, struct slice rest)
{
	size_t n = plain_run(rest);

	d->line_len += n;
	if (d->line_len > LIMIT_SMTP_BODY_LINE)
		spoil(d, DOT_LONG);
	if (n == rest.n)
		return n;
	if (rest.p[n] == '\r')
		d->state = AFTER_CR;
	else
		spoil(d, rest.p[n] == '\n' ? DOT_BARE_LF : DOT_NUL);
	return n + 1;
}

static void flush(struct dot *d, struct slice octets, void (*put)(void *ctx, struct slice octets), void *ctx)
{
	if (octets.n == 0)
		return;
	d->octets += octets.n;
	if (d->bad_line == 0)
		put(ctx, octets);
}

/*
 * `from` is where the octets begin that put() has not had. A dot at the beginning of a line and the final CRLF are never among them;
 * the CR of a line's end is, even before its LF has come: if none comes the message is bad anyway.
 */
enum parse dot_unstuff(struct dot *d, struct slice in, size_t *used_out, void (*put)(void *ctx, struct slice octets), void *ctx)
{
	size_t at = 0, from = 0;

	while (at < in.n) {
		char c = in.p[at];

		if (d->state == AT_LINE && c == '.') {
			flush(d, slice_mem(in.p + from, at - from), put, ctx);
			from = ++at;
			d->state = AFTER_DOT;
		} else if (d->state == AFTER_DOT && c == '\r') {
			from = ++at;
			d->state = AFTER_DOT_CR;
		} else if (d->state == AFTER_DOT_CR && c == '\n') {
			d->state = AT_LINE;
			*used_out = at + 1;
			return PARSE_OK;
		} else if (d->state == AFTER_CR && c == '\n') {
			at++;
			d->lines++;
			d->line_len = 0;
			d->state = AT_LINE;
		} else {
			if (d->state == AFTER_CR || d->state == AFTER_DOT_CR)
				spoil(d, DOT_BARE_CR);
			d->state = IN_LINE;
			at += take_line_octets(d, slice_from(in, at));
		}
	}
	flush(d, slice_from(in, from), put, ctx);
	*used_out = in.n;
	return PARSE_MORE;
}

void dot_stuff(struct slice octets, bool *bol, struct buf *out)
{
	while (octets.n > 0) {
		ptrdiff_t lf = slice_chr(octets, '\n');
		size_t n = lf < 0 ? octets.n : (size_t)lf + 1;

		if (*bol && octets.p[0] == '.')
			buf_putc(out, '.');
		buf_put(out, slice_head(octets, n));
		*bol = lf >= 0;
		octets = slice_from(octets, n);
	}
}
