/*
 * queue/journal.h - the accept journal (DESIGN.md section 4): segments written full of zeros beforehand, appended by one front each, flushed in groups.
 *
 * A segment is spool/journal/N.jnl. The queue process makes and recycles them; a front holds one open segment at a time and appends.
 * Disk format and recovery: the state table at the top of journal.c.
 */
#ifndef QUEUE_JOURNAL_H
#define QUEUE_JOURNAL_H

#include "io/loop.h"
#include "queue/envelope.h"

struct journal_place { uint64_t segment, offset; uint64_t length; };  /* of one record */

/* ---- the front's side: append and group commit. A thread of its own calls fdatasync. ---- */
struct journal;
/* ask_segment is called (from the loop) when a fresh segment will be needed soon; answer by journal_give_segment(). */
struct journal *journal_new(struct loop *l, const char *spool_directory, void (*ask_segment)(void *ctx), void *ctx);
int journal_give_segment(struct journal *j, uint64_t segment, int fd, struct err *e) WARN_UNUSED;     /* takes over fd */
void journal_free(struct journal **j);
bool journal_is_ready(const struct journal *j);                       /* false: no segment, or the disk failed: answer 421 or 451 */

/* done() is called once from the loop: err == NULL: on disk, say 250; otherwise 451 and nothing is left. message may be a list of pieces. */
typedef void journal_done_fn(void *ctx, const struct journal_place *place, const struct err *err);
void journal_append(struct journal *j, const struct envelope *env, const struct slice *pieces, size_t n_pieces, journal_done_fn *fn, void *ctx);
void journal_forget(struct journal *j, void *ctx);                    /* the session is gone; the record stays, fn is not called */

/* ---- the queue's side ---- */
int journal_read(int segment_fd, const struct journal_place *place, struct arena *a, struct slice *envelope_text_out, struct slice *message_out, struct err *e) WARN_UNUSED;

/* ---- ids ---- */
void queue_id_new(char out[QUEUE_ID_MAX], int64_t wall_us, unsigned front_index);   /* unique over fronts, restarts and clock steps back; letters and digits */

#endif
