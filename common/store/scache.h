/*
 * store/scache.h - posthouse.cache: what FETCH asks for most, one immutable entry a message, appended under the folder's lock.
 *
 * An entry names its message and has a CRC over all of it, so an offset that points into another file, or nowhere, is a miss and never a wrong answer:
 * the file may be deleted, cut or scribbled on at any time.
 */
#ifndef STORE_SCACHE_H
#define STORE_SCACHE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "store/store.h"

#define SCACHE_NAME "posthouse.cache"
#define SCACHE_TEXTS 5                                                /* enum mcache */
#define SCACHE_ENTRY_MAX (4u << 20)

struct scache {
	struct store_log *f;
	char *window;                                                 /* what was read ahead: FETCH walks the entries in their order */
	uint64_t window_at, next_at;                                  /* where it lies; where the entry behind the last one begins */
	size_t window_len;
};

void scache_init(struct scache *c);
void scache_close(struct scache *c);
/* Offset of the new entry, never 0. ERR_LIMIT: too large to keep. */
int scache_append(struct scache *c, struct shelf *h, uint32_t uidvalidity, uint32_t uid, const struct slice texts[SCACHE_TEXTS], uint64_t *at_out, struct err *e) WARN_UNUSED;
/* 0 and the texts (in the arena), or -1: not there, or not to be trusted. */
int scache_get(struct scache *c, struct shelf *h, uint64_t at, uint32_t uidvalidity, uint32_t uid, struct arena *a, struct slice texts_out[SCACHE_TEXTS]) WARN_UNUSED;

uint64_t scache_size(struct scache *c, struct shelf *h);              /* 0: there is none */

/* A new cache with some entries of the old one, under the folder's lock. Who has the old one open finds it replaced; offsets into it are misses. */
struct scache_copy { struct draft *d; struct buf b; uint64_t end; struct arena *a; };
int scache_copy_init(struct scache_copy *x, struct shelf *h, struct err *e) WARN_UNUSED;
/* *at_out: its new offset; 0: it has none. */
int scache_copy_entry(struct scache_copy *x, struct scache *c, uint64_t at, uint32_t uidvalidity, uint32_t uid, uint64_t *at_out, struct err *e) WARN_UNUSED;
int scache_copy_finish(struct scache_copy *x, struct scache *c, struct shelf *h, struct err *e) WARN_UNUSED;
void scache_copy_done(struct scache_copy *x);

/* Pure. */
int scache_parse(struct slice in, uint32_t uidvalidity, uint32_t uid, struct slice texts_out[SCACHE_TEXTS]) WARN_UNUSED;
size_t scache_entry_len(struct slice head);                           /* from the first 40 octets; 0: no entry */

#endif
