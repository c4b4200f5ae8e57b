/*
 * store/mbox_rebuild.c - a snapshot from nothing but the directory and whatever else can be trusted.
 */
#include "store/mbox_fold.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/dirlist.h"

static int by_uid(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->n.uid > y->n.uid) - (x->n.uid < y->n.uid);
}

/* The UIDVALIDITY that most names bear, where posthouse.folder is lost. */
static uint32_t validity_by_names(const struct found *f, size_t n)
{
	uint32_t best = 0, best_count = 0;

	for (size_t turn = 0, i = 0; turn < 8 && i < n; turn++, i += n / 8 + 1) {
		uint32_t count = 0;

		for (size_t k = 0; k < n && f[i].n.has_uid; k++)
			count += f[k].n.has_uid && f[k].n.uidvalidity == f[i].n.uidvalidity;
		if (count > best_count)
			best = f[i].n.uidvalidity, best_count = count;
	}
	return best;
}

/* What is known of a message besides its name: all, where the name is the one we knew; otherwise the name's flags are newer. */
static void recall(struct mbox *m, struct slot *s)
{
	uint32_t slot = mbox_slot_of(m, s->m.uid);
	struct slice name;

	if (slot == UINT32_MAX || mbox_is_gone(m, slot) || !mbox_slot_name(m, slot, &name))
		return;
	s->cache_at = mbox_slot_cache(m, slot);
	if (!slice_eqs(name, s->name))
		return;
	s->m = *mbox_rec(m, slot);
	s->state = mbox_slot_state(m, slot);
}

static bool is_kept(const struct mbox *m, const struct found *f)
{
	return f->n.has_uid && f->n.has_size && f->bay == BAY_CUR && f->n.uidvalidity == m->uidvalidity && (m->reserved == 0 || f->n.uid < m->reserved);
}

/* Fills r with the files that bear a UID of this folder. Returns how many do not. */
static size_t fill(struct mbox *m, struct mbox *r, struct found *f, size_t n, uint64_t modseq)
{
	size_t left = 0;
	uint32_t last = 0;

	qsort(f, n, sizeof *f, by_uid);
	r->tail = mem_array(n + 1, sizeof *r->tail);
	r->cap_tail = n + 1;
	for (size_t i = 0; i < n; i++) {
		struct slot *s;

		if (!is_kept(r, &f[i]) || f[i].n.uid == last) {
			left++;
			continue;
		}
		s = mem_new(sizeof *s);
		s->m = (struct mrec){ f[i].n.uid, f[i].n.flags, f[i].n.keywords, modseq, f[i].n.size, f[i].n.date < 0 ? 0 : f[i].n.date };
		s->state = f[i].n.has_lf ? SLOT_LF : 0;
		s->name = mem_str(f[i].name.p);
		recall(m, s);
		r->tail[r->n_tail++] = s;
		last = s->m.uid;
	}
	return left;
}

static void count(struct mbox *r)
{
	r->octets = 0;
	r->unseen = r->deleted = r->dirty = 0;
	for (size_t i = 0; i < r->n_tail; i++) {
		const struct slot *s = r->tail[i];

		r->octets += s->m.size;
		r->unseen += (s->m.flags & MSG_SEEN) == 0;
		r->deleted += (s->m.flags & MSG_DELETED) != 0;
		r->dirty += (s->state & SLOT_DIRTY) != 0;
	}
}

/* Flag changes of a log whose index is gone: for messages that are there they are newer than the names. */
static int replay(void *ctx, struct slice payload, uint64_t at)
{
	(void)at;
	return mbox_apply_flags(ctx, payload);
}

/* Uses whatever part of index and log can be trusted. m->log is locked and may be empty. */
static void gather(struct mbox *m)
{
	struct err ignored;
	bool bad;

	if (m->base.h == NULL || m->n_base > 0)
		return;
	if (m->base.h->uidvalidity != m->uidvalidity) {
		sindex_close(&m->base);
		return;
	}
	m->n_base = (uint32_t)m->base.h->count;
	m->uidnext = m->base.h->uidnext;
	m->recent_from = m->base.h->recent_from;
	m->modseq = m->base.h->modseq;
	if (m->log.id != 0 && (m->log.id == m->base.h->log_before || m->log.id == m->base.h->log_after) && mbox_read_log(m, &bad, &ignored) != 0)
		return;
}

static int identify(struct mbox *m, const struct found *f, size_t n, struct err *e)
{
	struct err why;

	if (meta_load(m, &why) == 0)
		return 0;
	if (why.kind != ERR_NOTFOUND && why.kind != ERR_SYNTAX) {
		*e = why;
		return -1;
	}
	m->uidvalidity = validity_by_names(f, n);
	m->reserved = 0;
	if (m->uidvalidity == 0)
		m->uidvalidity = box_next_uidvalidity(m->box);
	return 0;
}

static void hand_keywords(struct mbox *from, struct mbox *to)
{
	for (size_t i = 0; i < from->n_keywords; i++) {
		to->keyword[i] = from->keyword[i];
		to->keyword_name[i] = from->keyword_name[i];
	}
	if (from->n_keywords > 0)
		to->n_keywords = from->n_keywords;
	from->n_keywords = 0;
}

/* The messages that bear a UID of ours, with all that is still known of them; the others are adopted by the scan that this brings about. */
static int collect(struct mbox *m, struct mbox *r, struct found *f, size_t n, struct err *e)
{
	bool bad;
	size_t left;

	r->uidvalidity = m->uidvalidity;
	r->reserved = m->reserved;
	gather(m);
	r->modseq = (uint64_t)clock_wall_us();
	if (r->modseq <= m->modseq)
		r->modseq = m->modseq + 1;
	hand_keywords(m, r);
	left = fill(m, r, f, n, r->modseq);
	if (left > 0)
		r->stamp_cur = 0;
	r->log.end = SLOG_HEADER;
	if (m->base.h == NULL && r->log.id != 0 && slog_read(&r->log, replay, r, &bad, e) != 0)
		return -1;
	count(r);
	return 0;
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* Never below a UID that may have been handed out. */
static int number(const struct mbox *m, struct mbox *r, struct err *e)
{
	r->uidnext = most(most(r->n_tail == 0 ? 1 : r->tail[r->n_tail - 1]->m.uid + 1, m->uidnext), r->reserved);
	r->recent_from = m->recent_from > 1 ? m->recent_from : r->uidnext;
	r->boot = mbox_boot_now();
	r->racy = clock_wall_us() * 1000 - r->stamp_cur < RACY_NS ? 2 : 0;
	if (r->reserved >= r->uidnext + 1)
		return 0;
	r->reserved = r->uidnext + UID_BLOCK;
	return meta_save(r, e);
}

static int put(struct mbox *m, struct mbox *r, struct err *e)
{
	struct fold_carried c = { 0 };
	uint64_t index_id = fold_id();
	struct slog next;
	int rc;

	fold_carry(m, &c);
	if (m->base.h == NULL)
		c.floor = r->modseq;
	rc = fold_put_index(r, &c, false, index_id, index_id ^ 1, e);
	if (rc == 0)
		rc = fold_put_log(r, index_id ^ 1, index_id, &next, e);
	if (rc == 0)
		slog_close(&next);
	fold_carried_done(&c);
	return rc;
}

int mbox_rebuild(struct mbox *m, struct err *e)
{
	struct mbox r = { .box = m->box, .name = m->name, .shelf = m->shelf, .log = m->log };
	struct arena *a = arena_new(1u << 20);
	struct found *f = NULL;
	size_t n = 0;
	int rc = import_uidlist(m, e);

	r.stamp_cur = store_blob_stamp(m->shelf, BAY_CUR);
	if (rc == 0)
		rc = dirlist(m->shelf, BAY_CUR, a, &f, &n, e);
	if (rc == 0)
		rc = identify(m, f, n, e);
	if (rc == 0)
		rc = collect(m, &r, f, n, e);
	if (rc == 0)
		rc = number(m, &r, e);
	if (rc == 0)
		rc = put(m, &r, e);
	hand_keywords(&r, m);
	slog_init(&r.log);
	mbox_clear_state(&r);
	arena_free(&a);
	return rc;
}
