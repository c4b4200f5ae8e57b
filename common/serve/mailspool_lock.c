/*
 * serve/mailspool_lock.c - see the header. Programs take the two locks in different orders, so whoever gets only one gives it back before trying again.
 */
#include "serve/mailspool_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"

enum { TRY_EVERY_US = 50000, STALE_S = 1024 /* as procmail's LOCKTIMEOUT */, PATH_MOST = 4096 };

static void lock_name(const char *path, char out[PATH_MOST])
{
	snprintf(out, PATH_MOST, "%s.lock", path);
}

/* Its holder wrote its process number (liblockfile) and is gone; or nobody has touched it for long. */
static bool is_stale(const char *name)
{
	char text[32];
	struct stat st;
	uint32_t pid = 0;
	ssize_t n;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof text);
	if (fstat(fd, &st) != 0)
		n = -1;
	close(fd);
	if (n < 0)
		return false;
	if (clock_wall_s() - (int64_t)st.st_mtim.tv_sec > STALE_S)
		return true;
	return num_u32(slice_trim(slice_mem(text, (size_t)n)), INT32_MAX, &pid) == 0 && pid > 1 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* 1: somebody else has it. */
static int take_dotlock(const char *path, struct err *e)
{
	char name[PATH_MOST], pid[32];
	int fd, n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());

	lock_name(path, name);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 && errno == EEXIST) {
		if (is_stale(name))
			(void)unlink(name);
		return 1;
	}
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "making %s (may this process write there? see mail_spool_directory)", name);
	if (file_write_all(fd, slice_mem(pid, (size_t)n)) != 0) {
		(void)err_set(e, err_kind_of(errno), errno, "writing %s", name);
		close(fd);
		(void)unlink(name);
		return -1;
	}
	close(fd);
	return 0;
}

static void drop_dotlock(const char *path)
{
	char name[PATH_MOST];

	lock_name(path, name);
	(void)unlink(name);
}

void mailspool_lock_touch(const char *path)
{
	char name[PATH_MOST];

	lock_name(path, name);
	(void)utimensat(AT_FDCWD, name, NULL, AT_SYMLINK_NOFOLLOW);
}

/* The file may have been replaced while we waited. */
static bool is_that_file(const char *path, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* 0, 1: nothing there, -1. */
static int open_spool(const char *path, int *fd_out, struct err *e)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return 1;
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s (may this process write it? see mail_spool_directory)", path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
		close(fd);
		return err_set(e, ERR_DENIED, 0, "%s is no plain file with one name", path);
	}
	if (st.st_size == 0) {
		close(fd);
		return 1;
	}
	*fd_out = fd;
	return 0;
}

/* 0: both are ours; 1: not now; -1. */
static int try_both(const char *path, int fd, struct err *e)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int rc = take_dotlock(path, e);

	if (rc != 0)
		return rc;
	if (fcntl(fd, F_SETLK, &fl) == 0 && is_that_file(path, fd))
		return 0;
	drop_dotlock(path);
	return 1;
}

int mailspool_lock(const char *path, int64_t timeout_ms, int *fd_out, struct err *e)
{
	int64_t end = clock_mono_ms() + timeout_ms;

	for (;;) {
		int fd = -1, rc = open_spool(path, &fd, e);

		if (rc != 0)
			return rc;
		rc = try_both(path, fd, e);
		if (rc == 0) {
			*fd_out = fd;
			return 0;
		}
		close(fd);
		if (rc < 0)
			return -1;
		if (clock_mono_ms() >= end)
			return err_set(e, ERR_TEMP, 0, "%s is locked by another program (by fcntl, or %s.lock)", path, path);
		usleep(TRY_EVERY_US);
	}
}

void mailspool_unlock(const char *path, int *fd)
{
	drop_dotlock(path);
	file_close(fd);                                               /* and with it the lock by fcntl */
}
