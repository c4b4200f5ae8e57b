#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define FILE_CHUNK 8192

/* 0: end of file, 1: more, -1: *e is set. A file that just fills out->max is fine, so the end is probed with an octet of our own. */
static int read_some(int fd, const char *path, struct buf *out, struct err *e)
{
	size_t room = out->max - out->len < FILE_CHUNK ? out->max - out->len : FILE_CHUNK;
	char probe, *to = room > 0 ? buf_room(out, room) : &probe;
	ssize_t got;

	do
		got = read(fd, to, room > 0 ? room : 1);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", path);
	if (got > 0 && room == 0)
		return err_set(e, ERR_LIMIT, 0, "%s: larger than %zu octets", path, out->max);
	if (got > 0)
		buf_filled(out, (size_t)got);
	return got > 0;
}

int file_read(const char *path, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", path);
	do
		rc = read_some(fd, path, out, e);
	while (rc > 0);
	close(fd);
	return rc;
}

static int write_and_sync(int fd, struct slice content, mode_t mode)
{
	if (file_write_all(fd, content) < 0 || fchmod(fd, mode) < 0)
		return -1;
	return fsync(fd);
}

int file_sync_directory_of(const char *path)
{
	char dir[PATH_MAX], *slash;
	int fd, rc;

	if (strlen(path) >= sizeof(dir)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, strlen(path) + 1);
	slash = strrchr(dir, '/');
	if (slash == dir)
		slash[1] = '\0';
	else if (slash != NULL)
		*slash = '\0';
	fd = open(slash == NULL ? "." : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

int file_replace(const char *path, struct slice content, mode_t mode, struct err *e)
{
	char tmp[PATH_MAX];
	int fd, rc, sys;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp.%ld", path, (long)getpid()) >= sizeof(tmp))
		return err_set(e, ERR_SYNTAX, ENAMETOOLONG, "%s", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", tmp);
	rc = write_and_sync(fd, content, mode);
	sys = errno;
	if (close(fd) < 0 && rc == 0) {
		rc = -1;
		sys = errno;
	}
	if (rc == 0 && rename(tmp, path) < 0) {
		rc = -1;
		sys = errno;
	}
	if (rc < 0) {
		unlink(tmp);
		return err_set(e, err_kind_of(sys), sys, "%s", path);
	}
	if (file_sync_directory_of(path) < 0)
		return err_set(e, err_kind_of(errno), errno, "directory of %s", path);
	return 0;
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
	char *copy = mem_str(path);
	int sys = 0;

	for (char *at = copy; sys == 0 && *at != '\0';) {
		char was;

		at += strspn(at, "/");
		at += strcspn(at, "/");
		was = *at;
		*at = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			sys = errno;
		*at = was;
	}
	free(copy);
	if (sys == 0) {
		struct stat st;

		if (stat(path, &st) < 0)
			sys = errno;
		else if (!S_ISDIR(st.st_mode))
			sys = ENOTDIR;
	}
	return sys == 0 ? 0 : err_set(e, err_kind_of(sys), sys, "directory %s", path);
}

int file_write_all(int fd, struct slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		s = slice_from(s, (size_t)n);
	}
	return 0;
}

void file_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
