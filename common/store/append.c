/*
 * store/append.c - new messages: APPEND in pieces, and delivery from memory or by a link to another user's copy.
 *
 * The octets go to a draft, which gets its name under the lock. So nothing half-written is ever seen, and a crash leaves nothing behind.
 */
#include "store/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"

/* ---- names ---- */

void unique_stem(struct box *b, int64_t date, const char *id, struct buf *out)
{
	uint64_t r;

	buf_putf(out, "%lld.", (long long)(date < 0 ? 0 : date));
	if (id != NULL) {
		buf_puts(out, id);
	} else {
		text_random(&r, sizeof r);
		buf_putf(out, "P%ldQ%lluR%08lx", (long)getpid(), (unsigned long long)++b->counter, (unsigned long)(r & 0xffffffffu));
	}
	buf_putf(out, ".%s", b->hostname);
}

/* ---- a message that has its octets: UID, name, log ---- */

struct arrival {
	struct mname n;                                               /* stem, date, size, flags, keywords */
	struct slice octets;                                          /* for the cache */
	uint64_t id_hash;
	uint32_t want_uid;                                            /* 0: the next one */
	const struct slice *keyword_names;
	size_t n_keyword_names;
	struct buf name;                                              /* out */
	uint32_t uid;                                                 /* out */
};

/* Gives it its name by place(); the lock is held. Nothing is left behind on failure. */
static int arrive(struct mbox *m, struct arrival *v, int (*place)(void *ctx, const char *name, struct err *e), void *ctx, struct err *e)
{
	struct slot s = { 0 };
	struct err ignored;
	struct txn t;
	int rc = -1;

	txn_init(m, &t);
	if (v->want_uid > m->uidnext)
		m->uidnext = v->want_uid;
	if (quota_check(m, v->n.size, 1, e) != 0 || mbox_take_uids(m, 1, &v->uid, e) != 0)
		goto out;
	if (v->n_keyword_names > 0 && mbox_keyword_bits(m, v->keyword_names, v->n_keyword_names, &t, &v->n.keywords, e) != 0)
		goto out;
	v->n.has_uid = true;
	v->n.uidvalidity = m->uidvalidity;
	v->n.uid = v->uid;
	buf_reset(&v->name);
	if (mname_put(&v->n, &v->name) != 0) {
		(void)err_set(e, ERR_TEMP, 0, "the file name of a message would be too long (hostname?)");
		goto out;
	}
	if (place(ctx, buf_str(&v->name), e) != 0)
		goto out;
	m->stamps_moved = true;
	s.m = (struct mrec){ v->uid, v->n.flags, v->n.keywords, t.modseq, v->n.size, v->n.date };
	s.cache_at = v->octets.p == NULL ? 0 : cache_fill(m, v->uid, v->octets);
	txn_add(&t, &s, buf_view(&v->name), v->id_hash);
	rc = mbox_commit(m, &t, NULL, e);
	if (rc != 0 && store_blob_delete(m->shelf, BAY_CUR, buf_str(&v->name), &ignored) != 0) {}
out:
	txn_done(&t);
	return rc;
}

/* ---- APPEND ---- */

struct mappend {
	struct mbox *m;
	struct draft *d;
	uint64_t octets;
};

int mappend_begin(struct mappend **a_out, struct mbox *m, uint64_t size_hint, struct err *e)
{
	struct mappend *a = mem_new(sizeof *a);

	a->m = m;
	if (quota_prepare(m->box, e) != 0 || (size_hint > 0 && quota_check(m, size_hint, 1, e) != 0) || store_draft_open(m->shelf, NULL, &a->d, e) != 0) {
		free(a);
		return -1;
	}
	m->refs++;
	*a_out = a;
	return 0;
}

int mappend_write(struct mappend *a, struct slice octets, struct err *e)
{
	if (store_draft_write(a->d, a->octets, octets, e) != 0)
		return -1;
	a->octets += octets.n;
	return 0;
}

static int place_draft(void *ctx, const char *name, struct err *e)
{
	struct mappend *a = ctx;

	return store_draft_place(a->d, name, e);
}

static void expunge_locked(struct mbox *m, uint32_t uid)
{
	struct err ignored;
	struct txn t;

	txn_init(m, &t);
	txn_expunge(&t, uid);
	if (mbox_commit(m, &t, NULL, &ignored) == 0 && mbox_finish_unlinks(m, &ignored) != 0) {}
	txn_done(&t);
}

/* Takes a message that could not be made durable out again. */
static void take_back(struct mbox *m, uint32_t uid)
{
	struct err ignored;

	if (mbox_begin(m, &ignored) != 0)
		return;
	expunge_locked(m, uid);
	mbox_end(m);
}

static int commit_append(struct mappend *a, struct arrival *v, struct err *e)
{
	struct mbox *m = a->m;
	struct blob written = { 0 };
	struct err ignored;
	int rc = -1;

	if (a->octets > 0 && store_draft_map(a->d, &written, &ignored) == 0)
		v->octets = written.octets;
	store_draft_date(a->d, v->n.date);
	if (mbox_begin(m, e) == 0) {
		rc = arrive(m, v, place_draft, a, e);
		mbox_end(m);
	}
	store_blob_done(&written);
	if (rc != 0 || store_draft_flush(a->d, e) == 0)
		return rc;
	take_back(m, v->uid);
	return -1;
}

int mappend_commit(struct mappend **ap, uint32_t flags, const struct slice *keywords, size_t n_keywords, int64_t internaldate, uint32_t *uid_out, struct err *e)
{
	struct mappend *a = *ap;
	struct arrival v = { .keyword_names = keywords, .n_keyword_names = n_keywords };
	struct buf stem;
	int rc;

	buf_init(&stem, BUF_UNBOUNDED);
	buf_init(&v.name, BUF_UNBOUNDED);
	v.n.date = internaldate < 0 ? 0 : internaldate;
	unique_stem(a->m->box, v.n.date, NULL, &stem);
	v.n.stem = buf_view(&stem);
	v.n.size = v.n.file_size = a->octets;
	v.n.flags = flags;
	rc = commit_append(a, &v, e);
	if (rc == 0)
		*uid_out = v.uid;
	buf_done(&stem);
	buf_done(&v.name);
	mappend_drop(ap);
	return rc;
}

void mappend_drop(struct mappend **ap)
{
	struct mappend *a = *ap;

	if (a == NULL)
		return;
	store_draft_drop(&a->d);
	mbox_close(&a->m);
	free(a);
	*ap = NULL;
}

/* ---- delivery ---- */

struct placing { struct mbox *m; struct draft *d; const char *link_from; };

/* From another user's copy where that goes; a copy that was renamed, or lies elsewhere, or has too many names already, is written anew. */
static int place_delivery(void *ctx, const char *name, struct err *e)
{
	struct placing *p = ctx;

	if (p->link_from != NULL)
		return store_blob_link_ref(p->link_from, p->m->shelf, name, e);
	return store_draft_place(p->d, name, e);
}

static bool was_delivered(const struct mbox *m, uint64_t id_hash)
{
	for (size_t i = 0; i < m->n_done; i++)
		if (m->done[i].id_hash == id_hash)
			return true;
	for (size_t i = 0; m->base.h != NULL && i < m->base.h->n_done; i++)
		if (m->base.done[i].id_hash == id_hash)
			return true;
	return false;
}

static bool blob_is(const struct mbox *m, const char *name, struct slice octets)
{
	struct err ignored;
	struct blob b;
	bool same;

	if (store_blob_read(m->shelf, BAY_CUR, name, 0, &b, &ignored) != 0)
		return false;
	same = slice_eq(b.octets, octets);
	store_blob_done(&b);
	return same;
}

/* The octets into a draft, unless there is one already. */
static int draft_delivery(struct placing *p, const struct delivery *d, struct err *e)
{
	if (p->d != NULL)
		return 0;
	return store_draft_open(p->m->shelf, NULL, &p->d, e) != 0 || store_draft_write(p->d, 0, d->octets, e) != 0 ? -1 : 0;
}

/* After a power cut log and directory may each know what the other lost, and a file may be torn: the file decides. A torn one goes. */
static bool is_there_whole(struct mbox *m, const struct delivery *d)
{
	char part[80];
	struct slice name;

	if (snprintf(part, sizeof part, ".%s.", d->queue_id) >= (int)sizeof part)
		return false;
	for (uint32_t slot = mbox_slots(m); slot-- > 0;) {
		char *path;
		bool same;

		if (mbox_is_gone(m, slot) || !mbox_slot_name(m, slot, &name) || slice_find(name, slice_of(part)) < 0)
			continue;
		path = mem_new(name.n + 1);
		memcpy(path, name.p, name.n);
		same = blob_is(m, path, d->octets);
		free(path);
		if (same)
			return true;
		expunge_locked(m, mbox_rec(m, slot)->uid);
	}
	return false;
}

static int deliver_locked(struct mbox *m, const struct delivery *d, struct arrival *v, struct placing *p, bool *there_out, struct err *e)
{
	*there_out = d->maybe_again && (d->unclean ? is_there_whole(m, d) : was_delivered(m, v->id_hash));
	if (*there_out)
		return 0;
	p->link_from = d->link_from;
	if (d->link_from != NULL && arrive(m, v, place_delivery, p, e) == 0)
		return 0;
	if (d->link_from != NULL && e->kind != ERR_EXISTS)
		return -1;
	p->link_from = NULL;
	if (draft_delivery(p, d, e) != 0)
		return -1;
	return arrive(m, v, place_delivery, p, e);
}

static int deliver_to(struct mbox *m, const struct delivery *d, struct arrival *v, bool *there_out, struct err *e)
{
	struct placing p = { .m = m };
	int rc = -1;

	/* The writing, which may take long, is done before the lock is taken; a link costs nothing inside. */
	if ((d->link_from != NULL || draft_delivery(&p, d, e) == 0) && mbox_begin(m, e) == 0) {
		rc = deliver_locked(m, d, v, &p, there_out, e);
		mbox_end(m);
	}
	store_draft_drop(&p.d);
	return rc;
}

static const char *reference(struct mbox *m, const char *name, struct arena *a)
{
	const char *text;
	struct buf ref;

	buf_init(&ref, BUF_UNBOUNDED);
	store_blob_ref(m->shelf, name, &ref);
	text = arena_str(a, buf_view(&ref));
	buf_done(&ref);
	return text;
}

int box_deliver(struct box *b, struct slice folder, const struct delivery *d, struct arena *a, const char **path_out, struct err *e)
{
	struct arrival v = {
		.octets = d->octets, .id_hash = hash_stable(slice_of(d->queue_id)), .keyword_names = d->keywords, .n_keyword_names = d->n_keywords,
		.want_uid = d->uid,
	};
	struct buf stem;
	struct mbox *m;
	bool there = false;
	int rc;

	if (!mname_id_is_valid(slice_of(d->queue_id)))
		return err_set(e, ERR_DENIED, 0, "queue id has octets that may not be in a file name");
	if (quota_prepare(b, e) != 0 || mbox_open(&m, b, folder.n == 0 ? SLICE("INBOX") : folder, e) != 0)
		return -1;
	buf_init(&stem, BUF_UNBOUNDED);
	buf_init(&v.name, BUF_UNBOUNDED);
	v.n.date = d->internaldate < 0 ? 0 : d->internaldate;
	unique_stem(b, v.n.date, d->queue_id, &stem);
	v.n.stem = buf_view(&stem);
	v.n.size = v.n.file_size = d->octets.n;
	v.n.flags = d->flags;
	rc = deliver_to(m, d, &v, &there, e);
	if (rc == 0)
		*path_out = there ? NULL : reference(m, buf_str(&v.name), a);
	buf_done(&stem);
	buf_done(&v.name);
	mbox_close(&m);
	return rc;
}

void mbox_each_id(struct mbox *m, void (*fn)(void *ctx, struct slice id), void *ctx)
{
	for (uint32_t slot = 0; slot < mbox_slots(m); slot++) {
		struct slice rest, field;

		if (!mbox_is_gone(m, slot) && mbox_slot_name(m, slot, &rest) && slice_next(&rest, '.', &field) && slice_next(&rest, '.', &field))
			fn(ctx, field);
	}
}

int store_checkpoint(const char *mail_directory, struct err *e)
{
	return store_flush_all(store_local(), mail_directory, e);
}
