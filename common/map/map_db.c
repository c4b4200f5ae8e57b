/*
 * map/map_db.c - reads Berkeley DB files, our own and those of sendmail's makemap, postmap and the original dracd.
 *
 * Foreign programs write these files in place, under flock (sendmail, Postfix) or fcntl (the original dracd), so every access holds both, shared.
 * The fcntl lock is an open-file-description lock, which excludes the classic kind but does not vanish when the library closes its own descriptor.
 * Under the lock the file's identity is compared; a change opens it anew, since pages cached by the library are stale then.
 * Files made with the NUL counted into key and value are recognised at the first hit.
 *
 * A snapshot is a file that only we make, and only by rename: what is open never changes, so it needs no lock, and its answers are kept until another
 * file has the name. One stat(2) a question says whether it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "map/map_bdb.h"
#include "map/map_impl.h"

#define ANSWERS_KEPT 4096
#define LOCK_TRIES 100                                                    /* of 1 ms: a writer that takes longer is an error for now */

enum nul { NUL_UNKNOWN, NUL_WITHOUT, NUL_WITH };

struct map_bdb_file {
	struct map base;
	DB *db;                                                       /* NULL: the file is not there */
	int fd;                                                       /* carries the locks */
	struct stat seen;
	enum nul nul;
	bool snapshot;
	struct hmap *answers;                                         /* of a snapshot: key -> struct slice, p NULL: not there */
	struct arena *answers_arena;
	bool damaged;                                                 /* as `seen`: not opened again until the file changes, the library leaks then */
};

static struct map_bdb_file *self(struct map *m)
{
	return (struct map_bdb_file *)(void *)m;
}

static void forget_answers(struct map_bdb_file *d)
{
	hmap_free(&d->answers);
	arena_free(&d->answers_arena);
}

static int lock_once(int fd)
{
	struct flock fl = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	if (flock(fd, LOCK_SH | LOCK_NB) != 0)
		return -1;
	if (fcntl(fd, F_OFD_SETLK, &fl) == 0)
		return 0;
	flock(fd, LOCK_UN);
	return -1;
}

static int lock_shared(const struct map_bdb_file *d, struct err *e)
{
	const struct timespec pause = { 0, 1000000 };

	if (d->snapshot)
		return 0;
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (lock_once(d->fd) == 0)
			return 0;
		nanosleep(&pause, NULL);
	}
	return err_set(e, ERR_TEMP, 0, "database %s: another program keeps it locked", d->base.path);
}

static void unlock(const struct map_bdb_file *d)
{
	struct flock fl = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	if (d->snapshot)
		return;
	fcntl(d->fd, F_OFD_SETLK, &fl);
	flock(d->fd, LOCK_UN);
}

static void db_drop(struct map_bdb_file *d)
{
	if (d->db != NULL)
		d->db->close(d->db, DB_NOSYNC);
	d->db = NULL;
	forget_answers(d);
	file_close(&d->fd);
	d->nul = NUL_UNKNOWN;
}

/* The library opens by name; make sure that it got the file that we locked. */
static bool db_is_file(DB *db, int fd)
{
	int db_fd = -1;
	struct stat a, b;

	return db->fd(db, &db_fd) == 0 && fstat(db_fd, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* On success the lock is held. 1: open, 0: no file, -1: error. */
static int db_load_once(struct map_bdb_file *d, struct err *e)
{
	int rc;

	d->fd = open(d->base.path, O_RDONLY | O_CLOEXEC);
	if (d->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (d->fd < 0)
		return err_set(e, ERR_TEMP, errno, "database %s", d->base.path);
	if (lock_shared(d, e) != 0)
		return -1;
	d->db = map_bdb_new();
	rc = d->db->open(d->db, NULL, d->base.path, NULL, DB_UNKNOWN, DB_RDONLY | DB_NOMMAP, 0);
	if (fstat(d->fd, &d->seen) != 0)
		return err_set(e, ERR_TEMP, errno, "database %s", d->base.path);
	if (rc == 0 && db_is_file(d->db, d->fd))
		return 1;
	if (rc == 0)
		return err_set(e, ERR_TEMP, 0, "database %s was replaced while it was opened", d->base.path);
	return map_bdb_err(e, rc, d->base.path);
}

static int db_load(struct map_bdb_file *d, struct err *e)
{
	for (int i = 0; i < 3; i++) {
		db_drop(d);
		memset(&d->seen, 0, sizeof(d->seen));
		int rc = db_load_once(d, e);
		if (rc >= 0) {
			d->damaged = false;
			d->base.generation++;
			return rc;
		}
	}
	d->damaged = d->db != NULL;
	db_drop(d);
	return -1;
}

static int damaged(struct map_bdb_file *d, struct err *e)
{
	return err_set(e, ERR_TEMP, 0, "database %s is damaged: build it anew", d->base.path);
}

/* 1: open, current and locked; 0: no file; -1: error. */
static int db_begin(struct map_bdb_file *d, struct err *e)
{
	struct stat now;

	if (d->db != NULL && lock_shared(d, e) != 0)
		return -1;
	bool changed = map_impl_changed(d->base.path, &d->seen, &now);
	if (!changed && d->damaged)
		return damaged(d, e);
	if (!changed)
		return d->db != NULL ? 1 : 0;
	if (now.st_ino == 0) {                                            /* removed: what we hold is still whole */
		if (d->db != NULL)
			unlock(d);
		db_drop(d);
		d->seen = now;
		d->base.generation++;
		return 0;
	}
	return db_load(d, e);
}

static void db_end(struct map_bdb_file *d)
{
	if (d->fd >= 0)
		unlock(d);
}

static int db_lookup(struct map_bdb_file *d, struct slice key, bool with_nul, struct arena *a, struct slice *value_out, struct err *e)
{
	DBT k = map_bdb_dbt(key), v;
	int rc;

	k.size += with_nul ? 1 : 0;
	memset(&v, 0, sizeof(v));
	rc = d->db->get(d->db, NULL, &k, &v, 0);
	if (rc == DB_NOTFOUND)
		return 0;
	if (rc != 0) {
		d->damaged = true;
		map_bdb_err(e, rc, d->base.path);
		db_drop(d);
		return -1;
	}
	struct slice value = slice_mem(v.data, v.size);
	if (value.n && value.p[value.n - 1] == '\0')
		value.n--;
	*value_out = arena_dup(a, value);
	d->nul = with_nul ? NUL_WITH : NUL_WITHOUT;
	return 1;
}

/* With and without the NUL; d is begun. */
static int db_find(struct map_bdb_file *d, struct slice key, struct arena *a, struct slice *value_out, struct err *e)
{
	struct slice own = arena_dup(a, key);                             /* with its NUL behind */
	int rc = d->nul == NUL_WITH ? 0 : db_lookup(d, own, false, a, value_out, e);

	if (rc == 0 && d->nul != NUL_WITHOUT)
		rc = db_lookup(d, own, true, a, value_out, e);
	return rc;
}

/* As db_find(), and remembers the answer. Names that strangers ask for are answers too, so their number is bounded. */
static int db_recall(struct map_bdb_file *d, struct slice key, struct arena *a, struct slice *value_out, struct err *e)
{
	struct slice *kept = d->answers == NULL ? NULL : hmap_get(d->answers, key), value = SLICE_NONE;
	int rc;

	if (kept == NULL) {
		rc = db_find(d, key, a, &value, e);
		if (rc < 0)
			return -1;
		if (d->answers != NULL && hmap_count(d->answers) >= ANSWERS_KEPT)
			forget_answers(d);
		if (d->answers == NULL) {
			d->answers = hmap_new();
			d->answers_arena = arena_new_secret(0);                    /* of users.db they are hashes */
		}
		kept = arena_alloc(d->answers_arena, sizeof(*kept));
		*kept = rc == 0 ? SLICE_NONE : arena_dup(d->answers_arena, value);
		hmap_put(d->answers, key, kept);
	}
	if (kept->p == NULL)
		return 0;
	*value_out = arena_dup(a, *kept);
	return 1;
}

static int db_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e)
{
	struct map_bdb_file *d = self(m);
	int rc = db_begin(d, e);

	if (rc <= 0)
		return rc;
	rc = d->snapshot ? db_recall(d, key, a, value_out, e) : db_find(d, key, a, value_out, e);
	db_end(d);
	if (rc == 1)
		map_impl_where(m, m->path, 0);
	return rc;
}

static int db_refresh(struct map *m, struct err *e)
{
	int rc = db_begin(self(m), e);

	if (rc > 0)
		db_end(self(m));
	return rc < 0 ? -1 : 0;
}

static struct slice without_nul(const DBT *t)
{
	struct slice s = slice_mem(t->data, t->size);

	if (s.n && s.p[s.n - 1] == '\0')
		s.n--;
	return s;
}

static int db_each(struct map *m, int (*fn)(void *ctx, struct slice key, struct slice value), void *ctx, struct err *e)
{
	struct map_bdb_file *d = self(m);
	DBC *cur = NULL;
	DBT k, v;
	int rc = db_begin(d, e), stop = 0;

	if (rc <= 0)
		return rc;
	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	rc = d->db->cursor(d->db, NULL, &cur, 0);
	while (rc == 0 && stop == 0 && (rc = cur->get(cur, &k, &v, DB_NEXT)) == 0)
		stop = fn(ctx, without_nul(&k), without_nul(&v));
	if (cur != NULL)
		cur->close(cur);
	db_end(d);
	if (rc != 0 && rc != DB_NOTFOUND)
		return map_bdb_err(e, rc, m->path);
	return stop;
}

static void db_close(struct map *m)
{
	db_drop(self(m));
}

static const struct map_ops db_ops = { .get = db_get, .refresh = db_refresh, .each = db_each, .close = db_close };

/* "/etc/mail/access" means access.db, unless a file of the bare name is the database itself (the original dracd was started so). */
static char *db_file_name(const char *path)
{
	struct stat st;
	struct slice s = slice_of(path);
	char *with = NULL;

	if (slice_ends(s, SLICE(".db")))
		return strdup(path);
	if (asprintf(&with, "%s.db", path) < 0)
		abort();
	if (stat(with, &st) != 0 && stat(path, &st) == 0) {
		free(with);
		return strdup(path);
	}
	return with;
}

static int open_file(struct map **m_out, const char *path, bool snapshot, struct err *e)
{
	char *name = db_file_name(path);

	if (name == NULL)
		abort();
	struct map_bdb_file *d = map_impl_new(sizeof(*d), &db_ops, name);
	free(name);
	d->fd = -1;
	d->snapshot = snapshot;
	struct map *m = &d->base;
	if (db_refresh(m, e) != 0) {
		map_close(&m);
		return -1;
	}
	*m_out = m;
	return 0;
}

int map_db_open(struct map **m_out, const char *path, struct err *e)
{
	return open_file(m_out, path, false, e);
}

int map_snapshot_open(struct map **m_out, const char *path, struct err *e)
{
	return open_file(m_out, path, true, e);
}
