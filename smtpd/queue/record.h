/*
 * queue/record.h - the octets of a journal segment: its head block and the records. Pure; the drawing is in record.c.
 */
#ifndef QUEUE_RECORD_H
#define QUEUE_RECORD_H

#include <stdint.h>

#include "base/buf.h"
#include "queue/envelope.h"

#define SEGMENT_BLOCK 4096                                            /* the head is one; each flush begins at a multiple of it */
#define RECORD_HEAD 80
#define LIMIT_RECORD_ENVELOPE (1u << 20)

struct segment_head {
	uint64_t number, generation, size;
	bool in_use;                                                  /* false: nothing in it counts */
};
void segment_head_put(const struct segment_head *h, char out[SEGMENT_BLOCK]);
int segment_head_parse(struct slice block, struct segment_head *out) WARN_UNUSED;    /* -1: no head, or damaged */

enum { RECORD_IN_FILE = 1 };                                          /* the message is spool/large/ID.eml */

struct record {
	char id[QUEUE_ID_MAX];
	uint64_t offset, length;                                      /* in the segment; length without the padding behind it */
	unsigned flags;
	struct slice envelope_text, message;                          /* borrowed from the segment; message.p NULL for RECORD_IN_FILE */
};

/* A record in two steps, because its place is known last: appended to out with an empty place, then sealed where it will lie. */
void record_put(struct buf *out, const char *id, struct slice envelope_text, const struct slice *pieces, size_t n_pieces, unsigned flags);
void record_seal(char *record, uint64_t generation, uint64_t offset);

size_t record_padded(uint64_t length);                                /* with the padding up to the next record */

enum record_found { RECORD_OK, RECORD_NONE, RECORD_DAMAGED };         /* none: zeros, or left from an earlier generation */
/* The record that lies at `offset` of a segment; `octets` begin there. */
enum record_found record_parse(struct slice octets, uint64_t generation, uint64_t offset, struct record *out);

struct record_scan {
	uint64_t end;                                                 /* behind the last good record: where the next scan may begin */
	unsigned good;
	unsigned damaged;                                             /* bad ones with good ones behind them: not a torn end, but a bad disk */
};
/* All records at or behind `from`. A torn one ends nothing: the scan goes on at the next block. */
struct record_scan record_scan(struct slice segment, uint64_t generation, uint64_t from, void (*fn)(void *ctx, const struct record *r), void *ctx);

#endif
