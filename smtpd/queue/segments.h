/*
 * queue/segments.h - the queue's pool of journal segments: made, given to fronts, scanned, recycled. States: journal.c.
 */
#ifndef QUEUE_SEGMENTS_H
#define QUEUE_SEGMENTS_H

#include "base/list.h"
#include "serve/flusher.h"
#include "queue/record.h"

enum seg_state { SEG_FREE, SEG_GIVEN, SEG_CLOSED, SEG_FREEING };

struct seg_settled { char id[QUEUE_ID_MAX]; bool moved; };            /* a record that no longer counts, for queue.log */

struct seg {
	struct list_node node;
	enum seg_state state;
	bool suspect;
	bool unscanned;                                               /* in use when we started, not looked at yet */
	uint64_t number, generation, size;
	uint64_t seen_to;                                             /* every record before this octet is known to the queue */
	uint64_t good_to;                                             /* of a suspect one: nothing behind counts */
	uint64_t live;                                                /* records that still count */
	void *owner;                                                  /* the front that has it open; NULL: nobody that we know */
	struct seg_settled *settled;
	size_t n_settled, cap_settled, n_covered;                     /* covered by the checkpoint that runs */
};

struct segs;
/* Reads the heads of what is there. Unreadable files are renamed N.bad and told by log. */
int segs_open(struct segs **s_out, struct loop *l, const char *spool_directory, uint64_t segment_size, struct err *e) WARN_UNUSED;
void segs_close(struct segs **s);
struct list_node *segs_all(struct segs *s);                           /* of struct seg */
struct seg *segs_find(struct segs *s, uint64_t number);

/* A free segment under a fresh generation, flushed, with its flock taken: *fd_out is to be passed on. Makes one where none is free (slow: it is written
   full of zeros), so call segs_prepare() in quiet moments. ERR_LIMIT: too many are in use, the queue is behind; ERR_NOTFOUND: one is being made. */
int segs_take(struct segs *s, struct seg **seg_out, int *fd_out, struct err *e) WARN_UNUSED;
void segs_prepare(struct segs *s, size_t n_free, void (*ready)(void *ctx), void *ctx);    /* makes more in the background until n_free are free */

bool segs_is_open_elsewhere(struct segs *s, const struct seg *seg);   /* its flock is held */
/* Calls fn for every record from seen_to on and moves seen_to. */
int segs_scan(struct segs *s, struct seg *seg, void (*fn)(void *ctx, const struct record *r), void *ctx, struct record_scan *scan_out, struct err *e) WARN_UNUSED;
/* A flush of it failed: nothing at or behind good_to counts, and that is still so after kill -9 (journal/N.mark, flushed). Error: only in memory. */
int segs_mark_suspect(struct segs *s, struct seg *seg, uint64_t good_to, struct err *e) WARN_UNUSED;
void seg_settle(struct seg *seg, const char *id, bool moved);

/* The two halves of recycling: heads to "free" (blocks; for the flusher thread), then state FREE. A suspect one becomes N.suspect and leaves the pool. */
int segs_write_free(struct segs *s, struct seg *seg, struct err *e) WARN_UNUSED;
void segs_freed(struct segs *s, struct seg *seg);

#endif
