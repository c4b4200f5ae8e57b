/*
 * store/verify.c - `posthouse verify`: a mailbox against its directory. Opening a folder has put right by itself what it noticed; this looks at all of it.
 */
#include "store/verify.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/dirlist.h"
#include "store/folder.h"

#define STALE_SECONDS (36 * 3600)                                     /* nothing writes into tmp/ for so long */

struct check {
	struct mbox *m;
	const struct verify_report *to;
	bool repair;
	unsigned faults, not_ours;                                    /* not_ours of them are for the admin to take away */
};

static void say(struct check *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say(struct check *c, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	c->faults++;
	buf_init(&b, BUF_UNBOUNDED);
	buf_putf(&b, "%s: ", c->m->name);
	va_start(ap, fmt);
	if (buf_vaddf(&b, fmt, ap) == 0)
		c->to->line(c->to->ctx, buf_str(&b));
	va_end(ap);
	buf_done(&b);
}

static void check_index(struct check *c)
{
	const struct sindex *x = &c->m->base;
	unsigned bad = 0;

	for (size_t i = 0; x->h != NULL && i < x->h->count; i++)
		bad += !sindex_rec_is_sound(x, i);
	if (bad > 0)
		say(c, "%u records of the index are damaged", bad);
	if (x->h != NULL && !sindex_sections_are_sound(x))
		say(c, "the history of expunges in the index is damaged");
}

/* The file is what there is: its name, and with it the index, follow. */
static void repair_name(struct check *c, const char *path, struct mname n)
{
	struct err ignored;
	struct buf name;
	int64_t mtime;

	buf_init(&name, BUF_UNBOUNDED);
	if (message_measure(c->m->shelf, BAY_CUR, path, &n.file_size, &n.size, &mtime, &ignored) == 0) {
		n.has_lf = n.size != n.file_size;
		if (mname_put(&n, &name) == 0 && store_blob_move(c->m->shelf, BAY_CUR, path, c->m->shelf, buf_str(&name), &ignored) != 0)
			say(c, "can't be renamed: %s", path);
	}
	buf_done(&name);
}

static void check_slot(struct check *c, uint32_t slot)
{
	struct mbox *m = c->m;
	const struct mrec *r = mbox_rec(m, slot);
	struct slice name;
	struct mname n;
	struct blob_info st;
	struct err why;
	char path[MNAME_MAX + 1];

	if (!mbox_slot_name(m, slot, &name) || name.n > MNAME_MAX || mname_parse(name, &n) != 0) {
		say(c, "UID %u: no file name", r->uid);
		return;
	}
	memcpy(path, name.p, name.n);
	path[name.n] = '\0';
	if (store_blob_stat(m->shelf, BAY_CUR, path, &st, &why) != 0)
		say(c, why.kind == ERR_DENIED ? "UID %u: not a plain file: %s" : "UID %u: the file is missing: %s", r->uid, path);
	else if (st.size != n.file_size) {
		say(c, "UID %u: %llu octets, but the name says %llu: %s", r->uid, (unsigned long long)st.size, (unsigned long long)n.file_size, path);
		if (c->repair)
			repair_name(c, path, n);
	} else if (n.uid != r->uid || n.uidvalidity != m->uidvalidity || n.size != r->size)
		say(c, "UID %u: the name says otherwise: %s", r->uid, path);
}

static void check_totals(struct check *c)
{
	struct mbox *m = c->m;
	uint64_t octets = 0;
	uint32_t unseen = 0, last = 0;

	for (uint32_t slot = 0; slot < mbox_slots(m); slot++) {
		const struct mrec *r = mbox_rec(m, slot);

		if (r->uid <= last)
			say(c, "UID %u comes after UID %u", r->uid, last);
		last = r->uid;
		if (mbox_is_gone(m, slot))
			continue;
		octets += r->size;
		unseen += (r->flags & MSG_SEEN) == 0;
		check_slot(c, slot);
	}
	if (octets != m->octets || unseen != m->unseen)
		say(c, "%llu octets and %u unseen are counted, %llu and %u are there", (unsigned long long)m->octets, m->unseen, (unsigned long long)octets, unseen);
	if (m->uidnext <= last || m->reserved < m->uidnext)
		say(c, "the next UID is %u, the last %u, reserved up to %u", m->uidnext, last, m->reserved);
}

struct odd_place { struct check *c; const char *dir; };

static void say_odd(void *ctx, const char *name, const char *what)
{
	const struct odd_place *p = ctx;

	say(p->c, "%s/%s is no message: %s", p->dir, name, what);
	p->c->not_ours++;
}

static int check_odd(struct check *c, struct err *e)
{
	struct odd_place cur = { c, "cur" }, new = { c, "new" };

	return store_blob_odd(c->m->shelf, BAY_CUR, say_odd, &cur, e) != 0 ? -1 : store_blob_odd(c->m->shelf, BAY_NEW, say_odd, &new, e);
}

static int check_directory(struct check *c, struct err *e)
{
	struct arena *a = arena_new(0);
	struct mbox *m = c->m;
	struct found *f;
	size_t n;
	int rc = dirlist(m->shelf, BAY_CUR, a, &f, &n, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		uint32_t slot = f[i].n.has_uid && f[i].n.uidvalidity == m->uidvalidity ? mbox_slot_of(m, f[i].n.uid) : UINT32_MAX;

		if (slot == UINT32_MAX || mbox_is_gone(m, slot))
			say(c, "a file that is no message of the index: cur/%s", f[i].name.p);
	}
	arena_free(&a);
	return rc;
}

static void check_tmp(struct check *c, bool remove)
{
	struct arena *a = arena_new(0);
	struct err ignored;
	struct found *f;
	struct blob_info st;
	size_t n;

	if (dirlist(c->m->shelf, BAY_TMP, a, &f, &n, &ignored) == 0)
		for (size_t i = 0; i < n; i++)
			if (store_blob_stat(c->m->shelf, BAY_TMP, f[i].name.p, &st, &ignored) == 0 && clock_wall_s() - st.mtime > STALE_SECONDS) {
				say(c, "left over from a crash: tmp/%s", f[i].name.p);
				if (remove && store_blob_delete(c->m->shelf, BAY_TMP, f[i].name.p, &ignored) != 0)
					say(c, "can't be removed: tmp/%s", f[i].name.p);
			}
	arena_free(&a);
}

static int verify_folder(struct box *b, struct slice name, bool repair, const struct verify_report *to, unsigned *faults, struct err *e)
{
	struct check c = { .to = to, .repair = repair };
	int rc;

	if (mbox_open(&c.m, b, name, e) != 0)
		return e->kind == ERR_NOTFOUND ? 0 : -1;              /* deleted meanwhile */
	c.m->stamp_new = c.m->stamp_cur = 0;                          /* so that it looks for what became readable without a sign of it */
	rc = mbox_begin(c.m, e);
	if (rc == 0) {
		check_index(&c);
		check_totals(&c);
		rc = check_directory(&c, e);
		if (rc == 0)
			rc = check_odd(&c, e);
		check_tmp(&c, repair);
		if (rc == 0 && repair && c.faults > c.not_ours) {
			c.m->damaged = true;                          /* the next to lock it builds it anew: that is us */
			mbox_end(c.m);
			rc = mbox_begin(c.m, e);
		}
		if (rc == 0)
			mbox_end(c.m);
	}
	*faults += c.faults;
	mbox_close(&c.m);
	return rc;
}

int box_verify(struct box *b, bool repair, const struct verify_report *to, unsigned *faults_out, struct err *e)
{
	struct arena *a = arena_new(0);
	struct folder *list;
	unsigned faults = 0, wrong = 0;
	uint64_t octets, messages;
	size_t n;
	int rc = box_list(b, a, &list, &n, e);

	for (size_t i = 0; rc == 0 && i < n; i++)
		if ((list[i].attrs & FOLDER_NOSELECT) == 0)
			rc = verify_folder(b, list[i].name, repair, to, &faults, e);
	if (rc == 0)
		rc = box_quota(b, &octets, &messages, e);             /* counts by itself what nobody could trust: no fault */
	if (rc == 0)
		rc = box_recount(b, &wrong, e);
	if (rc == 0 && wrong > 0) {
		to->line(to->ctx, "the quota's sum was wrong; it has been counted again");
		faults++;
	}
	arena_free(&a);
	if (rc == 0)
		*faults_out = faults;
	return rc;
}
