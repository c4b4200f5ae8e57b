/*
 * store/local_kv.c - small texts: a file each, replaced by rename. And the lease of a place: a lock of its directory.
 */
#include "store/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"

int local_kv_get(struct shelf *h, const char *name, struct buf *out, struct err *e)
{
	int fd = openat(local_shelf_of(h)->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char piece[4096];
	ssize_t got = 0;
	int rc = 0;

	if (fd < 0)
		return local_failed(e, name);
	while (rc == 0 && (got = read(fd, piece, sizeof piece)) > 0)
		if (buf_add(out, slice_mem(piece, (size_t)got)) != 0)
			rc = err_set(e, ERR_TEMP, 0, "%s is too large", name);
	if (rc == 0 && got < 0)
		rc = err_set(e, ERR_TEMP, errno, "reading %s", name);
	close(fd);
	return rc;
}

int local_kv_put(struct shelf *h, const char *name, struct slice text, bool flushed, struct err *e)
{
	int dir = local_shelf_of(h)->dir, fd, why = 0;
	char tmp[80];

	snprintf(tmp, sizeof tmp, "%s.tmp.%ld", name, (long)getpid());
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return local_failed(e, tmp);
	/* Renamed first, then flushed: one journal commit makes content and name durable (and a reader of the cache sees the content at once). */
	if (file_write_all(fd, text) != 0 || renameat(dir, tmp, dir, name) != 0)
		why = errno;
	if (why != 0)
		(void)unlinkat(dir, tmp, 0);
	else if (flushed && (fsync(fd) != 0 || fsync(dir) != 0))
		why = errno;
	close(fd);
	return why == 0 ? 0 : err_set(e, err_kind_of(why), why, "writing %s", name);
}

bool local_kv_has(struct shelf *h, const char *name)
{
	return faccessat(local_shelf_of(h)->dir, name, F_OK, 0) == 0;
}

int local_lease_take(struct shelf *h, struct err *e)
{
	struct local_shelf *x = local_shelf_of(h);

	return flock(x->dir, LOCK_EX) == 0 ? 0 : err_set(e, ERR_TEMP, errno, "locking %s", x->path);
}

void local_lease_drop(struct shelf *h)
{
	(void)flock(local_shelf_of(h)->dir, LOCK_UN);
}
