/*
 * store/store_local.c - the verbs over files: ROOT/blob, ROOT/log, ROOT/kv, ROOT/lease, ROOT/topic.
 *
 * A log is a slog file; its tag is how many octets were trimmed away, so that a position (tag + offset) is never used twice; its base is the highest
 * fence among them. A key-value table is a log too,
 * read into memory at each question, written anew when most of it is dead: what Berkeley DB without an environment can't promise, a log can
 * (it survives a kill -9 of the writer). A lease is a small file changed under its own lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "store/mbox.h"
#include "store/notifier.h"
#include "store/slog.h"
#include "store/store.h"

struct local {
	struct store base;
	int dirfd;
	char *root;
	uint64_t counter;
};

static struct local *local_of(struct store *s)
{
	return (struct local *)(void *)s;
}

/* ---- paths ---- */

/* "blob/a/b" with its directories made; levels below the verb's own are joined with '~', which no name has, so that one directory is enough. */
static void path_of(char out[512], const char *verb, const char *name)
{
	int n = snprintf(out, 512, "%s/%s", verb, name);

	for (int i = (int)strlen(verb) + 1; i < n && i < 511; i++)
		if (out[i] == '/')
			out[i] = '~';
}

static int sync_dir(struct local *l, const char *verb, struct err *e)
{
	int fd = openat(l->dirfd, verb, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) != 0 ? err_set(e, ERR_TEMP, errno, "flushing %s/%s", l->root, verb) : 0;

	file_close(&fd);
	return rc;
}

static void tmp_of(struct local *l, const char *verb, char out[512])
{
	uint64_t r;

	text_random(&r, sizeof r);
	snprintf(out, 512, "%s/.%ld.%llu.%llx", verb, (long)getpid(), (unsigned long long)++l->counter, (unsigned long long)r);
}

/* ---- blob ---- */

static int blob_put(struct store *s, const char *name, struct slice octets, struct err *e)
{
	struct local *l = local_of(s);
	char path[512], tmp[512];
	int fd, why = 0;

	path_of(path, "blob", name);
	tmp_of(l, "blob", tmp);
	fd = openat(l->dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s/%s", l->root, tmp);
	if (file_write_all(fd, octets) != 0 || fsync(fd) != 0 || linkat(l->dirfd, tmp, l->dirfd, path, 0) != 0)
		why = errno;
	close(fd);
	(void)unlinkat(l->dirfd, tmp, 0);
	return why != 0 ? err_set(e, err_kind_of(why), why, "blob %s", name) : sync_dir(l, "blob", e);
}

static int blob_get(struct store *s, const char *name, struct buf *out, struct err *e)
{
	struct local *l = local_of(s);
	char path[512], *room;
	struct stat st;
	ssize_t got = 0;
	size_t before = out->len;
	int fd;

	path_of(path, "blob", name);
	fd = openat(l->dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) != 0) {
		file_close(&fd);
		return err_set(e, err_kind_of(errno), errno, "blob %s", name);
	}
	while ((room = buf_room(out, 65536 < st.st_size ? 65536 : (size_t)st.st_size + 1)) != NULL) {
		got = read(fd, room, 65536 < st.st_size ? 65536 : (size_t)st.st_size + 1);
		if (got <= 0)
			break;
		buf_filled(out, (size_t)got);
	}
	close(fd);
	if (room != NULL && got == 0)
		return 0;
	buf_cut(out, before);
	return room == NULL ? err_set(e, ERR_LIMIT, 0, "blob %s is too large", name) : err_set(e, ERR_TEMP, errno, "blob %s", name);
}

static int blob_delete(struct store *s, const char *name, struct err *e)
{
	struct local *l = local_of(s);
	char path[512];

	path_of(path, "blob", name);
	if (unlinkat(l->dirfd, path, 0) != 0)
		return err_set(e, err_kind_of(errno), errno, "blob %s", name);
	return sync_dir(l, "blob", e);
}

/* ---- log ---- */

struct log_walk { uint64_t from, tag, top; store_fn *fn; void *ctx; };

/* A record is its fence and what was appended. */
static int on_record(void *ctx, struct slice payload, uint64_t at)
{
	struct log_walk *w = ctx;

	if (payload.n < 8)
		return 0;
	w->top = num_get_le64(payload.p) > w->top ? num_get_le64(payload.p) : w->top;
	if (at + w->tag < w->from || w->fn == NULL)
		return 0;
	return w->fn(w->ctx, SLICE_NONE, slice_from(payload, 8), at + w->tag);
}

static int log_open_locked(struct local *l, const char *path, struct slog *log, struct err *e)
{
	bool replaced = true;

	slog_init(log);
	for (int turn = 0; turn < 16 && replaced; turn++) {
		if (slog_open(log, l->dirfd, path, true, e) != 0)
			return -1;
		if (slog_lock(log, &replaced, e) != 0)
			break;
		if (replaced)
			slog_close(log);
	}
	if (!replaced && log->id == 0) {
		uint64_t id = 0;

		while (id == 0)
			text_random(&id, sizeof id);
		if (slog_begin(log, id, 0, 0, e) != 0)
			replaced = true;
	}
	if (!replaced)
		return 0;
	slog_close(log);
	return -1;
}

/* The first position is 0, although the file has a header there. */
static uint64_t end_of(const struct slog *log)
{
	return log->tag + log->end == SLOG_HEADER ? 0 : log->tag + log->end;
}

static int append_locked(struct slog *log, const char *name, uint64_t expected, uint64_t fence, struct slice record, struct err *e)
{
	struct log_walk w = { .tag = log->tag, .top = log->base };
	char head[8];
	struct buf b;
	bool bad;
	int rc;

	if (slog_read(log, on_record, &w, &bad, e) != 0)
		return -1;
	if (bad && ftruncate(log->fd, (off_t)log->end) != 0)          /* a record that was never acknowledged */
		return err_set(e, ERR_TEMP, errno, "log %s", name);
	if (fence < w.top)
		return err_set(e, ERR_DENIED, 0, "log %s: a later holder of the lease has written", name);
	if (end_of(log) != expected)
		return err_set(e, ERR_EXISTS, 0, "log %s has grown", name);
	buf_init(&b, BUF_UNBOUNDED);
	num_put_le64(head, fence);
	buf_put(&b, slice_mem(head, sizeof head));
	buf_put(&b, record);
	rc = slog_append(log, buf_view(&b), e);
	buf_done(&b);
	return rc == 0 && fdatasync(log->fd) != 0 ? err_set(e, ERR_TEMP, errno, "flushing log %s", name) : rc;
}

static int log_append(struct store *s, const char *name, uint64_t expected, uint64_t fence, struct slice record, uint64_t *end_out, struct err *e)
{
	struct local *l = local_of(s);
	struct slog log;
	char path[512];
	int rc;

	path_of(path, "log", name);
	if (log_open_locked(l, path, &log, e) != 0)
		return -1;
	rc = append_locked(&log, name, expected, fence, record, e);
	if (rc == 0 && expected == 0)
		rc = sync_dir(l, "log", e);
	if (rc == 0)
		*end_out = end_of(&log);
	slog_close(&log);
	return rc;
}

static int log_read(struct store *s, const char *name, uint64_t from, store_fn *fn, void *ctx, uint64_t *end_out, struct err *e)
{
	struct local *l = local_of(s);
	struct log_walk w = { .from = from, .fn = fn, .ctx = ctx };
	struct err why;
	struct slog log;
	char path[512];
	bool bad;
	int rc;

	path_of(path, "log", name);
	slog_init(&log);
	if (slog_open(&log, l->dirfd, path, false, &why) != 0) {
		if (why.kind != ERR_NOTFOUND) {
			*e = why;
			return -1;
		}
		*end_out = 0;
		return 0;
	}
	w.tag = log.tag;
	rc = 0;
	bad = false;
	if (from != 0 && from < log.tag + SLOG_HEADER)
		rc = err_set(e, ERR_NOTFOUND, 0, "log %s: trimmed beyond that position", name);
	else if (log.id != 0)
		rc = slog_read(&log, on_record, &w, &bad, e);
	if (rc == 0)
		*end_out = log.id == 0 ? 0 : end_of(&log);
	if (rc == 0 && bad)
		rc = err_set(e, ERR_SYNTAX, 0, "log %s is damaged", name);
	slog_close(&log);
	return rc;
}

struct copying { struct slog *to; uint64_t tag, before; struct err *e; int rc; };

static int copy_record(void *ctx, struct slice payload, uint64_t at)
{
	struct copying *c = ctx;

	if (at + c->tag >= c->before)
		c->rc = slog_append(c->to, payload, c->e);
	return c->rc;
}

/* The rest is written to a new file whose tag makes up for what is missing. */
static int trim_locked(struct local *l, const char *path, struct slog *log, uint64_t before, uint64_t top, struct err *e)
{
	struct copying c = { .tag = log->tag, .before = before, .e = e };
	struct slog next;
	char tmp[512];
	bool bad;

	if (before <= log->tag + SLOG_HEADER)
		return 0;
	slog_init(&next);
	tmp_of(l, "log", tmp);
	if (slog_open(&next, l->dirfd, tmp, true, e) != 0)
		return -1;
	c.to = &next;
	c.rc = slog_begin(&next, log->id + 1 == 0 ? 1 : log->id + 1, top, before - SLOG_HEADER, e);
	log->end = SLOG_HEADER;
	if (c.rc == 0 && slog_read(log, copy_record, &c, &bad, e) != 0)
		c.rc = -1;
	if (c.rc == 0 && (fdatasync(next.fd) != 0 || renameat(l->dirfd, tmp, l->dirfd, path) != 0))
		c.rc = err_set(e, err_kind_of(errno), errno, "trimming %s", path);
	if (c.rc != 0)
		(void)unlinkat(l->dirfd, tmp, 0);
	slog_close(&next);
	return c.rc == 0 ? sync_dir(l, "log", e) : -1;
}

static int note_first(void *ctx, struct slice key, struct slice value, uint64_t position)
{
	uint64_t *first = ctx;

	(void)key, (void)value;
	if (*first == 0)
		*first = position;
	return 0;
}

static int log_trim(struct store *s, const char *name, uint64_t before, struct err *e)
{
	struct local *l = local_of(s);
	uint64_t first = 0;
	struct log_walk w = { .from = before, .fn = note_first, .ctx = &first };
	struct slog log;
	char path[512];
	bool bad;
	int rc;

	path_of(path, "log", name);
	if (log_open_locked(l, path, &log, e) != 0)
		return -1;
	w.tag = log.tag;
	w.top = log.base;
	rc = slog_read(&log, on_record, &w, &bad, e);
	if (rc == 0)
		rc = trim_locked(l, path, &log, first != 0 ? first : end_of(&log), w.top, e);
	slog_close(&log);
	return rc;
}

/* ---- kv: a log of (expires u64, key length u32, key, value) ---- */

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

static int kv_load(struct store *s, const char *table, struct kv *kv, struct err *e)
{
	char name[512];
	struct err why;

	*kv = (struct kv){ .m = hmap_new(), .a = arena_new(4096) };
	snprintf(name, sizeof name, "kv.%s", table);
	if (log_read(s, name, 0, on_entry, kv, &kv->end, &why) == 0 || why.kind == ERR_SYNTAX)
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
static int kv_compact(struct store *s, const char *name, const struct kv *kv, uint64_t end, struct err *e)
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
		rc = log_append(s, name, end, 0, buf_view(&b), &end, e);
		buf_done(&b);
		if (rc != 0)
			return e->kind == ERR_EXISTS ? 0 : -1;        /* somebody else is writing: another time */
	}
	return log_trim(s, name, from, e);
}

static int kv_put(struct store *s, const char *table, struct slice key, struct slice value, uint64_t expires_ms, struct err *e)
{
	char name[512];
	struct buf b;
	int rc = -1;

	snprintf(name, sizeof name, "kv.%s", table);
	buf_init(&b, BUF_UNBOUNDED);
	put_entry(key, value, expires_ms, &b);
	for (int turn = 0; turn < 1000 && rc != 0; turn++) {
		uint64_t end;
		struct kv kv;

		rc = kv_load(s, table, &kv, e);
		if (rc == 0)
			rc = log_append(s, name, kv.end, 0, buf_view(&b), &end, e);
		if (rc == 0 && kv.records > 64 && kv.records > 4 * hmap_count(kv.m)) {
			(void)on_entry(&kv, SLICE_NONE, buf_view(&b), 0);
			rc = kv_compact(s, name, &kv, end, e);
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

static int kv_get(struct store *s, const char *table, struct slice key, uint64_t now_ms, struct buf *out, struct err *e)
{
	const struct kv_value *v;
	struct kv kv;
	int rc = kv_load(s, table, &kv, e);

	v = rc == 0 ? hmap_get(kv.m, key) : NULL;
	if (rc == 0 && (v == NULL || !is_live(v, now_ms)))
		rc = err_set(e, ERR_NOTFOUND, 0, "no such key");
	else if (rc == 0 && buf_add(out, v->value) != 0)
		rc = err_set(e, ERR_LIMIT, 0, "the value is too large");
	kv_done(&kv);
	return rc;
}

static int kv_scan(struct store *s, const char *table, struct slice prefix, uint64_t now_ms, store_fn *fn, void *ctx, struct err *e)
{
	struct kv kv;
	struct slice key;
	size_t at = 0;
	void *p;
	int rc = kv_load(s, table, &kv, e);

	while (rc == 0 && hmap_next(kv.m, &at, &key, &p)) {
		const struct kv_value *v = p;

		if (slice_starts(key, prefix) && is_live(v, now_ms) && fn(ctx, key, v->value, v->expires) != 0)
			break;
	}
	kv_done(&kv);
	return rc;
}

/* ---- lease: fence, holder, until, CRC ---- */

#define LEASE_SIZE 28

struct lease { uint64_t fence, holder, until; };

static void lease_read(int fd, struct lease *x)
{
	char b[LEASE_SIZE];

	*x = (struct lease){ 0 };
	if (pread(fd, b, sizeof b, 0) == LEASE_SIZE && num_get_le32(b + 24) == hash_crc32c(0, b, 24))
		*x = (struct lease){ num_get_le64(b), num_get_le64(b + 8), num_get_le64(b + 16) };
}

static int lease_write(int fd, const struct lease *x)
{
	char b[LEASE_SIZE];

	num_put_le64(b, x->fence);
	num_put_le64(b + 8, x->holder);
	num_put_le64(b + 16, x->until);
	num_put_le32(b + 24, hash_crc32c(0, b, 24));
	return pwrite(fd, b, sizeof b, 0) == LEASE_SIZE && fdatasync(fd) == 0 ? 0 : -1;
}

static int lease_open(struct local *l, const char *name, struct err *e)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[512];
	int fd, rc;

	path_of(path, "lease", name);
	fd = openat(l->dirfd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	do
		rc = fd < 0 ? -1 : fcntl(fd, F_OFD_SETLKW, &fl);
	while (fd >= 0 && rc != 0 && errno == EINTR);
	if (rc == 0)
		return fd;
	(void)err_set(e, ERR_TEMP, errno, "lease %s", name);
	file_close(&fd);
	return -1;
}

static int lease_take(struct store *s, const char *name, uint64_t holder, uint64_t now_ms, uint64_t until_ms, uint64_t *fence_out, struct err *e)
{
	struct lease x;
	int fd = lease_open(local_of(s), name, e), rc = 0;

	if (fd < 0)
		return -1;
	lease_read(fd, &x);
	if (x.holder != holder && x.holder != 0 && x.until > now_ms)
		rc = err_set(e, ERR_EXISTS, 0, "lease %s is held by another", name);
	if (rc == 0) {
		if (x.holder != holder || x.until <= now_ms)
			x.fence++;
		x.holder = holder;
		x.until = until_ms;
		if (lease_write(fd, &x) != 0)
			rc = err_set(e, ERR_TEMP, errno, "lease %s", name);
	}
	close(fd);
	if (rc == 0)
		*fence_out = x.fence;
	return rc;
}

static int lease_drop(struct store *s, const char *name, uint64_t holder, struct err *e)
{
	struct lease x;
	int fd = lease_open(local_of(s), name, e), rc = 0;

	if (fd < 0)
		return -1;
	lease_read(fd, &x);
	if (x.holder == holder) {
		x.holder = 0;
		x.until = 0;
		if (lease_write(fd, &x) != 0)
			rc = err_set(e, ERR_TEMP, errno, "lease %s", name);
	}
	close(fd);
	return rc;
}

/* ---- notify ---- */

static int topic_dir(struct local *l, const char *topic, char out[4096], struct err *e)
{
	char path[512];
	int n;

	path_of(path, "topic", topic);
	n = snprintf(out, 4096, "%s/%s", l->root, path);
	return n > 0 && n < 4096 ? 0 : err_set(e, ERR_LIMIT, 0, "%s: too long a path", l->root);
}

static int do_notify(struct store *s, const char *topic, struct err *e)
{
	struct notifier n;
	char dir[4096];

	if (topic_dir(local_of(s), topic, dir, e) != 0)
		return -1;
	notifier_init(&n);
	notifier_send(&n, AT_FDCWD, dir, dir);
	notifier_close(&n);
	return 0;
}

static int do_listen(struct store *s, const char *topic, int *fd_out, struct err *e)
{
	char dir[4096];

	return topic_dir(local_of(s), topic, dir, e) != 0 ? -1 : notifier_bind(dir, fd_out, e);
}

/* ---- open ---- */

static void local_close(struct store *s)
{
	struct local *l = local_of(s);

	file_close(&l->dirfd);
	free(l->root);
	free(l);
}

static const struct store_ops local_ops = {
	.name = "local", .close = local_close, .blob_put = blob_put, .blob_get = blob_get, .blob_delete = blob_delete, .log_append = log_append,
	.log_read = log_read, .log_trim = log_trim, .kv_put = kv_put, .kv_get = kv_get, .kv_scan = kv_scan, .lease_take = lease_take, .lease_drop = lease_drop,
	.notify = do_notify, .listen = do_listen,
};

int store_open_local(struct store **s_out, const char *root, struct err *e)
{
	static const char *const verbs[] = { "blob", "log", "lease", "topic" };
	struct local *l;

	if (file_mkdirs(root, 0700, e) != 0)
		return -1;
	l = mem_new(sizeof *l);
	l->base.ops = &local_ops;
	l->root = mem_str(root);
	l->dirfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; l->dirfd >= 0 && i < sizeof verbs / sizeof *verbs; i++)
		if (mkdirat(l->dirfd, verbs[i], 0700) != 0 && errno != EEXIST)
			file_close(&l->dirfd);
	if (l->dirfd < 0) {
		(void)err_set(e, err_kind_of(errno), errno, "%s", root);
		local_close(&l->base);
		return -1;
	}
	*s_out = &l->base;
	return 0;
}
