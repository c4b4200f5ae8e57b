/*
 * store/named_log.c - blobs and logs under plain names.
 *
 * A blob is a message of a shelf of its own. A log is a slog; its tag is how many octets were trimmed away, so that a position (tag + offset) is never
 * used twice; its base is the highest fence among them.
 */
#include "store/named_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

#define NAME_MOST 200

bool named_is_valid(const char *name)
{
	char before = '/';
	size_t n = 0;

	for (; name[n] != '\0'; before = name[n++]) {
		char c = name[n];

		if (n == NAME_MOST || (before == '/' && (c == '/' || c == '.')))
			return false;
		if (!ascii_is_alnum(c) && strchr("._-/", c) == NULL)
			return false;
	}
	return before != '/';
}

/* Levels are joined with '~', which no name has, so that one bay is enough. */
int named_path(const char *verb, const char *name, char out[NAMED_PATH], struct err *e)
{
	int n;

	if (!named_is_valid(name))
		return err_set(e, ERR_DENIED, 0, "not a name for the store");
	n = snprintf(out, NAMED_PATH, "%s.%s", verb, name);
	for (int i = 0; i < n; i++)
		if (out[i] == '/')
			out[i] = '~';
	return 0;
}

int named_open(const struct store *s, const char *path, struct named **out, struct err *e)
{
	struct named *n = mem_new(sizeof *n);

	n->store = s;
	n->path = mem_str(path);
	if (store_shelf_open(s, path, true, &n->top, e) == 0 && store_shelf_make(n->top, "", e) == 0 && store_shelf_child(n->top, "", true, &n->shelf, e) == 0) {
		*out = n;
		return 0;
	}
	named_close(&n);
	return -1;
}

void named_close(struct named **n)
{
	if (*n == NULL)
		return;
	store_shelf_close(&(*n)->shelf);
	store_shelf_close(&(*n)->top);
	free((*n)->path);
	free(*n);
	*n = NULL;
}

/* ---- blob ---- */

/* The octets are flushed before they have a name, the name after it is there. */
int named_blob_put(struct named *n, const char *name, struct slice octets, struct err *e)
{
	char path[NAMED_PATH];
	struct draft *d;
	int rc;

	if (named_path("blob", name, path, e) != 0 || store_draft_open(n->shelf, NULL, &d, e) != 0)
		return -1;
	rc = store_draft_write(d, 0, octets, e);
	if (rc == 0)
		rc = store_draft_flush(d, e);
	if (rc == 0)
		rc = store_draft_place(d, path, e);
	if (rc == 0)
		rc = store_draft_flush(d, e);
	store_draft_drop(&d);
	return rc;
}

int named_blob_get(struct named *n, const char *name, struct buf *out, struct err *e)
{
	char path[NAMED_PATH];
	struct blob b;
	int rc;

	if (named_path("blob", name, path, e) != 0 || store_blob_read(n->shelf, BAY_CUR, path, 0, &b, e) != 0)
		return -1;
	rc = buf_add(out, b.octets) == 0 ? 0 : err_set(e, ERR_LIMIT, 0, "blob %s is too large", name);
	store_blob_done(&b);
	return rc;
}

int named_blob_delete(struct named *n, const char *name, struct err *e)
{
	char path[NAMED_PATH];

	if (named_path("blob", name, path, e) != 0 || store_blob_delete(n->shelf, BAY_CUR, path, e) != 0)
		return -1;
	return store_shelf_flush(n->shelf, FLUSH_NAMES, e);
}

/* ---- log ---- */

struct log_walk { uint64_t from, tag, top; named_fn *fn; void *ctx; };

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

/* Opens, makes and begins it where it is not there, and has its lock. */
int named_log_locked(struct named *n, const char *path, struct slog *log, struct err *e)
{
	bool replaced = true;

	slog_init(log);
	for (int turn = 0; turn < 16 && replaced; turn++)
		if (slog_open(log, n->shelf, path, true, e) != 0 || slog_lock(log, &replaced, e) != 0)
			goto fail;
	if (!replaced && log->id == 0) {
		uint64_t id = 0;

		while (id == 0)
			text_random(&id, sizeof id);
		if (slog_begin(log, id, 0, 0, e) != 0 || store_shelf_flush(n->shelf, FLUSH_TREE, e) != 0)
			goto fail;
	}
	if (!replaced)
		return 0;
	(void)err_set(e, ERR_TEMP, 0, "%s does not come to rest", path);
fail:
	slog_close(log);
	return -1;
}

/* The first position is 0, although the file has a header there. */
static uint64_t end_of(const struct slog *log)
{
	return log->tag + log->end == SLOG_HEADER ? 0 : log->tag + log->end;
}

static void put_record(struct buf *b, uint64_t fence, struct slice record)
{
	char head[8];

	num_put_le64(head, fence);
	buf_put(b, slice_mem(head, sizeof head));
	buf_put(b, record);
}

static int append_locked(struct slog *log, const char *name, uint64_t expected, uint64_t fence, struct slice record, struct err *e)
{
	struct log_walk w = { .tag = log->tag, .top = log->base };
	struct buf b;
	bool bad;
	int rc;

	if (slog_read(log, on_record, &w, &bad, e) != 0 || (bad && slog_cut(log, e) != 0))       /* a record that was never acknowledged */
		return -1;
	if (fence < w.top)
		return err_set(e, ERR_DENIED, 0, "log %s: a later holder of the lease has written", name);
	if (end_of(log) != expected)
		return err_set(e, ERR_EXISTS, 0, "log %s has grown", name);
	buf_init(&b, BUF_UNBOUNDED);
	put_record(&b, fence, record);
	rc = slog_append(log, buf_view(&b), e);
	buf_done(&b);
	return rc == 0 ? slog_flush(log, e) : -1;
}

int named_log_append(struct named *n, const char *name, uint64_t expected, uint64_t fence, struct slice record, uint64_t *end_out, struct err *e)
{
	char path[NAMED_PATH];
	struct slog log;
	int rc;

	if (record.n == 0)
		return err_set(e, ERR_SYNTAX, 0, "an empty record");
	if (named_path("log", name, path, e) != 0 || named_log_locked(n, path, &log, e) != 0)
		return -1;
	rc = append_locked(&log, name, expected, fence, record, e);
	if (rc == 0)
		*end_out = end_of(&log);
	slog_close(&log);
	return rc;
}

static int read_open(struct slog *log, const char *name, struct log_walk *w, uint64_t *end_out, struct err *e)
{
	bool bad = false;

	w->tag = log->tag;
	if (w->from != 0 && w->from < log->tag + SLOG_HEADER)
		return err_set(e, ERR_NOTFOUND, 0, "log %s: trimmed beyond that position", name);
	if (log->id != 0 && slog_read(log, on_record, w, &bad, e) != 0)
		return -1;
	*end_out = log->id == 0 ? 0 : end_of(log);
	return bad ? err_set(e, ERR_SYNTAX, 0, "log %s is damaged", name) : 0;
}

int named_log_read(struct named *n, const char *name, uint64_t from, named_fn *fn, void *ctx, uint64_t *end_out, struct err *e)
{
	struct log_walk w = { .from = from, .fn = fn, .ctx = ctx };
	char path[NAMED_PATH];
	struct slog log;
	struct err why;
	int rc;

	if (named_path("log", name, path, e) != 0)
		return -1;
	slog_init(&log);
	if (slog_open(&log, n->shelf, path, false, &why) != 0) {
		if (why.kind != ERR_NOTFOUND) {
			*e = why;
			return -1;
		}
		*end_out = 0;
		return 0;
	}
	rc = read_open(&log, name, &w, end_out, e);
	slog_close(&log);
	return rc;
}

struct copying { struct buf *to; uint64_t id, tag, before; };

static int copy_record(void *ctx, struct slice payload, uint64_t at)
{
	struct copying *c = ctx;

	if (at + c->tag >= c->before)
		slog_record_put(payload, c->id, c->to->len, c->to);
	return 0;
}

/* The rest goes to a new log whose tag makes up for what is missing. */
static int trim_locked(struct named *n, const char *path, struct slog *log, uint64_t before, uint64_t top, struct err *e)
{
	struct buf b;
	struct copying c = { .to = &b, .id = log->id + 1 == 0 ? 1 : log->id + 1, .tag = log->tag, .before = before };
	struct slog next;
	bool bad;
	int rc;

	if (before <= log->tag + SLOG_HEADER)
		return 0;
	buf_init(&b, BUF_UNBOUNDED);
	slog_header_put(c.id, top, before - SLOG_HEADER, &b);
	log->end = SLOG_HEADER;
	rc = slog_read(log, copy_record, &c, &bad, e);
	if (rc == 0 && (rc = slog_swap(n->shelf, path, buf_view(&b), true, &next, e)) == 0)
		slog_close(&next);
	buf_done(&b);
	return rc == 0 ? store_shelf_flush(n->shelf, FLUSH_TREE, e) : -1;
}

static int note_first(void *ctx, struct slice key, struct slice value, uint64_t position)
{
	uint64_t *first = ctx;

	(void)key, (void)value;
	if (*first == 0)
		*first = position;
	return 0;
}

int named_log_trim(struct named *n, const char *name, uint64_t before, struct err *e)
{
	uint64_t first = 0;
	struct log_walk w = { .from = before, .fn = note_first, .ctx = &first };
	char path[NAMED_PATH];
	struct slog log;
	bool bad;
	int rc;

	if (named_path("log", name, path, e) != 0 || named_log_locked(n, path, &log, e) != 0)
		return -1;
	w.tag = log.tag;
	w.top = log.base;
	rc = slog_read(&log, on_record, &w, &bad, e);
	if (rc == 0)
		rc = trim_locked(n, path, &log, first != 0 ? first : end_of(&log), w.top, e);
	slog_close(&log);
	return rc;
}
