/*
 * store/sindex.c - see sindex.h.
 */
#include "store/sindex.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define MAGIC "PHINDEX1"
#define ORDER 0x01020304u
#define STEP (256u << 10)

static_assert(sizeof(struct mrec) == 40 && sizeof(struct irec) == 64, "the record is the disk format");
static_assert(sizeof(struct ihead) == 256 && sizeof(struct igone) == 16 && sizeof(struct idone) == 16, "so is the header");

static uint32_t rec_crc(const struct irec *r, uint64_t id, uint64_t number)
{
	uint64_t seed[2] = { id, number };

	return hash_crc32c(hash_crc32c(0, seed, sizeof seed), r, offsetof(struct irec, crc));
}

int sindex_parse(struct slice file, struct sindex *out)
{
	const struct ihead *h = (const void *)file.p;
	uint64_t rest = file.n, bound = file.n / 16 + 1;

	if (file.n < sizeof *h || memcmp(h->magic, MAGIC, 8) != 0 || h->order != ORDER || h->uidvalidity == 0)
		return -1;
	if (h->crc != hash_crc32c(0, h, offsetof(struct ihead, crc)))
		return -1;
	if (h->count > bound || h->n_gone > bound || h->n_done > bound || h->count > UINT32_MAX)
		return -1;
	rest -= sizeof *h;
	if (rest != h->count * sizeof(struct irec) + (h->n_gone + h->n_done) * 16 + h->names_len || h->names_len > file.n)
		return -1;
	out->h = h;
	out->recs = (const void *)(file.p + sizeof *h);
	out->gone = (const void *)(out->recs + h->count);
	out->done = (const void *)(out->gone + h->n_gone);
	out->names = (const void *)(out->done + h->n_done);
	return 0;
}

bool sindex_rec_is_sound(const struct sindex *x, size_t i)
{
	return x->recs[i].crc == rec_crc(&x->recs[i], x->h->id, i);
}

bool sindex_name(const struct sindex *x, const struct irec *r, struct slice *out)
{
	uint64_t at = r->name >> 16, n = r->name & 0xffff;

	if (at > x->h->names_len || n > x->h->names_len - at)
		return false;
	*out = slice_mem(x->names + at, n);
	return true;
}

bool sindex_sections_are_sound(const struct sindex *x)
{
	return x->h->sections_crc == hash_crc32c(0, x->gone, (x->h->n_gone + x->h->n_done) * 16);
}

int sindex_open(struct sindex *x, struct shelf *h, struct err *e)
{
	struct blob file;

	if (store_blob_read(h, BAY_OWN, SINDEX_NAME, BLOB_MAP, &file, e) != 0) {
		if (e->kind == ERR_DENIED)
			e->kind = ERR_SYNTAX;                         /* something else has the name: a new one will take it */
		return -1;
	}
	if (sindex_parse(file.octets, x) != 0) {
		store_blob_done(&file);
		return err_set(e, ERR_SYNTAX, 0, SINDEX_NAME " is damaged");
	}
	x->file = file;
	return 0;
}

void sindex_close(struct sindex *x)
{
	store_blob_done(&x->file);
	*x = (struct sindex){ 0 };
}

/* ---- writing: two streams, records and names, each through its own buffer ---- */

struct stream { struct buf b; uint64_t at; };

struct sindex_out {
	struct draft *d;
	struct err why;                                               /* the first failure */
	uint64_t id, count, added, n_gone, n_done, names_len;
	uint32_t sections_crc;
	struct stream recs, names;
};

static void stream_flush(struct sindex_out *w, struct stream *s)
{
	if (w->why.kind == ERR_NONE && s->b.len > 0 && store_draft_write(w->d, s->at, buf_view(&s->b), &w->why) == 0)
		s->at += s->b.len;
	buf_reset(&s->b);
}

static void stream_put(struct sindex_out *w, struct stream *s, const void *p, size_t n)
{
	buf_put(&s->b, slice_mem(p, n));
	if (s->b.len >= STEP)
		stream_flush(w, s);
}

static void put_sections(struct sindex_out *w, const struct igone *gone, const struct idone *done)
{
	struct stream s = { .at = w->recs.at + w->count * sizeof(struct irec) };

	buf_init(&s.b, BUF_UNBOUNDED);
	buf_put(&s.b, slice_mem(gone, w->n_gone * sizeof *gone));
	buf_put(&s.b, slice_mem(done, w->n_done * sizeof *done));
	w->sections_crc = hash_crc32c(0, s.b.p, s.b.len);
	stream_flush(w, &s);
	w->names.at = s.at;
	buf_done(&s.b);
}

struct sindex_out *sindex_out_new(struct shelf *h, uint64_t id, uint64_t count, const struct igone *gone, size_t n_gone, const struct idone *done, size_t n_done)
{
	struct sindex_out *w = mem_new(sizeof *w);

	w->id = id;
	w->count = count;
	w->n_gone = n_gone;
	w->n_done = n_done;
	if (store_draft_open(h, SINDEX_NAME, &w->d, &w->why) != 0) {}  /* the end will tell */
	buf_init(&w->recs.b, BUF_UNBOUNDED);
	buf_init(&w->names.b, BUF_UNBOUNDED);
	w->recs.at = sizeof(struct ihead);
	put_sections(w, gone, done);
	return w;
}

void sindex_out_add(struct sindex_out *w, const struct mrec *m, uint64_t cache_at, uint32_t state, struct slice name)
{
	struct irec r = { .m = *m, .cache_at = cache_at, .name = w->names_len << 16 | name.n, .state = state };

	assert(name.n < 65536);
	r.crc = rec_crc(&r, w->id, w->added++);
	w->names_len += name.n;
	stream_put(w, &w->recs, &r, sizeof r);
	stream_put(w, &w->names, name.p, name.n);
}

int sindex_out_finish(struct sindex_out *w, const struct ihead *head, struct err *e)
{
	struct ihead h = *head;

	assert(w->added == w->count);
	memcpy(h.magic, MAGIC, 8);
	h.order = ORDER;
	h.id = w->id;
	h.count = w->count;
	h.n_gone = w->n_gone;
	h.n_done = w->n_done;
	h.names_len = w->names_len;
	h.sections_crc = w->sections_crc;
	h.crc = hash_crc32c(0, &h, offsetof(struct ihead, crc));
	stream_flush(w, &w->recs);
	stream_flush(w, &w->names);
	w->recs.at = 0;
	stream_put(w, &w->recs, &h, sizeof h);
	stream_flush(w, &w->recs);
	if (w->why.kind == ERR_NONE && store_draft_flush(w->d, &w->why) == 0 && store_draft_place(w->d, SINDEX_NAME, &w->why) == 0)
		return 0;
	*e = w->why;
	return err_context(e, "writing " SINDEX_NAME);
}

void sindex_out_free(struct sindex_out **w)
{
	if (*w == NULL)
		return;
	store_draft_drop(&(*w)->d);
	buf_done(&(*w)->recs.b);
	buf_done(&(*w)->names.b);
	free(*w);
	*w = NULL;
}
