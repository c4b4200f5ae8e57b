/*
 * queue/spool.h - where things lie in the spool, and how a message's octets are got from there.
 *
 *   spool/journal/N.jnl          segments (journal.h)
 *   spool/journal/N.mark         of a segment whose flush failed: up to where it counts (segments.h)
 *   spool/large/ID.eml           messages over LIMIT_SMTP_MEMORY_BODY whose record points here
 *   spool/deferred/xx/ID.eml     messages that wait for another attempt, beside ID.env (envelope.h)
 *   spool/corrupt/               what could not be read, kept for the admin
 *   spool/queue.log              outcomes (qlog.h)
 */
#ifndef QUEUE_SPOOL_H
#define QUEUE_SPOOL_H

#include "queue/journal.h"

int spool_make(const char *spool_directory, struct err *e) WARN_UNUSED;      /* every directory above */

void spool_path_segment(const char *spool, uint64_t number, struct buf *out);
void spool_path_large(const char *spool, const char *id, struct buf *out);
void spool_path_deferred(const char *spool, const char *id, const char *ext, struct buf *out);   /* ext: ".eml", ".env", ".env.new" */

/* Reads messages; keeps a few segments open. One a process. */
struct spool_reader;
struct spool_reader *spool_reader_new(const char *spool_directory);
void spool_reader_free(struct spool_reader **r);

struct spool_message { struct slice octets; void *map; size_t map_len; };
/* place->segment 0: in spool/large if in_large, else in spool/deferred. Octets from a record live in the arena, a file is mapped until _done(). */
int spool_message_get(struct spool_reader *r, const char *id, const struct journal_place *place, bool in_large, struct arena *a, struct spool_message *out,
    struct err *e) WARN_UNUSED;
void spool_message_done(struct spool_message *m);
/* An open segment for journal_read(); borrowed until the next call. */
int spool_reader_segment(struct spool_reader *r, uint64_t number, struct err *e) WARN_UNUSED;

#endif
