/*
 * store/mbox_fold.c - a new snapshot and an empty log behind it; and the same from nothing but the directory.
 *
 * The index is renamed into place before the log. It says up to where the old log is in it, and which log follows, so that it fits with either, and a
 * crash between the two renames leaves nothing to mend.
 */
#include "store/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/dirlist.h"

#define FOLD_MIN (64u << 10)
#define FOLD_MAX (1u << 20)
#define HISTORY_MAX 65536u
#define DONE_MAX 8192u
#define DONE_SECONDS 86400

bool mbox_wants_fold(const struct mbox *m)
{
	uint64_t limit = (uint64_t)m->n_base * sizeof(struct irec) / 16;

	if (limit < FOLD_MIN)
		limit = FOLD_MIN;
	return m->log.end > (limit > FOLD_MAX ? FOLD_MAX : limit);
}

static uint64_t fresh_id(void)
{
	uint64_t id = 0;

	while (id == 0)
		text_random(&id, sizeof id);
	return id;
}

struct carried { struct igone *gone; size_t n_gone; uint64_t floor; struct idone *done; size_t n_done; };

/* Expunges and deliveries that the next snapshot has to remember: of the last one and of the log. */
static void carry(const struct mbox *m, struct carried *c)
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

static int put_log(struct mbox *m, uint64_t id, uint64_t base, struct slog *out, struct err *e)
{
	char tmp[64];

	snprintf(tmp, sizeof tmp, "tmp/" LOG_NAME ".%016llx", (unsigned long long)id);
	slog_init(out);
	if (slog_open(out, m->dirfd, tmp, true, e) != 0)
		return -1;
	if (slog_begin(out, id, base, m->uidvalidity, e) == 0) {
		if (renameat(m->dirfd, tmp, m->dirfd, LOG_NAME) == 0)
			return 0;
		(void)err_set(e, err_kind_of(errno), errno, "%s", LOG_NAME);
	}
	(void)unlinkat(m->dirfd, tmp, 0);
	slog_close(out);
	return -1;
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

/* Snapshot of all that m has, to be continued by the log `next_id`. */
static int put_index(struct mbox *m, const struct carried *c, bool old_log_fits, uint64_t index_id, uint64_t next_id, struct err *e)
{
	struct ihead h = {
		.uidvalidity = m->uidvalidity, .log_before = old_log_fits ? m->log.id : 0, .log_before_end = m->log.end, .log_after = next_id,
		.modseq = m->modseq, .gone_floor = c->floor, .octets = m->octets, .uidnext = m->uidnext, .recent_from = m->recent_from,
		.unseen = m->unseen, .deleted = m->deleted, .dirty = m->dirty, .racy = m->racy,
		.stamp_new = m->stamp_new, .stamp_cur = m->stamp_cur, .boot = m->boot,
	};
	struct sindex_out *w = sindex_out_new(m->dirfd, index_id, mbox_count(m), c->gone, c->n_gone, c->done, c->n_done);
	int rc;

	add_live(m, w);
	rc = sindex_out_finish(w, &h, e);
	sindex_out_free(&w);
	return rc;
}

int mbox_fold(struct mbox *m, struct err *e)
{
	struct carried c = { 0 };
	uint64_t index_id = fresh_id(), next_id = fresh_id();
	struct slog next;
	struct txn t;
	int rc;

	if (mbox_finish_unlinks(m, e) != 0 || mbox_flush_names(m, 4096, e) != 0)
		return -1;
	carry(m, &c);
	rc = put_index(m, &c, true, index_id, next_id, e);
	if (rc == 0) {
		txn_init(m, &t);
		t.modseq = m->modseq;
		txn_ended(&t, next_id);
		rc = mbox_commit_quietly(m, &t, e);
		txn_done(&t);
	}
	free(c.gone);
	free(c.done);
	if (rc != 0 || put_log(m, next_id, index_id, &next, e) != 0)
		return -1;
	slog_close(&m->log);
	m->log = next;
	m->next_log = 0;
	quota_set(m);
	return m->views == NULL ? mbox_load(m, e) : 0;
}

/* ---- rebuild ---- */

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
	return f->n.has_uid && f->n.has_size && !f->in_new && f->n.uidvalidity == m->uidvalidity && (m->reserved == 0 || f->n.uid < m->reserved);
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

int mbox_rebuild(struct mbox *m, struct err *e)
{
	struct mbox r = { .box = m->box, .name = m->name, .dirfd = m->dirfd, .curfd = m->curfd, .newfd = m->newfd, .log = m->log };
	struct arena *a = arena_new(1u << 20);
	struct found *f = NULL;
	struct carried c = { 0 };
	size_t n = 0, left;
	uint64_t index_id = fresh_id();
	struct slog next;
	bool bad;
	int rc;

	rc = import_uidlist(m, e);
	r.stamp_cur = stamp_of(m->curfd);
	if (rc == 0)
		rc = dirlist(m->curfd, false, a, &f, &n, e);
	if (rc == 0)
		rc = identify(m, f, n, e);
	if (rc != 0)
		goto out;
	r.uidvalidity = m->uidvalidity;
	r.reserved = m->reserved;
	gather(m);
	r.modseq = (uint64_t)clock_wall_us();
	if (r.modseq <= m->modseq)
		r.modseq = m->modseq + 1;
	hand_keywords(m, &r);
	left = fill(m, &r, f, n, r.modseq);
	r.log.end = SLOG_HEADER;
	if (m->base.h == NULL && r.log.id != 0 && slog_read(&r.log, replay, &r, &bad, e) != 0)
		rc = -1;
	count(&r);
	r.uidnext = r.n_tail == 0 ? 1 : r.tail[r.n_tail - 1]->m.uid + 1;
	r.uidnext = r.uidnext > m->uidnext ? r.uidnext : m->uidnext;
	r.uidnext = r.uidnext > r.reserved ? r.uidnext : r.reserved;
	r.recent_from = m->recent_from > 1 ? m->recent_from : r.uidnext;
	r.boot = mbox_boot_now();
	if (left > 0)
		r.stamp_cur = 0;                                      /* they are adopted by the scan that this brings about */
	r.racy = clock_wall_us() * 1000 - r.stamp_cur < RACY_NS ? 2 : 0;
	carry(m, &c);
	if (m->base.h == NULL)
		c.floor = r.modseq;
	if (r.reserved < r.uidnext + 1) {
		r.reserved = r.uidnext + UID_BLOCK;
		rc = meta_save(&r, e);
	}
	if (rc == 0)
		rc = put_index(&r, &c, false, index_id, index_id ^ 1, e);
	if (rc == 0)
		rc = put_log(&r, index_id ^ 1, index_id, &next, e);
	if (rc == 0)
		slog_close(&next);
	free(c.gone);
	free(c.done);
out:
	hand_keywords(&r, m);
	slog_init(&r.log);
	mbox_clear_state(&r);
	arena_free(&a);
	return rc;
}
