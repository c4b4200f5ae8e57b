/*
 * store/folders.c - the tree of folders: list, create, delete, status.
 */
#include "store/box.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- list ---- */

struct listing { struct arena *a; struct folder *v; size_t n, cap; };

static struct folder *list_add(struct listing *l, struct slice name, unsigned attrs)
{
	if (l->n == l->cap) {
		struct folder *more = arena_array(l->a, l->cap == 0 ? 16 : l->cap * 2, sizeof *more);

		if (l->n > 0)
			memcpy(more, l->v, l->n * sizeof *more);
		l->v = more;
		l->cap = l->cap == 0 ? 16 : l->cap * 2;
	}
	l->v[l->n] = (struct folder){ arena_dup(l->a, name), attrs };
	return &l->v[l->n++];
}

static int list_folder(void *ctx, const char *disk)
{
	struct listing *l = ctx;
	struct buf name;

	buf_init(&name, BUF_UNBOUNDED);
	if (folder_name_from_disk(slice_of(disk), &name) == 0)
		(void)list_add(l, buf_view(&name), 0);
	buf_done(&name);
	return l->n < LIMIT_FOLDERS ? 0 : -1;
}

/* INBOX, then by name, where '/' sorts before all else so that children follow their parent. */
static int by_name(const void *x, const void *y)
{
	const struct folder *a = x, *b = y;
	bool ia = slice_eqs(a->name, "INBOX"), ib = slice_eqs(b->name, "INBOX");

	if (ia != ib)
		return ia ? -1 : 1;
	for (size_t i = 0; i < a->name.n && i < b->name.n; i++) {
		unsigned char p = (unsigned char)a->name.p[i], q = (unsigned char)b->name.p[i];

		if (p != q)
			return p == '/' ? -1 : q == '/' ? 1 : p < q ? -1 : 1;
	}
	return (a->name.n > b->name.n) - (a->name.n < b->name.n);
}

static struct folder *list_find(struct listing *l, size_t n, struct slice name)
{
	struct folder key = { name, 0 };

	return n == 0 ? NULL : bsearch(&key, l->v, n, sizeof key, by_name);
}

/* Parents that exist only by their children. l is sorted; what is added is sorted in again. */
static void add_parents(struct listing *l)
{
	size_t n = l->n;

	for (size_t i = 0; i < n; i++) {
		struct slice name = l->v[i].name;

		for (ptrdiff_t at; (at = slice_rchr(name, '/')) > 0;) {
			struct folder *p;

			name = slice_head(name, (size_t)at);
			p = list_find(l, n, name);
			if (p != NULL) {
				p->attrs |= FOLDER_HAS_CHILDREN;
				break;                                /* its own parents are seen to when it is reached */
			}
			(void)list_add(l, name, FOLDER_NOSELECT | FOLDER_HAS_CHILDREN);
		}
	}
	qsort(l->v, l->n, sizeof *l->v, by_name);
	n = 0;
	for (size_t i = 0; i < l->n; i++)
		if (n == 0 || !slice_eq(l->v[n - 1].name, l->v[i].name))
			l->v[n++] = l->v[i];
	l->n = n;
}

static int add_subscriptions(struct box *b, struct listing *l, struct err *e)
{
	struct buf text;
	struct slice rest, line;
	size_t n = l->n;
	int rc;

	buf_init(&text, SUBS_MAX);
	rc = subs_load(b, &text, e);
	rest = buf_view(&text);
	while (rc == 0 && slice_next(&rest, '\n', &line) && l->n < 2 * LIMIT_FOLDERS) {
		struct folder *f = line.n == 0 ? NULL : list_find(l, n, line);

		if (f != NULL)
			f->attrs |= FOLDER_SUBSCRIBED;
		else if (line.n > 0)
			(void)list_add(l, line, FOLDER_NOSELECT | FOLDER_SUBSCRIBED);
	}
	qsort(l->v, l->n, sizeof *l->v, by_name);
	buf_done(&text);
	return rc;
}

static void add_specials(struct box *b, struct listing *l)
{
	struct boxfile f;
	struct err ignored;

	boxfile_init(&f);
	if (boxfile_load(b, &f, &ignored) == 0)
		for (size_t i = 0; i < f.n; i++) {
			struct folder *x = list_find(l, l->n, f.special[i].name);

			if (x != NULL)
				x->attrs |= f.special[i].attrs;
		}
	boxfile_done(&f);
}

int box_list(struct box *b, struct arena *a, struct folder **list_out, size_t *n_out, struct err *e)
{
	struct listing l = { .a = a };

	(void)list_add(&l, SLICE("INBOX"), 0);
	if (store_shelf_list(b->top, list_folder, &l, e) != 0)
		return -1;
	qsort(l.v, l.n, sizeof *l.v, by_name);
	add_parents(&l);
	if (add_subscriptions(b, &l, e) != 0)
		return -1;
	add_specials(b, &l);
	*list_out = l.v;
	*n_out = l.n;
	return 0;
}

/* ---- create ---- */

int folder_names(struct slice name, struct folder_names *n, struct err *e)
{
	buf_init(&n->name, BUF_UNBOUNDED);
	buf_init(&n->disk, BUF_UNBOUNDED);
	while (name.n > 0 && name.p[name.n - 1] == '/')               /* CREATE "a/": a folder that is to have children (RFC 3501 6.3.3) */
		name.n--;
	return folder_name_check(name, &n->name, e) != 0 || folder_name_to_disk(buf_view(&n->name), &n->disk, e) != 0 ? -1 : 0;
}

void folder_names_done(struct folder_names *n)
{
	buf_done(&n->name);
	buf_done(&n->disk);
}

bool folder_has_wildcard(struct slice name)
{
	return slice_chr(name, '*') >= 0 || slice_chr(name, '%') >= 0;
}

static int create_locked(struct box *b, const struct folder_names *n, struct err *e)
{
	if (n->disk.len == 0)
		return err_set(e, ERR_EXISTS, 0, "INBOX is there already");
	if (store_shelf_make(b->top, buf_str(&n->disk), e) == 0)
		return 0;
	if (e->kind == ERR_EXISTS)
		return err_set(e, ERR_EXISTS, 0, "folder %s is there already", buf_str(&n->name));
	return err_context(e, "folder %s", buf_str(&n->name));
}

int folder_set_special(struct box *b, struct slice name, unsigned attr, struct err *e)
{
	struct boxfile f;
	int rc;

	boxfile_init(&f);
	rc = boxfile_load(b, &f, e);
	if (rc == 0) {
		boxfile_set_special(&f, name, attr);
		rc = boxfile_save(b, &f, e);
	}
	boxfile_done(&f);
	return rc;
}

int box_create(struct box *b, struct slice name, unsigned special_attr, struct err *e)
{
	struct folder_names n;
	struct mbox *m;
	int rc = folder_names(name, &n, e);

	if (rc == 0 && folder_has_wildcard(buf_view(&n.name)))
		rc = err_set(e, ERR_DENIED, 0, "folder name has a wildcard (* or %%)");
	if (rc == 0 && (rc = box_lock(b, e)) == 0) {
		rc = create_locked(b, &n, e);
		if (rc == 0 && special_attr != 0)
			rc = folder_set_special(b, buf_view(&n.name), special_attr, e);
		if (rc == 0 && !b->making)
			rc = store_shelf_flush(b->top, FLUSH_TREE, e);
		box_unlock(b);
	}
	if (rc == 0 && (rc = mbox_open_disk(&m, b, &n.name, &n.disk, true, e)) == 0)
		mbox_close(&m);
	folder_names_done(&n);
	return rc;
}

/* ---- delete ---- */

static int delete_locked(struct box *b, const struct folder_names *n, struct err *e)
{
	struct mbox *m;
	uint64_t key = 0;
	int rc;

	if (n->disk.len == 0)
		return err_set(e, ERR_DENIED, 0, "INBOX can't be deleted");
	if (!store_shelf_has(b->top, buf_str(&n->disk)))
		return err_set(e, ERR_NOTFOUND, 0, "no folder %s", buf_str(&n->name));
	if (mbox_open_disk(&m, b, &n->name, &n->disk, false, e) == 0) {
		key = quota_key(m);
		mbox_close(&m);
	}
	rc = store_shelf_remove(b->top, buf_str(&n->disk), e);
	if (rc != 0 && store_shelf_has(b->top, buf_str(&n->disk)))
		return err_context(e, "folder %s", buf_str(&n->name));
	quota_drop(b, key);
	return rc != 0 ? -1 : folder_set_special(b, buf_view(&n->name), 0, e);
}

int box_delete(struct box *b, struct slice name, struct err *e)
{
	struct folder_names n;
	int rc = folder_names(name, &n, e);

	if (rc == 0 && (rc = box_lock(b, e)) == 0) {
		rc = delete_locked(b, &n, e);
		box_unlock(b);
	}
	folder_names_done(&n);
	notify_send(b);
	return rc;
}

/* ---- a new box ---- */

/* A migrated user has a Sent already: it is the one. */
static int mark_special(struct box *b, struct slice name, struct err *e)
{
	int rc = box_lock(b, e);

	if (rc == 0 && special_of(name) != 0)
		rc = folder_set_special(b, name, special_of(name), e);
	box_unlock(b);
	return rc;
}

int box_first_folders(struct box *b, struct err *e)
{
	struct slice rest = slice_of(b->special), word;
	struct err why;

	if (import_subscriptions(b, e) != 0)
		return -1;
	while (slice_word(&rest, &word)) {
		if (box_create(b, word, special_of(word), &why) != 0 && (why.kind != ERR_EXISTS || mark_special(b, word, &why) != 0)) {
			*e = why;
			return -1;
		}
		if (box_subscribe(b, word, true, e) != 0)
			return -1;
	}
	return box_subscribe(b, SLICE("INBOX"), true, e);
}

/* ---- status ---- */

static void status_of(struct mbox *m, struct folder_status *out)
{
	uint32_t slot = mbox_slot_from(m, m->recent_from), recent = 0;

	for (; slot < mbox_slots(m); slot++)
		recent += !mbox_is_gone(m, slot);
	*out = (struct folder_status){
		.messages = mbox_count(m), .recent = recent, .unseen = m->unseen, .deleted = m->deleted, .uidnext = m->uidnext,
		.uidvalidity = m->uidvalidity, .highestmodseq = m->modseq, .octets = m->octets,
	};
	for (slot = 0; m->deleted > 0 && slot < mbox_slots(m); slot++)
		if (!mbox_is_gone(m, slot) && (mbox_rec(m, slot)->flags & MSG_DELETED) != 0)
			out->deleted_octets += mbox_rec(m, slot)->size;
}

int box_status(struct box *b, struct slice name, struct folder_status *out, struct err *e)
{
	struct mbox *m;
	int rc;

	if (mbox_open(&m, b, name, e) != 0)
		return -1;
	rc = m->refs > 1 ? mbox_refresh(m, e) : 0;
	if (rc == 0)
		status_of(m, out);
	mbox_close(&m);
	return rc;
}
