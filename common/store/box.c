/*
 * store/box.c - a user: the tree's root, its small file, opening folders, and what goes over all of them.
 *
 *     posthouse.box:             posthouse-box 1 / last-uidvalidity N / special ATTR NAME ... / folders-made / end
 *     posthouse.subscriptions:   a name a line, UTF-8
 */
#include "store/box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

#define BOX_MAX (4u << 20)

static const struct { const char *word; unsigned attr; } specials[] = {
	{ "Drafts", FOLDER_DRAFTS }, { "Sent", FOLDER_SENT }, { "Junk", FOLDER_JUNK }, { "Trash", FOLDER_TRASH }, { "Archive", FOLDER_ARCHIVE },
};
#define N_SPECIALS (sizeof specials / sizeof *specials)
#define SPECIAL_MASK (FOLDER_DRAFTS | FOLDER_SENT | FOLDER_JUNK | FOLDER_TRASH | FOLDER_ARCHIVE)

unsigned special_of(struct slice word)
{
	for (size_t i = 0; i < N_SPECIALS; i++)
		if (slice_ieqs(word, specials[i].word))
			return specials[i].attr;
	return 0;
}

/* ---- posthouse.box ---- */

void boxfile_init(struct boxfile *f)
{
	*f = (struct boxfile){ .a = arena_new(0) };
}

void boxfile_done(struct boxfile *f)
{
	arena_free(&f->a);
}

void boxfile_set_special(struct boxfile *f, struct slice name, unsigned attr)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++)
		if (!slice_eq(f->special[i].name, name) && f->special[i].attrs != attr)
			f->special[kept++] = f->special[i];
	f->n = kept;
	if (attr != 0)
		f->special[f->n++] = (struct folder){ arena_dup(f->a, name), attr };
}

static int boxfile_line(struct boxfile *f, struct slice line, bool *ended)
{
	struct slice word, name;
	unsigned attr;

	if (!slice_next(&line, ' ', &word) || *ended)
		return -1;
	if (slice_eqs(word, "last-uidvalidity"))
		return num_u32(line, UINT32_MAX, &f->last_uidvalidity);
	if (slice_eqs(word, "end")) {
		*ended = true;
		return 0;
	}
	if (slice_eqs(word, "folders-made")) {
		f->made = true;
		return 0;
	}
	if (!slice_eqs(word, "special") || !slice_next(&line, ' ', &name) || (attr = special_of(name)) == 0 || line.n == 0)
		return -1;
	boxfile_set_special(f, line, attr);
	return 0;
}

int boxfile_parse(struct slice text, struct boxfile *f)
{
	struct slice line;
	bool ended = false;

	if (!slice_next(&text, '\n', &line) || !slice_eqs(line, "posthouse-box 1"))
		return -1;
	while (slice_next(&text, '\n', &line) && line.n > 0)
		if (boxfile_line(f, line, &ended) != 0)
			return -1;
	return ended ? 0 : -1;
}

int boxfile_load(struct box *b, struct boxfile *f, struct err *e)
{
	struct buf text;
	int rc;

	buf_init(&text, BOX_MAX);
	rc = meta_read(b->dirfd, BOX_NAME, &text, e);
	if (rc == 0 && boxfile_parse(buf_view(&text), f) != 0)
		rc = err_set(e, ERR_SYNTAX, 0, BOX_NAME " is damaged");
	buf_done(&text);
	return rc;
}

int boxfile_save(struct box *b, const struct boxfile *f, struct err *e)
{
	struct buf text;
	int rc;

	buf_init(&text, BUF_UNBOUNDED);
	buf_putf(&text, "posthouse-box 1\nlast-uidvalidity %u\n", f->last_uidvalidity);
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < N_SPECIALS; k++)
			if (specials[k].attr == f->special[i].attrs)
				buf_putf(&text, "special %s %.*s\n", specials[k].word, SLICE_FMT(f->special[i].name));
	buf_puts(&text, f->made ? "folders-made\nend\n" : "end\n");
	rc = meta_replace(b->dirfd, BOX_NAME, buf_view(&text), !b->making, e);
	buf_done(&text);
	return rc;
}

/* Changes of the box's own files are rare; one lock, on the directory of the box, orders them. */
int box_lock(struct box *b, struct err *e)
{
	return flock(b->dirfd, LOCK_EX) == 0 ? 0 : err_set(e, ERR_TEMP, errno, "locking %s", b->dir);
}

void box_unlock(struct box *b)
{
	(void)flock(b->dirfd, LOCK_UN);
}

/* Never one that a folder of this user had before: a folder made again under an old name must look new to every client. */
uint32_t box_next_uidvalidity(struct box *b)
{
	uint32_t now = (uint32_t)clock_wall_s();
	struct boxfile f;
	struct err ignored;

	boxfile_init(&f);
	if (boxfile_load(b, &f, &ignored) == 0 && f.last_uidvalidity > b->last_uidvalidity)
		b->last_uidvalidity = f.last_uidvalidity;
	b->last_uidvalidity = now > b->last_uidvalidity ? now : b->last_uidvalidity + 1;
	f.last_uidvalidity = b->last_uidvalidity;
	if (boxfile_save(b, &f, &ignored) != 0) {}                    /* the clock does the same by the next second */
	boxfile_done(&f);
	return b->last_uidvalidity;
}

/* ---- making a folder ---- */

static int make_dir(int dirfd, const char *name, struct err *e)
{
	return mkdirat(dirfd, name, 0700) == 0 || errno == EEXIST ? 0 : err_set(e, err_kind_of(errno), errno, "making %s", name);
}

static int make_maildir(int fd, struct err *e)
{
	return make_dir(fd, "tmp", e) != 0 || make_dir(fd, "new", e) != 0 || make_dir(fd, "cur", e) != 0 ? -1 : 0;
}

/* The log says that UIDs begin at 1; a folder that has lost it does not know that, and goes on behind the reserved block. */
static int begin_log(struct mbox *m, struct err *e)
{
	bool replaced;
	struct txn t;
	int rc;

	if (slog_open(&m->log, m->dirfd, LOG_NAME, true, e) != 0 || slog_lock(&m->log, &replaced, e) != 0)
		return -1;
	if (m->log.id != 0)
		return 0;
	m->modseq = (uint64_t)clock_wall_us();
	if (slog_begin(&m->log, m->modseq | 1, 0, m->uidvalidity, e) != 0)
		return -1;
	m->stamp_new = stamp_of(m->newfd);
	m->stamp_cur = stamp_of(m->curfd);
	txn_init(m, &t);
	txn_next(&t, 1, m->box->boot);
	rc = mbox_commit(m, &t, NULL, e);
	txn_done(&t);
	return rc;
}

static bool is_empty_dir(int fd)
{
	struct arena *a = arena_new(0);
	struct found *f;
	struct err ignored;
	size_t n = 1;
	bool empty = dirlist(fd, false, a, &f, &n, &ignored) == 0 && n == 0;

	arena_free(&a);
	return empty;
}

/* A new Maildir with its log and its posthouse.folder, unless somebody else's mail is in it: that is for mbox_rebuild() to take over. */
int folder_init(struct mbox *m, struct err *e)
{
	int rc = 0;

	if (faccessat(m->dirfd, FOLDER_NAME, F_OK, 0) == 0 || !is_empty_dir(m->curfd) || !is_empty_dir(m->newfd) || faccessat(m->dirfd, "dovecot-uidlist", F_OK, 0) == 0 ||
	    faccessat(m->dirfd, "courierimapuiddb", F_OK, 0) == 0)
		return 0;
	m->uidvalidity = box_next_uidvalidity(m->box);
	m->reserved = UID_BLOCK;
	m->uidnext = 1;
	rc = begin_log(m, e);
	if (rc == 0)
		rc = meta_save(m, e);
	slog_close(&m->log);
	return rc;
}

/* ---- opening a folder ---- */

static int open_dirs(struct mbox *m, bool make, struct err *e)
{
	struct box *b = m->box;

	m->dirfd = openat(b->dirfd, m->disk[0] == '\0' ? "." : m->disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (m->dirfd < 0)
		return err_set(e, err_kind_of(errno), errno, "no folder %s", m->name);
	for (int turn = 0; turn < 2; turn++) {
		m->curfd = openat(m->dirfd, "cur", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		m->newfd = openat(m->dirfd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (m->curfd >= 0 && m->newfd >= 0 && faccessat(m->dirfd, "tmp", F_OK, 0) == 0)
			return 0;
		make = make || m->curfd >= 0;                         /* a Maildir that lacks what nobody needed so far */
		file_close(&m->curfd);
		file_close(&m->newfd);
		if (!make || make_maildir(m->dirfd, e) != 0)
			break;
	}
	return err_set(e, ERR_NOTFOUND, 0, "%s is no Maildir (cur, new and tmp)", m->name);
}

static void mbox_free(struct mbox *m)
{
	mbox_clear_state(m);
	while (m->n_keywords > 0)
		free(m->keyword[--m->n_keywords]);
	slog_close(&m->log);
	scache_close(&m->cache);
	file_close(&m->curfd);
	file_close(&m->newfd);
	file_close(&m->dirfd);
	free(m->events);
	free(m->name);
	free(m->disk);
	free(m);
}

static struct mbox *mbox_new(struct box *b, const struct buf *name, const struct buf *disk)
{
	struct mbox *m = mem_new(sizeof *m);

	m->box = b;
	m->refs = 1;
	m->name = mem_str(buf_str(name));
	m->disk = mem_str(buf_str(disk));
	m->dirfd = m->curfd = m->newfd = -1;
	slog_init(&m->log);
	scache_init(&m->cache);
	return m;
}

static int load(struct mbox *m, bool make, struct err *e)
{
	if (open_dirs(m, make, e) != 0)
		return -1;
	if (faccessat(m->dirfd, FOLDER_NAME, F_OK, 0) != 0) {
		int rc = box_lock(m->box, e);

		if (rc == 0)
			rc = folder_init(m, e);
		box_unlock(m->box);
		if (rc != 0)
			return -1;
	}
	return mbox_load(m, e) != 0 || mbox_refresh(m, e) != 0 ? -1 : 0;
}

int mbox_open_disk(struct mbox **m_out, struct box *b, const struct buf *name, const struct buf *disk, bool make, struct err *e)
{
	struct mbox *m = mbox_new(b, name, disk);
	struct err ignored;

	if (load(m, make, e) != 0) {
		mbox_free(m);
		return -1;
	}
	m->next = b->folders;
	b->folders = m;
	if (quota_is_behind(m) && mbox_begin(m, &ignored) == 0) {     /* what a killed process could not */
		quota_set(m);
		mbox_end(m);
	}
	*m_out = m;
	return 0;
}

int mbox_open(struct mbox **m_out, struct box *b, struct slice name, struct err *e)
{
	struct buf canonical, disk;
	struct mbox *m;
	int rc;

	for (m = b->folders; m != NULL; m = m->next)                  /* the common case: as it was written before */
		if (slice_eqs(name, m->name)) {
			m->refs++;
			*m_out = m;
			return 0;
		}
	buf_init(&canonical, BUF_UNBOUNDED);
	buf_init(&disk, BUF_UNBOUNDED);
	rc = folder_name_check(name, &canonical, e) != 0 || folder_name_to_disk(buf_view(&canonical), &disk, e) != 0 ? -1 : 0;
	if (rc == 0 && !slice_eq(name, buf_view(&canonical)))
		rc = mbox_open(m_out, b, buf_view(&canonical), e);
	else if (rc == 0)
		rc = mbox_open_disk(m_out, b, &canonical, &disk, disk.len == 0, e);
	buf_done(&canonical);
	buf_done(&disk);
	return rc;
}

void mbox_close(struct mbox **mp)
{
	struct mbox *m = *mp, **at;
	struct err ignored;

	*mp = NULL;
	if (m == NULL || --m->refs > 0)
		return;
	if ((m->dirty > 0 || mbox_wants_fold(m)) && mbox_begin(m, &ignored) == 0) {
		if (mbox_flush_names(m, 4096, &ignored) != 0) {}      /* the next one to close does */
		mbox_end(m);
	}
	for (at = &m->box->folders; *at != m; at = &(*at)->next)
		continue;
	*at = m->next;
	mbox_free(m);
}

int mbox_sync(struct mbox *m, struct err *e)
{
	/* The directory too: a file that comes back after a power cut would be a message again. */
	if (fsync(m->curfd) != 0 || fdatasync(m->log.fd) != 0)
		return err_set(e, ERR_TEMP, errno, "flushing %s", m->name);
	return 0;
}

/* ---- the user ---- */

static char *absolute(const char *dir)
{
	char *path = dir[0] == '/' ? mem_str(dir) : realpath(dir, NULL);

	return path != NULL ? path : mem_str(dir);
}

static char *plain_host(const char *host)
{
	char *p = mem_str(host == NULL || host[0] == '\0' ? "localhost" : host);

	for (char *c = p; *c != '\0'; c++)
		if (!ascii_is_alnum(*c) && *c != '-' && *c != '.')
			*c = '_';
	if (strlen(p) > 64)
		p[64] = '\0';
	return p;
}

/* fsync of a file brings its new name along on ext4, XFS and btrfs (reliability.md 1.6); on btrfs the directory then has the name, but its old time. */
static void know_file_system(struct box *b)
{
	enum { EXT4 = 0xef53, XFS = 0x58465342, BTRFS = (int)0x9123683e };
	struct statfs fs;
	int type = fstatfs(b->dirfd, &fs) != 0 ? 0 : (int)fs.f_type;

	b->dir_times = type == EXT4 || type == XFS;
	b->dir_sync = !b->dir_times && type != BTRFS;
}

/* 1: that has been done. */
static int begin_box(struct box *b, struct err *e)
{
	struct boxfile f;
	struct err why;
	int rc;

	boxfile_init(&f);
	if (boxfile_load(b, &f, &why) == 0)
		rc = f.made ? 1 : 0;
	else
		rc = why.kind == ERR_TEMP ? err_set(e, ERR_TEMP, why.sys, "%s", why.text) : make_maildir(b->dirfd, e) != 0 ? -1 : boxfile_save(b, &f, e);
	boxfile_done(&f);
	return rc;
}

static int end_box(struct box *b, struct err *e)
{
	struct boxfile f;
	int rc;

	boxfile_init(&f);
	rc = boxfile_load(b, &f, e);
	f.made = true;
	if (rc == 0)
		rc = boxfile_save(b, &f, e);
	boxfile_done(&f);
	if (rc == 0 && syncfs(b->dirfd) != 0)
		rc = err_set(e, ERR_TEMP, errno, "flushing %s", b->dir);
	return rc;
}

/* Whoever comes first makes the special folders; one who was killed halfway is followed by one who makes the rest. */
static int first_open(struct box *b, struct err *e)
{
	struct boxfile f;
	struct err ignored;
	int rc;

	boxfile_init(&f);
	rc = boxfile_load(b, &f, &ignored) == 0 && f.made ? 1 : 0;
	boxfile_done(&f);
	if (rc == 1)
		return 0;
	b->making = true;
	if (box_lock(b, e) != 0)
		return -1;
	rc = begin_box(b, e);
	box_unlock(b);
	if (rc == 0)
		rc = box_first_folders(b, e);
	if (rc == 0 && (rc = box_lock(b, e)) == 0) {
		rc = end_box(b, e);
		box_unlock(b);
	}
	b->making = false;
	return rc < 0 ? -1 : 0;
}

int box_open(struct box **b_out, const char *dir, bool create, const struct box_options *opt, struct err *e)
{
	struct box *b;

	if (create && file_mkdirs(dir, 0700, e) != 0)
		return -1;
	b = mem_new(sizeof *b);
	notifier_init(&b->notifier);
	b->dir = absolute(dir);
	b->hostname = plain_host(opt->hostname);
	b->special = mem_str(opt->special_folders == NULL ? "" : opt->special_folders);
	b->quota_storage = opt->quota_storage;
	b->quota_messages = opt->quota_messages;
	b->knows_limits = !opt->limits_unknown;
	b->boot = mbox_boot_now();
	b->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->dirfd < 0)
		(void)err_set(e, err_kind_of(errno), errno, "%s", dir);
	else
		know_file_system(b);
	if (b->dirfd < 0 || first_open(b, e) != 0) {
		box_close(&b);
		return -1;
	}
	*b_out = b;
	return 0;
}

void box_close(struct box **bp)
{
	struct box *b = *bp;

	if (b == NULL)
		return;
	while (b->folders != NULL) {                                  /* views of it are the caller's to close before */
		struct mbox *m = b->folders;

		m->refs = 1;
		mbox_close(&m);
	}
	quota_close(b);
	notifier_close(&b->notifier);
	file_close(&b->dirfd);
	free(b->dir);
	free(b->hostname);
	free(b->special);
	free(b);
	*bp = NULL;
}
