/*
 * map/map_build.c - writes a Berkeley DB file: a new file beside the old one, complete and on disk before it gets its name.
 * Readers therefore never see half a table, and whoever has the old one open reads on in it undisturbed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "map/map.h"
#include "map/map_bdb.h"

#define BUILD_CACHE (16u << 20)
#define HASH_FIRST 4096                                                   /* elements that a hash is laid out for: what sendmail and Postfix say */
#define READERS_MS 200

struct map_build {
	DB *db;
	char *path, *tmp;
	mode_t mode;
	bool dups;
};

static bool is_hash(enum map_db kind)
{
	return kind == MAP_DB_HASH || kind == MAP_DB_HASH_DUPS;
}

int map_build_new(struct map_build **b_out, const char *db_path, enum map_db kind, unsigned page_size, mode_t mode, struct err *e)
{
	struct map_build *b = calloc(1, sizeof(*b));
	struct stat st;

	if (b == NULL || (b->path = strdup(db_path)) == NULL || asprintf(&b->tmp, "%s.tmp.%ld", db_path, (long)getpid()) < 0)
		abort();
	b->mode = stat(db_path, &st) == 0 ? st.st_mode & 0777 : mode;
	unlink(b->tmp);                                                   /* of a process of our number that was killed */
	b->db = map_bdb_new();
	b->db->set_cachesize(b->db, 0, BUILD_CACHE, 1);
	if (page_size != 0)
		b->db->set_pagesize(b->db, page_size);
	if (kind == MAP_DB_CHECKED)
		b->db->set_flags(b->db, DB_CHKSUM);
	b->dups = kind == MAP_DB_BTREE_DUPS || kind == MAP_DB_HASH_DUPS;
	if (b->dups)
		b->db->set_flags(b->db, DB_DUP);
	if (is_hash(kind))
		b->db->set_h_nelem(b->db, HASH_FIRST);
	int rc = b->db->open(b->db, NULL, b->tmp, NULL, is_hash(kind) ? DB_HASH : DB_BTREE, DB_CREATE | DB_EXCL, 0600);
	if (rc != 0) {
		map_bdb_err(e, rc, b->tmp);
		map_build_drop(&b);
		return -1;
	}
	*b_out = b;
	return 0;
}

int map_build_put(struct map_build *b, struct slice key, struct slice value, struct err *e)
{
	DBT k = map_bdb_dbt(key), v = map_bdb_dbt(value);
	int rc = b->db->put(b->db, NULL, &k, &v, b->dups ? 0 : DB_NOOVERWRITE);

	if (rc == DB_KEYEXIST)
		return err_set(e, ERR_EXISTS, 0, "'%.*s' is there already", SLICE_FMT(slice_head(key, 120)));
	return rc == 0 ? 0 : map_bdb_err(e, rc, b->tmp);
}

static int sync_dir(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 ? -1 : fsync(fd);

	file_close(&fd);
	free(dir);
	return rc;
}

static int sync_file(const char *path, mode_t mode)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 || fchmod(fd, mode) != 0 || fsync(fd) != 0 ? -1 : 0;

	file_close(&fd);
	return rc;
}

/*
 * The file that is there, locked as its readers lock it (flock in Debian's sendmail and Postfix): sendmail locks the file, opens it by name, and gives up
 * where the two are not the same. So nobody is between the two when the name goes to the new file; a reader that never ends is not waited for.
 */
static int lock_out_readers(const char *path)
{
	const struct timespec pause = { 0, 1000000 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	for (int i = 0; fd >= 0 && i < READERS_MS && flock(fd, LOCK_EX | LOCK_NB) != 0; i++)
		nanosleep(&pause, NULL);
	return fd;
}

static int take_name(const struct map_build *b)
{
	int lock = lock_out_readers(b->path), rc = rename(b->tmp, b->path), sys = errno;

	if (lock >= 0)
		close(lock);
	errno = sys;
	return rc;
}

int map_build_commit(struct map_build **bp, struct err *e)
{
	struct map_build *b = *bp;
	int rc = b->db->close(b->db, 0);

	b->db = NULL;
	if (rc != 0)
		map_bdb_err(e, rc, b->tmp);
	else if (sync_file(b->tmp, b->mode) != 0 || take_name(b) != 0 || sync_dir(b->path) != 0)
		rc = err_set(e, err_kind_of(errno), errno, "database %s", b->path);
	map_build_drop(bp);
	return rc == 0 ? 0 : -1;
}

void map_build_drop(struct map_build **bp)
{
	struct map_build *b = bp ? *bp : NULL;

	if (b == NULL)
		return;
	if (b->db != NULL)
		b->db->close(b->db, DB_NOSYNC);
	unlink(b->tmp);
	free(b->tmp);
	free(b->path);
	free(b);
	*bp = NULL;
}
