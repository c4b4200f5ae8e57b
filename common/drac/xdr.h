/*
 * drac/xdr.h - the few XDR types that we need (RFC 4506): words, hypers, opaque data, strings. Reading borrows; the first misfit breaks the reader for good.
 */
#ifndef DRAC_XDR_H
#define DRAC_XDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct xdr {                                                          /* a reader */
	struct slice rest;
	bool broken;
};

uint32_t xdr_get_u32(struct xdr *x);                                  /* 0 when broken */
uint64_t xdr_get_u64(struct xdr *x);
struct slice xdr_get_opaque(struct xdr *x, uint32_t max);             /* with its length and padding; over max breaks */
struct slice xdr_get_fixed(struct xdr *x, uint32_t n);
bool xdr_done(const struct xdr *x);                                   /* everything read, nothing broken */

void xdr_put_u32(struct buf *b, uint32_t v);
void xdr_put_u64(struct buf *b, uint64_t v);
void xdr_put_opaque(struct buf *b, struct slice s);
void xdr_set_u32(struct buf *b, size_t at, uint32_t v);               /* over what was put before */

#endif
