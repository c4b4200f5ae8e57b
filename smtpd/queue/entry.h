/*
 * queue/entry.h - the door into the queue, for whoever accepts messages: each front, and the queue itself for bounces and sendmail(1).
 *
 * Joins the journal with the channel to the queue process: it asks for segments, tells of accepted records, hears whether there is room on disk.
 * A front makes one, gives it each descriptor that on_link(role "queue") brings, and submits. The queue process may die and come back meanwhile:
 * what was submitted is in the journal and will be found there.
 */
#ifndef QUEUE_ENTRY_H
#define QUEUE_ENTRY_H

#include "conf/settings.h"
#include "queue/journal.h"

enum entry_state {
	ENTRY_READY,
	ENTRY_NO_SEGMENT,                                             /* the queue has not given one (yet): 451 4.3.0 */
	ENTRY_NO_SPACE,                                               /* below queue_minfree: 452 4.3.1 */
	ENTRY_BROKEN                                                  /* the disk failed twice: 421 4.3.0 */
};

struct entry;
/* Starts a thread: call it after sandbox_enter(), which needs SANDBOX_THREADS and spool/large to write. */
struct entry *entry_new(struct loop *l, const struct settings *s);
void entry_free(struct entry **q);
void entry_link(struct entry *q, int fd);                             /* a (new) link to the queue process; takes over fd */

/* Ask at MAIL and again at the final dot. *why_out: words for the reply ("spool full: 12 MB left, 64 MB kept free"), borrowed until the next call. */
enum entry_state entry_state(struct entry *q, const char **why_out);

/* The octets are copied before it returns. env->size is set from the pieces. fn: once from the loop, as journal_append() says. */
void entry_submit(struct entry *q, const struct envelope *env, const struct slice *pieces, size_t n_pieces, journal_done_fn *fn, void *ctx);
void entry_forget(struct entry *q, void *ctx);                        /* the session is gone: fn is not called for ctx; the message stays */

/*
 * A message over LIMIT_SMTP_MEMORY_BODY: write it to the file as it comes (the Received line first), then submit it; or drop it.
 * Until the submission's done() says otherwise the file is the caller's to drop (also after an error).
 */
int entry_large_open(struct entry *q, const char *id, int *fd_out, struct err *e) WARN_UNUSED;   /* spool/large/ID.eml, new */
void entry_submit_large(struct entry *q, const struct envelope *env, int fd, journal_done_fn *fn, void *ctx);  /* takes over fd; flushes it first */
void entry_large_drop(struct entry *q, const char *id);               /* removes the file; close fd yourself */

#endif
