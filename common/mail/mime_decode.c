/*
 * mail/mime_decode.c - base64 and quoted-printable of bodies (RFC 2045 6.7, 6.8): what breaks the rules is skipped or kept, never refused.
 */
#include <string.h>

#include "mail/mime.h"

static int b64_value(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* After padding the next quantum begins: parts that were glued together stay readable. */
static int decode_base64(struct slice body, struct buf *out)
{
	char *p = buf_room(out, body.n / 4 * 3 + 3);
	unsigned bits = 0, n_bits = 0;
	size_t n = 0;

	if (p == NULL)
		return -1;
	for (size_t i = 0; i < body.n; i++) {
		int v = b64_value((unsigned char)body.p[i]);

		if (body.p[i] == '=')
			n_bits = 0;
		if (v < 0)
			continue;
		bits = bits << 6 | (unsigned)v;
		n_bits += 6;
		if (n_bits >= 8) {
			n_bits -= 8;
			p[n++] = (char)(bits >> n_bits & 0xff);
		}
	}
	buf_filled(out, n);
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of "=" blanks CRLF at s (a soft line break), 0: it is none. */
static size_t soft_break(struct slice s)
{
	size_t i = 1;

	while (i < s.n && ascii_is_blank(s.p[i]))
		i++;
	if (i < s.n && s.p[i] == '\r')
		i++;
	if (i == s.n)
		return i;
	return s.p[i] == '\n' ? i + 1 : 0;
}

/* Blanks before a line end were added on the way (RFC 2045 6.7 rule 3). */
static size_t cut_blanks(const char *p, size_t n, size_t from)
{
	while (n > from && ascii_is_blank(p[n - 1]))
		n--;
	return n;
}

static int decode_qp(struct slice body, struct buf *out)
{
	char *p = buf_room(out, body.n + 1);
	size_t n = 0, i = 0, line = 0;                                /* line: below it no blank was there literally */

	if (p == NULL)
		return -1;
	while (i < body.n) {
		char c = body.p[i];
		int hi, lo;
		size_t soft;

		if (c == '=' && i + 2 < body.n && (hi = hex_value(body.p[i + 1])) >= 0 && (lo = hex_value(body.p[i + 2])) >= 0) {
			p[n++] = (char)(hi << 4 | lo);
			i += 3;
			line = n;
			continue;
		}
		if (c == '=' && (soft = soft_break(slice_from(body, i))) > 0) {
			i += soft;
			line = n;
			continue;
		}
		if (c == '\n' || (c == '\r' && i + 1 < body.n && body.p[i + 1] == '\n'))
			n = cut_blanks(p, n, line);
		p[n++] = c;
		if (c == '\n')
			line = n;
		i++;
	}
	buf_filled(out, n);
	return 0;
}

int mime_decode(struct slice body, struct slice encoding, struct buf *out)
{
	if (slice_ieqs(encoding, "BASE64"))
		return decode_base64(body, out);
	if (slice_ieqs(encoding, "QUOTED-PRINTABLE"))
		return decode_qp(body, out);
	return buf_add(out, body);
}
