/*
 * store/mbox_apply.c - transactions, the reader's side: what the log says becomes what the folder is in memory, for the writer and for everybody who follows.
 */
#include "store/mbox_op.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

struct reader { struct slice rest; bool bad; };

static uint32_t get32(struct reader *r)
{
	uint32_t v = 0;

	if (r->rest.n < 4)
		r->bad = true;
	else
		v = num_get_le32(r->rest.p), r->rest = slice_from(r->rest, 4);
	return v;
}

static uint64_t get64(struct reader *r)
{
	uint64_t low = get32(r);

	return low | (uint64_t)get32(r) << 32;
}

static struct slice get_text(struct reader *r, size_t most)
{
	size_t n = get32(r);
	struct slice s = slice_head(r->rest, n);

	if (s.n < n || n > most) {
		r->bad = true;
		return SLICE("");
	}
	r->rest = slice_from(r->rest, n);
	return s;
}

char *mbox_str(struct slice s)
{
	char *p = mem_new(s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

#define GROW(p, n, cap) do { if ((n) == (cap)) { (cap) = (cap) == 0 ? 16 : (cap) * 2; (p) = mem_grow((p), (cap) * sizeof *(p)); } } while (0)

static void count_flags(struct mbox *m, uint32_t flags, uint32_t by)
{
	m->unseen += (flags & MSG_SEEN) == 0 ? by : 0;
	m->deleted += (flags & MSG_DELETED) != 0 ? by : 0;
}

static void set_state(struct mbox *m, struct slot *s, uint32_t state)
{
	m->dirty += (uint32_t)((state & SLOT_DIRTY) != 0) - (uint32_t)((s->state & SLOT_DIRTY) != 0);
	s->state = state;
}

static void apply_add(struct mbox *m, struct reader *r, uint32_t uid, uint64_t modseq)
{
	struct slot s = { .m = { .uid = uid, .modseq = modseq } }, *kept;
	uint32_t n = mbox_slots(m), state;
	uint64_t id_hash;
	struct slice name;

	s.m.flags = get32(r);
	state = get32(r);
	s.m.keywords = get64(r);
	s.m.size = get64(r);
	s.m.internaldate = (int64_t)get64(r);
	s.cache_at = get64(r);
	id_hash = get64(r);
	name = get_text(r, MNAME_MAX);
	if (r->bad || uid == 0 || uid == UINT32_MAX || (n > 0 && mbox_rec(m, n - 1)->uid >= uid)) {
		r->bad = true;
		return;
	}
	kept = mem_new(sizeof *kept);
	*kept = s;
	kept->name = mbox_str(name);
	set_state(m, kept, state);
	GROW(m->tail, m->n_tail, m->cap_tail);
	m->tail[m->n_tail++] = kept;
	m->octets += s.m.size;
	count_flags(m, s.m.flags, 1);
	if (uid >= m->uidnext)
		m->uidnext = uid + 1;
	if (id_hash != 0) {
		GROW(m->done, m->n_done, m->cap_done);
		m->done[m->n_done++] = (struct idone){ id_hash, (int64_t)(modseq / CLOCK_US_PER_S) };
	}
}

static void apply_flags(struct mbox *m, struct reader *r, uint32_t uid, uint64_t modseq, const struct view *origin)
{
	uint32_t flags = get32(r), slot;
	uint64_t keywords = get64(r);
	struct slot *s;

	slot = r->bad ? UINT32_MAX : mbox_slot_of(m, uid);
	if (slot == UINT32_MAX || mbox_is_gone(m, slot))
		return;
	s = mbox_edit(m, slot);
	count_flags(m, s->m.flags, (uint32_t)-1);
	count_flags(m, flags, 1);
	s->m.flags = flags;
	s->m.keywords = keywords;
	s->m.modseq = modseq;
	set_state(m, s, s->state | SLOT_DIRTY);
	view_note(m, slot, false, origin);
}

static void add_gone(struct mbox *m, uint32_t slot)
{
	size_t at = m->n_gone;

	GROW(m->gone, m->n_gone, m->cap_gone);
	while (at > 0 && m->gone[at - 1] > slot)
		at--;
	memmove(m->gone + at + 1, m->gone + at, (m->n_gone - at) * sizeof *m->gone);
	m->gone[at] = slot;
	m->n_gone++;
}

void mbox_remember_gone(struct mbox *m, uint32_t uid, uint64_t modseq)
{
	GROW(m->history, m->n_history, m->cap_history);
	m->history[m->n_history++] = (struct igone){ modseq, uid, 0 };
}

static void apply_expunge(struct mbox *m, uint32_t uid, uint64_t modseq)
{
	uint32_t slot = mbox_slot_of(m, uid);
	struct slot *s;

	if (slot == UINT32_MAX || mbox_is_gone(m, slot))
		return;
	s = mbox_edit(m, slot);
	count_flags(m, s->m.flags, (uint32_t)-1);
	m->octets -= s->m.size;
	set_state(m, s, s->state & ~(uint32_t)SLOT_DIRTY);
	add_gone(m, slot);
	GROW(m->unlink_slots, m->n_unlink, m->cap_unlink);
	m->unlink_slots[m->n_unlink++] = slot;
	mbox_remember_gone(m, uid, modseq);
	view_note(m, slot, true, NULL);
}

static void apply_name(struct mbox *m, struct reader *r, uint32_t uid)
{
	uint32_t state = get32(r), slot;
	struct slice name = get_text(r, MNAME_MAX);
	struct slot *s;

	slot = r->bad ? UINT32_MAX : mbox_slot_of(m, uid);
	if (slot == UINT32_MAX || mbox_is_gone(m, slot))
		return;
	s = mbox_edit(m, slot);
	set_state(m, s, state);
	free(s->name);
	s->name = mbox_str(name);
}

static void apply_keyword(struct mbox *m, struct reader *r, uint32_t bit)
{
	struct slice name = get_text(r, LIMIT_KEYWORD);

	if (r->bad || bit >= LIMIT_KEYWORDS || bit < m->n_keywords || name.n == 0)
		return;
	for (; m->n_keywords <= bit; m->n_keywords++) {               /* a gap can't be; were it one, it would have no name */
		m->keyword[m->n_keywords] = mbox_str(m->n_keywords == bit ? name : SLICE(""));
		m->keyword_name[m->n_keywords] = slice_of(m->keyword[m->n_keywords]);
	}
}

static void apply_op(struct mbox *m, struct reader *r, uint64_t modseq, const struct view *origin)
{
	uint32_t op = get32(r), uid = get32(r), slot;
	uint64_t v;

	switch (op) {
	case OP_ADD:      apply_add(m, r, uid, modseq); return;
	case OP_FLAGS:    apply_flags(m, r, uid, modseq, origin); return;
	case OP_EXPUNGE:  apply_expunge(m, uid, modseq); return;
	case OP_UNLINKED: m->n_unlink = 0; return;
	case OP_NAME:     apply_name(m, r, uid); return;
	case OP_KEYWORD:  apply_keyword(m, r, uid); return;
	case OP_RECENT:   m->recent_from = uid; return;
	case OP_CACHE:
		v = get64(r);
		slot = r->bad ? UINT32_MAX : mbox_slot_of(m, uid);
		if (slot != UINT32_MAX)
			mbox_edit(m, slot)->cache_at = v;
		return;
	case OP_NEXT:
		m->boot = (int64_t)get64(r);
		if (!r->bad && uid > m->uidnext)
			m->uidnext = uid;
		return;
	case OP_ENDED:
		m->next_log = get64(r);
		return;
	default:
		r->bad = true;
	}
}

int mbox_apply(struct mbox *m, struct slice payload, const struct view *origin)
{
	struct reader r = { payload, false };
	uint64_t modseq = get64(&r);

	m->stamp_new = (int64_t)get64(&r);
	m->stamp_cur = (int64_t)get64(&r);
	m->racy = get32(&r);
	(void)get32(&r);
	if (modseq > m->modseq)
		m->modseq = modseq;
	while (!r.bad && r.rest.n > 0)
		apply_op(m, &r, modseq, origin);
	return r.bad ? -1 : 0;
}

int mbox_apply_flags(struct mbox *m, struct slice payload)
{
	struct reader r = { slice_from(payload, TXN_HEAD), false };
	struct mbox scrap = { .n_base = 0 };                          /* takes in what is not about flags */
	uint64_t modseq = payload.n < TXN_HEAD ? 0 : num_get_le64(payload.p);

	while (!r.bad && r.rest.n >= 8) {
		uint32_t op = num_get_le32(r.rest.p);

		if (op == OP_FLAGS || op == OP_KEYWORD)
			apply_op(m, &r, modseq, NULL);
		else
			apply_op(&scrap, &r, modseq, NULL);
	}
	mbox_clear_state(&scrap);
	return 0;
}
