/*
 * store/local_tree.c - the folders of a place: directories that begin with a dot and have a cur/ in them.
 */
#include "store/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

#define GONE_PREFIX "posthouse.gone."

static int make_dir(int dirfd, const char *name, struct err *e)
{
	return mkdirat(dirfd, name, 0700) == 0 || errno == EEXIST ? 0 : err_set(e, err_kind_of(errno), errno, "making %s", name);
}

int local_make_bays(int dirfd, struct err *e)
{
	return make_dir(dirfd, "tmp", e) != 0 || make_dir(dirfd, "new", e) != 0 || make_dir(dirfd, "cur", e) != 0 ? -1 : 0;
}

bool local_shelf_has(struct shelf *top, const char *name)
{
	char path[300];
	int n = snprintf(path, sizeof path, "%s%scur", name, name[0] == '\0' ? "" : "/");

	return n > 0 && (size_t)n < sizeof path && faccessat(local_shelf_of(top)->dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A directory without cur/ is what a crash left of this: it is finished. */
int local_shelf_make(struct shelf *top, const char *name, struct err *e)
{
	struct local_shelf *t = local_shelf_of(top);
	int fd, rc;

	if (name[0] == '\0')
		return local_make_bays(t->dir, e);
	if (mkdirat(t->dir, name, 0700) != 0 && (errno != EEXIST || local_shelf_has(top, name)))
		return local_failed(e, "making it");
	fd = openat(t->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return local_failed(e, "making it");
	rc = local_make_bays(fd, e);
	close(fd);
	return rc;
}

/* ---- remove ---- */

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

static void remove_tree(int topfd, const char *name)
{
	static const char *const parts[] = { "cur", "new", "tmp" };
	int fd = openat(topfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

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
	(void)unlinkat(topfd, name, AT_REMOVEDIR);
}

/* One rename takes the folder away whole; then there is time to remove what was in it. */
int local_shelf_remove(struct shelf *top, const char *name, struct err *e)
{
	struct local_shelf *t = local_shelf_of(top);
	char away[64];
	uint64_t r;
	int rc;

	text_random(&r, sizeof r);
	snprintf(away, sizeof away, GONE_PREFIX "%016llx", (unsigned long long)r);
	if (renameat(t->dir, name, t->dir, away) != 0)
		return local_failed(e, "deleting it");
	rc = fsync(t->dir) != 0 ? err_set(e, ERR_TEMP, errno, "flushing %s", t->path) : 0;
	remove_tree(t->dir, away);
	return rc;
}

/* ---- list, rename ---- */

/* What a crash in the middle of a removal left goes in passing. */
int local_shelf_list(struct shelf *top, store_name_fn *fn, void *ctx, struct err *e)
{
	struct local_shelf *t = local_shelf_of(top);
	int fd = openat(t->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), why;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (dir == NULL) {
		file_close(&fd);
		return err_set(e, ERR_TEMP, errno, "listing %s", t->path);
	}
	for (errno = 0; (d = readdir(dir)) != NULL; errno = 0) {
		if (strncmp(d->d_name, GONE_PREFIX, sizeof GONE_PREFIX - 1) == 0)
			remove_tree(t->dir, d->d_name);
		if (d->d_name[0] != '.' || strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0 || !local_shelf_has(top, d->d_name))
			continue;
		if (fn(ctx, d->d_name) != 0) {
			errno = 0;
			break;
		}
	}
	why = errno;
	closedir(dir);
	return why == 0 ? 0 : err_set(e, ERR_TEMP, why, "listing %s", t->path);
}

int local_shelf_rename(struct shelf *top, const char *from, const char *to, struct err *e)
{
	struct local_shelf *t = local_shelf_of(top);

	return renameat(t->dir, from, t->dir, to) == 0 ? 0 : local_failed(e, from);
}
