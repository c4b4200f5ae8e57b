/*
 * mail/utf7.c - modified UTF-7 of mailbox names (RFC 3501 5.1.3), both ways, one spelling a name.
 */
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "mail/mime.h"

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int put_utf8(uint32_t c, struct buf *out)
{
	char t[4];
	size_t n = 0;

	if (c < 0x80) {
		t[n++] = (char)c;
	} else if (c < 0x800) {
		t[n++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		t[n++] = (char)(0xe0 | c >> 12);
		t[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		t[n++] = (char)(0xf0 | c >> 18);
		t[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		t[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		t[n++] = (char)(0x80 | (c & 0x3f));
	return buf_add(out, slice_mem(t, n));
}

struct units { uint32_t high; };                                      /* a high surrogate that waits for its other half, or 0 */

static int put_unit(struct units *u, uint32_t unit, struct buf *out)
{
	if (u->high != 0) {
		uint32_t high = u->high;

		u->high = 0;
		if (unit < 0xdc00 || unit > 0xdfff)
			return -1;
		return put_utf8(0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00), out);
	}
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return -1;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		u->high = unit;
		return 0;
	}
	return unit < 0x7f && unit >= 0x20 ? -1 : put_utf8(unit, out);        /* printable ASCII stands for itself */
}

/* The base64 between '&' and '-'. */
static int decode_shift(struct slice s, struct buf *out)
{
	struct units u = { 0 };
	uint32_t bits = 0;
	unsigned n_bits = 0;

	for (size_t i = 0; i < s.n; i++) {
		const char *d = s.p[i] == '\0' ? NULL : strchr(b64_digits, s.p[i]);

		if (d == NULL)
			return -1;
		bits = bits << 6 | (uint32_t)(d - b64_digits);
		n_bits += 6;
		if (n_bits < 16)
			continue;
		n_bits -= 16;
		if (put_unit(&u, bits >> n_bits & 0xffff, out) != 0)
			return -1;
		bits &= (1u << n_bits) - 1;
	}
	return u.high == 0 && n_bits < 6 && bits == 0 ? 0 : -1;
}

static int decode_all(struct slice s, struct buf *out)
{
	bool after_shift = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!ascii_is_print(c))
			return -1;
		if (c != '&') {
			if (buf_addc(out, c) != 0)
				return -1;
			after_shift = false;
			continue;
		}
		ptrdiff_t len = slice_chr(slice_from(s, i + 1), '-');

		if (len < 0)
			return -1;
		if (len == 0 ? buf_addc(out, '&') != 0 : after_shift || decode_shift(slice_mem(s.p + i + 1, (size_t)len), out) != 0)
			return -1;
		after_shift = len > 0;
		i += (size_t)len + 1;
	}
	return 0;
}

int utf7_to_utf8(struct slice s, struct buf *out)
{
	size_t before = out->len;

	if (decode_all(s, out) == 0)
		return 0;
	buf_cut(out, before);
	return -1;
}

/* One character off valid UTF-8. */
static uint32_t take_utf8(struct slice *s)
{
	unsigned char c = (unsigned char)s->p[0];
	size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	uint32_t v = more == 0 ? c : c & (0x3fu >> more);

	for (size_t i = 1; i <= more; i++)
		v = v << 6 | ((unsigned char)s->p[i] & 0x3f);
	*s = slice_from(*s, more + 1);
	return v;
}

struct shift { uint32_t bits; unsigned n_bits; bool on; };

static int put_bits(struct shift *sh, uint32_t v, struct buf *out)
{
	sh->bits = sh->bits << 16 | v;
	sh->n_bits += 16;
	for (; sh->n_bits >= 6; sh->n_bits -= 6)
		if (buf_addc(out, b64_digits[sh->bits >> (sh->n_bits - 6) & 0x3f]) != 0)
			return -1;
	sh->bits &= (1u << sh->n_bits) - 1;
	return 0;
}

static int shift_out(struct shift *sh, struct buf *out)
{
	if (!sh->on)
		return 0;
	unsigned left = sh->n_bits;
	uint32_t last = sh->bits << (6 - left) & 0x3f;

	*sh = (struct shift){ 0, 0, false };
	if (left > 0 && buf_addc(out, b64_digits[last]) != 0)
		return -1;
	return buf_addc(out, '-');
}

static int put_char(struct shift *sh, uint32_t c, struct buf *out)
{
	if (c >= 0x20 && c < 0x7f) {
		if (shift_out(sh, out) != 0)
			return -1;
		return c == '&' ? buf_adds(out, "&-") : buf_addc(out, (char)c);
	}
	if (!sh->on && buf_addc(out, '&') != 0)
		return -1;
	sh->on = true;
	if (c < 0x10000)
		return put_bits(sh, c, out);
	c -= 0x10000;
	return put_bits(sh, 0xd800 + (c >> 10), out) != 0 ? -1 : put_bits(sh, 0xdc00 + (c & 0x3ff), out);
}

int utf8_to_utf7(struct slice s, struct buf *out)
{
	size_t before = out->len;
	struct shift sh = { 0, 0, false };
	int bad = text_is_utf8(s) ? 0 : -1;

	while (bad == 0 && s.n > 0)
		bad = put_char(&sh, take_utf8(&s), out);
	if (bad == 0 && shift_out(&sh, out) == 0)
		return 0;
	buf_cut(out, before);
	return -1;
}
