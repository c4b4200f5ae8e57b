/*
 * store/mbox_load.c - from disk to memory: the snapshot, the log behind it, and what others did since. Costs the size of the change.
 */
#include "store/folder.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"

/* When the machine started, by its clock: differs after a restart, the only event that can undo what a process had written. A step of the clock looks
   like one, which costs some UIDs and no more. */
int64_t mbox_boot_now(void)
{
	return clock_boot_s();
}

/* Asked again before the answer is no: where the clock was set, processes that began before and after must come to agree. */
bool box_is_same_boot(struct box *b, int64_t boot)
{
	if (boot - b->boot >= -2 && boot - b->boot <= 2)
		return true;
	b->boot = mbox_boot_now();
	return boot - b->boot >= -2 && boot - b->boot <= 2;
}

static int apply_record(void *ctx, struct slice payload, uint64_t at)
{
	(void)at;
	return mbox_apply(ctx, payload, NULL);
}

int mbox_read_log(struct mbox *m, bool *bad_out, struct err *e)
{
	return slog_read(&m->log, apply_record, m, bad_out, e);
}

static void take_head(struct mbox *m)
{
	const struct ihead *h = m->base.h;

	m->n_base = (uint32_t)h->count;
	m->uidnext = h->uidnext;
	m->recent_from = h->recent_from;
	m->modseq = h->modseq;
	m->octets = h->octets;
	m->unseen = h->unseen;
	m->deleted = h->deleted;
	m->dirty = h->dirty;
	m->racy = h->racy;
	m->stamp_new = h->stamp_new;
	m->stamp_cur = h->stamp_cur;
	m->boot = h->boot;
}

/* Does the log that is open continue the snapshot that is open? Puts log.end where to read on. */
static bool log_fits(struct mbox *m)
{
	const struct ihead *h = m->base.h;

	if (m->log.id == 0)
		return false;
	if (h == NULL)
		return m->log.base == 0;
	if (h->uidvalidity != m->uidvalidity)
		return false;
	if (m->log.id == h->log_before && h->log_before_end >= SLOG_HEADER) {
		m->log.end = h->log_before_end;
		return true;
	}
	return m->log.id == h->log_after;
}

/* 0: loaded; 1: what is there does not fit together. */
static int try_load(struct mbox *m, struct err *e)
{
	struct err why = ERR_INIT;
	bool bad;

	mbox_clear_state(m);
	m->uidnext = 1;
	m->recent_from = 1;
	m->modseq = 0;
	m->boot = 0;
	m->next_log = 0;
	if (meta_load(m, &why) != 0 || (sindex_open(&m->base, m->shelf, &why) != 0 && why.kind == ERR_TEMP))
		return why.kind == ERR_NOTFOUND || why.kind == ERR_SYNTAX ? 1 : (*e = why, -1);
	if (slog_open(&m->log, m->shelf, LOG_NAME, false, &why) != 0)
		return why.kind == ERR_NOTFOUND ? 1 : (*e = why, -1);
	if (!log_fits(m))
		return 1;
	if (m->base.h != NULL)
		take_head(m);
	if (mbox_read_log(m, &bad, e) != 0)
		return -1;
	return 0;
}

/* What try_load could not use becomes a new snapshot, under the lock, unless somebody else has just done it. */
static int load_locked(struct mbox *m, struct err *e)
{
	bool replaced;
	int rc;

	if (m->log.f == NULL && slog_open(&m->log, m->shelf, LOG_NAME, true, e) != 0)
		return -1;
	if (slog_lock(&m->log, &replaced, e) != 0)
		return -1;
	if (replaced) {
		slog_close(&m->log);
		return 1;
	}
	rc = mbox_rebuild(m, e);
	slog_close(&m->log);                                          /* and with it the lock */
	return rc == 0 ? 1 : -1;
}

int mbox_load(struct mbox *m, struct err *e)
{
	for (int turn = 0; turn < 8; turn++) {
		int rc = try_load(m, e);

		if (rc <= 0)
			return rc;
		if (load_locked(m, e) < 0)
			return -1;
	}
	return err_set(e, ERR_TEMP, 0, "%s: index and log do not come to rest", m->name);
}

/* ---- following others ---- */

static void adopt_slot(struct mbox *fresh, uint32_t from, struct slot *to)
{
	const struct mrec *r = mbox_rec(fresh, from);
	struct slice name;

	to->m = *r;
	to->cache_at = mbox_slot_cache(fresh, from);
	to->state = mbox_slot_state(fresh, from);
	free(to->name);
	to->name = NULL;
	if (mbox_slot_name(fresh, from, &name)) {
		to->name = mem_new(name.n + 1);
		for (size_t i = 0; i < name.n; i++)
			to->name[i] = name.p[i];
	} else {
		to->name = mem_str("");
	}
}

static bool slot_differs(struct mbox *m, uint32_t slot, struct mbox *fresh, uint32_t other)
{
	const struct mrec *a = mbox_rec(m, slot), *b = mbox_rec(fresh, other);
	struct slice x, y;

	return a->flags != b->flags || a->keywords != b->keywords || a->modseq != b->modseq || !mbox_slot_name(m, slot, &x) || !mbox_slot_name(fresh, other, &y) || !slice_eq(x, y);
}

static void insert_gone(struct mbox *m, uint32_t slot)
{
	size_t at = m->n_gone;

	m->gone = mem_grow(m->gone, (m->n_gone + 1) * sizeof *m->gone);
	m->cap_gone = m->n_gone + 1;
	for (; at > 0 && m->gone[at - 1] > slot; at--)
		m->gone[at] = m->gone[at - 1];
	m->gone[at] = slot;
	m->n_gone++;
}

/* Slots keep their numbers: what is no more becomes a hole, what changed is edited, what is new comes behind. */
static void reconcile(struct mbox *m, struct mbox *fresh)
{
	uint32_t n = mbox_slots(m), last = n == 0 ? 0 : mbox_rec(m, n - 1)->uid, at = 0;

	for (uint32_t slot = 0; slot < n; slot++) {
		uint32_t uid = mbox_rec(m, slot)->uid;

		while (at < mbox_slots(fresh) && mbox_rec(fresh, at)->uid < uid)
			at++;
		if (mbox_is_gone(m, slot))
			continue;
		if (at == mbox_slots(fresh) || mbox_rec(fresh, at)->uid != uid || mbox_is_gone(fresh, at)) {
			insert_gone(m, slot);
			mbox_remember_gone(m, uid, fresh->modseq);
			view_note(m, slot, true, NULL);
		} else if (slot_differs(m, slot, fresh, at)) {
			adopt_slot(fresh, at, mbox_edit(m, slot));
			view_note(m, slot, false, NULL);
		}
	}
	for (at = mbox_slot_from(fresh, last + 1); at < mbox_slots(fresh); at++) {
		struct slot *s;

		if (mbox_is_gone(fresh, at))
			continue;
		s = mem_new(sizeof *s);
		adopt_slot(fresh, at, s);
		m->tail = mem_grow(m->tail, (m->n_tail + 1) * sizeof *m->tail);
		m->tail[m->n_tail++] = s;
		m->cap_tail = m->n_tail;
	}
}

int mbox_reload(struct mbox *m, struct err *e)
{
	struct mbox fresh = { .box = m->box, .name = m->name, .disk = m->disk, .shelf = m->shelf };
	int rc;

	slog_close(&m->log);
	if (m->views == NULL)
		return mbox_load(m, e);
	slog_init(&fresh.log);
	scache_init(&fresh.cache);
	rc = mbox_load(&fresh, e);
	if (rc == 0 && fresh.uidvalidity != m->uidvalidity)
		rc = err_set(e, ERR_NOTFOUND, 0, "%s has another UIDVALIDITY now", m->name);
	if (rc == 0) {
		reconcile(m, &fresh);
		m->log = fresh.log;
		slog_init(&fresh.log);
		m->uidnext = fresh.uidnext, m->reserved = fresh.reserved, m->recent_from = fresh.recent_from;
		m->modseq = fresh.modseq, m->boot = fresh.boot, m->next_log = fresh.next_log;
		m->octets = fresh.octets, m->unseen = fresh.unseen, m->deleted = fresh.deleted, m->dirty = fresh.dirty;
		m->stamp_new = fresh.stamp_new, m->stamp_cur = fresh.stamp_cur, m->racy = fresh.racy;
		m->damaged = false;
		m->n_unlink = 0;
		for (size_t i = 0; i < LIMIT_KEYWORDS; i++) {           /* bits mean what posthouse.folder says now */
			char *was = i < m->n_keywords ? m->keyword[i] : NULL;

			m->keyword[i] = i < fresh.n_keywords ? fresh.keyword[i] : NULL;
			m->keyword_name[i] = slice_of(m->keyword[i]);
			free(was);
		}
		m->n_keywords = fresh.n_keywords;
		fresh.n_keywords = 0;
	}
	while (fresh.n_keywords > 0)
		free(fresh.keyword[--fresh.n_keywords]);
	slog_close(&fresh.log);
	scache_close(&fresh.cache);
	mbox_clear_state(&fresh);
	return rc;
}

/* Somebody removed the log, and we are the first to see it: flags that only it had go into the names, from which it is made anew. */
static void keep_flags(struct mbox *m)
{
	struct slog probe;
	struct err why;

	slog_init(&probe);
	if (m->dirty > 0 && m->log.f != NULL && slog_open(&probe, m->shelf, LOG_NAME, false, &why) != 0 && why.kind == ERR_NOTFOUND &&
	    mbox_flush_names(m, SIZE_MAX, &why) != 0) {}
	slog_close(&probe);
}

int mbox_switch_log(struct mbox *m, struct err *e)
{
	struct slog next;
	bool bad;

	slog_init(&next);
	if (m->log.f != NULL && mbox_read_log(m, &bad, e) != 0)
		return -1;
	if (m->next_log != 0 && slog_open(&next, m->shelf, LOG_NAME, false, e) == 0 && next.id == m->next_log) {
		slog_close(&m->log);
		m->log = next;
		m->next_log = 0;
		return mbox_read_log(m, &bad, e);
	}
	slog_close(&next);
	keep_flags(m);
	return mbox_reload(m, e);
}

static bool racy_is_due(const struct mbox *m)
{
	int64_t now = clock_wall_us() * 1000;

	return ((m->racy & 1) != 0 && now - m->stamp_new > RACY_NS) || ((m->racy & 2) != 0 && now - m->stamp_cur > RACY_NS);
}

/* Nothing but what the log said? Where bays lose their stamps in a power cut, a folder is looked through once after each start of the machine. */
static bool is_settled(struct mbox *m)
{
	return !m->damaged && !racy_is_due(m) && store_blob_stamp(m->shelf, BAY_NEW) == m->stamp_new && store_blob_stamp(m->shelf, BAY_CUR) == m->stamp_cur &&
	       (m->shelf->stamps_last || box_is_same_boot(m->box, m->boot));
}

int mbox_refresh(struct mbox *m, struct err *e)
{
	bool bad = false;
	int rc = 0;

	if (m->log.locked)
		return 0;                                             /* nobody else can have done anything */
	switch (slog_look(&m->log)) {
	case SLOG_SAME:
		break;
	case SLOG_GROWN:
		rc = mbox_read_log(m, &bad, e);
		break;
	case SLOG_REPLACED:
		rc = mbox_switch_log(m, e);
		break;
	}
	if (rc != 0)
		return -1;
	if (!bad && is_settled(m))
		return 0;
	if (mbox_begin(m, e) != 0)
		return -1;
	mbox_end(m);
	return 0;
}
