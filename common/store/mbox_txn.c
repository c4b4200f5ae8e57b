/*
 * store/mbox_txn.c - transactions, the writer's side: operations in a buffer, committed to the log, and what goes with that.
 */
#include "store/mbox_op.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

/* ---- writing ---- */

static void put32(struct buf *b, uint32_t v)
{
	char p[4];

	num_put_le32(p, v);
	buf_put(b, slice_mem(p, sizeof p));
}

static void put64(struct buf *b, uint64_t v)
{
	char p[8];

	num_put_le64(p, v);
	buf_put(b, slice_mem(p, sizeof p));
}

static void put_op(struct txn *t, enum op op, uint32_t uid)
{
	put32(&t->b, (uint32_t)op);
	put32(&t->b, uid);
}

static void put_text(struct txn *t, struct slice s)
{
	put32(&t->b, (uint32_t)s.n);
	buf_put(&t->b, s);
}

void txn_init(struct mbox *m, struct txn *t)
{
	static const char head[TXN_HEAD];
	uint64_t now = (uint64_t)clock_wall_us();

	buf_init(&t->b, BUF_UNBOUNDED);
	buf_put(&t->b, slice_mem(head, sizeof head));
	t->modseq = now > m->modseq ? now : m->modseq + 1;
}

void txn_done(struct txn *t)
{
	buf_done(&t->b);
}

bool txn_is_empty(const struct txn *t)
{
	return t->b.len == TXN_HEAD;
}

void txn_add(struct txn *t, const struct slot *s, struct slice name, uint64_t id_hash)
{
	put_op(t, OP_ADD, s->m.uid);
	put32(&t->b, s->m.flags);
	put32(&t->b, s->state);
	put64(&t->b, s->m.keywords);
	put64(&t->b, s->m.size);
	put64(&t->b, (uint64_t)s->m.internaldate);
	put64(&t->b, s->cache_at);
	put64(&t->b, id_hash);
	put_text(t, name);
}

void txn_flags(struct txn *t, uint32_t uid, uint32_t flags, uint64_t keywords)
{
	put_op(t, OP_FLAGS, uid);
	put32(&t->b, flags);
	put64(&t->b, keywords);
}

void txn_expunge(struct txn *t, uint32_t uid)
{
	put_op(t, OP_EXPUNGE, uid);
}

void txn_unlinked(struct txn *t)
{
	put_op(t, OP_UNLINKED, 0);
}

void txn_name(struct txn *t, uint32_t uid, uint32_t state, struct slice name)
{
	put_op(t, OP_NAME, uid);
	put32(&t->b, state);
	put_text(t, name);
}

void txn_cache(struct txn *t, uint32_t uid, uint64_t at)
{
	put_op(t, OP_CACHE, uid);
	put64(&t->b, at);
}

void txn_recent(struct txn *t, uint32_t uid)
{
	put_op(t, OP_RECENT, uid);
}

void txn_next(struct txn *t, uint32_t uidnext, int64_t boot)
{
	put_op(t, OP_NEXT, uidnext);
	put64(&t->b, (uint64_t)boot);
}

void txn_keyword(struct txn *t, unsigned bit, struct slice name)
{
	put_op(t, OP_KEYWORD, bit);
	put_text(t, name);
}

void txn_ended(struct txn *t, uint64_t next_log)
{
	put_op(t, OP_ENDED, 0);
	put64(&t->b, next_log);
}

/* ---- the writer's side ---- */

void mbox_stamp(struct mbox *m)
{
	m->stamp_cur = store_blob_stamp(m->shelf, BAY_CUR);
	m->stamps_moved = false;
}

static int commit(struct mbox *m, struct txn *t, const struct view *origin, struct err *e)
{
	if (m->stamps_moved)
		mbox_stamp(m);
	num_put_le64(t->b.p, t->modseq);
	num_put_le64(t->b.p + 8, (uint64_t)m->stamp_new);
	num_put_le64(t->b.p + 16, (uint64_t)m->stamp_cur);
	num_put_le32(t->b.p + 24, m->racy);
	quota_touch(m);
	if (slog_append(&m->log, buf_view(&t->b), e) != 0) {
		quota_set(m);
		return -1;
	}
	if (mbox_apply(m, buf_view(&t->b), origin) != 0)
		return err_set(e, ERR_TEMP, 0, "mailbox log: our own record can't be applied");
	quota_set(m);
	if (m->dirty > 0 && m->dirty_since_ms == 0)
		m->dirty_since_ms = clock_mono_ms();
	return 0;
}

int mbox_commit(struct mbox *m, struct txn *t, const struct view *origin, struct err *e)
{
	if (commit(m, t, origin, e) != 0)
		return -1;
	notify_send(m->box);
	return 0;
}

/* Of nothing that anybody waits for: names, cache. */
int mbox_commit_quietly(struct mbox *m, struct txn *t, struct err *e)
{
	return commit(m, t, NULL, e);
}

int mbox_take_uids(struct mbox *m, uint32_t n, uint32_t *first_out, struct err *e)
{
	if (m->uidnext > UINT32_MAX - n - UID_BLOCK - 1)
		return err_set(e, ERR_TEMP, 0, "%s: no UIDs left; posthouse verify --repair gives it a new UIDVALIDITY", m->name);
	if (m->uidnext + n > m->reserved) {
		uint32_t was = m->reserved;

		m->reserved = m->uidnext + n + UID_BLOCK;
		if (meta_save(m, e) != 0) {
			m->reserved = was;
			return -1;
		}
	}
	*first_out = m->uidnext;
	return 0;
}

static int keyword_bit(const struct mbox *m, struct slice name)
{
	for (size_t i = 0; i < m->n_keywords; i++)
		if (slice_ieq(m->keyword_name[i], name))
			return (int)i;
	return -1;
}

static bool keyword_is_valid(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!ascii_is_print(s.p[i]) || strchr(" (){%*\"\\]", s.p[i]) != NULL)
			return false;
	return s.n > 0 && s.n <= LIMIT_KEYWORD;
}

static int add_keyword(struct mbox *m, struct slice name, struct err *e)
{
	if (!keyword_is_valid(name))
		return err_set(e, ERR_SYNTAX, 0, "not a keyword, or over %d octets", LIMIT_KEYWORD);
	if (m->n_keywords == LIMIT_KEYWORDS)
		return err_set(e, ERR_LIMIT, 0, "%s has %d keywords already", m->name, LIMIT_KEYWORDS);
	m->keyword[m->n_keywords] = mbox_str(name);
	m->keyword_name[m->n_keywords] = slice_of(m->keyword[m->n_keywords]);
	m->n_keywords++;
	return 0;
}

/* New names go to posthouse.folder first (durable), then, for who has the folder open, to the log. */
int mbox_keyword_bits(struct mbox *m, const struct slice *names, size_t n, struct txn *t, uint64_t *bits_out, struct err *e)
{
	size_t before = m->n_keywords;
	uint64_t bits = 0;
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		if (keyword_bit(m, names[i]) < 0)
			rc = add_keyword(m, names[i], e);
		if (rc == 0)
			bits |= 1ull << keyword_bit(m, names[i]);
	}
	if (rc == 0 && m->n_keywords > before)
		rc = meta_save(m, e);
	if (rc != 0) {
		while (m->n_keywords > before)
			free(m->keyword[--m->n_keywords]);
		return -1;
	}
	for (size_t i = before; i < m->n_keywords; i++)
		txn_keyword(t, (unsigned)i, m->keyword_name[i]);
	*bits_out = bits;
	return 0;
}

int mbox_finish_unlinks(struct mbox *m, struct err *e)
{
	struct slice name;
	struct txn t;
	int rc;

	if (m->n_unlink == 0)
		return 0;
	for (size_t i = 0; i < m->n_unlink; i++)
		if (mbox_slot_name(m, m->unlink_slots[i], &name)) {
			char path[MNAME_MAX + 1];

			memcpy(path, name.p, name.n);
			path[name.n] = '\0';
			if (store_blob_delete(m->shelf, BAY_CUR, path, e) != 0 && e->kind != ERR_NOTFOUND)
				return err_set(e, ERR_TEMP, e->sys, "removing a message from %s", m->name);
		}
	m->stamps_moved = true;
	txn_init(m, &t);
	t.modseq = m->modseq;
	txn_unlinked(&t);
	rc = mbox_commit_quietly(m, &t, e);
	txn_done(&t);
	return rc;
}

/* Renames up to `most` messages whose flags have moved on from their names. */
int mbox_flush_names(struct mbox *m, size_t most, struct err *e)
{
	struct err ignored;
	struct txn t;
	struct buf b;
	int rc = 0;

	if (m->dirty == 0)
		return 0;
	txn_init(m, &t);
	t.modseq = m->modseq;
	buf_init(&b, BUF_UNBOUNDED);
	for (uint32_t slot = mbox_slots(m); slot-- > 0 && most > 0 && m->dirty > 0;) {
		struct slice old;
		struct mname n;

		if ((mbox_slot_state(m, slot) & SLOT_DIRTY) == 0 || mbox_is_gone(m, slot) || !mbox_slot_name(m, slot, &old) || mname_parse(old, &n) != 0)
			continue;
		most--;
		n.flags = mbox_rec(m, slot)->flags;
		n.keywords = mbox_rec(m, slot)->keywords;
		buf_reset(&b);
		buf_put(&b, old);
		buf_putc(&b, '\0');
		if (mname_put(&n, &b) != 0)
			continue;
		/* Gone or renamed by another program: the next scan will tell; the name then is right or the message is no more. */
		if (store_blob_move(m->shelf, BAY_CUR, b.p, m->shelf, b.p + old.n + 1, &ignored) == 0)
			txn_name(&t, mbox_rec(m, slot)->uid, mbox_slot_state(m, slot) & ~(uint32_t)SLOT_DIRTY, slice_from(buf_view(&b), old.n + 1));
	}
	if (!txn_is_empty(&t)) {
		m->stamps_moved = true;
		rc = mbox_commit_quietly(m, &t, e);
	}
	m->dirty_since_ms = m->dirty > 0 ? clock_mono_ms() : 0;
	buf_done(&b);
	txn_done(&t);
	return rc;
}
