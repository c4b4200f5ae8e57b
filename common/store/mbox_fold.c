/*
 * store/mbox_fold.c - a new snapshot and an empty log behind it.
 *
 * The index is put into place before the log. It says up to where the old log is in it, and which log follows, so that it fits with either, and a
 * crash between the two leaves nothing to mend.
 */
#include "store/mbox_fold.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define FOLD_MIN (64u << 10)
#define FOLD_MAX (1u << 20)
#define HISTORY_MAX 65536u
#define DONE_MAX 8192u
#define DONE_SECONDS 86400
#define CACHE_MIN (1u << 20)                                          /* a cache is never tidied below this and */
#define CACHE_EACH 8192u                                              /* so much a message: an entry has a quarter of that as a rule */

bool mbox_wants_fold(const struct mbox *m)
{
	uint64_t limit = (uint64_t)m->n_base * sizeof(struct irec) / 16;

	if (limit < FOLD_MIN)
		limit = FOLD_MIN;
	return m->log.end > (limit > FOLD_MAX ? FOLD_MAX : limit);
}

uint64_t fold_id(void)
{
	uint64_t id = 0;

	while (id == 0)
		text_random(&id, sizeof id);
	return id;
}

void fold_carry(const struct mbox *m, struct fold_carried *c)
{
	bool sound = m->base.h != NULL && sindex_sections_are_sound(&m->base);
	size_t n_gone = sound ? (size_t)m->base.h->n_gone : 0, n_done = sound ? (size_t)m->base.h->n_done : 0, skip;
	int64_t since = clock_wall_s() - DONE_SECONDS;

	c->gone = mem_array(n_gone + m->n_history + 1, sizeof *c->gone);
	c->floor = sound ? m->base.h->gone_floor : 0;
	for (size_t i = 0; i < n_gone; i++)
		c->gone[c->n_gone++] = m->base.gone[i];
	for (size_t i = 0; i < m->n_history; i++)
		c->gone[c->n_gone++] = m->history[i];
	skip = c->n_gone > HISTORY_MAX ? c->n_gone - HISTORY_MAX / 2 : 0;
	if (skip > 0)
		c->floor = c->gone[skip - 1].modseq;
	for (size_t i = skip; skip > 0 && i < c->n_gone; i++)
		c->gone[i - skip] = c->gone[i];
	c->n_gone -= skip;

	c->done = mem_array(n_done + m->n_done + 1, sizeof *c->done);
	for (size_t i = 0; i < n_done; i++)
		if (m->base.done[i].when >= since)
			c->done[c->n_done++] = m->base.done[i];
	for (size_t i = m->n_done > DONE_MAX ? m->n_done - DONE_MAX : 0; i < m->n_done; i++)
		if (m->done[i].when >= since)
			c->done[c->n_done++] = m->done[i];
}

void fold_carried_done(struct fold_carried *c)
{
	free(c->gone);
	free(c->done);
}

int fold_put_log(struct mbox *m, uint64_t id, uint64_t base, struct slog *out, struct err *e)
{
	struct buf head;
	int rc;

	buf_init(&head, BUF_UNBOUNDED);
	slog_header_put(id, base, m->uidvalidity, &head);
	rc = slog_swap(m->shelf, LOG_NAME, buf_view(&head), false, out, e);
	buf_done(&head);
	return rc;
}

static void add_live(struct mbox *m, struct sindex_out *w)
{
	for (uint32_t slot = 0, hole = 0; slot < mbox_slots(m); slot++) {
		struct slice name;

		if (hole < m->n_gone && m->gone[hole] == slot) {
			hole++;
			continue;
		}
		if (!mbox_slot_name(m, slot, &name))
			name = SLICE("");
		sindex_out_add(w, mbox_rec(m, slot), mbox_slot_cache(m, slot), mbox_slot_state(m, slot), name);
	}
}

int fold_put_index(struct mbox *m, const struct fold_carried *c, bool old_log_fits, uint64_t index_id, uint64_t next_id, struct err *e)
{
	struct ihead h = {
		.uidvalidity = m->uidvalidity, .log_before = old_log_fits ? m->log.id : 0, .log_before_end = m->log.end, .log_after = next_id,
		.modseq = m->modseq, .gone_floor = c->floor, .octets = m->octets, .uidnext = m->uidnext, .recent_from = m->recent_from,
		.unseen = m->unseen, .deleted = m->deleted, .dirty = m->dirty, .racy = m->racy,
		.stamp_new = m->stamp_new, .stamp_cur = m->stamp_cur, .boot = m->boot,
	};
	struct sindex_out *w = sindex_out_new(m->shelf, index_id, mbox_count(m), c->gone, c->n_gone, c->done, c->n_done);
	int rc;

	add_live(m, w);
	rc = sindex_out_finish(w, &h, e);
	sindex_out_free(&w);
	return rc;
}

/* Entries of messages that have gone, and those that were made twice, go. What a crash leaves between this and the index are offsets that miss. */
static void tidy_cache(struct mbox *m)
{
	struct scache_copy x;
	struct err ignored;
	uint64_t *to;
	int rc = 0;

	if (scache_size(&m->cache, m->shelf) <= CACHE_MIN + (uint64_t)mbox_count(m) * CACHE_EACH || scache_copy_init(&x, m->shelf, &ignored) != 0)
		return;
	to = mem_array((size_t)mbox_slots(m) + 1, sizeof *to);
	for (uint32_t slot = 0; rc == 0 && slot < mbox_slots(m); slot++)
		if (!mbox_is_gone(m, slot))
			rc = scache_copy_entry(&x, &m->cache, mbox_slot_cache(m, slot), m->uidvalidity, mbox_rec(m, slot)->uid, &to[slot], &ignored);
	if (rc == 0 && scache_copy_finish(&x, &m->cache, m->shelf, &ignored) == 0)
		for (uint32_t slot = 0; slot < mbox_slots(m); slot++)
			if (mbox_slot_cache(m, slot) != to[slot])
				mbox_edit(m, slot)->cache_at = to[slot];
	scache_copy_done(&x);
	free(to);
}

int mbox_fold(struct mbox *m, struct err *e)
{
	struct fold_carried c = { 0 };
	uint64_t index_id = fold_id(), next_id = fold_id();
	struct slog next;
	struct txn t;
	int rc;

	if (mbox_finish_unlinks(m, e) != 0 || mbox_flush_names(m, 4096, e) != 0)
		return -1;
	tidy_cache(m);
	fold_carry(m, &c);
	rc = fold_put_index(m, &c, true, index_id, next_id, e);
	if (rc == 0) {
		txn_init(m, &t);
		t.modseq = m->modseq;
		txn_ended(&t, next_id);
		rc = mbox_commit_quietly(m, &t, e);
		txn_done(&t);
	}
	fold_carried_done(&c);
	if (rc != 0 || fold_put_log(m, next_id, index_id, &next, e) != 0)
		return -1;
	slog_close(&m->log);
	m->log = next;
	m->next_log = 0;
	quota_set(m);
	return m->views == NULL ? mbox_load(m, e) : 0;
}

/* posthouse.folder first: a crash before the fold leaves an index and a log of another UIDVALIDITY, and an empty folder is built anew. */
static int take_over(struct mbox *m, uint32_t uidvalidity, struct err *e)
{
	uint32_t was = m->uidvalidity;

	m->uidvalidity = uidvalidity;
	if (meta_save(m, e) != 0) {
		m->uidvalidity = was;
		return -1;
	}
	return box_note_uidvalidity(m->box, uidvalidity, e) != 0 || mbox_fold(m, e) != 0 ? -1 : 0;
}

int mbox_take_over(struct mbox *m, uint32_t uidvalidity, bool *taken_out, struct err *e)
{
	int rc = mbox_begin(m, e);

	if (rc != 0)
		return -1;
	if (m->uidvalidity != uidvalidity && uidvalidity != 0 && mbox_count(m) == 0 && m->uidnext == 1 && m->views == NULL)
		rc = take_over(m, uidvalidity, e);
	*taken_out = m->uidvalidity == uidvalidity;
	mbox_end(m);
	return rc;
}
