/*
 * dracd/journal.h - what makes a grant survive a crash: an append-only file beside dracd.db, flushed before the answers that wait for it.
 *
 *   header   "DRACJNL1"
 *   record   length (u32), CRC-32C of the body (u32), body: kind, times, address, who, in XDR
 *
 * Records are gathered during one round of the loop and go to disk with one write and one fdatasync (group commit). A torn last record is cut off at
 * start. When the file has grown to several times of what lives, it is written anew: new file, fsync, rename. An error of a flush is never retried on
 * the same file (the second fsync would say OK while the data is gone): the file is abandoned and written anew from memory.
 */
#ifndef DRACD_JOURNAL_H
#define DRACD_JOURNAL_H

#include "base/err.h"
#include "dracd/table.h"

struct journal;

/* Reads what is there into the table, then writes a fresh file. Damage in the middle ends the reading; *lost_out octets were not understood. */
int journal_open(struct journal **j_out, const char *path, struct table *t, struct table_time now, size_t *lost_out, struct err *e) WARN_UNUSED;
void journal_close(struct journal **j);

void journal_grant(struct journal *j, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at);
void journal_revoke(struct journal *j, const struct net_addr *addr, struct slice user);
void journal_flush(struct journal *j);
bool journal_is_dirty(const struct journal *j);
/* Makes everything gathered durable. -1: it is not; the answers must say so. */
int journal_sync(struct journal *j, struct table *t, struct err *e) WARN_UNUSED;

/* One record, for tests and the fuzzer: PARSE of `in` into the table. Returns octets used, 0 when more are needed, -1 when damaged. */
long journal_apply(struct slice in, struct table *t, struct table_time now);

#endif
