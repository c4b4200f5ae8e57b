/*
 * queue/deferred.h - spool/deferred/xx/: one message that waits is ID.eml, as it will be sent, and ID.env, its envelope (less(1) shows both).
 *
 * Nothing here flushes: a checkpoint's syncfs does it for all at once. Until then the journal's record stands behind a new message, and ID.env
 * behind an updated one, because an update is written as ID.env.new and renamed only after the flush.
 * ID.eml is made first and removed last, so an .eml without .env is of no use and is swept at the start.
 */
#ifndef QUEUE_DEFERRED_H
#define QUEUE_DEFERRED_H

#include "queue/envelope.h"

int deferred_store(const char *spool, const struct envelope *env, struct slice message, struct err *e) WARN_UNUSED;
int deferred_store_large(const char *spool, const struct envelope *env, struct err *e) WARN_UNUSED;     /* links spool/large/ID.eml */
int deferred_update(const char *spool, const struct envelope *env, struct err *e) WARN_UNUSED;          /* ID.env.new */
int deferred_commit(const char *spool, const char *id, struct err *e) WARN_UNUSED;                      /* rename to ID.env */
void deferred_remove(const char *spool, const char *id);

/* Every message of one of the 256 directories; leftovers are swept. The text is empty where the files cannot be read or one is missing. */
void deferred_each(const char *spool, unsigned directory, void (*fn)(void *ctx, struct slice envelope_text, const char *id), void *ctx);
int deferred_to_corrupt(const char *spool, const char *id, struct err *e) WARN_UNUSED;

#endif
