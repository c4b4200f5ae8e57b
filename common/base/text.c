#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/num.h"

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four digits to `n` octets (1 to 3); the bits that padding leaves over must be 0. */
static int unbase64_group(const char *p, size_t n, char *out)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < 4; i++) {
		int v = i <= n ? base64_value(p[i]) : 0;

		if (v < 0)
			return -1;
		bits = bits << 6 | (uint32_t)v;
	}
	if ((bits & (n == 1 ? 0xffffu : n == 2 ? 0xffu : 0)) != 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(bits >> (16 - 8 * i));
	return 0;
}

int text_unbase64(struct slice s, struct buf *out)
{
	size_t was = out->len, pad = 0;
	char *to;

	if (s.n % 4 != 0)
		return -1;
	if (s.n == 0)
		return 0;
	if (s.p[s.n - 1] == '=')
		pad = s.p[s.n - 2] == '=' ? 2 : 1;
	to = buf_room(out, s.n / 4 * 3 - pad);
	if (to == NULL)
		return -1;
	for (size_t i = 0; i < s.n; i += 4) {
		size_t n = i + 4 == s.n ? 3 - pad : 3;

		if (unbase64_group(s.p + i, n, to) < 0) {
			out->p[was] = '\0';
			return -1;
		}
		to += n;
	}
	buf_filled(out, s.n / 4 * 3 - pad);
	return 0;
}

int text_base64(struct slice s, struct buf *out)
{
	char *to = buf_room(out, (s.n + 2) / 3 * 4);
	size_t at = 0;

	if (to == NULL)
		return -1;
	for (size_t i = 0; i < s.n; i += 3) {
		size_t n = s.n - i < 3 ? s.n - i : 3;
		uint32_t bits = 0;

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (k < n ? (unsigned char)s.p[i + k] : 0u);
		for (size_t k = 0; k < 4; k++)
			to[at++] = k <= n ? base64_digits[bits >> (18 - 6 * k) & 63] : '=';
	}
	buf_filled(out, at);
	return 0;
}

void text_hex(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		buf_putf(out, "%02x", (unsigned char)s.p[i]);
}

/* Two hexadecimal digits at p; -1: not. */
static int hex_octet(const char *p)
{
	uint64_t v;

	return num_hex(slice_mem(p, 2), &v) < 0 ? -1 : (int)v;
}

int text_unhex(struct slice s, struct buf *out)
{
	size_t was = out->len;

	if (s.n % 2 != 0)
		return -1;
	for (size_t i = 0; i < s.n; i += 2) {
		int v = hex_octet(s.p + i);

		if (v < 0 || buf_addc(out, (char)v) < 0) {
			buf_cut(out, was);
			return -1;
		}
	}
	return 0;
}

/* Length of the UTF-8 sequence at the start of s (RFC 3629 section 4), 0: none. */
static size_t utf8_at(struct slice s)
{
	unsigned char c = (unsigned char)s.p[0], low = 0x80, high = 0xbf;
	size_t n;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	if (c == 0xe0)
		low = 0xa0;                                           /* shorter forms exist */
	else if (c == 0xed)
		high = 0x9f;                                          /* surrogates */
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;                                          /* past U+10FFFF */
	for (size_t i = 1; i < n; i++, low = 0x80, high = 0xbf)
		if ((unsigned char)s.p[i] < low || (unsigned char)s.p[i] > high)
			return 0;
	return n;
}

size_t text_utf8_len(struct slice s)
{
	return s.n == 0 ? 0 : utf8_at(s);
}

bool text_is_utf8(struct slice s)
{
	while (s.n > 0) {
		size_t n = utf8_at(s);

		if (n == 0)
			return false;
		s = slice_from(s, n);
	}
	return true;
}

bool text_is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == 0 || (unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

bool text_has_ctl(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

size_t text_print_run(struct slice s)
{
	size_t n = 0;

	while (n < s.n && ascii_is_print(s.p[n]) && s.p[n] != '\\')
		n++;
	return n;
}

void text_escape(struct slice s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = text_print_run(s);

		if (n > 0) {
			buf_put(out, slice_head(s, n));
			s = slice_from(s, n);
			continue;
		}
		n = utf8_at(s);
		if (n == 0 || text_has_ctl(slice_head(s, 1)) || s.p[0] == '\\') {
			buf_putf(out, "\\x%02x", (unsigned char)s.p[0]);
			n = 1;
		} else {
			buf_put(out, slice_head(s, n));
		}
		s = slice_from(s, n);
	}
}

void text_json(struct slice s, struct buf *out)
{
	buf_putc(out, '"');
	while (s.n > 0) {
		size_t n = utf8_at(s);

		if (n == 0)
			buf_puts(out, "\xef\xbf\xbd");
		else if (s.p[0] == '"' || s.p[0] == '\\')
			buf_putf(out, "\\%c", s.p[0]);
		else if (text_has_ctl(slice_head(s, 1)))
			buf_putf(out, "\\u%04x", (unsigned char)s.p[0]);
		else
			buf_put(out, slice_head(s, n));
		s = slice_from(s, n > 0 ? n : 1);
	}
	buf_putc(out, '"');
}

int text_unxtext(struct slice s, struct buf *out)
{
	size_t was = out->len;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		int v = (unsigned char)c;

		if (c == '+') {
			/* Upper case only: RFC 3461 section 4. */
			v = s.n - i < 3 || slice_cmp(slice_mem(s.p + i + 1, 1), SLICE("G")) >= 0 ||
			    slice_cmp(slice_mem(s.p + i + 2, 1), SLICE("G")) >= 0 ? -1 : hex_octet(s.p + i + 1);
			i += 2;
		} else if (c < '!' || c > '~' || c == '=') {
			v = -1;
		}
		if (v < 0 || buf_addc(out, (char)v) < 0) {
			buf_cut(out, was);
			return -1;
		}
	}
	return 0;
}

int text_xtext(struct slice s, struct buf *out)
{
	size_t was = out->len;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool plain = c >= '!' && c <= '~' && c != '+' && c != '=';

		if ((plain ? buf_addc(out, c) : buf_addf(out, "+%02X", (unsigned char)c)) < 0) {
			buf_cut(out, was);
			return -1;
		}
	}
	return 0;
}

bool text_equal_secret(struct slice a, struct slice b)
{
	volatile unsigned char differ = 0;

	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		differ = (unsigned char)(differ | (unsigned char)(a.p[i] ^ b.p[i]));
	return differ == 0;
}

void text_random(void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			abort();                                      /* a guessable secret is worse than none */
		at += got;
		n -= (size_t)got;
	}
}
