/*
 * auth/saslprep.c - mapping (RFC 4013 2.1), NFKC (2.2) by libunistring, prohibited output (2.3).
 */
#include "auth/saslprep.h"

#include <stdlib.h>
#include <uninorm.h>
#include <unistr.h>

#include "base/text.h"

struct range { ucs4_t first, last; };

/* RFC 3454 B.1: commonly mapped to nothing. */
static const struct range to_nothing[] = {
	{ 0x00ad, 0x00ad }, { 0x034f, 0x034f }, { 0x1806, 0x1806 }, { 0x180b, 0x180d }, { 0x200b, 0x200d },
	{ 0x2060, 0x2060 }, { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff },
};

/* C.1.2: non-ASCII spaces, mapped to a space. */
static const struct range to_space[] = {
	{ 0x00a0, 0x00a0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200a }, { 0x202f, 0x202f }, { 0x205f, 0x205f }, { 0x3000, 0x3000 },
};

/* C.2.1 to C.9: controls, private use, non-characters, surrogates, plain-text and canonical trouble, tags. */
static const struct range prohibited[] = {
	{ 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x0340, 0x0341 }, { 0x06dd, 0x06dd }, { 0x070f, 0x070f }, { 0x180e, 0x180e },
	{ 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2061, 0x2063 }, { 0x206a, 0x206f }, { 0x2ff0, 0x2ffb }, { 0xd800, 0xf8ff },
	{ 0xfdd0, 0xfdef }, { 0xfff9, 0xffff }, { 0x1d173, 0x1d17a }, { 0x1fffe, 0x1ffff }, { 0xe0000, 0x10ffff },
};

static bool in_table(const struct range *t, size_t n, ucs4_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= t[i].first && c <= t[i].last)
			return true;
	return false;
}

#define IN(table, c) in_table(table, sizeof(table) / sizeof(table[0]), c)

static const uint8_t *octets(struct slice s)
{
	return (const uint8_t *)s.p;
}

static void map_characters(struct slice in, struct buf *out)
{
	for (size_t at = 0; at < in.n;) {
		ucs4_t c;
		int n = u8_mbtouc(&c, octets(in) + at, in.n - at);

		if (IN(to_space, c))
			buf_putc(out, ' ');
		else if (!IN(to_nothing, c))
			buf_put(out, slice_mem(in.p + at, (size_t)n));
		at += (size_t)n;
	}
}

static bool is_allowed(struct slice s)
{
	for (size_t at = 0; at < s.n;) {
		ucs4_t c;
		int n = u8_mbtouc(&c, octets(s) + at, s.n - at);

		if (IN(prohibited, c))
			return false;
		at += (size_t)n;
	}
	return true;
}

int saslprep(struct slice in, struct buf *out)
{
	struct buf mapped;
	size_t n = 0;
	int rc = -1;

	if (text_is_ascii(in))
		return text_has_ctl(in) ? -1 : buf_add(out, in);
	if (!text_is_utf8(in))
		return -1;
	buf_init(&mapped, BUF_UNBOUNDED);
	map_characters(in, &mapped);
	uint8_t *norm = u8_normalize(UNINORM_NFKC, octets(buf_view(&mapped)), mapped.len, NULL, &n);
	buf_wipe(&mapped);
	if (norm != NULL && is_allowed(slice_mem(norm, n)))
		rc = buf_add(out, slice_mem(norm, n));
	free(norm);
	return rc;
}
