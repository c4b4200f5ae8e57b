/*
 * store/scache.c - see scache.h.
 *
 *     file: "PHCACHE1", entries. entry: magic u32, crc u32, uidvalidity u32, uid u32, length u32 x 5, zero u32, texts
 */
#include "store/scache.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"

#define FILE_MAGIC "PHCACHE1"
#define ENTRY_MAGIC 0x31454350u
#define HEAD (20 + 4 * SCACHE_TEXTS)
#define FIRST_READ 4096
#define WINDOW 32768                                                  /* read at once where the entries are asked for one after the other */

void scache_init(struct scache *c)
{
	*c = (struct scache){ 0 };
}

void scache_close(struct scache *c)
{
	store_log_close(&c->f);
	free(c->window);
	scache_init(c);
}

static int cache_open(struct scache *c, struct shelf *h, bool create, struct err *e)
{
	return c->f != NULL ? 0 : store_log_open(h, SCACHE_NAME, LOG_GUARDED | (create ? LOG_MAKE : 0), &c->f, e);
}

/* The place for the next entry, in the log that has the name now. */
static int cache_end(struct scache *c, struct shelf *h, uint64_t *end_out, struct err *e)
{
	for (int turn = 0; turn < 2; turn++) {
		uint64_t size;

		if (cache_open(c, h, true, e) != 0)
			return -1;
		if (store_log_look(c->f, &size)) {
			*end_out = size < 8 ? 0 : size;
			return 0;
		}
		scache_close(c);
	}
	return err_set(e, ERR_TEMP, 0, SCACHE_NAME " comes and goes");
}

static void put_entry(uint32_t uidvalidity, uint32_t uid, const struct slice texts[SCACHE_TEXTS], struct buf *b)
{
	char h[HEAD] = { 0 };
	size_t at = b->len;

	num_put_le32(h, ENTRY_MAGIC);
	num_put_le32(h + 8, uidvalidity);
	num_put_le32(h + 12, uid);
	for (size_t i = 0; i < SCACHE_TEXTS; i++)
		num_put_le32(h + 16 + 4 * i, (uint32_t)texts[i].n);
	buf_put(b, slice_mem(h, sizeof h));
	for (size_t i = 0; i < SCACHE_TEXTS; i++)
		buf_put(b, texts[i]);
	num_put_le32(b->p + at + 4, hash_crc32c(0, b->p + at + 8, b->len - at - 8));
}

int scache_append(struct scache *c, struct shelf *h, uint32_t uidvalidity, uint32_t uid, const struct slice texts[SCACHE_TEXTS], uint64_t *at_out, struct err *e)
{
	struct buf b;
	uint64_t end = 0;
	size_t total = HEAD;
	int rc;

	for (size_t i = 0; i < SCACHE_TEXTS; i++)
		total += texts[i].n;
	if (total > SCACHE_ENTRY_MAX)
		return err_set(e, ERR_LIMIT, 0, "too large to cache");
	if (cache_end(c, h, &end, e) != 0)
		return -1;
	buf_init(&b, BUF_UNBOUNDED);
	if (end == 0)
		buf_puts(&b, FILE_MAGIC);
	put_entry(uidvalidity, uid, texts, &b);
	rc = store_log_append(c->f, end, buf_view(&b), e);
	buf_done(&b);
	if (rc == 0)
		*at_out = end + (end == 0 ? 8 : 0);
	return rc;
}

size_t scache_entry_len(struct slice head)
{
	size_t total = HEAD;

	if (head.n < HEAD || num_get_le32(head.p) != ENTRY_MAGIC)
		return 0;
	for (size_t i = 0; i < SCACHE_TEXTS; i++)
		total += num_get_le32(head.p + 16 + 4 * i);
	return total > SCACHE_ENTRY_MAX ? 0 : total;
}

int scache_parse(struct slice in, uint32_t uidvalidity, uint32_t uid, struct slice texts_out[SCACHE_TEXTS])
{
	size_t total = scache_entry_len(in), at = HEAD;

	if (total == 0 || in.n < total || num_get_le32(in.p + 8) != uidvalidity || num_get_le32(in.p + 12) != uid)
		return -1;
	if (num_get_le32(in.p + 4) != hash_crc32c(0, in.p + 8, total - 8))
		return -1;
	for (size_t i = 0; i < SCACHE_TEXTS; i++) {
		texts_out[i] = slice_mem(in.p + at, num_get_le32(in.p + 16 + 4 * i));
		at += texts_out[i].n;
	}
	return 0;
}

/* What the window has from `at` on. */
static struct slice window_from(const struct scache *c, uint64_t at)
{
	if (c->window == NULL || at < c->window_at || at >= c->window_at + c->window_len)
		return SLICE_NONE;
	return slice_from(slice_mem(c->window, c->window_len), (size_t)(at - c->window_at));
}

static struct slice window_fill(struct scache *c, uint64_t at, size_t n)
{
	struct err ignored;

	if (c->window == NULL)
		c->window = mem_new(WINDOW);
	c->window_at = at;
	if (store_log_read(c->f, at, c->window, n, &c->window_len, &ignored) != 0)
		c->window_len = 0;
	return window_from(c, at);
}

/* The octets of the entry at `at`, in the arena; empty: there is none. Entries never change, so the window is never too old, only too short. */
static struct slice read_entry(struct scache *c, uint64_t at, struct arena *a)
{
	struct slice in = window_from(c, at);
	size_t total = scache_entry_len(in), got;
	struct err ignored;
	char *p;

	if (total == 0 || total > in.n) {
		in = window_fill(c, at, at == c->next_at ? WINDOW : FIRST_READ);
		total = scache_entry_len(in);
	}
	if (total == 0)
		return SLICE_NONE;
	c->next_at = at + total;
	if (total <= in.n)
		return arena_dup(a, slice_head(in, total));
	p = arena_alloc(a, total);
	return store_log_read(c->f, at, p, total, &got, &ignored) != 0 ? SLICE_NONE : slice_mem(p, got);
}

static int get_once(struct scache *c, uint64_t at, uint32_t uidvalidity, uint32_t uid, struct arena *a, struct slice texts_out[SCACHE_TEXTS])
{
	return scache_parse(read_entry(c, at, a), uidvalidity, uid, texts_out);
}

int scache_get(struct scache *c, struct shelf *h, uint64_t at, uint32_t uidvalidity, uint32_t uid, struct arena *a, struct slice texts_out[SCACHE_TEXTS])
{
	struct err ignored;

	if (at == 0 || at > INT64_MAX)
		return -1;
	for (int turn = 0; turn < 2; turn++) {
		bool fresh = c->f == NULL;

		if (cache_open(c, h, false, &ignored) != 0)
			return -1;
		if (get_once(c, at, uidvalidity, uid, a, texts_out) == 0)
			return 0;
		if (fresh)
			return -1;
		scache_close(c);                                      /* it may have been replaced */
	}
	return -1;
}

/* ---- compaction ---- */

uint64_t scache_size(struct scache *c, struct shelf *h)
{
	struct err ignored;
	uint64_t size;

	return cache_open(c, h, false, &ignored) == 0 && store_log_look(c->f, &size) ? size : 0;
}

#define COPY_STEP (1u << 20)

int scache_copy_init(struct scache_copy *x, struct shelf *h, struct err *e)
{
	struct draft *d;

	if (store_draft_open(h, SCACHE_NAME, &d, e) != 0)
		return -1;
	*x = (struct scache_copy){ .d = d, .end = sizeof FILE_MAGIC - 1, .a = arena_new(0) };
	buf_init(&x->b, BUF_UNBOUNDED);
	buf_puts(&x->b, FILE_MAGIC);
	return 0;
}

void scache_copy_done(struct scache_copy *x)
{
	store_draft_drop(&x->d);
	buf_done(&x->b);
	arena_free(&x->a);
}

static int copy_flush(struct scache_copy *x, struct err *e)
{
	int rc = store_draft_write(x->d, x->end - x->b.len, buf_view(&x->b), e);

	buf_reset(&x->b);
	return rc;
}

int scache_copy_entry(struct scache_copy *x, struct scache *c, uint64_t at, uint32_t uidvalidity, uint32_t uid, uint64_t *at_out, struct err *e)
{
	struct slice texts[SCACHE_TEXTS], in = SLICE_NONE;
	int rc = 0;

	if (at != 0 && at <= INT64_MAX && c->f != NULL)
		in = read_entry(c, at, x->a);
	*at_out = 0;
	if (scache_parse(in, uidvalidity, uid, texts) == 0) {
		*at_out = x->end;
		buf_put(&x->b, slice_head(in, scache_entry_len(in)));
		x->end += scache_entry_len(in);
		rc = x->b.len < COPY_STEP ? 0 : copy_flush(x, e);
	}
	arena_reset(x->a);
	return rc;
}

int scache_copy_finish(struct scache_copy *x, struct scache *c, struct shelf *h, struct err *e)
{
	struct store_log *next;

	if (copy_flush(x, e) != 0 || store_log_swap(h, SCACHE_NAME, x->d, &next, e) != 0)
		return -1;
	store_log_close(&next);
	scache_close(c);
	return 0;
}
