/*
 * dracd/journal.h - what makes a grant survive a crash: an append-only file beside dracd.db, flushed before the answers that wait for it.
 *
 * Records (jrecord.h) are gathered and go to disk together, with one write and one fdatasync (group commit). A flush has three parts, so that what blocks in the
 * device can run in a thread: journal_begin() and journal_end() in the loop, journal_work() between them anywhere.
 *
 * When the file has grown to several times of what lives it is written anew: a child writes what lives into NAME.new while
 * the old file is still appended to, then one flush adds what came meanwhile and renames.
 *
 * Where there is no space, the file is cut back to its last whole flush and the next flush tries again. After an error of fdatasync it is never
 * appended to again (the second one would say OK while the data is gone): nothing is durable until it was written anew.
 */
#ifndef DRACD_JOURNAL_H
#define DRACD_JOURNAL_H

#include "base/err.h"
#include "dracd/table.h"

struct journal;

/* Reads what is there into the table, then writes a fresh file. *lost_out octets were not understood. */
int journal_open(struct journal **j_out, const char *path, struct table *t, struct table_time now, size_t *lost_out, struct err *e) WARN_UNUSED;
void journal_close(struct journal **j);

void journal_grant(struct journal *j, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at);
void journal_revoke(struct journal *j, const struct net_addr *addr, struct slice user);
void journal_flush(struct journal *j);                                /* the record of FLUSH: everything is revoked */
bool journal_is_dirty(const struct journal *j);

bool journal_begin(struct journal *j);                                /* takes what was gathered; false: there is nothing, go on to journal_end() */
void journal_work(struct journal *j);                                 /* blocks; touches nothing that the other calls touch, except begin and end */
/* 0: what begin took is durable. -1: it is not, the answers must say so; it goes out with a later flush, or the file is written anew. */
int journal_end(struct journal *j, struct err *e) WARN_UNUSED;
int journal_sync(struct journal *j, struct err *e) WARN_UNUSED;       /* all three */

/* The file is much larger than what lives, or must not be appended to any more. */
bool journal_wants_rewrite(const struct journal *j);
void journal_rewrite(struct journal *j);                              /* now a child is forked, which calls: */
int journal_write_new(const struct journal *j, struct table *t) WARN_UNUSED;   /* what lives, durable but for its name; -1: errno set */
void journal_rewritten(struct journal *j, bool ok);                   /* the child has ended; the next flush takes its file over */

#endif
