/*
 * queue/journal.h - the accept journal: segments written full of zeros beforehand, appended by one front each, flushed in groups.
 *
 * A segment is spool/journal/N.jnl. The queue process makes and recycles them; a front appends to one at a time and keeps the next one ready. The
 * descriptor carries a flock(2) that lives as long as the front has it open, so anyone can see whether a segment is still being written.
 * Fronts use it through queue/entry.h. Disk format: record.c; states and recovery: the table at the top of journal.c.
 */
#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include <sys/uio.h>

#include "io/loop.h"
#include "queue/envelope.h"

struct journal_place { uint64_t segment, generation, offset, length; };             /* of one record */

/* ---- the front's side: append and group commit. A thread of its own writes and calls fdatasync, so make it after sandbox_enter(). ---- */
struct journal;

struct journal_events {
	void (*ask_segment)(void *ctx);                               /* a fresh segment will be needed soon: answer by journal_give_segment() */
	void (*released)(void *ctx, uint64_t segment);                /* nothing more will be appended to it, and it is closed here */
	void (*suspect)(void *ctx, uint64_t segment, uint64_t good_to, const struct err *e);  /* a write or flush failed: only records before good_to count */
};
/* What reaches the disk, so that tests can make it fail. */
struct journal_ops {
	ssize_t (*pwritev)(int fd, const struct iovec *iov, int n, off_t at);
	int (*fdatasync)(int fd);
	int (*fsync)(int fd);
};

struct journal *journal_new(struct loop *l, const struct journal_events *ev, void *ctx);
struct journal *journal_new_with(struct loop *l, const struct journal_events *ev, const struct journal_ops *ops, void *ctx);
int journal_give_segment(struct journal *j, uint64_t segment, int fd, struct err *e) WARN_UNUSED;     /* takes over fd */
void journal_free(struct journal **j);                                /* waits for a running flush; no done() is called */
bool journal_is_ready(const struct journal *j);                       /* false: no segment, or the disk failed: answer 421 or 451 */
bool journal_is_broken(const struct journal *j);                      /* two segments failed one after the other */
size_t journal_holds(const struct journal *j, uint64_t segments_out[2]);      /* the segments that are open here */

/* done() is called once from the loop: err == NULL: on disk, say 250; otherwise 451 and nothing is left. message may be a list of pieces, copied
   before the call returns. Without a segment it waits for one, 10 s at most. */
typedef void journal_done_fn(void *ctx, const struct journal_place *place, const struct err *err);
void journal_append(struct journal *j, const struct envelope *env, const struct slice *pieces, size_t n_pieces, journal_done_fn *fn, void *ctx);
/* The message is in a file of its own, which is flushed (with its directory, dir_fd) before the record. Takes over file_fd. */
void journal_append_file(struct journal *j, const struct envelope *env, int file_fd, int dir_fd, journal_done_fn *fn, void *ctx);
void journal_forget(struct journal *j, void *ctx);                    /* the session is gone; the record stays, fn is not called */

/* ---- the reader's side ---- */
/* One record, checked. *message_out has p == NULL where the message is in spool/large/ID.eml. */
int journal_read(int segment_fd, const struct journal_place *place, struct arena *a, struct slice *envelope_text_out, struct slice *message_out, struct err *e) WARN_UNUSED;

/* ---- ids ---- */
void queue_id_new(char out[QUEUE_ID_MAX], int64_t wall_us, unsigned front_index);   /* unique over fronts, restarts and clock steps back; letters and digits */

#endif
