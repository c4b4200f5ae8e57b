/*
 * store/local_blob.c - messages and snapshots that have their name: files of cur/, new/, tmp/ and of the Maildir itself.
 */
#include "store/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

#define READ_STEP 65536
#define MAP_FROM (256u << 10)                                         /* below, a read costs less than a mapping */

/* ---- read ---- */

static void release_map(struct blob *b)
{
	munmap(b->hold, b->hold_len);
	file_close(&b->fd);
}

static void release_copy(struct blob *b)
{
	free(b->hold);
	file_close(&b->fd);
}

int local_map(int fd, size_t n, bool shared, struct blob *out)
{
	void *p = mmap(NULL, n, PROT_READ, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);

	if (p == MAP_FAILED)
		return -1;
	*out = (struct blob){ .octets = slice_mem(p, n), .fd = -1, .hold = p, .hold_len = n, .release = release_map };
	return 0;
}

static int read_whole(int fd, size_t size, struct blob *out)
{
	char *p = mem_new(size + 1);
	size_t got = 0;

	while (got < size) {
		ssize_t n = pread(fd, p + got, size - got, (off_t)got);

		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		got += n > 0 ? (size_t)n : 0;
	}
	if (got < size) {
		free(p);
		return -1;
	}
	*out = (struct blob){ .octets = slice_mem(p, size), .fd = -1, .hold = p, .release = release_copy };
	return 0;
}

/* ELOOP, ENXIO: a link, a socket. */
static int open_plain(struct shelf *h, enum bay bay, const char *name, struct stat *st, struct err *e)
{
	int fd = openat(local_bay(local_shelf_of(h), bay), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), rc = 0;

	if (fd < 0)
		return err_set(e, errno == ELOOP || errno == ENXIO ? ERR_DENIED : err_kind_of(errno), errno, "%s", name);
	if (fstat(fd, st) != 0)
		rc = err_set(e, ERR_TEMP, errno, "%s", name);
	else if (!S_ISREG(st->st_mode))
		rc = err_set(e, ERR_DENIED, 0, "%s is not a plain file", name);
	else if (bay != BAY_OWN && (uint64_t)st->st_size > LIMIT_MESSAGE_FILE)
		rc = err_set(e, ERR_DENIED, 0, "%s is larger than a message may be", name);
	if (rc == 0)
		return fd;
	close(fd);
	return -1;
}

int local_blob_read(struct shelf *h, enum bay bay, const char *name, unsigned how, struct blob *out, struct err *e)
{
	struct stat st;
	int fd = open_plain(h, bay, name, &st, e), rc;

	if (fd < 0)
		return -1;
	errno = 0;
	if (st.st_size > 0 && ((how & BLOB_MAP) != 0 || (size_t)st.st_size >= MAP_FROM))
		rc = local_map(fd, (size_t)st.st_size, (how & BLOB_MAP) != 0, out);
	else
		rc = read_whole(fd, (size_t)st.st_size, out);
	if (rc != 0)
		(void)err_set(e, ERR_TEMP, errno, "reading %s", name);
	else
		out->mtime = (int64_t)st.st_mtim.tv_sec;
	if (rc == 0 && (how & BLOB_FD) != 0)
		out->fd = fd;
	else
		close(fd);
	return rc;
}

int local_blob_pour(struct shelf *h, enum bay bay, const char *name, store_piece_fn *fn, void *ctx, struct blob_info *out, struct err *e)
{
	struct stat st;
	int fd = open_plain(h, bay, name, &st, e), why;
	ssize_t got;
	char *p;

	if (fd < 0)
		return -1;
	p = mem_new(READ_STEP);
	while ((got = read(fd, p, READ_STEP)) > 0 && fn(ctx, slice_mem(p, (size_t)got)) == 0)
		continue;
	why = errno;
	free(p);
	close(fd);
	if (got < 0)
		return err_set(e, ERR_TEMP, why, "reading %s", name);
	*out = (struct blob_info){ (uint64_t)st.st_size, (int64_t)st.st_mtim.tv_sec };
	return 0;
}

int local_blob_stat(struct shelf *h, enum bay bay, const char *name, struct blob_info *out, struct err *e)
{
	struct stat st;

	if (fstatat(local_bay(local_shelf_of(h), bay), name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return local_failed(e, name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_DENIED, 0, "%s is not a plain file", name);
	*out = (struct blob_info){ (uint64_t)st.st_size, (int64_t)st.st_mtim.tv_sec };
	return 0;
}

/* ---- names ---- */

int local_blob_link(struct shelf *from, const char *name, struct shelf *to, const char *as, struct err *e)
{
	if (linkat(local_shelf_of(from)->cur, name, local_shelf_of(to)->cur, as, 0) == 0)
		return 0;
	return err_set(e, errno == EMLINK ? ERR_LIMIT : err_kind_of(errno), errno, "a message");
}

void local_blob_ref(struct shelf *h, const char *name, struct buf *out)
{
	const struct local_shelf *x = local_shelf_of(h);

	buf_putf(out, "%s/%s%scur/%s", x->top->path, x->path, x->path[0] == '\0' ? "" : "/", name);
}

/* A copy that was renamed, or lies elsewhere, or has too many names already, can't be linked from. */
int local_blob_link_ref(const char *ref, struct shelf *to, const char *as, struct err *e)
{
	return linkat(AT_FDCWD, ref, local_shelf_of(to)->cur, as, 0) == 0 ? 0 : err_set(e, ERR_EXISTS, errno, "no link");
}

int local_blob_move(struct shelf *from, enum bay bay, const char *name, struct shelf *to, const char *as, struct err *e)
{
	return renameat(local_bay(local_shelf_of(from), bay), name, local_shelf_of(to)->cur, as) == 0 ? 0 : local_failed(e, "a message");
}

int local_blob_delete(struct shelf *h, enum bay bay, const char *name, struct err *e)
{
	return unlinkat(local_bay(local_shelf_of(h), bay), name, 0) == 0 ? 0 : local_failed(e, name);
}

int local_blob_flush(struct shelf *h, const char *name, struct err *e)
{
	int fd = openat(local_shelf_of(h)->cur, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc = fd < 0 || fdatasync(fd) != 0 ? err_set(e, ERR_TEMP, errno, "flushing a message") : 0;

	file_close(&fd);
	return rc;
}

/* ---- the bay ---- */

static bool is_plain(int dirfd, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_REG;
	return fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

int local_blob_list(struct shelf *h, enum bay bay, store_name_fn *fn, void *ctx, struct err *e)
{
	int at = local_bay(local_shelf_of(h), bay), fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), why;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (dir == NULL) {
		file_close(&fd);
		return err_set(e, ERR_TEMP, errno, "listing a mailbox");
	}
	for (errno = 0; (d = readdir(dir)) != NULL; errno = 0)
		if (d->d_name[0] != '.' && is_plain(at, d) && fn(ctx, d->d_name) != 0) {
			errno = 0;
			break;
		}
	why = errno;                                                  /* a list cut short by an error would read as messages that have gone */
	closedir(dir);
	return why == 0 ? 0 : err_set(e, ERR_TEMP, why, "listing a mailbox");
}

static const char *oddity(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return NULL;
	if (S_ISLNK(st.st_mode))
		return "a symbolic link, which is not followed";
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? "a directory" : S_ISFIFO(st.st_mode) ? "a FIFO" : S_ISSOCK(st.st_mode) ? "a socket" : "a device";
	if ((uint64_t)st.st_size > LIMIT_MESSAGE_FILE)
		return "larger than a message may be";
	return faccessat(dirfd, name, R_OK, AT_EACCESS) == 0 ? NULL : "not readable: look at its owner and mode";
}

int local_blob_odd(struct shelf *h, enum bay bay, store_odd_fn *fn, void *ctx, struct err *e)
{
	int at = local_bay(local_shelf_of(h), bay), fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (dir == NULL) {
		file_close(&fd);
		return err_set(e, ERR_TEMP, errno, "listing a mailbox");
	}
	while ((d = readdir(dir)) != NULL) {
		const char *what = d->d_name[0] == '.' ? NULL : oddity(at, d->d_name);

		if (what != NULL)
			fn(ctx, d->d_name, what);
	}
	closedir(dir);
	return 0;
}

int64_t local_blob_stamp(struct shelf *h, enum bay bay)
{
	struct stat st;

	return fstat(local_bay(local_shelf_of(h), bay), &st) != 0 ? 0 : (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}
