/*
 * store/folders_rename.c - RENAME: a folder with its children, what the box notes of them, and the ones that are open.
 */
#include "store/box.h"

#include <stdlib.h>

#include "base/mem.h"

/* INBOX keeps being there; what was in it moves (RFC 3501 6.3.5). */
static int rename_inbox(struct box *b, const struct folder_names *to, struct err *e)
{
	struct uid_range uids;
	struct mbox *in = NULL, *out = NULL;
	struct view *v = NULL;
	uint32_t *seqs = NULL;
	int rc = box_create(b, buf_view(&to->name), 0, e);

	if (rc == 0 && (rc = mbox_open(&in, b, SLICE("INBOX"), e)) == 0 && (rc = mbox_open(&out, b, buf_view(&to->name), e)) == 0) {
		v = view_open(in, false);
		seqs = mem_array(view_count(v) + 1, sizeof *seqs);
		for (uint32_t i = 0; i < view_count(v); i++)
			seqs[i] = i + 1;
		if (view_count(v) > 0)
			rc = view_move(v, seqs, view_count(v), out, &uids, e);
	}
	free(seqs);
	view_close(&v);
	mbox_close(&in);
	mbox_close(&out);
	return rc;
}

static int rename_one(struct box *b, const struct folder_names *from, const struct folder_names *to, struct slice child, bool check_only, struct err *e)
{
	struct buf p, q, cp, cq;
	int rc;

	buf_init(&p, BUF_UNBOUNDED);
	buf_init(&q, BUF_UNBOUNDED);
	buf_init(&cp, BUF_UNBOUNDED);
	buf_init(&cq, BUF_UNBOUNDED);
	buf_put(&p, child);
	buf_put(&q, buf_view(&to->name));
	buf_put(&q, slice_from(child, from->name.len));
	rc = folder_name_to_disk(buf_view(&p), &cp, e);
	if (rc == 0)
		rc = folder_name_check(buf_view(&q), &cq, e);
	buf_reset(&cq);
	if (rc == 0)
		rc = folder_name_to_disk(buf_view(&q), &cq, e);
	if (rc == 0 && check_only && store_shelf_has(b->top, buf_str(&cq)))
		rc = err_set(e, ERR_EXISTS, 0, "folder %s is there already", buf_str(&q));
	if (rc == 0 && !check_only && store_shelf_rename(b->top, buf_str(&cp), buf_str(&cq), e) != 0)
		rc = err_context(e, "renaming %s", buf_str(&p));
	buf_done(&p);
	buf_done(&q);
	buf_done(&cp);
	buf_done(&cq);
	return rc;
}

static bool is_at_or_below(struct slice name, struct slice top)
{
	return slice_starts(name, top) && (name.n == top.n || name.p[top.n] == '/');
}

static int rename_all(struct box *b, const struct folder_names *from, const struct folder_names *to, bool check_only, const struct folder *list, size_t n, struct err *e)
{
	bool any = false;

	for (size_t i = 0; i < n; i++)
		if (is_at_or_below(list[i].name, buf_view(&from->name)) && (list[i].attrs & FOLDER_NOSELECT) == 0) {
			any = true;
			if (rename_one(b, from, to, list[i].name, check_only, e) != 0)
				return -1;
		}
	return any ? 0 : err_set(e, ERR_NOTFOUND, 0, "no folder %s", buf_str(&from->name));
}

/* A special folder keeps its use, a subscription follows. */
static int rename_notes(struct box *b, const struct folder_names *from, const struct folder_names *to, struct err *e)
{
	struct boxfile f;
	struct buf old, next;
	int rc;

	buf_init(&old, SUBS_MAX);
	buf_init(&next, BUF_UNBOUNDED);
	boxfile_init(&f);
	rc = boxfile_load(b, &f, e);
	for (size_t i = 0; i < f.n; i++)
		if (slice_eq(f.special[i].name, buf_view(&from->name)))
			f.special[i].name = buf_view(&to->name);
	if (rc == 0)
		rc = boxfile_save(b, &f, e);
	if (rc == 0)
		rc = subs_load(b, &old, e);
	subs_rewrite(buf_view(&old), buf_view(&from->name), buf_view(&to->name), true, &next);
	if (rc == 0)
		rc = subs_save(b, &next, e);
	boxfile_done(&f);
	buf_done(&old);
	buf_done(&next);
	return rc;
}

static int rename_locked(struct box *b, const struct folder_names *from, const struct folder_names *to, struct err *e)
{
	struct arena *a = arena_new(0);
	struct folder *list;
	size_t n;
	int rc = box_list(b, a, &list, &n, e);

	if (rc == 0)
		rc = rename_all(b, from, to, true, list, n, e);
	if (rc == 0)
		rc = rename_all(b, from, to, false, list, n, e);
	if (rc == 0)
		rc = store_shelf_flush(b->top, FLUSH_TREE, e);
	if (rc == 0)
		rc = rename_notes(b, from, to, e);
	arena_free(&a);
	return rc;
}

/* Open folders of this process go on under their new names. */
static void rename_open(struct box *b, const struct folder_names *from, const struct folder_names *to)
{
	for (struct mbox *m = b->folders; m != NULL; m = m->next) {
		struct buf name, disk;
		struct err ignored;

		if (!is_at_or_below(slice_of(m->name), buf_view(&from->name)))
			continue;
		buf_init(&name, BUF_UNBOUNDED);
		buf_init(&disk, BUF_UNBOUNDED);
		buf_put(&name, buf_view(&to->name));
		buf_puts(&name, m->name + from->name.len);
		if (folder_name_to_disk(buf_view(&name), &disk, &ignored) == 0) {
			free(m->name);
			free(m->disk);
			m->name = mem_str(buf_str(&name));
			m->disk = mem_str(buf_str(&disk));
		}
		buf_done(&name);
		buf_done(&disk);
	}
}

int box_rename(struct box *b, struct slice from_name, struct slice to_name, struct err *e)
{
	struct folder_names from = { 0 }, to = { 0 };
	int rc = folder_names(from_name, &from, e) != 0 || folder_names(to_name, &to, e) != 0 ? -1 : 0;

	if (rc == 0 && (to.disk.len == 0 || folder_has_wildcard(buf_view(&to.name))))
		rc = err_set(e, to.disk.len == 0 ? ERR_EXISTS : ERR_DENIED, 0, to.disk.len == 0 ? "INBOX is there already" : "folder name has a wildcard (* or %%)");
	if (rc == 0 && from.disk.len > 0 && is_at_or_below(buf_view(&to.name), buf_view(&from.name)))
		rc = err_set(e, slice_eq(buf_view(&to.name), buf_view(&from.name)) ? ERR_EXISTS : ERR_DENIED, 0, "a folder can't become its own child");
	if (rc == 0 && from.disk.len == 0) {
		rc = rename_inbox(b, &to, e);
	} else if (rc == 0 && (rc = box_lock(b, e)) == 0) {
		rc = rename_locked(b, &from, &to, e);
		box_unlock(b);
		if (rc == 0)
			rename_open(b, &from, &to);
	}
	folder_names_done(&from);
	folder_names_done(&to);
	notify_send(b);
	return rc;
}
