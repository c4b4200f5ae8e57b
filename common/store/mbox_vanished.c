/*
 * store/mbox_vanished.c - which UIDs are no more, for clients that come back (QRESYNC).
 */
#include "store/folder.h"

#include <stdlib.h>

#include "base/mem.h"

struct ranges { struct arena *a; struct uid_range *v; size_t n, cap; };

static void add(struct ranges *r, uint32_t first, uint32_t last)
{
	if (r->n > 0 && r->v[r->n - 1].last + 1 >= first) {
		if (r->v[r->n - 1].last < last)
			r->v[r->n - 1].last = last;
		return;
	}
	if (r->n == r->cap) {
		struct uid_range *more = arena_array(r->a, r->cap == 0 ? 32 : r->cap * 2, sizeof *more);

		for (size_t i = 0; i < r->n; i++)
			more[i] = r->v[i];
		r->v = more;
		r->cap = r->cap == 0 ? 32 : r->cap * 2;
	}
	r->v[r->n++] = (struct uid_range){ first, last };
}

static bool reaches(const struct mbox *m, uint64_t since)
{
	return m->base.h == NULL || (since >= m->base.h->gone_floor && sindex_sections_are_sound(&m->base));
}

static void add_absent(struct mbox *m, struct ranges *r)
{
	uint32_t next = 1;

	for (uint32_t slot = 0; slot < mbox_slots(m); slot++) {
		uint32_t uid = mbox_rec(m, slot)->uid;

		if (mbox_is_gone(m, slot))
			continue;
		if (uid > next)
			add(r, next, uid - 1);
		next = uid + 1;
	}
	if (m->uidnext > next)
		add(r, next, m->uidnext - 1);
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void add_history(struct mbox *m, uint64_t since, struct ranges *r)
{
	size_t n_base = m->base.h == NULL ? 0 : (size_t)m->base.h->n_gone, n = 0;
	uint32_t *uids = mem_array(n_base + m->n_history + 1, sizeof *uids);

	for (size_t i = 0; i < n_base; i++)
		if (m->base.gone[i].modseq > since)
			uids[n++] = m->base.gone[i].uid;
	for (size_t i = 0; i < m->n_history; i++)
		if (m->history[i].modseq > since)
			uids[n++] = m->history[i].uid;
	qsort(uids, n, sizeof *uids, ascending);
	for (size_t i = 0; i < n; i++)
		add(r, uids[i], uids[i]);
	free(uids);
}

void mbox_vanished(struct mbox *m, uint64_t since, struct arena *a, struct uid_range **list_out, size_t *n_out)
{
	struct ranges r = { .a = a };

	if (reaches(m, since))
		add_history(m, since, &r);
	else
		add_absent(m, &r);
	*list_out = r.v;
	*n_out = r.n;
}
