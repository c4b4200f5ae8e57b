/*
 * store/named.h - the verbs under plain names, for what is no mailbox: whole blobs, records with fences, values with a lifetime, leases that run out.
 *
 * blob: immutable. log: records, appended only where the writer knew the end (compare-and-append), under a fence. kv: small values with a lifetime.
 * lease: who may write, for how long, with a number that grows with every holder (the fence). notify: a wake-up for whoever listens.
 * All is durable when it returns 0, notify excepted. Made of the verbs of store.h, so every backend has it.
 *
 * Names are of letters, digits, '.', '_', '-', and '/' between levels; no level begins with a dot. Times are parameters, in milliseconds of one clock
 * that all users of the store share.
 */
#ifndef STORE_NAMED_H
#define STORE_NAMED_H

#include "store/store.h"

struct named;

/* Called for each record or entry; -1 stops (the verb then returns 0). */
typedef int named_fn(void *ctx, struct slice key, struct slice value, uint64_t position);

/* A place of its own at `path`, which is made. */
int named_open(const struct store *s, const char *path, struct named **out, struct err *e) WARN_UNUSED;
void named_close(struct named **n);

/* ERR_EXISTS: that name is taken (a blob never changes). */
int named_blob_put(struct named *n, const char *name, struct slice octets, struct err *e) WARN_UNUSED;
int named_blob_get(struct named *n, const char *name, struct buf *out, struct err *e) WARN_UNUSED;       /* appends; ERR_NOTFOUND, ERR_LIMIT: over out->max */
int named_blob_delete(struct named *n, const char *name, struct err *e) WARN_UNUSED;                     /* ERR_NOTFOUND */

/* A log is there when its first record is; its end then was 0. expected: the end as the writer knows it; *end_out: the new one. ERR_EXISTS: others
   have appended, read on from `expected`. ERR_DENIED: a writer with a higher fence has appended. A fence of 0 is for logs without a lease. */
int named_log_append(struct named *n, const char *name, uint64_t expected, uint64_t fence, struct slice record, uint64_t *end_out, struct err *e) WARN_UNUSED;
/* Records from position `from` (0: the first that is kept) on; fn gets each one's own position. A missing log is empty. ERR_SYNTAX: damaged behind
   what was read. A position that was trimmed away: ERR_NOTFOUND. */
int named_log_read(struct named *n, const char *name, uint64_t from, named_fn *fn, void *ctx, uint64_t *end_out, struct err *e) WARN_UNUSED;
int named_log_trim(struct named *n, const char *name, uint64_t before, struct err *e) WARN_UNUSED;       /* records before that position may go */

/* expires_ms 0: never; a value with n == 0 deletes. */
int named_kv_put(struct named *n, const char *table, struct slice key, struct slice value, uint64_t expires_ms, struct err *e) WARN_UNUSED;
int named_kv_get(struct named *n, const char *table, struct slice key, uint64_t now_ms, struct buf *out, struct err *e) WARN_UNUSED;   /* ERR_NOTFOUND */
int named_kv_scan(struct named *n, const char *table, struct slice prefix, uint64_t now_ms, named_fn *fn, void *ctx, struct err *e) WARN_UNUSED;

/* Takes or prolongs. ERR_EXISTS: another holder has it until later than now. A new holder's fence is higher than every one before. */
int named_lease_take(struct named *n, const char *name, uint64_t holder, uint64_t now_ms, uint64_t until_ms, uint64_t *fence_out, struct err *e) WARN_UNUSED;
int named_lease_drop(struct named *n, const char *name, uint64_t holder, struct err *e) WARN_UNUSED;     /* not ours: nothing happens */

/* Wakes every listener of the topic: their descriptors become readable; recv(2) until EAGAIN empties one, close(2) ends it. A wake-up may be lost when
   the listener's queue is full, which then wakes it anyway. */
int named_notify(struct named *n, const char *topic, struct err *e) WARN_UNUSED;
int named_listen(struct named *n, const char *topic, int *fd_out, struct err *e) WARN_UNUSED;

bool named_is_valid(const char *name);

#endif
