/*
 * store/named_kv.c - values with a lifetime, leases and wake-ups under plain names.
 *
 * A table is a log, read into memory at each question, written anew when most of it is dead: what Berkeley DB without an environment can't promise, a log
 * can (it survives a kill -9 of the writer).
 */
#include "store/named_in.h"

#include <stdio.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/num.h"

/* ---- kv: a log of records (expires u64, key length u32, key, value) ---- */

struct kv { struct hmap *m; struct arena *a; uint64_t end; size_t records; };
struct kv_value { struct slice value; uint64_t expires; };

static int on_entry(void *ctx, struct slice none, struct slice r, uint64_t position)
{
	struct kv *kv = ctx;
	struct kv_value *v;
	size_t n;

	(void)none, (void)position;
	if (r.n < 12 || (n = num_get_le32(r.p + 8)) > r.n - 12)
		return 0;
	v = arena_alloc(kv->a, sizeof *v);
	v->expires = num_get_le64(r.p);
	v->value = arena_dup(kv->a, slice_from(r, 12 + n));
	kv->records++;
	if (v->value.n == 0)
		(void)hmap_del(kv->m, slice_mem(r.p + 12, n));
	else
		(void)hmap_put(kv->m, slice_mem(r.p + 12, n), v);
	return 0;
}

static int kv_load(struct named *n, const char *table, struct kv *kv, struct err *e)
{
	char name[NAMED_PATH];
	struct err why;

	*kv = (struct kv){ .m = hmap_new(), .a = arena_new(4096) };
	snprintf(name, sizeof name, "kv.%s", table);
	if (named_log_read(n, name, 0, on_entry, kv, &kv->end, &why) == 0 || why.kind == ERR_SYNTAX)
		return 0;                                             /* what is damaged was not acknowledged, or is behind what was */
	*e = why;
	return -1;
}

static void kv_done(struct kv *kv)
{
	hmap_free(&kv->m);
	arena_free(&kv->a);
}

static void put_entry(struct slice key, struct slice value, uint64_t expires, struct buf *b)
{
	char head[12];

	num_put_le64(head, expires);
	num_put_le32(head + 8, (uint32_t)key.n);
	buf_put(b, slice_mem(head, sizeof head));
	buf_put(b, key);
	buf_put(b, value);
}

/* Where most records are dead, what lives is appended once more and all before it trimmed: a crash in between leaves both. */
static int kv_compact(struct named *n, const char *name, const struct kv *kv, uint64_t end, struct err *e)
{
	uint64_t from = end;
	struct slice key;
	size_t at = 0;
	void *p;

	while (hmap_next(kv->m, &at, &key, &p)) {
		const struct kv_value *v = p;
		struct buf b;
		int rc;

		buf_init(&b, BUF_UNBOUNDED);
		put_entry(key, v->value, v->expires, &b);
		rc = named_log_append(n, name, end, 0, buf_view(&b), &end, e);
		buf_done(&b);
		if (rc != 0)
			return e->kind == ERR_EXISTS ? 0 : -1;        /* somebody else is writing: another time */
	}
	return named_log_trim(n, name, from, e);
}

int named_kv_put(struct named *n, const char *table, struct slice key, struct slice value, uint64_t expires_ms, struct err *e)
{
	char name[NAMED_PATH];
	struct buf b;
	int rc = -1;

	snprintf(name, sizeof name, "kv.%s", table);
	buf_init(&b, BUF_UNBOUNDED);
	put_entry(key, value, expires_ms, &b);
	for (int turn = 0; turn < 1000 && rc != 0; turn++) {
		uint64_t end;
		struct kv kv;

		rc = kv_load(n, table, &kv, e);
		if (rc == 0)
			rc = named_log_append(n, name, kv.end, 0, buf_view(&b), &end, e);
		if (rc == 0 && kv.records > 64 && kv.records > 4 * hmap_count(kv.m)) {
			(void)on_entry(&kv, SLICE_NONE, buf_view(&b), 0);
			rc = kv_compact(n, name, &kv, end, e);
		}
		kv_done(&kv);
		if (rc != 0 && e->kind != ERR_EXISTS)
			break;
	}
	buf_done(&b);
	return rc;
}

static bool is_live(const struct kv_value *v, uint64_t now_ms)
{
	return v->expires == 0 || v->expires > now_ms;
}

int named_kv_get(struct named *n, const char *table, struct slice key, uint64_t now_ms, struct buf *out, struct err *e)
{
	const struct kv_value *v;
	struct kv kv;
	int rc = kv_load(n, table, &kv, e);

	v = rc == 0 ? hmap_get(kv.m, key) : NULL;
	if (rc == 0 && (v == NULL || !is_live(v, now_ms)))
		rc = err_set(e, ERR_NOTFOUND, 0, "no such key");
	else if (rc == 0 && buf_add(out, v->value) != 0)
		rc = err_set(e, ERR_LIMIT, 0, "the value is too large");
	kv_done(&kv);
	return rc;
}

int named_kv_scan(struct named *n, const char *table, struct slice prefix, uint64_t now_ms, named_fn *fn, void *ctx, struct err *e)
{
	struct kv kv;
	struct slice key;
	size_t at = 0;
	void *p;
	int rc = kv_load(n, table, &kv, e);

	while (rc == 0 && hmap_next(kv.m, &at, &key, &p)) {
		const struct kv_value *v = p;

		if (slice_starts(key, prefix) && is_live(v, now_ms) && fn(ctx, key, v->value, v->expires) != 0)
			break;
	}
	kv_done(&kv);
	return rc;
}

/* ---- lease: a log whose last record is fence u64, holder u64, until u64 ---- */

#define LEASE_SIZE 24
#define LEASE_LOG_MAX 65536

struct lease { uint64_t fence, holder, until; };

static int on_lease(void *ctx, struct slice r, uint64_t at)
{
	(void)at;
	if (r.n == LEASE_SIZE)
		*(struct lease *)ctx = (struct lease){ num_get_le64(r.p), num_get_le64(r.p + 8), num_get_le64(r.p + 16) };
	return 0;
}

static void lease_put(const struct lease *x, char b[LEASE_SIZE])
{
	num_put_le64(b, x->fence);
	num_put_le64(b + 8, x->holder);
	num_put_le64(b + 16, x->until);
}

/* A long log is begun anew with what it says last. */
static int lease_write(struct named *n, const char *path, struct slog *log, const struct lease *x, struct err *e)
{
	char b[LEASE_SIZE];
	struct slog next;
	struct buf all;
	int rc;

	lease_put(x, b);
	if (log->end < LEASE_LOG_MAX)
		return slog_append(log, slice_mem(b, sizeof b), e) != 0 || slog_flush(log, e) != 0 ? -1 : 0;
	buf_init(&all, BUF_UNBOUNDED);
	slog_header_put(log->id + 1 == 0 ? 1 : log->id + 1, 0, 0, &all);
	slog_record_put(slice_mem(b, sizeof b), log->id + 1 == 0 ? 1 : log->id + 1, SLOG_HEADER, &all);
	rc = slog_swap(n->shelf, path, buf_view(&all), true, &next, e);
	buf_done(&all);
	if (rc != 0)
		return -1;
	slog_close(&next);
	return store_shelf_flush(n->shelf, FLUSH_TREE, e);
}

static int lease_open(struct named *n, const char *name, char path[NAMED_PATH], struct slog *log, struct lease *x, struct err *e)
{
	bool bad;

	*x = (struct lease){ 0 };
	if (named_path("lease", name, path, e) != 0 || named_log_locked(n, path, log, e) != 0)
		return -1;
	if (slog_read(log, on_lease, x, &bad, e) == 0 && (!bad || slog_cut(log, e) == 0))
		return 0;
	slog_close(log);
	return -1;
}

int named_lease_take(struct named *n, const char *name, uint64_t holder, uint64_t now_ms, uint64_t until_ms, uint64_t *fence_out, struct err *e)
{
	char path[NAMED_PATH];
	struct slog log;
	struct lease x;
	int rc;

	if (lease_open(n, name, path, &log, &x, e) != 0)
		return -1;
	if (x.holder != holder && x.holder != 0 && x.until > now_ms) {
		rc = err_set(e, ERR_EXISTS, 0, "lease %s is held by another", name);
	} else {
		x = (struct lease){ x.holder != holder || x.until <= now_ms ? x.fence + 1 : x.fence, holder, until_ms };
		rc = lease_write(n, path, &log, &x, e);
	}
	slog_close(&log);
	if (rc == 0)
		*fence_out = x.fence;
	return rc;
}

int named_lease_drop(struct named *n, const char *name, uint64_t holder, struct err *e)
{
	char path[NAMED_PATH];
	struct slog log;
	struct lease x;
	int rc = 0;

	if (lease_open(n, name, path, &log, &x, e) != 0)
		return -1;
	if (x.holder == holder) {
		x = (struct lease){ .fence = x.fence };
		rc = lease_write(n, path, &log, &x, e);
	}
	slog_close(&log);
	return rc;
}

/* ---- notify ---- */

int named_notify(struct named *n, const char *topic, struct err *e)
{
	char path[NAMED_PATH];

	if (named_path("topic", topic, path, e) != 0)
		return -1;
	store_notify(n->top, path);
	return 0;
}

int named_listen(struct named *n, const char *topic, int *fd_out, struct err *e)
{
	char path[NAMED_PATH];

	return named_path("topic", topic, path, e) != 0 ? -1 : store_listen(n->store, n->path, path, fd_out, e);
}
