/*
 * store/view.c - a session's view of a folder: which slots have a sequence number, and what the session was not told yet.
 *
 * The view counts slots below `end` that are not in `hidden`. With h hidden ones, sequence number and slot are found from each other in O(log h);
 * opening copies the holes since the snapshot and nothing else.
 */
#include "store/folder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

/* ---- events ---- */

void view_note(struct mbox *m, uint32_t slot, bool expunged, const struct view *origin)
{
	if (m->views == NULL) {
		m->first_event += m->n_events + 1;
		m->n_events = 0;
		return;
	}
	if (m->n_events == m->cap_events) {
		m->cap_events = m->cap_events == 0 ? 64 : m->cap_events * 2;
		m->events = mem_grow(m->events, m->cap_events * sizeof *m->events);
	}
	m->events[m->n_events++] = (struct event){ slot, expunged, origin };
}

/* Drops what every view has seen. */
static void trim_events(struct mbox *m)
{
	uint64_t least = m->first_event + m->n_events;

	for (const struct view *v = m->views; v != NULL; v = v->next)
		least = v->seen_events < least ? v->seen_events : least;
	if (least - m->first_event < m->n_events / 2 && least - m->first_event < 1024)
		return;
	m->n_events -= least - m->first_event;
	if (m->n_events > 0)
		memmove(m->events, m->events + (least - m->first_event), m->n_events * sizeof *m->events);
	m->first_event = least;
}

/* ---- open, close ---- */

static void copy_gone(struct view *v)
{
	v->hidden = mem_array(v->m->n_gone + 1, sizeof *v->hidden);
	v->n_hidden = v->m->n_gone;
	if (v->n_hidden > 0)
		memcpy(v->hidden, v->m->gone, v->n_hidden * sizeof *v->hidden);
}

/* Takes what is \Recent: nobody else will see it so (RFC 3501 2.3.2). Where the log can't be written others will too. */
static void take_recent(struct view *v)
{
	struct mbox *m = v->m;
	struct err ignored;
	struct txn t;

	v->recent_from = m->recent_from;
	v->recent_to = m->uidnext;
	if (v->read_only || m->recent_from >= m->uidnext || mbox_begin(m, &ignored) != 0)
		return;
	v->recent_from = m->recent_from;
	v->recent_to = m->uidnext;
	txn_init(m, &t);
	t.modseq = m->modseq;
	txn_recent(&t, m->uidnext);
	if (mbox_commit_quietly(m, &t, &ignored) != 0)
		v->recent_to = v->recent_from;
	txn_done(&t);
	mbox_end(m);
}

struct view *view_open(struct mbox *m, bool read_only)
{
	struct view *v = mem_new(sizeof *v);
	struct err ignored;

	if (mbox_refresh(m, &ignored) != 0) {}                        /* then it shows what we knew; the next sync reports the error */
	v->m = m;
	v->read_only = read_only;
	m->refs++;
	take_recent(v);
	v->next = m->views;
	m->views = v;
	v->end = mbox_slots(m);
	v->seen_events = m->first_event + m->n_events;
	copy_gone(v);
	return v;
}

void view_close(struct view **vp)
{
	struct view *v = *vp, **at;
	struct mbox *m;

	if (v == NULL)
		return;
	m = v->m;
	for (at = &m->views; *at != v; at = &(*at)->next)
		assert(*at != NULL);
	*at = v->next;
	for (size_t i = 0; i < m->n_events; i++)
		if (m->events[i].origin == v)
			m->events[i].origin = NULL;
	if (m->views == NULL) {
		m->first_event += m->n_events;
		m->n_events = 0;
	}
	free(v->hidden);
	free(v->pending);
	free(v);
	*vp = NULL;
	mbox_close(&m);
}

/* ---- numbers ---- */

static size_t hidden_below(const struct view *v, uint32_t slot)
{
	size_t lo = 0, hi = v->n_hidden;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v->hidden[mid] < slot)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t view_count(const struct view *v)
{
	return v->end - (uint32_t)v->n_hidden;
}

uint32_t view_slot(const struct view *v, uint32_t seq)
{
	size_t lo = 0, hi = v->n_hidden;

	assert(seq >= 1 && seq <= view_count(v));
	while (lo < hi) {                                             /* hidden[k] - k: how many seen slots are before the k-th hidden one */
		size_t mid = lo + (hi - lo) / 2;

		if (v->hidden[mid] - mid <= seq - 1)
			lo = mid + 1;
		else
			hi = mid;
	}
	return seq - 1 + (uint32_t)lo;
}

static uint32_t seq_of_slot(const struct view *v, uint32_t slot)
{
	size_t k = hidden_below(v, slot);

	if (slot >= v->end || (k < v->n_hidden && v->hidden[k] == slot))
		return 0;
	return slot + 1 - (uint32_t)k;
}

const struct mrec *view_get(const struct view *v, uint32_t seq)
{
	return mbox_rec(v->m, view_slot(v, seq));
}

uint32_t view_seq_of(const struct view *v, uint32_t uid)
{
	uint32_t slot = mbox_slot_of(v->m, uid);

	return slot == UINT32_MAX ? 0 : seq_of_slot(v, slot);
}

uint32_t view_seq_from(const struct view *v, uint32_t uid)
{
	uint32_t slot = mbox_slot_from(v->m, uid);

	if (slot >= v->end)
		return view_count(v) + 1;
	return slot + 1 - (uint32_t)hidden_below(v, slot);            /* a hidden slot: the next one that is not */
}

bool view_is_recent(const struct view *v, uint32_t seq)
{
	uint32_t uid = view_get(v, seq)->uid;

	return uid >= v->recent_from && uid < v->recent_to;
}

uint32_t view_recent(const struct view *v)
{
	return view_seq_from(v, v->recent_to) - view_seq_from(v, v->recent_from);
}

/* ---- sync ---- */

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void add_pending(struct view *v, uint32_t slot)
{
	if (slot >= v->end)
		return;
	if (v->n_pending == v->cap_pending) {
		v->cap_pending = v->cap_pending == 0 ? 16 : v->cap_pending * 2;
		v->pending = mem_grow(v->pending, v->cap_pending * sizeof *v->pending);
	}
	v->pending[v->n_pending++] = slot;
}

static void hide(struct view *v, uint32_t slot)
{
	size_t k = hidden_below(v, slot);

	v->hidden = mem_grow(v->hidden, (v->n_hidden + 1) * sizeof *v->hidden);
	memmove(v->hidden + k + 1, v->hidden + k, (v->n_hidden - k) * sizeof *v->hidden);
	v->hidden[k] = slot;
	v->n_hidden++;
}

/* All pending ones at once: merging keeps it linear where a session expunges 100,000. */
static void hide_pending(struct view *v)
{
	uint32_t *all;
	size_t i = v->n_hidden, k = v->n_pending, at = i + k;

	if (v->n_pending == 1) {
		hide(v, v->pending[0]);
		v->n_pending = 0;
		return;
	}
	all = v->hidden = mem_grow(v->hidden, (at + 1) * sizeof *all);
	v->n_hidden = at;
	while (k > 0)
		all[--at] = i > 0 && all[i - 1] > v->pending[k - 1] ? all[--i] : v->pending[--k];
	v->n_pending = 0;
}

static void tell_expunged(struct view *v, const struct view_events *ev, void *ctx)
{
	if (v->n_pending == 0)
		return;
	qsort(v->pending, v->n_pending, sizeof *v->pending, ascending);
	for (size_t i = v->n_pending; i-- > 0;)
		if (ev != NULL && ev->expunged != NULL)
			ev->expunged(ctx, seq_of_slot(v, v->pending[i]), mbox_rec(v->m, v->pending[i])->uid);
	hide_pending(v);
}

/* New events: expunges to `pending`, the slots whose flags changed to changed_out (sorted, once each, with a sequence number). */
static size_t take_events(struct view *v, uint32_t **changed_out)
{
	struct mbox *m = v->m;
	size_t from = (size_t)(v->seen_events - m->first_event), n = 0, kept = 0;
	uint32_t *changed = mem_array(m->n_events - from + 1, sizeof *changed);

	for (size_t i = from; i < m->n_events; i++) {
		const struct event *ev = &m->events[i];

		if (ev->expunged)
			add_pending(v, ev->slot);
		else if (ev->origin != v && ev->slot < v->end)
			changed[n++] = ev->slot;
	}
	v->seen_events = m->first_event + m->n_events;
	qsort(changed, n, sizeof *changed, ascending);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || changed[kept - 1] != changed[i])
			changed[kept++] = changed[i];
	*changed_out = changed;
	return kept;
}

static void tell_growth(struct view *v, const struct view_events *ev, void *ctx)
{
	struct mbox *m = v->m;
	uint32_t was = v->end;
	struct err ignored;
	struct txn t;

	v->end = mbox_slots(m);
	for (uint32_t slot = was; m->n_gone > 0 && slot < v->end; slot++)
		if (mbox_is_gone(m, slot))                            /* came and went between two looks */
			hide(v, slot);
	if (!v->read_only && m->recent_from < m->uidnext && mbox_begin(m, &ignored) == 0) {
		txn_init(m, &t);
		t.modseq = m->modseq;
		txn_recent(&t, m->uidnext);
		if (mbox_commit_quietly(m, &t, &ignored) == 0)
			v->recent_to = m->uidnext;
		txn_done(&t);
		mbox_end(m);
	}
	if (ev != NULL && ev->grown != NULL)
		ev->grown(ctx, view_count(v), view_recent(v));
}

/* Names follow flags within a second or so of somebody looking. */
static void flush_if_due(struct mbox *m)
{
	struct err ignored;

	if (m->dirty == 0 || m->dirty_since_ms == 0 || clock_mono_ms() - m->dirty_since_ms < CLOCK_MS_PER_S || mbox_begin(m, &ignored) != 0)
		return;
	if (mbox_flush_names(m, 256, &ignored) != 0) {}
	mbox_end(m);
}

int view_sync(struct view *v, bool expunges, const struct view_events *ev, void *ctx, struct err *e)
{
	uint32_t *changed;
	size_t n;

	if (mbox_refresh(v->m, e) != 0)
		return -1;
	flush_if_due(v->m);
	n = take_events(v, &changed);
	if (expunges)
		tell_expunged(v, ev, ctx);
	for (size_t i = 0; i < n; i++) {
		uint32_t seq = seq_of_slot(v, changed[i]);

		if (seq != 0 && !mbox_is_gone(v->m, changed[i]) && ev != NULL && ev->flags != NULL)
			ev->flags(ctx, seq);
	}
	free(changed);
	if (mbox_slots(v->m) > v->end)
		tell_growth(v, ev, ctx);
	trim_events(v->m);
	return 0;
}
