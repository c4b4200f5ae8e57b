/*
 * store/view_change.c - flags, expunge, copy and move through a view.
 *
 * Expunge: the log says it first (that is the decision), then the files go, then the log says that they are gone; whoever finds the first without the
 * second finishes it. Move: one step of the store, so a message is never in both folders and never in neither. Copy: links, undone where one of them fails.
 */
#include "store/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define FRESH_SECONDS 120                                             /* a file older than this has been flushed by the kernel or a checkpoint */
#define SYNC_ONE_BY_ONE 16

/* ---- flags ---- */

static bool wants(const struct flag_change *ch, const struct mrec *r, uint64_t bits, uint32_t *flags_out, uint64_t *keywords_out)
{
	uint32_t flags = ch->op == FLAGS_SET ? ch->flags : ch->op == FLAGS_ADD ? r->flags | ch->flags : r->flags & ~ch->flags;
	uint64_t keywords = ch->op == FLAGS_SET ? bits : ch->op == FLAGS_ADD ? r->keywords | bits : r->keywords & ~bits;

	*flags_out = flags;
	*keywords_out = keywords;
	return flags != r->flags || keywords != r->keywords;
}

/* Keywords that are only to be taken away need not be known. */
static int bits_of(struct mbox *m, const struct flag_change *ch, struct txn *t, uint64_t *bits_out, struct err *e)
{
	if (ch->op != FLAGS_REMOVE)
		return mbox_keyword_bits(m, ch->keywords, ch->n_keywords, t, bits_out, e);
	*bits_out = 0;
	for (size_t i = 0; i < ch->n_keywords; i++)
		for (size_t k = 0; k < m->n_keywords; k++)
			if (slice_ieq(ch->keywords[i], m->keyword_name[k]))
				*bits_out |= 1ull << k;
	return 0;
}

static int store_flags(struct view *v, const uint32_t *seqs, size_t n, const struct flag_change *ch, struct txn *t, uint32_t *refused, size_t *n_refused, struct err *e)
{
	uint64_t bits = 0, keywords;
	uint32_t flags;

	if (bits_of(v->m, ch, t, &bits, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint32_t slot = view_slot(v, seqs[i]);
		const struct mrec *r = mbox_rec(v->m, slot);

		if (ch->unchangedsince != 0 && r->modseq > ch->unchangedsince)
			refused[(*n_refused)++] = seqs[i];
		else if (!mbox_is_gone(v->m, slot) && wants(ch, r, bits, &flags, &keywords))
			txn_flags(t, r->uid, flags, keywords);
	}
	return txn_is_empty(t) ? 0 : mbox_commit(v->m, t, v, e);
}

int view_store_flags(struct view *v, const uint32_t *seqs, size_t n, const struct flag_change *ch, struct arena *a, uint32_t **modified_out, size_t *n_modified_out, struct err *e)
{
	uint32_t *refused = arena_array(a, n + 1, sizeof *refused);
	size_t n_refused = 0;
	struct txn t;
	int rc;

	if (v->read_only)
		return err_set(e, ERR_DENIED, 0, "the folder was opened read-only");
	if (mbox_begin(v->m, e) != 0)
		return -1;
	txn_init(v->m, &t);
	rc = store_flags(v, seqs, n, ch, &t, refused, &n_refused, e);
	txn_done(&t);
	mbox_end(v->m);
	if (rc == 0 && modified_out != NULL) {
		*modified_out = refused;
		*n_modified_out = n_refused;
	}
	return rc;
}

/* ---- expunge ---- */

/* On a full disk the log can't say it first: the first message makes room for that, whatever happens. */
static void make_room(struct mbox *m, uint32_t slot)
{
	char path[MNAME_MAX + 1];
	struct err ignored;
	struct slice name;

	if (!mbox_slot_name(m, slot, &name) || name.n > MNAME_MAX)
		return;
	memcpy(path, name.p, name.n);
	path[name.n] = '\0';
	if (store_blob_delete(m->shelf, BAY_CUR, path, &ignored) != 0) {}
	m->stamps_moved = true;
}

static int expunge_slots(struct mbox *m, const uint32_t *slots, size_t n, bool durable, struct err *e)
{
	struct txn t;
	int rc;

	txn_init(m, &t);
	for (size_t i = 0; i < n; i++)
		txn_expunge(&t, mbox_rec(m, slots[i])->uid);
	rc = n == 0 ? 0 : mbox_commit(m, &t, NULL, e);
	if (rc != 0 && e->kind == ERR_LIMIT) {
		make_room(m, slots[0]);
		rc = mbox_commit(m, &t, NULL, e);
	}
	txn_done(&t);
	if (rc != 0 || n == 0)
		return rc;
	if (durable && slog_flush(&m->log, e) != 0)
		return -1;
	return mbox_finish_unlinks(m, e);
}

static int expunge(struct view *v, const uint32_t *seqs, size_t n, bool deleted_only, struct err *e)
{
	struct mbox *m = v->m;
	size_t most = seqs == NULL ? view_count(v) : n, kept = 0;
	uint32_t *slots;
	int rc;

	if (v->read_only)
		return err_set(e, ERR_DENIED, 0, "the folder was opened read-only");
	if (mbox_begin(m, e) != 0)
		return -1;
	slots = mem_array(most + 1, sizeof *slots);
	for (size_t i = 0; i < most && (m->deleted > 0 || !deleted_only); i++) {
		uint32_t slot = view_slot(v, seqs == NULL ? (uint32_t)i + 1 : seqs[i]);

		if (!mbox_is_gone(m, slot) && (!deleted_only || (mbox_rec(m, slot)->flags & MSG_DELETED) != 0))
			slots[kept++] = slot;
	}
	rc = expunge_slots(m, slots, kept, !deleted_only && kept > 1, e);
	free(slots);
	mbox_end(m);
	return rc;
}

int view_expunge(struct view *v, const uint32_t *seqs, size_t n, struct err *e)
{
	uint64_t before = v->m->modseq;

	if (expunge(v, seqs, n, true, e) != 0)
		return -1;
	return v->m->modseq == before ? 0 : mbox_sync(v->m, e);       /* who was told that it has gone will not look for it again */
}

int view_remove(struct view *v, const uint32_t *seqs, size_t n, struct err *e)
{
	return expunge(v, seqs, n, false, e);
}

/* ---- copy and move ---- */

struct transfer {
	struct mbox *src, *dst;
	bool move;
	struct txn t;
	uint32_t first, n;                                            /* UIDs taken */
	char **from, **to;                                            /* names, for the way back */
	size_t made, fresh;                                           /* how many are there; how many may not be on disk yet */
	bool *is_fresh;
};

/* Keywords are bits of a folder: the destination has its own. */
static int translate(struct transfer *x, uint64_t keywords, uint64_t *out, struct err *e)
{
	struct slice names[LIMIT_KEYWORDS];
	size_t n = 0;

	for (size_t i = 0; i < x->src->n_keywords; i++)
		if ((keywords >> i & 1) != 0)
			names[n++] = x->src->keyword_name[i];
	*out = 0;
	return n == 0 ? 0 : mbox_keyword_bits(x->dst, names, n, &x->t, out, e);
}

static char *new_name(struct transfer *x, struct slice old, const struct mrec *r, uint64_t keywords, uint32_t uid)
{
	struct mname n;
	struct buf b, stem;
	char *name = NULL;

	buf_init(&b, BUF_UNBOUNDED);
	buf_init(&stem, BUF_UNBOUNDED);
	if (mname_parse(old, &n) == 0) {
		n.has_uid = true;
		n.uidvalidity = x->dst->uidvalidity;
		n.uid = uid;
		n.flags = r->flags;
		n.keywords = keywords;
		n.date = r->internaldate;
		if (mname_put(&n, &b) != 0) {
			unique_stem(x->dst->box, n.date, NULL, &stem);
			n.stem = buf_view(&stem);
			if (mname_put(&n, &b) != 0)
				buf_reset(&b);
		}
		name = b.len > 0 ? mem_str(buf_str(&b)) : NULL;
	}
	buf_done(&b);
	buf_done(&stem);
	return name;
}

static int place_one(struct transfer *x, const char *from, const char *to, bool *fresh_out, struct err *e)
{
	struct err ignored;
	struct blob_info st;
	int rc = x->move ? store_blob_move(x->src->shelf, BAY_CUR, from, x->dst->shelf, to, e) : store_blob_link(x->src->shelf, from, x->dst->shelf, to, e);

	if (rc != 0)
		return err_context(e, "%s to %s", x->move ? "moving" : "copying", x->dst->name);
	*fresh_out = store_blob_stat(x->dst->shelf, BAY_CUR, to, &st, &ignored) != 0 || clock_wall_s() - st.mtime < FRESH_SECONDS;
	return 0;
}

static int transfer_one(struct transfer *x, uint32_t slot, struct err *e)
{
	const struct mrec *r = mbox_rec(x->src, slot);
	struct slot s = { .m = *r, .state = mbox_slot_state(x->src, slot) & SLOT_LF };
	struct slice old;
	size_t i = x->made;

	s.m.uid = x->first + (uint32_t)i;
	s.m.modseq = x->t.modseq;
	if (!mbox_slot_name(x->src, slot, &old))
		return err_set(e, ERR_NOTFOUND, 0, "a message has gone");
	if (translate(x, r->keywords, &s.m.keywords, e) != 0)
		return -1;
	x->from[i] = mem_new(old.n + 1);
	memcpy(x->from[i], old.p, old.n);
	x->to[i] = new_name(x, old, r, s.m.keywords, s.m.uid);
	if (x->to[i] == NULL)
		return err_set(e, ERR_TEMP, 0, "a message's file name can't be read");
	if (place_one(x, x->from[i], x->to[i], &x->is_fresh[i], e) != 0)
		return -1;
	x->fresh += x->is_fresh[i];
	x->made++;
	txn_add(&x->t, &s, slice_of(x->to[i]), 0);
	return 0;
}

static void undo(struct transfer *x)
{
	struct err ignored;

	for (size_t i = 0; i < x->made; i++) {
		int rc = x->move ? store_blob_move(x->dst->shelf, BAY_CUR, x->to[i], x->src->shelf, x->from[i], &ignored) :
		    store_blob_delete(x->dst->shelf, BAY_CUR, x->to[i], &ignored);

		if (rc != 0) {}                                       /* the next scan sees what is there */
	}
}

/* The octets first, where they may be young; then the names. */
static int make_durable(struct transfer *x, struct err *e)
{
	int rc = 0;

	if (x->fresh > SYNC_ONE_BY_ONE)
		rc = store_shelf_flush(x->dst->shelf, FLUSH_ALL, e);
	for (size_t i = 0; rc == 0 && x->fresh <= SYNC_ONE_BY_ONE && i < x->n; i++)
		if (x->is_fresh[i])
			rc = store_blob_flush(x->dst->shelf, x->to[i], e);
	return rc == 0 ? store_shelf_flush(x->dst->shelf, FLUSH_NAMES, e) : -1;
}

static int transfer_locked(struct transfer *x, const uint32_t *slots, struct err *e)
{
	uint64_t octets = 0;

	for (uint32_t i = 0; i < x->n; i++) {
		if (mbox_is_gone(x->src, slots[i]))
			return err_set(e, ERR_NOTFOUND, 0, "a message was expunged meanwhile");
		octets += mbox_rec(x->src, slots[i])->size;
	}
	if (!x->move && quota_check(x->dst, octets, x->n, e) != 0)
		return -1;
	if (mbox_take_uids(x->dst, x->n, &x->first, e) != 0)
		return -1;
	for (uint32_t i = 0; i < x->n; i++)
		if (transfer_one(x, slots[i], e) != 0) {
			undo(x);
			return -1;
		}
	x->dst->stamps_moved = true;
	if (make_durable(x, e) == 0 && mbox_commit(x->dst, &x->t, NULL, e) == 0)
		return 0;
	undo(x);
	return -1;
}

/* Both locks, always in the same order. */
static int lock_both(struct transfer *x, struct err *e)
{
	struct mbox *a = x->src, *b = x->dst;

	if (!x->move || a == b)
		return mbox_begin(b, e);
	if (a->uidvalidity > b->uidvalidity)
		a = x->dst, b = x->src;
	if (mbox_begin(a, e) != 0)
		return -1;
	if (mbox_begin(b, e) == 0)
		return 0;
	mbox_end(a);
	return -1;
}

static void unlock_both(struct transfer *x)
{
	mbox_end(x->dst);
	if (x->move && x->src != x->dst)
		mbox_end(x->src);
}

static void transfer_free(struct transfer *x)
{
	for (uint32_t i = 0; i < x->n; i++) {
		free(x->from[i]);
		free(x->to[i]);
	}
	free(x->from);
	free(x->to);
	free(x->is_fresh);
	txn_done(&x->t);
}

/* After a move the files have left the source by themselves. */
static int leave_source(struct transfer *x, const uint32_t *slots, struct err *e)
{
	struct txn t;
	int rc;

	txn_init(x->src, &t);
	for (uint32_t i = 0; i < x->n; i++)
		txn_expunge(&t, mbox_rec(x->src, slots[i])->uid);
	txn_unlinked(&t);
	x->src->stamps_moved = true;
	rc = mbox_commit(x->src, &t, NULL, e);
	txn_done(&t);
	return rc;
}

static int transfer_once(struct view *v, const uint32_t *seqs, size_t n, struct mbox *dst, bool move, struct uid_range *out, struct err *e)
{
	struct transfer x = { .src = v->m, .dst = dst, .move = move, .n = (uint32_t)n };
	uint32_t *slots;
	int rc;

	if (lock_both(&x, e) != 0)
		return -1;
	slots = mem_array(n, sizeof *slots);
	x.from = mem_array(n, sizeof *x.from);
	x.to = mem_array(n, sizeof *x.to);
	x.is_fresh = mem_array(n, sizeof *x.is_fresh);
	for (size_t i = 0; i < n; i++)
		slots[i] = view_slot(v, seqs[i]);
	txn_init(dst, &x.t);
	rc = transfer_locked(&x, slots, e);
	if (rc == 0 && move)
		rc = leave_source(&x, slots, e);
	unlock_both(&x);
	if (rc == 0)
		*out = (struct uid_range){ x.first, x.first + x.n - 1 };
	transfer_free(&x);
	free(slots);
	return rc;
}

/* Without the source's lock (which, taken behind the destination's, could deadlock) a name may change under us: look again, try again. */
static int transfer(struct view *v, const uint32_t *seqs, size_t n, struct mbox *dst, bool move, struct uid_range *out, struct err *e)
{
	int rc = -1;

	if (n == 0 || n > UINT32_MAX / 2)
		return err_set(e, ERR_SYNTAX, 0, "no messages to copy");
	if (quota_prepare(dst->box, e) != 0)
		return -1;
	for (int turn = 0; turn < 3 && rc != 0; turn++) {
		rc = transfer_once(v, seqs, n, dst, move, out, e);
		if (rc != 0 && (e->kind != ERR_NOTFOUND || mbox_refresh(v->m, e) != 0))
			break;
	}
	return rc;
}

int view_copy(struct view *v, const uint32_t *seqs, size_t n, struct mbox *dst, struct uid_range *dst_uids_out, struct err *e)
{
	return transfer(v, seqs, n, dst, false, dst_uids_out, e);
}

int view_move(struct view *v, const uint32_t *seqs, size_t n, struct mbox *dst, struct uid_range *dst_uids_out, struct err *e)
{
	if (v->read_only)
		return err_set(e, ERR_DENIED, 0, "the folder was opened read-only");
	return transfer(v, seqs, n, dst, true, dst_uids_out, e);
}
