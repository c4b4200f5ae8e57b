/*
 * store/mbox_txn.c - transactions: what changes a folder, as it is written to the log and applied, by the writer and by every reader alike.
 *
 *     payload: modseq u64, stamp of new/ i64, of cur/ i64, racy u32, zero u32, operations
 *     operation: code u32, uid u32, and what put_ADD and the like write behind it; little-endian, not aligned
 */
#include "store/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

enum op { OP_ADD = 1, OP_FLAGS, OP_EXPUNGE, OP_UNLINKED, OP_NAME, OP_CACHE, OP_RECENT, OP_NEXT, OP_KEYWORD, OP_ENDED };

#define HEAD 32

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
	static const char head[HEAD];
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
	return t->b.len == HEAD;
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

/* ---- applying ---- */

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

static char *str_of(struct slice s)
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
	kept->name = str_of(name);
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
	s->name = str_of(name);
}

static void apply_keyword(struct mbox *m, struct reader *r, uint32_t bit)
{
	struct slice name = get_text(r, LIMIT_KEYWORD);

	if (r->bad || bit >= KEYWORDS_MAX || bit < m->n_keywords || name.n == 0)
		return;
	for (; m->n_keywords <= bit; m->n_keywords++) {               /* a gap can't be; were it one, it would have no name */
		m->keyword[m->n_keywords] = str_of(m->n_keywords == bit ? name : SLICE(""));
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
	struct reader r = { slice_from(payload, HEAD), false };
	struct mbox scrap = { .n_base = 0 };                          /* takes in what is not about flags */
	uint64_t modseq = payload.n < HEAD ? 0 : num_get_le64(payload.p);

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

/* ---- the writer's side ---- */

int64_t stamp_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) != 0 ? 0 : (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

void mbox_stamp(struct mbox *m)
{
	m->stamp_cur = stamp_of(m->curfd);
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
	if (m->n_keywords == KEYWORDS_MAX)
		return err_set(e, ERR_LIMIT, 0, "%s has %d keywords already", m->name, KEYWORDS_MAX);
	m->keyword[m->n_keywords] = str_of(name);
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
			if (unlinkat(m->curfd, path, 0) != 0 && errno != ENOENT)
				return err_set(e, ERR_TEMP, errno, "removing a message from %s", m->name);
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
		if (renameat(m->curfd, b.p, m->curfd, b.p + old.n + 1) == 0)
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
