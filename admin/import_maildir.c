/*
 * admin/import_maildir.c - a Maildir or Maildir++ tree of another program into a mailbox. The tree is read and not changed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/import.h"
#include "store/mboxfile.h"
#include "base/file.h"
#include "store/dirlist.h"
#include "store/uidlist.h"

#define TIME_MIN 100000000                                            /* what begins a name and is less is a number, not a time */

struct source {
	struct import *im;
	const char *path;                                             /* of the folder, for people */
	const char *disk;                                             /* ".a.b"; "" for the root */
	struct arena *a;
	int fd[2];                                                    /* cur, new */
	struct slice keywords[64];
	size_t n_keywords;
	struct uidlist uids;                                          /* uidvalidity 0: there are none */
	struct hmap *by_base;                                         /* a file's name to its struct uidlist_entry */
	struct hmap *subscribed;                                      /* disk names; NULL: no such list, all are */
	struct buf octets;
};

/* ---- one message ---- */

/* Copying a tree may make all files young, and an APPEND of old mail gives a name of today: the older of the two is the message's. */
static int64_t date_of(const struct found *f, int64_t mtime)
{
	return f->n.date >= TIME_MIN && f->n.date < mtime ? f->n.date : mtime;
}

static size_t keywords_of(const struct source *s, const struct found *f, struct slice *out)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n_keywords; i++)
		if ((f->n.keywords >> i & 1) != 0)
			out[n++] = s->keywords[i];
	return n;
}

static uint32_t uid_of(const struct source *s, const struct found *f)
{
	ptrdiff_t colon = slice_rchr(f->name, ':');
	const struct uidlist_entry *x;

	if (s->uids.uidvalidity == 0)
		return 0;
	x = hmap_get(s->by_base, colon < 0 ? f->name : slice_head(f->name, (size_t)colon));
	if (x != NULL)
		return x->uid;
	return f->n.has_uid && f->n.uidvalidity == s->uids.uidvalidity ? f->n.uid : 0;         /* a mailbox of ours */
}

static int import_open_file(struct source *s, const struct found *f, const struct import_file *file, struct err *e)
{
	struct slice keywords[64];
	struct import_message msg = { .flags = f->n.flags, .keywords = keywords, .date = date_of(f, file->mtime), .uid = uid_of(s, f) };

	buf_reset(&s->octets);
	mboxfile_to_crlf(file->octets, &s->octets);
	msg.octets = buf_view(&s->octets);
	msg.n_keywords = keywords_of(s, f, keywords);
	return import_one(s->im, &msg, e);
}

/* 1: not there any more; another program renames and removes, and the next run sees it. */
static int import_found(struct source *s, const struct found *f, struct err *e)
{
	struct import_file file;
	struct err ignored;
	int rc;

	if (import_be_self(&s->im->x->who, e) != 0)
		return -1;
	rc = import_file_open(&file, s->fd[f->bay == BAY_NEW], f->name.p, false, e);
	if (rc != 0)
		return import_be_owner(&s->im->x->who, &ignored) == 0 && e->kind == ERR_NOTFOUND ? 1 : -1;
	rc = import_be_owner(&s->im->x->who, e);
	if (rc == 0)
		rc = import_open_file(s, f, &file, e);
	import_file_close(&file);
	return rc;
}

/* ---- a folder ---- */

struct listed { struct found f; uint32_t uid; };

static int by_date(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->n.date != y->n.date)
		return x->n.date < y->n.date ? -1 : 1;
	return strcmp(x->name.p, y->name.p);
}

/* By UID; then those without one, by date. */
static int by_uid(const void *a, const void *b)
{
	const struct listed *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid - 1 < y->uid - 1 ? -1 : 1;              /* 0, none, becomes the highest */
	return by_date(&x->f, &y->f);
}

static void read_keywords(struct source *s, int dirfd)
{
	struct import_file f;
	struct err ignored;

	s->n_keywords = 0;
	if (import_file_open(&f, dirfd, "dovecot-keywords", false, &ignored) != 0)
		return;
	s->n_keywords = uidlist_keywords(arena_dup(s->a, f.octets), s->keywords, 64);
	import_file_close(&f);
}

static void read_uids(struct source *s, int dirfd)
{
	static const char *const names[] = { "dovecot-uidlist", "courierimapuiddb" };
	struct import_file f;
	struct err ignored;

	s->uids = (struct uidlist){ .uidvalidity = 0 };
	hmap_free(&s->by_base);
	s->by_base = hmap_new();
	for (size_t i = 0; i < sizeof names / sizeof names[0] && s->uids.uidvalidity == 0; i++) {
		if (import_file_open(&f, dirfd, names[i], false, &ignored) != 0)
			continue;
		if (uidlist_parse(arena_dup(s->a, f.octets), s->a, &s->uids) != 0)
			s->uids.uidvalidity = 0;
		import_file_close(&f);
	}
	for (size_t i = 0; i < s->uids.n; i++)
		(void)hmap_put(s->by_base, s->uids.v[i].base, &s->uids.v[i]);
}

static void sort_by_uid(struct source *s, struct found *list, size_t n)
{
	struct listed *v = arena_array(s->a, n + 1, sizeof *v);

	for (size_t i = 0; i < n; i++)
		v[i] = (struct listed){ list[i], uid_of(s, &list[i]) };
	qsort(v, n, sizeof *v, by_uid);
	for (size_t i = 0; i < n; i++)
		list[i] = v[i].f;
}

/* Not a shelf of ours, which would make what a Maildir lacks: this tree is not changed. */
static int list_dir(struct source *s, int which, struct found **list_out, size_t *n_out, struct err *e)
{
	int fd = openat(s->fd[which], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), why;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirlist l = { .a = s->a, .bay = which == 1 ? BAY_NEW : BAY_CUR };
	const struct dirent *d;
	struct stat st;

	if (dir == NULL) {
		file_close(&fd);
		return err_set(e, ERR_TEMP, errno, "listing %s", s->path);
	}
	for (errno = 0; (d = readdir(dir)) != NULL; errno = 0)
		if (d->d_name[0] != '.' && fstatat(s->fd[which], d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			(void)dirlist_add(&l, d->d_name);
	why = errno;
	closedir(dir);
	*list_out = l.v;
	*n_out = l.n;
	return why == 0 ? 0 : err_set(e, ERR_TEMP, why, "listing %s", s->path);
}

static int list_all(struct source *s, struct found **list_out, size_t *n_out, struct err *e)
{
	struct found *part[2], *all;
	size_t n[2];

	for (int i = 0; i < 2; i++)
		if (list_dir(s, i, &part[i], &n[i], e) != 0)
			return -1;
	all = arena_array(s->a, n[0] + n[1] + 1, sizeof *all);
	if (n[0] > 0)
		memcpy(all, part[0], n[0] * sizeof *all);
	if (n[1] > 0)
		memcpy(all + n[0], part[1], n[1] * sizeof *all);
	qsort(all, n[0] + n[1], sizeof *all, by_date);
	*list_out = all;
	*n_out = n[0] + n[1];
	return 0;
}

static int import_listed(struct source *s, struct slice folder, const struct found *list, size_t n, struct err *e)
{
	if (import_folder(s->im, folder, s->subscribed == NULL || hmap_get(s->subscribed, slice_of(s->disk)) != NULL, e) != 0 ||
	    import_keep_uids(s->im, s->uids.uidvalidity, s->uids.uidnext, e) != 0)
		return err_context(e, "%s: folder %.*s", s->path, SLICE_FMT(folder));
	for (size_t i = 0; i < n; i++) {
		import_progress(s->im, s->path, i, n);
		if (import_found(s, &list[i], e) < 0)
			return err_context(e, "%s/%s: message %zu (%s)", s->path, list[i].bay == BAY_NEW ? "new" : "cur", i + 1, list[i].name.p);
	}
	return 0;
}

static int import_dir(struct source *s, int dirfd, struct slice folder, struct err *e)
{
	struct found *list;
	size_t n;
	int rc = -1;

	s->fd[0] = openat(dirfd, "cur", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	s->fd[1] = openat(dirfd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd[0] < 0 || s->fd[1] < 0)
		(void)err_set(e, ERR_SYNTAX, errno, "%s has no cur and new: it is no Maildir", s->path);
	else
		rc = list_all(s, &list, &n, e);
	if (rc == 0) {
		read_keywords(s, dirfd);
		read_uids(s, dirfd);
		sort_by_uid(s, list, n);
	}
	if (rc == 0)
		rc = import_be_owner(&s->im->x->who, e);
	if (rc == 0)
		rc = import_listed(s, folder, list, n, e);
	file_close(&s->fd[0]);
	file_close(&s->fd[1]);
	return rc;
}

/* ---- the tree ---- */

/* ".a.b" below the folder that the root goes to. Where that is INBOX, a folder of its own. */
static int folder_of(struct slice root, const char *disk, struct buf *out, struct err *e)
{
	struct buf name;
	int rc;

	buf_init(&name, BUF_UNBOUNDED);
	rc = folder_name_from_disk(slice_of(disk), &name);
	if (rc != 0)
		(void)err_set(e, ERR_SYNTAX, 0, "%s is not the name of a folder in modified UTF-7", disk);
	else if (slice_ieqs(root, "INBOX"))
		buf_put(out, buf_view(&name));
	else
		buf_putf(out, "%.*s/%.*s", SLICE_FMT(root), SLICE_FMT(buf_view(&name)));
	buf_done(&name);
	return rc;
}

static int import_below(struct source *s, int rootfd, const char *disk, struct slice root, struct err *e)
{
	const char *whole = s->path;
	struct buf folder;
	int fd = -1, rc;

	arena_reset(s->a);
	buf_init(&folder, BUF_UNBOUNDED);
	rc = folder_of(root, disk, &folder, e);
	if (rc == 0)
		rc = import_be_self(&s->im->x->who, e);
	if (rc == 0 && (fd = openat(rootfd, disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		rc = err_set(e, err_kind_of(errno), errno, "%s/%s", whole, disk);
	if (rc == 0) {
		s->path = arena_printf(s->a, "%s/%s", whole, disk);
		s->disk = arena_printf(s->a, "%s", disk);
		rc = import_dir(s, fd, buf_view(&folder), e);
		s->path = whole;
	}
	file_close(&fd);
	buf_done(&folder);
	return rc;
}

static int import_tree(struct source *s, int rootfd, struct slice root, struct err *e)
{
	int fd = openat(rootfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (dir == NULL) {
		file_close(&fd);
		return err_set(e, ERR_TEMP, errno, "listing %s", s->path);
	}
	rc = import_dir(s, rootfd, root, e);
	while (rc == 0 && (d = readdir(dir)) != NULL) {
		struct stat st;

		if (d->d_name[0] != '.' || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		rc = import_be_self(&s->im->x->who, e);
		if (rc == 0 && fstatat(rootfd, arena_printf(s->a, "%s/cur", d->d_name), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
			rc = import_below(s, rootfd, d->d_name, root, e);
	}
	closedir(dir);
	return rc;
}

/* What was subscribed there without a folder is left out. */
static void read_subscriptions(struct source *s, int rootfd, struct arena *a)
{
	static const char *const names[] = { "subscriptions", "courierimapsubscribed" };
	struct import_file f;
	struct err ignored;

	for (size_t i = 0; i < sizeof names / sizeof names[0] && s->subscribed == NULL; i++) {
		struct slice rest, line;
		bool version2;

		if (import_file_open(&f, rootfd, names[i], false, &ignored) != 0)
			continue;
		rest = arena_dup(a, f.octets);
		import_file_close(&f);
		version2 = slice_starts(rest, SLICE("V\t2\n"));
		s->subscribed = hmap_new();
		(void)hmap_put(s->subscribed, SLICE(""), s);
		while (slice_next(&rest, '\n', &line))
			if (uidlist_subscription(line, version2, a).n > 0)
				(void)hmap_put(s->subscribed, uidlist_subscription(line, version2, a), s);
	}
}

int import_maildir(struct import *im, struct slice folder, const char *path, struct err *e)
{
	struct source s = { .im = im, .path = path, .disk = "", .fd = { -1, -1 }, .by_base = hmap_new() };
	struct arena *names = arena_new(0);
	struct err ignored;
	int fd, rc = -1;

	if (import_be_self(&im->x->who, e) != 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		(void)err_set(e, err_kind_of(errno), errno, "%s", path);
	else {
		s.a = arena_new(0);
		buf_init(&s.octets, BUF_UNBOUNDED);
		read_subscriptions(&s, fd, names);
		rc = import_tree(&s, fd, folder, e);
		buf_done(&s.octets);
		arena_free(&s.a);
	}
	hmap_free(&s.by_base);
	if (s.subscribed != NULL)
		hmap_free(&s.subscribed);
	arena_free(&names);
	file_close(&fd);
	if (import_be_owner(&im->x->who, rc == 0 ? e : &ignored) != 0)
		rc = -1;
	return rc;
}
