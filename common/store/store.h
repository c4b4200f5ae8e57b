/*
 * store/store.h - the one door to durable state (DESIGN.md section 5), as verbs that a directory and an object store can both keep.
 *
 * blob: whole immutable objects. log: records, appended only where the writer knew the end (compare-and-append), under a fence. kv: small values with
 * a lifetime. lease: who may write, for how long, with a number that grows with every holder (the fence). notify: a wake-up for whoever listens.
 * All is durable when it returns 0, notify and leases excepted. A backend is a const struct store_ops; tests/unit/store/test_store.c holds for each.
 *
 * Names are of letters, digits, '.', '_', '-', and '/' between levels; no level begins with a dot. Times are parameters, in milliseconds of one clock
 * that all users of the store share.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct store;

/* Called for each record, entry or message; -1 stops (the verb then returns 0). */
typedef int store_fn(void *ctx, struct slice key, struct slice value, uint64_t position);

struct store_ops {
	const char *name;
	void (*close)(struct store *s);
	int (*blob_put)(struct store *s, const char *name, struct slice octets, struct err *e);
	int (*blob_get)(struct store *s, const char *name, struct buf *out, struct err *e);
	int (*blob_delete)(struct store *s, const char *name, struct err *e);
	int (*log_append)(struct store *s, const char *name, uint64_t expected, uint64_t fence, struct slice record, uint64_t *end_out, struct err *e);
	int (*log_read)(struct store *s, const char *name, uint64_t from, store_fn *fn, void *ctx, uint64_t *end_out, struct err *e);
	int (*log_trim)(struct store *s, const char *name, uint64_t before, struct err *e);
	int (*kv_put)(struct store *s, const char *table, struct slice key, struct slice value, uint64_t expires_ms, struct err *e);
	int (*kv_get)(struct store *s, const char *table, struct slice key, uint64_t now_ms, struct buf *out, struct err *e);
	int (*kv_scan)(struct store *s, const char *table, struct slice prefix, uint64_t now_ms, store_fn *fn, void *ctx, struct err *e);
	int (*lease_take)(struct store *s, const char *name, uint64_t holder, uint64_t now_ms, uint64_t until_ms, uint64_t *fence_out, struct err *e);
	int (*lease_drop)(struct store *s, const char *name, uint64_t holder, struct err *e);
	int (*notify)(struct store *s, const char *topic, struct err *e);
	int (*listen)(struct store *s, const char *topic, int *fd_out, struct err *e);
};

/* A backend's struct begins with this. */
struct store { const struct store_ops *ops; };

/* Files below `root`, which is made. */
int store_open_local(struct store **s_out, const char *root, struct err *e) WARN_UNUSED;
void store_close(struct store **s);

/* ERR_EXISTS: that name is taken (a blob never changes). */
int store_blob_put(struct store *s, const char *name, struct slice octets, struct err *e) WARN_UNUSED;
int store_blob_get(struct store *s, const char *name, struct buf *out, struct err *e) WARN_UNUSED;       /* appends; ERR_NOTFOUND, ERR_LIMIT: over out->max */
int store_blob_delete(struct store *s, const char *name, struct err *e) WARN_UNUSED;                     /* ERR_NOTFOUND */

/* A log is there when its first record is; its end then was 0. expected: the end as the writer knows it; *end_out: the new one. ERR_EXISTS: others
   have appended, read on from `expected`. ERR_DENIED: a writer with a higher fence has appended. A fence of 0 is for logs without a lease. */
int store_log_append(struct store *s, const char *name, uint64_t expected, uint64_t fence, struct slice record, uint64_t *end_out, struct err *e) WARN_UNUSED;
/* Records from position `from` (0: the first that is kept) on; fn gets each one's own position. A missing log is empty. ERR_SYNTAX: damaged behind
   what was read. A position that was trimmed away: ERR_NOTFOUND. */
int store_log_read(struct store *s, const char *name, uint64_t from, store_fn *fn, void *ctx, uint64_t *end_out, struct err *e) WARN_UNUSED;
int store_log_trim(struct store *s, const char *name, uint64_t before, struct err *e) WARN_UNUSED;       /* records before that position may go */

/* expires_ms 0: never; a value with n == 0 deletes. */
int store_kv_put(struct store *s, const char *table, struct slice key, struct slice value, uint64_t expires_ms, struct err *e) WARN_UNUSED;
int store_kv_get(struct store *s, const char *table, struct slice key, uint64_t now_ms, struct buf *out, struct err *e) WARN_UNUSED;   /* ERR_NOTFOUND */
int store_kv_scan(struct store *s, const char *table, struct slice prefix, uint64_t now_ms, store_fn *fn, void *ctx, struct err *e) WARN_UNUSED;

/* Takes or prolongs. ERR_EXISTS: another holder has it until later than now. A new holder's fence is higher than every one before. */
int store_lease_take(struct store *s, const char *name, uint64_t holder, uint64_t now_ms, uint64_t until_ms, uint64_t *fence_out, struct err *e) WARN_UNUSED;
int store_lease_drop(struct store *s, const char *name, uint64_t holder, struct err *e) WARN_UNUSED;     /* not ours: nothing happens */

/* Wakes every listener of the topic: their descriptors become readable; read(2) until EAGAIN empties one, close(2) ends it. A wake-up may be lost when
   the listener's queue is full, which then wakes it anyway. */
int store_notify(struct store *s, const char *topic, struct err *e) WARN_UNUSED;
int store_listen(struct store *s, const char *topic, int *fd_out, struct err *e) WARN_UNUSED;

bool store_name_is_valid(const char *name);

#endif
