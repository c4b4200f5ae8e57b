/*
 * store/folders.c - the tree of folders: list, create, delete, rename, subscribe, status.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/box.h"

#define SUBS_MAX (4u << 20)
#define GONE_PREFIX "posthouse.gone."

/* ---- subscriptions ---- */

static int subs_load(struct box *b, struct buf *out, struct err *e)
{
	struct err why;

	if (meta_read(b->dirfd, SUBS_NAME, out, &why) == 0 || why.kind == ERR_NOTFOUND)
		return 0;
	*e = why;
	return -1;
}

static bool subs_has(struct slice text, struct slice name)
{
	struct slice line;

	while (slice_next(&text, '\n', &line))
		if (slice_eq(line, name) && name.n > 0)
			return true;
	return false;
}

/* Each line that is not (below) `from`; those that are come under `to`, unless that is SLICE_NONE. */
static void subs_rewrite(struct slice text, struct slice from, struct slice to, bool below, struct buf *out)
{
	struct slice line;

	while (slice_next(&text, '\n', &line)) {
		bool hit = slice_eq(line, from) || (below && slice_starts(line, from) && line.n > from.n && line.p[from.n] == '/');

		if (line.n == 0 || (hit && to.p == NULL))
			continue;
		if (hit)
			buf_put(out, to);
		buf_put(out, hit ? slice_from(line, from.n) : line);
		buf_putc(out, '\n');
	}
}

static int subs_save(struct box *b, const struct buf *text, struct err *e)
{
	return meta_replace(b->dirfd, SUBS_NAME, buf_view(text), !b->making, e);
}

static int subscribe_locked(struct box *b, struct slice name, bool on, struct err *e)
{
	struct buf old, next;
	int rc;

	buf_init(&old, SUBS_MAX);
	buf_init(&next, BUF_UNBOUNDED);
	rc = subs_load(b, &old, e);
	if (rc == 0 && subs_has(buf_view(&old), name) != on) {
		subs_rewrite(buf_view(&old), name, SLICE_NONE, false, &next);
		if (on) {
			buf_put(&next, name);
			buf_putc(&next, '\n');
		}
		rc = next.len > SUBS_MAX ? err_set(e, ERR_LIMIT, 0, "too many subscriptions") : subs_save(b, &next, e);
	}
	buf_done(&old);
	buf_done(&next);
	return rc;
}

int box_subscribe(struct box *b, struct slice name, bool on, struct err *e)
{
	struct buf canonical;
	int rc;

	buf_init(&canonical, BUF_UNBOUNDED);
	rc = folder_name_check(name, &canonical, e);
	if (rc == 0)
		rc = box_lock(b, e);
	if (rc == 0) {
		rc = subscribe_locked(b, buf_view(&canonical), on, e);
		box_unlock(b);
	}
	buf_done(&canonical);
	return rc;
}

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

static bool is_folder(struct box *b, const char *disk)
{
	char path[300];
	int n = snprintf(path, sizeof path, "%s/cur", disk);

	return n > 0 && (size_t)n < sizeof path && faccessat(b->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* What a crash in the middle of a deletion left is removed in passing. */
static void remove_tree(struct box *b, const char *name);

static int list_dirs(struct box *b, struct listing *l, struct err *e)
{
	int fd = openat(b->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	struct buf name;
	int why;

	if (dir == NULL) {
		file_close(&fd);
		return err_set(e, ERR_TEMP, errno, "listing %s", b->dir);
	}
	buf_init(&name, BUF_UNBOUNDED);
	for (errno = 0; l->n < LIMIT_FOLDERS && (d = readdir(dir)) != NULL; errno = 0) {
		buf_reset(&name);
		if (strncmp(d->d_name, GONE_PREFIX, sizeof GONE_PREFIX - 1) == 0)
			remove_tree(b, d->d_name);
		else if (d->d_name[0] == '.' && folder_name_from_disk(slice_of(d->d_name), &name) == 0 && is_folder(b, d->d_name))
			(void)list_add(l, buf_view(&name), 0);
	}
	why = l->n < LIMIT_FOLDERS ? errno : 0;
	buf_done(&name);
	closedir(dir);
	return why == 0 ? 0 : err_set(e, ERR_TEMP, why, "listing %s", b->dir);
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
	if (list_dirs(b, &l, e) != 0)
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

struct names { struct buf name, disk; };

static int names_of(struct slice name, struct names *n, struct err *e)
{
	buf_init(&n->name, BUF_UNBOUNDED);
	buf_init(&n->disk, BUF_UNBOUNDED);
	while (name.n > 0 && name.p[name.n - 1] == '/')               /* CREATE "a/": a folder that is to have children (RFC 3501 6.3.3) */
		name.n--;
	return folder_name_check(name, &n->name, e) != 0 || folder_name_to_disk(buf_view(&n->name), &n->disk, e) != 0 ? -1 : 0;
}

static void names_done(struct names *n)
{
	buf_done(&n->name);
	buf_done(&n->disk);
}

static bool has_wildcard(struct slice name)
{
	return slice_chr(name, '*') >= 0 || slice_chr(name, '%') >= 0;
}

static int create_locked(struct box *b, const struct names *n, struct err *e)
{
	int fd, rc = 0;
	const char *disk = buf_str(&n->disk);

	if (n->disk.len == 0)
		return err_set(e, ERR_EXISTS, 0, "INBOX is there already");
	if (mkdirat(b->dirfd, disk, 0700) != 0) {
		if (errno != EEXIST)
			return err_set(e, err_kind_of(errno), errno, "making folder %s", buf_str(&n->name));
		if (is_folder(b, disk))
			return err_set(e, ERR_EXISTS, 0, "folder %s is there already", buf_str(&n->name));
	}
	fd = openat(b->dirfd, disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "making folder %s", buf_str(&n->name));
	for (size_t i = 0; i < 3 && rc == 0; i++)
		if (mkdirat(fd, i == 0 ? "tmp" : i == 1 ? "new" : "cur", 0700) != 0 && errno != EEXIST)
			rc = err_set(e, err_kind_of(errno), errno, "making folder %s", buf_str(&n->name));
	close(fd);
	return rc;
}

static int set_special(struct box *b, struct slice name, unsigned attr, struct err *e)
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
	struct names n;
	struct mbox *m;
	int rc = names_of(name, &n, e);

	if (rc == 0 && has_wildcard(buf_view(&n.name)))
		rc = err_set(e, ERR_DENIED, 0, "folder name has a wildcard (* or %%)");
	if (rc == 0 && (rc = box_lock(b, e)) == 0) {
		rc = create_locked(b, &n, e);
		if (rc == 0 && special_attr != 0)
			rc = set_special(b, buf_view(&n.name), special_attr, e);
		if (rc == 0 && !b->making && fsync(b->dirfd) != 0)
			rc = err_set(e, ERR_TEMP, errno, "flushing %s", b->dir);
		box_unlock(b);
	}
	if (rc == 0 && (rc = mbox_open_disk(&m, b, &n.name, &n.disk, true, e)) == 0)
		mbox_close(&m);
	names_done(&n);
	return rc;
}

/* ---- delete ---- */

static void remove_files(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			(void)unlinkat(dirfd, d->d_name, 0);
	closedir(dir);
}

static void remove_tree(struct box *b, const char *name)
{
	static const char *const parts[] = { "cur", "new", "tmp" };
	int fd = openat(b->dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	for (size_t i = 0; i < 3; i++) {
		int sub = openat(fd, parts[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (sub >= 0)
			remove_files(sub);
		file_close(&sub);
		(void)unlinkat(fd, parts[i], AT_REMOVEDIR);
	}
	remove_files(fd);
	close(fd);
	(void)unlinkat(b->dirfd, name, AT_REMOVEDIR);
}

/* One rename takes the folder away whole; then there is time to remove what was in it. */
static int delete_locked(struct box *b, const struct names *n, struct err *e)
{
	char away[64];
	struct mbox *m;
	uint32_t uidvalidity = 0;
	int rc;

	if (n->disk.len == 0)
		return err_set(e, ERR_DENIED, 0, "INBOX can't be deleted");
	if (!is_folder(b, buf_str(&n->disk)))
		return err_set(e, ERR_NOTFOUND, 0, "no folder %s", buf_str(&n->name));
	if (mbox_open_disk(&m, b, &n->name, &n->disk, false, e) == 0) {
		uidvalidity = m->uidvalidity;
		mbox_close(&m);
	}
	snprintf(away, sizeof away, GONE_PREFIX "%ld.%llu", (long)getpid(), (unsigned long long)++b->counter);
	if (renameat(b->dirfd, buf_str(&n->disk), b->dirfd, away) != 0)
		return err_set(e, err_kind_of(errno), errno, "deleting %s", buf_str(&n->name));
	rc = fsync(b->dirfd) != 0 ? err_set(e, ERR_TEMP, errno, "flushing %s", b->dir) : 0;
	remove_tree(b, away);
	quota_drop(b, uidvalidity);
	return rc != 0 ? -1 : set_special(b, buf_view(&n->name), 0, e);
}

int box_delete(struct box *b, struct slice name, struct err *e)
{
	struct names n;
	int rc = names_of(name, &n, e);

	if (rc == 0 && (rc = box_lock(b, e)) == 0) {
		rc = delete_locked(b, &n, e);
		box_unlock(b);
	}
	names_done(&n);
	notify_send(b);
	return rc;
}

/* ---- rename ---- */

/* INBOX keeps being there; what was in it moves (RFC 3501 6.3.5). */
static int rename_inbox(struct box *b, const struct names *to, struct err *e)
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

static int rename_one(struct box *b, const struct names *from, const struct names *to, struct slice child, bool check_only, struct err *e)
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
	if (rc == 0 && check_only && is_folder(b, buf_str(&cq)))
		rc = err_set(e, ERR_EXISTS, 0, "folder %s is there already", buf_str(&q));
	if (rc == 0 && !check_only && renameat(b->dirfd, buf_str(&cp), b->dirfd, buf_str(&cq)) != 0)
		rc = err_set(e, err_kind_of(errno), errno, "renaming %s", buf_str(&p));
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

static int rename_all(struct box *b, const struct names *from, const struct names *to, bool check_only, const struct folder *list, size_t n, struct err *e)
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
static int rename_notes(struct box *b, const struct names *from, const struct names *to, struct err *e)
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

static int rename_locked(struct box *b, const struct names *from, const struct names *to, struct err *e)
{
	struct arena *a = arena_new(0);
	struct folder *list;
	size_t n;
	int rc = box_list(b, a, &list, &n, e);

	if (rc == 0)
		rc = rename_all(b, from, to, true, list, n, e);
	if (rc == 0)
		rc = rename_all(b, from, to, false, list, n, e);
	if (rc == 0 && fsync(b->dirfd) != 0)
		rc = err_set(e, ERR_TEMP, errno, "flushing %s", b->dir);
	if (rc == 0)
		rc = rename_notes(b, from, to, e);
	arena_free(&a);
	return rc;
}

/* Open folders of this process go on under their new names. */
static void rename_open(struct box *b, const struct names *from, const struct names *to)
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
	struct names from = { 0 }, to = { 0 };
	int rc = names_of(from_name, &from, e) != 0 || names_of(to_name, &to, e) != 0 ? -1 : 0;

	if (rc == 0 && (to.disk.len == 0 || has_wildcard(buf_view(&to.name))))
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
	names_done(&from);
	names_done(&to);
	notify_send(b);
	return rc;
}

/* ---- a new box ---- */

/* A migrated user has a Sent already: it is the one. */
static int mark_special(struct box *b, struct slice name, struct err *e)
{
	int rc = box_lock(b, e);

	if (rc == 0 && special_of(name) != 0)
		rc = set_special(b, name, special_of(name), e);
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
