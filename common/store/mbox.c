/*
 * store/mbox.c - what a folder is in memory: slots over the mapped index, see folder.h.
 */
#include "store/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

uint32_t mbox_slots(const struct mbox *m)
{
	return m->n_base + (uint32_t)m->n_tail;
}

uint32_t mbox_count(const struct mbox *m)
{
	return mbox_slots(m) - (uint32_t)m->n_gone;
}

static const struct slot *known(const struct mbox *m, uint32_t slot)
{
	return slot >= m->n_base ? m->tail[slot - m->n_base] : umap_get(&m->over, slot);
}

/* A record failed its CRC. */
static struct slot *lost(struct mbox *m, uint32_t slot)
{
	mbox_heal(m);
	return umap_get(&m->over, slot);
}

static bool sound(struct mbox *m, uint32_t slot)
{
	struct slice name;

	return sindex_rec_is_sound(&m->base, slot) && sindex_name(&m->base, &m->base.recs[slot], &name);
}

const struct mrec *mbox_rec(struct mbox *m, uint32_t slot)
{
	const struct slot *s = known(m, slot);

	if (s != NULL)
		return &s->m;
	return sound(m, slot) ? &m->base.recs[slot].m : &lost(m, slot)->m;
}

bool mbox_slot_name(struct mbox *m, uint32_t slot, struct slice *out)
{
	const struct slot *s = known(m, slot);

	if (s == NULL && !sound(m, slot))
		s = lost(m, slot);
	if (s == NULL || s->name == NULL)
		return sindex_name(&m->base, &m->base.recs[slot], out);
	*out = slice_of(s->name);
	return out->n > 0;
}

uint64_t mbox_slot_cache(struct mbox *m, uint32_t slot)
{
	const struct slot *s = known(m, slot);

	if (s != NULL)
		return s->cache_at;
	return sound(m, slot) ? m->base.recs[slot].cache_at : 0;
}

uint32_t mbox_slot_state(struct mbox *m, uint32_t slot)
{
	const struct slot *s = known(m, slot);

	if (s != NULL)
		return s->state;
	return sound(m, slot) ? m->base.recs[slot].state : 0;
}

struct slot *mbox_edit(struct mbox *m, uint32_t slot)
{
	struct slot *s = slot >= m->n_base ? m->tail[slot - m->n_base] : umap_get(&m->over, slot);

	if (s != NULL)
		return s;
	if (!sound(m, slot))
		return lost(m, slot);
	s = mem_new(sizeof *s);
	s->m = m->base.recs[slot].m;
	s->cache_at = m->base.recs[slot].cache_at;
	s->state = m->base.recs[slot].state;
	umap_put(&m->over, slot, s);
	return s;
}

uint32_t mbox_slot_from(struct mbox *m, uint32_t uid)
{
	uint32_t lo = 0, hi = mbox_slots(m);

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (mbox_rec(m, mid)->uid < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t mbox_slot_of(struct mbox *m, uint32_t uid)
{
	uint32_t slot = mbox_slot_from(m, uid);

	return slot < mbox_slots(m) && mbox_rec(m, slot)->uid == uid ? slot : UINT32_MAX;
}

bool mbox_is_gone(const struct mbox *m, uint32_t slot)
{
	size_t lo = 0, hi = m->n_gone;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->gone[mid] < slot)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->n_gone && m->gone[lo] == slot;
}

static void slot_free(struct slot *s)
{
	if (s != NULL)
		free(s->name);
	free(s);
}

/* Forgets what is known of the messages; identity, descriptors of directories and views stay. */
void mbox_clear_state(struct mbox *m)
{
	for (size_t i = 0; i < m->over.cap; i++)
		slot_free(m->over.values[i]);
	umap_done(&m->over);
	for (size_t i = 0; i < m->n_tail; i++)
		slot_free(m->tail[i]);
	free(m->tail);
	free(m->gone);
	free(m->unlink_slots);
	free(m->history);
	free(m->done);
	m->tail = NULL;
	m->gone = m->unlink_slots = NULL;
	m->history = NULL;
	m->done = NULL;
	m->n_tail = m->cap_tail = m->n_gone = m->cap_gone = m->n_unlink = m->cap_unlink = 0;
	m->n_history = m->cap_history = m->n_done = m->cap_done = 0;
	sindex_close(&m->base);
	m->n_base = 0;
	m->octets = 0;
	m->unseen = m->deleted = m->dirty = 0;
	m->damaged = false;
}

/* ---- what callers may ask ---- */

struct slice mbox_name(const struct mbox *m)
{
	return slice_of(m->name);
}

uint32_t mbox_uidvalidity(const struct mbox *m)
{
	return m->uidvalidity;
}

uint32_t mbox_uidnext(const struct mbox *m)
{
	return m->uidnext;
}

uint64_t mbox_highestmodseq(const struct mbox *m)
{
	return m->modseq;
}

size_t mbox_keywords(const struct mbox *m, const struct slice **names_out)
{
	*names_out = m->keyword_name;
	return m->n_keywords;
}
