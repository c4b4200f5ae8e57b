/*
 * drac/xdr.c - see the header.
 */
#include "drac/xdr.h"

static struct slice take(struct xdr *x, size_t n)
{
	if (x->broken || x->rest.n < n) {
		x->broken = true;
		return SLICE_NONE;
	}
	struct slice s = slice_head(x->rest, n);

	x->rest = slice_from(x->rest, n);
	return s;
}

uint32_t xdr_get_u32(struct xdr *x)
{
	struct slice s = take(x, 4);
	const unsigned char *p = (const unsigned char *)s.p;

	return s.n == 4 ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

uint64_t xdr_get_u64(struct xdr *x)
{
	uint64_t high = xdr_get_u32(x), low = xdr_get_u32(x);

	return x->broken ? 0 : high << 32 | low;
}

static size_t padding(size_t n)
{
	return (4 - n % 4) % 4;
}

struct slice xdr_get_fixed(struct xdr *x, uint32_t n)
{
	struct slice s = take(x, n);

	take(x, padding(n));
	return x->broken ? SLICE_NONE : s;
}

struct slice xdr_get_opaque(struct xdr *x, uint32_t max)
{
	uint32_t n = xdr_get_u32(x);

	if (n > max)
		x->broken = true;
	return x->broken ? SLICE_NONE : xdr_get_fixed(x, n);
}

bool xdr_done(const struct xdr *x)
{
	return !x->broken && x->rest.n == 0;
}

static void to_octets(uint32_t v, char out[4])
{
	out[0] = (char)(v >> 24);
	out[1] = (char)(v >> 16 & 0xff);
	out[2] = (char)(v >> 8 & 0xff);
	out[3] = (char)(v & 0xff);
}

void xdr_put_u32(struct buf *b, uint32_t v)
{
	char octets[4];

	to_octets(v, octets);
	buf_put(b, slice_mem(octets, 4));
}

void xdr_put_u64(struct buf *b, uint64_t v)
{
	xdr_put_u32(b, (uint32_t)(v >> 32));
	xdr_put_u32(b, (uint32_t)v);
}

void xdr_put_opaque(struct buf *b, struct slice s)
{
	xdr_put_u32(b, (uint32_t)s.n);
	buf_put(b, s);
	buf_put(b, slice_mem("\0\0\0", padding(s.n)));
}

void xdr_set_u32(struct buf *b, size_t at, uint32_t v)
{
	to_octets(v, b->p + at);
}
