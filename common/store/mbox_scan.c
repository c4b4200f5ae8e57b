/*
 * store/mbox_scan.c - files that other programs put, renamed or removed: procmail in new/, mutt in cur/, rsync anywhere; and what a crash left behind.
 *
 * We ourselves write to cur/ only, so new/ holds foreign files alone: looking at it costs nothing, however large the folder is. A file gets its UID by
 * a rename into cur/ under a name of ours. The whole of cur/ is read only when its time is not the one that our last transaction noted.
 */
#include "store/folder.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/dirlist.h"

#define SWALLOW 16                                                    /* so many renames of ours take long enough to hide one of somebody else */

static bool same_folder(const struct mbox *m, const struct found *f)
{
	return f->n.has_uid && f->n.uidvalidity == m->uidvalidity;
}

/* UIDs that may be in names of ours and in no log: from the last that is known on. Not those of `gone`, which were expunged. */
struct untold { uint32_t from; struct uid_range *gone; size_t n_gone; };

static bool was_expunged(const struct untold *u, uint32_t uid)
{
	size_t lo = 0, hi = u->n_gone;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (u->gone[mid].last < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < u->n_gone && u->gone[lo].first <= uid;
}

/* A file that one of us named and could not tell of: killed before, or a power cut took what the log said of it. UIDNEXT has then moved on already. */
static bool is_ours(const struct mbox *m, const struct found *f, const struct untold *u)
{
	return same_folder(m, f) && f->n.has_size && f->bay == BAY_CUR && f->n.uid >= u->from && f->n.uid < m->reserved && !was_expunged(u, f->n.uid);
}

static void look_for_untold(struct mbox *m, const struct found *f, size_t n, struct arena *a, struct untold *u)
{
	uint32_t slots = mbox_slots(m);

	*u = (struct untold){ .from = slots == 0 ? 1 : mbox_rec(m, slots - 1)->uid + 1 };
	for (size_t i = 0; i < n; i++)
		if (same_folder(m, &f[i]) && f[i].n.uid >= u->from && f[i].n.uid < m->uidnext) {
			mbox_vanished(m, m->base.h == NULL ? 0 : m->base.h->gone_floor, a, &u->gone, &u->n_gone);
			return;
		}
}

static int in_order(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->n.uid != y->n.uid)
		return x->n.uid < y->n.uid ? -1 : 1;
	if (x->n.date != y->n.date)
		return x->n.date < y->n.date ? -1 : 1;
	return strcmp(x->name.p, y->name.p);
}

static int measure(struct mbox *m, struct found *f, struct err *e)
{
	int64_t mtime;

	uint64_t named = f->n.has_size ? f->n.size : UINT64_MAX;

	if (message_measure(m->shelf, f->bay, f->name.p, &f->n.file_size, &f->n.size, &mtime, e) != 0)
		return -1;
	f->is_torn = named != f->n.file_size;
	f->n.has_size = true;
	f->n.has_lf = f->n.size != f->n.file_size;
	if (!f->n.has_uid || f->n.date < 0)
		f->n.date = mtime < 0 ? 0 : mtime;
	return 0;
}

static int put_name(struct mbox *m, struct found *f, struct buf *out)
{
	struct buf stem;
	int rc;

	if (mname_put(&f->n, out) == 0)
		return 0;
	buf_init(&stem, BUF_UNBOUNDED);
	unique_stem(m->box, f->n.date, NULL, &stem);
	f->n.stem = buf_view(&stem);
	rc = mname_put(&f->n, out);
	buf_done(&stem);
	return rc;
}

/* A deliverer died between placing the file and saying so in the log: the id in the name still tells that it was delivered (box_deliver). */
static uint64_t hash_of_id(struct slice stem)
{
	ptrdiff_t first = slice_chr(stem, '.'), second;

	if (first < 0)
		return 0;
	stem = slice_from(stem, (size_t)first + 1);
	second = slice_chr(stem, '.');
	return second > 0 ? hash_stable(slice_head(stem, (size_t)second)) : 0;
}

static void add(struct txn *t, const struct found *f, struct slice name)
{
	struct slot s = { .m = { f->n.uid, f->n.flags, f->n.keywords, t->modseq, f->n.size, f->n.date }, .state = f->n.has_lf ? SLOT_LF : 0 };

	txn_add(t, &s, name, f->is_torn ? 0 : hash_of_id(f->n.stem));
}

enum { ADOPTED = 0, SKIPPED, LATER };

/* Gives f a name with a UID of ours, or skips it: it has gone, or is not to be had. LATER: perhaps the next time. */
static int adopt(struct mbox *m, struct txn *t, struct found *f, uint32_t uid, struct err *e)
{
	struct err why;
	struct buf name;
	int rc;

	if (measure(m, f, &why) != 0)
		return why.kind == ERR_NOTFOUND || why.kind == ERR_DENIED ? SKIPPED : LATER;
	if (!same_folder(m, f))
		f->n.keywords = 0;                                    /* letters of another folder mean other words */
	f->n.has_uid = true;
	f->n.uidvalidity = m->uidvalidity;
	f->n.uid = uid;
	buf_init(&name, BUF_UNBOUNDED);
	rc = put_name(m, f, &name);
	if (rc == 0 && store_blob_move(m->shelf, f->bay, f->name.p, m->shelf, buf_str(&name), e) != 0)
		rc = e->kind == ERR_NOTFOUND ? SKIPPED : err_context(e, "adopting a message in %s", m->name);
	if (rc == ADOPTED)
		add(t, f, buf_view(&name));
	buf_done(&name);
	return rc;
}

/* First ours, by their UIDs; then the rest, in the order of their dates, with new UIDs. *later_out: look again, not all could be had now. */
static int adopt_all(struct mbox *m, struct txn *t, struct found *f, size_t n, struct arena *a, bool *later_out, struct err *e)
{
	uint32_t next = m->uidnext, first;
	struct untold u;
	size_t strange;

	look_for_untold(m, f, n, a, &u);
	for (size_t i = 0; i < n; i++)
		if (!is_ours(m, &f[i], &u))
			f[i].n.uid = UINT32_MAX;
	qsort(f, n, sizeof *f, in_order);
	for (size_t i = n; i-- > 1;)
		if (f[i].n.uid == f[i - 1].n.uid)                     /* two of one UID: the second gets its own */
			f[i].n.uid = UINT32_MAX;
	qsort(f, n, sizeof *f, in_order);
	for (strange = 0; strange < n && f[n - 1 - strange].n.uid == UINT32_MAX;)
		strange++;
	if (strange < n && f[n - 1 - strange].n.uid >= next)
		next = f[n - 1 - strange].n.uid + 1;
	m->stamps_moved = true;
	for (size_t i = 0; i < n - strange; i++)
		add(t, &f[i], f[i].name);
	if (strange == 0)
		return 0;
	if (mbox_take_uids(m, next - m->uidnext + (uint32_t)strange, &first, e) != 0)
		return -1;
	for (size_t i = n - strange; i < n; i++) {
		int rc = adopt(m, t, &f[i], next, e);

		if (rc < 0)
			return -1;
		next += rc == ADOPTED;
		*later_out = *later_out || rc == LATER;
	}
	return 0;
}

static void set_racy(struct mbox *m, uint32_t bit, int64_t stamp)
{
	m->racy &= ~bit;
	if (clock_wall_us() * 1000 - stamp < RACY_NS)
		m->racy |= bit;
}

int mbox_scan_new(struct mbox *m, struct err *e)
{
	struct arena *a = arena_new(0);
	struct found *f;
	bool later = false;
	struct txn t;
	size_t n;
	int rc;

	txn_init(m, &t);
	rc = dirlist(m->shelf, BAY_NEW, a, &f, &n, e);
	if (rc == 0 && n > 0)
		rc = adopt_all(m, &t, f, n, a, &later, e);
	if (rc == 0) {
		m->stamp_new = store_blob_stamp(m->shelf, BAY_NEW);
		set_racy(m, 1, m->stamp_new);
		m->racy |= (n > SWALLOW ? 2u : 0) | (later ? 1u : 0);
		if (n == 0)
			t.modseq = m->modseq;
		rc = mbox_commit(m, &t, NULL, e);
	}
	txn_done(&t);
	arena_free(&a);
	return rc;
}

/* ---- cur/ ---- */

/* Another program renamed it: its flags are what that program made them, seen from the flags that it found in the old name. */
static void renamed(struct mbox *m, struct txn *t, uint32_t slot, struct slice old, const struct found *f)
{
	const struct mrec *r = mbox_rec(m, slot);
	struct mname was;
	uint32_t flags = f->n.flags;
	uint64_t keywords = f->n.keywords;

	if (mname_parse(old, &was) == 0 && (mbox_slot_state(m, slot) & SLOT_DIRTY) != 0) {
		flags = (r->flags & ~(was.flags ^ f->n.flags)) | (f->n.flags & (was.flags ^ f->n.flags));
		keywords = (r->keywords & ~(was.keywords ^ f->n.keywords)) | (f->n.keywords & (was.keywords ^ f->n.keywords));
	}
	if (flags != r->flags || keywords != r->keywords)
		txn_flags(t, r->uid, flags, keywords);
	txn_name(t, r->uid, (mbox_slot_state(m, slot) & ~(uint32_t)SLOT_DIRTY) | (flags != f->n.flags || keywords != f->n.keywords ? SLOT_DIRTY : 0), f->name);
}

/* Sorts out what is known; the others go to the front of f. Returns how many those are. */
static size_t match(struct mbox *m, struct txn *t, struct found *f, size_t n, unsigned char *seen)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		uint32_t slot = same_folder(m, &f[i]) ? mbox_slot_of(m, f[i].n.uid) : UINT32_MAX;
		struct slice old;

		if (slot == UINT32_MAX || mbox_is_gone(m, slot) || seen[slot] != 0) {
			f[left++] = f[i];
			continue;
		}
		seen[slot] = 1;
		if (!mbox_slot_name(m, slot, &old) || !slice_eq(old, f[i].name))
			renamed(m, t, slot, old, &f[i]);
	}
	return left;
}

static void miss(struct mbox *m, struct txn *t, const unsigned char *seen)
{
	bool any = false;

	for (uint32_t slot = 0; slot < mbox_slots(m); slot++)
		if (seen[slot] == 0 && !mbox_is_gone(m, slot)) {
			txn_expunge(t, mbox_rec(m, slot)->uid);
			any = true;
		}
	if (any)
		txn_unlinked(t);
}

static int scan_once(struct mbox *m, bool last, bool *again_out, struct err *e)
{
	struct arena *a = arena_new(0);
	unsigned char *seen = mem_new((size_t)mbox_slots(m) + 1);
	int64_t before = store_blob_stamp(m->shelf, BAY_CUR);
	struct found *f;
	bool later = false;
	struct txn t;
	size_t n;
	int rc;

	txn_init(m, &t);
	rc = dirlist(m->shelf, BAY_CUR, a, &f, &n, e);
	*again_out = rc == 0 && !last && store_blob_stamp(m->shelf, BAY_CUR) != before;
	if (rc == 0 && !*again_out) {
		n = match(m, &t, f, n, seen);
		if (store_blob_stamp(m->shelf, BAY_CUR) == before)
			miss(m, &t, seen);                            /* a listing during renames may lack a name that is there */
		m->stamp_cur = before;
		if (n > 0)
			rc = adopt_all(m, &t, f, n, a, &later, e);
		set_racy(m, 2, before);
		m->racy |= later || (n > 0 && !txn_is_empty(&t)) ? 2u : 0;
		if (txn_is_empty(&t))
			t.modseq = m->modseq;
		if (rc == 0)
			rc = mbox_commit(m, &t, NULL, e);
	}
	txn_done(&t);
	free(seen);
	arena_free(&a);
	return rc;
}

int mbox_scan_cur(struct mbox *m, struct err *e)
{
	bool again = true;
	int rc = 0;

	for (int turn = 0; turn < 4 && again && rc == 0; turn++)
		rc = scan_once(m, turn == 3, &again, e);
	return rc;
}

/* ---- the lock, and all that has to be in order before a change ---- */

static int after_restart(struct mbox *m, struct err *e)
{
	struct txn t;
	int rc;

	if (box_is_same_boot(m->box, m->boot))
		return 0;
	if (!m->shelf->stamps_last)
		m->stamp_new = m->stamp_cur = 0;
	txn_init(m, &t);
	t.modseq = m->modseq;
	txn_next(&t, m->uidnext > m->reserved ? m->uidnext : m->reserved, m->box->boot);
	rc = mbox_commit(m, &t, NULL, e);
	txn_done(&t);
	return rc;
}

/* What to look at is decided first: each transaction of ours notes the directory's time anew. */
static int look_around(struct mbox *m, struct err *e)
{
	int64_t now = m->racy == 0 ? 0 : clock_wall_us() * 1000, seen_new = store_blob_stamp(m->shelf, BAY_NEW), seen_cur = store_blob_stamp(m->shelf, BAY_CUR);
	bool look_new = seen_new != m->stamp_new || ((m->racy & 1) != 0 && now - seen_new > RACY_NS);
	bool look_cur = seen_cur != m->stamp_cur || ((m->racy & 2) != 0 && now - seen_cur > RACY_NS);

	if (mbox_finish_unlinks(m, e) != 0)
		return -1;
	if (look_cur && mbox_scan_cur(m, e) != 0)
		return -1;
	return look_new ? mbox_scan_new(m, e) : 0;
}

/* Under the lock. 1: what is there can't be written behind; it has been rebuilt, or must be. */
static int settle(struct mbox *m, struct err *e)
{
	bool bad = m->log.size < m->log.end;                          /* somebody cut it */

	if (m->log.id != 0 && m->log.size > m->log.end && mbox_read_log(m, &bad, e) != 0)
		return -1;
	if (m->log.id != 0 && !bad && !m->damaged)
		return after_restart(m, e) != 0 || look_around(m, e) != 0 ? -1 : 0;
	return mbox_rebuild(m, e) != 0 || mbox_reload(m, e) != 0 ? -1 : 1;
}

static int sweep_one(void *ctx, const char *name)
{
	struct mbox *m = ctx;
	struct err ignored;

	if (slice_starts(slice_of(name), SLICE("posthouse.")) && store_blob_delete(m->shelf, BAY_TMP, name, &ignored) != 0) {}
	return 0;
}

/* A writer that was killed while it folded leaves a half-made log or index. Whoever has the lock next knows that nobody is at it. */
static void sweep_tmp(struct mbox *m)
{
	struct err ignored;

	m->swept = true;
	if (store_blob_list(m->shelf, BAY_TMP, sweep_one, m, &ignored) != 0) {}
}

int mbox_begin(struct mbox *m, struct err *e)
{
	for (int turn = 0; turn < 16; turn++) {
		bool replaced;
		int rc;

		assert(!m->log.locked);
		if (m->log.f == NULL && mbox_reload(m, e) != 0)
			return -1;
		if (slog_lock(&m->log, &replaced, e) != 0)
			return -1;
		rc = replaced ? mbox_switch_log(m, e) : settle(m, e);
		if (rc < 0) {
			slog_unlock(&m->log);
			return -1;
		}
		if (rc == 0 && !replaced) {
			if (!m->swept)
				sweep_tmp(m);
			return 0;
		}
	}
	return err_set(e, ERR_TEMP, 0, "%s: the log does not come to rest", m->name);
}

void mbox_end(struct mbox *m)
{
	struct err ignored;

	quota_release(m->box);
	if (mbox_wants_fold(m) && mbox_fold(m, &ignored) != 0) {}     /* the log goes on growing; the next one tries again */
	slog_unlock(&m->log);
}
