/*
 * store/slog.c - see slog.h.
 */
#include "store/slog.h"

#include <string.h>

#include "base/hash.h"
#include "base/num.h"

#define MAGIC "PHLOG001"
#define FIRST_STEP (8u << 10)                                         /* most changes are small */
#define READ_STEP (256u << 10)

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

void slog_init(struct slog *l)
{
	*l = (struct slog){ 0 };
}

void slog_header_put(uint64_t id, uint64_t base, uint64_t tag, struct buf *out)
{
	char h[SLOG_HEADER] = MAGIC;

	num_put_le64(h + 8, id);
	num_put_le64(h + 16, base);
	num_put_le64(h + 24, tag);
	num_put_le32(h + SLOG_HEADER - 4, hash_crc32c(0, h, SLOG_HEADER - 4));
	buf_put(out, slice_mem(h, sizeof h));
}

int slog_header_parse(struct slice in, uint64_t *id_out, uint64_t *base_out, uint64_t *tag_out)
{
	if (in.n < SLOG_HEADER || memcmp(in.p, MAGIC, 8) != 0 || num_get_le64(in.p + 8) == 0)
		return -1;
	if (num_get_le32(in.p + SLOG_HEADER - 4) != hash_crc32c(0, in.p, SLOG_HEADER - 4))
		return -1;
	*id_out = num_get_le64(in.p + 8);
	*base_out = num_get_le64(in.p + 16);
	*tag_out = num_get_le64(in.p + 24);
	return 0;
}

static uint32_t record_crc(struct slice payload, uint64_t id, uint64_t at)
{
	char seed[20];

	num_put_le64(seed, id);
	num_put_le64(seed + 8, at);
	num_put_le32(seed + 16, (uint32_t)payload.n);
	return hash_crc32c(hash_crc32c(0, seed, sizeof seed), payload.p, payload.n);
}

enum slog_parse slog_record_parse(struct slice in, uint64_t id, uint64_t at, struct slice *payload_out, size_t *used_out)
{
	struct slice payload;
	size_t n;

	if (in.n < 8)
		return SLOG_SHORT;
	n = num_get_le32(in.p);
	if (n == 0 || n > SLOG_RECORD_MAX)
		return SLOG_BAD;
	if (in.n < 8 + padded(n))
		return SLOG_SHORT;
	payload = slice_mem(in.p + 8, n);
	if (num_get_le32(in.p + 4) != record_crc(payload, id, at))
		return SLOG_BAD;
	*payload_out = payload;
	*used_out = 8 + padded(n);
	return SLOG_RECORD;
}

void slog_record_put(struct slice payload, uint64_t id, uint64_t at, struct buf *out)
{
	static const char zeros[8];
	char head[8];

	num_put_le32(head, (uint32_t)payload.n);
	num_put_le32(head + 4, record_crc(payload, id, at));
	buf_put(out, slice_mem(head, sizeof head));
	buf_put(out, payload);
	buf_put(out, slice_mem(zeros, padded(payload.n) - payload.n));
}

static int read_header(struct slog *l, struct err *e)
{
	char h[SLOG_HEADER];
	size_t got;

	if (store_log_read(l->f, 0, h, sizeof h, &got, e) != 0)
		return -1;
	l->id = l->base = l->tag = l->end = 0;
	if (slog_header_parse(slice_mem(h, got), &l->id, &l->base, &l->tag) == 0)
		l->end = SLOG_HEADER;
	return 0;
}

int slog_open(struct slog *l, struct shelf *h, const char *name, bool create, struct err *e)
{
	struct store_log *f;

	if (store_log_open(h, name, create ? LOG_MAKE : 0, &f, e) != 0)
		return -1;
	slog_close(l);
	l->f = f;
	if (read_header(l, e) == 0)
		return 0;
	slog_close(l);
	return -1;
}

void slog_close(struct slog *l)
{
	store_log_close(&l->f);
	slog_init(l);
}

int slog_lock(struct slog *l, bool *replaced_out, struct err *e)
{
	if (store_log_lock(l->f, replaced_out, &l->size, e) != 0)
		return -1;
	l->locked = !*replaced_out;
	if (l->locked && l->id == 0 && read_header(l, e) != 0) {      /* whoever had the lock may have begun it */
		slog_unlock(l);
		return -1;
	}
	return 0;
}

void slog_unlock(struct slog *l)
{
	if (l->f != NULL && l->locked)
		store_log_unlock(l->f);
	l->locked = false;
}

enum slog_state slog_look(const struct slog *l)
{
	uint64_t size;

	if (l->f == NULL || !store_log_look(l->f, &size))
		return SLOG_REPLACED;
	return size == l->end ? SLOG_SAME : SLOG_GROWN;
}

/* Hands out the records in `all`, which begins at l->end. Returns how it ended. */
static enum slog_parse take_records(struct slog *l, struct slice *all, int (*fn)(void *, struct slice, uint64_t), void *ctx, bool *stop)
{
	struct slice payload;
	size_t used;

	for (;;) {
		enum slog_parse p = all->n == 0 ? SLOG_SHORT : slog_record_parse(*all, l->id, l->end, &payload, &used);

		if (p != SLOG_RECORD)
			return p;
		l->end += used;
		*all = slice_from(*all, used);
		if (fn(ctx, payload, l->end - used) != 0) {
			*stop = true;
			return SLOG_SHORT;
		}
	}
}

int slog_read(struct slog *l, int (*fn)(void *ctx, struct slice payload, uint64_t at), void *ctx, bool *bad_out, struct err *e)
{
	struct buf b;
	bool stop = false;
	size_t step = FIRST_STEP;
	int rc = 0;

	*bad_out = false;
	buf_init(&b, BUF_UNBOUNDED);
	for (; !stop; step = READ_STEP) {
		char *room = buf_room(&b, step);
		enum slog_parse how;
		struct slice all;
		size_t got;

		rc = store_log_read(l->f, l->end + b.len, room, step, &got, e);
		if (rc != 0)
			break;
		buf_filled(&b, got);
		all = buf_view(&b);
		how = take_records(l, &all, fn, ctx, &stop);
		*bad_out = !stop && all.n > 0;
		if (got == 0 || how == SLOG_BAD)
			break;
		buf_take(&b, b.len - all.n);
		if (got < step)
			break;
	}
	buf_done(&b);
	return rc;
}

static int write_at(struct slog *l, struct slice s, struct err *e)
{
	if (store_log_append(l->f, l->end, s, e) != 0)
		return -1;
	l->end += s.n;
	return 0;
}

int slog_begin(struct slog *l, uint64_t id, uint64_t base, uint64_t tag, struct err *e)
{
	struct buf b;
	int rc;

	if (store_log_cut(l->f, 0, e) != 0)
		return -1;
	buf_init(&b, BUF_UNBOUNDED);
	slog_header_put(id, base, tag, &b);
	l->end = 0;
	rc = write_at(l, buf_view(&b), e);
	buf_done(&b);
	if (rc == 0)
		l->id = id, l->base = base, l->tag = tag;
	return rc;
}

int slog_append(struct slog *l, struct slice payload, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, BUF_UNBOUNDED);
	slog_record_put(payload, l->id, l->end, &b);
	rc = write_at(l, buf_view(&b), e);
	buf_done(&b);
	return rc;
}

int slog_flush(struct slog *l, struct err *e)
{
	return store_log_flush(l->f, e);
}

int slog_cut(struct slog *l, struct err *e)
{
	return store_log_cut(l->f, l->end, e);
}

int slog_swap(struct shelf *h, const char *name, struct slice octets, bool flushed, struct slog *out, struct err *e)
{
	struct draft *d;
	int rc = store_draft_open(h, name, &d, e);

	if (rc != 0)
		return -1;
	slog_init(out);
	rc = store_draft_write(d, 0, octets, e);
	if (rc == 0 && flushed)
		rc = store_draft_flush(d, e);
	if (rc == 0)
		rc = store_log_swap(h, name, d, &out->f, e);
	store_draft_drop(&d);
	if (rc != 0)
		return -1;
	out->end = out->size = octets.n;
	out->locked = true;
	return slog_header_parse(octets, &out->id, &out->base, &out->tag) == 0 ? 0 : err_set(e, ERR_SYNTAX, 0, "%s: not a log", name);
}
