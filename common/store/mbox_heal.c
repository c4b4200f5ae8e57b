/*
 * store/mbox_heal.c - records of the index that fail their CRC, made good from the file names, at the moment somebody needs one.
 *
 * Nothing in such a record is believed, not even its UID: a run of bad records stands for as many messages with UIDs between those of its sound neighbours,
 * and cur/ says which. This is for the one who is reading; the index itself is rebuilt by the next writer (m->damaged).
 */
#include "store/folder.h"

#include <stdlib.h>

#include "base/mem.h"
#include "store/dirlist.h"

static int by_uid(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->n.uid > y->n.uid) - (x->n.uid < y->n.uid);
}

static bool is_bad(struct mbox *m, uint32_t slot)
{
	struct slice name;

	return umap_get(&m->over, slot) == NULL && !(sindex_rec_is_sound(&m->base, slot) && sindex_name(&m->base, &m->base.recs[slot], &name));
}

static uint32_t uid_at(const struct mbox *m, uint32_t slot)
{
	const struct slot *s = umap_get(&m->over, slot);

	return s != NULL ? s->m.uid : m->base.recs[slot].m.uid;
}

static void put(struct mbox *m, uint32_t slot, const struct found *f, uint32_t uid)
{
	struct slot *s = mem_new(sizeof *s);

	s->m = (struct mrec){ .uid = uid, .modseq = m->modseq };
	s->name = mem_str(f == NULL ? "" : f->name.p);
	if (f != NULL) {
		s->m = (struct mrec){ uid, f->n.flags, f->n.keywords, m->modseq, f->n.size, f->n.date < 0 ? 0 : f->n.date };
		s->state = f->n.has_lf ? SLOT_LF : 0;
	}
	umap_put(&m->over, slot, s);
}

/* Slots first to last-1 are bad; UIDs from `low` to below `high` are theirs. What has no file becomes a message without one, which the rebuild drops. */
static void heal_run(struct mbox *m, uint32_t first, uint32_t last, uint32_t low, uint32_t high, const struct found *f, size_t n, size_t *at)
{
	uint32_t uid = low;

	while (*at < n && f[*at].n.uid < low)
		(*at)++;
	for (uint32_t slot = first; slot < last; slot++, uid++) {
		const struct found *hit = *at < n && f[*at].n.uid < high ? &f[(*at)++] : NULL;

		if (hit != NULL)
			uid = hit->n.uid;
		put(m, slot, hit, uid);
	}
}

void mbox_heal(struct mbox *m)
{
	struct arena *a = arena_new(0);
	struct found *f = NULL;
	struct err ignored;
	size_t n = 0, kept = 0, at = 0;
	uint32_t low = 1;

	m->damaged = true;
	if (dirlist(m->shelf, BAY_CUR, a, &f, &n, &ignored) != 0)
		n = 0;
	for (size_t i = 0; i < n; i++)
		if (f[i].n.has_uid && f[i].n.has_size && f[i].n.uidvalidity == m->uidvalidity)
			f[kept++] = f[i];
	qsort(f, kept, sizeof *f, by_uid);
	for (uint32_t slot = 0; slot < m->n_base; slot++) {
		uint32_t first = slot;

		while (slot < m->n_base && is_bad(m, slot))
			slot++;
		if (slot > first)
			heal_run(m, first, slot, low, slot < m->n_base ? uid_at(m, slot) : m->base.h->uidnext, f, kept, &at);
		if (slot < m->n_base)
			low = uid_at(m, slot) + 1;
	}
	arena_free(&a);
}
