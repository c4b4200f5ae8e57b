/*
 * store/dirlist.c - see dirlist.h.
 */
#include "store/dirlist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

#define READ_STEP 65536

static bool is_plain(int dirfd, const struct dirent *d)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_REG;
	return fstatat(dirfd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

int dirlist(int dirfd, bool in_new, struct arena *a, struct found **list_out, size_t *n_out, struct err *e)
{
	struct found *list = NULL;
	size_t n = 0, cap = 0;
	int why;
	const struct dirent *d;
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return err_set(e, ERR_TEMP, errno, "listing a mailbox");
	}
	for (errno = 0; (d = readdir(dir)) != NULL; errno = 0) {
		struct found f = { .in_new = in_new };

		if (d->d_name[0] == '.' || !is_plain(dirfd, d))
			continue;
		f.name = arena_dup(a, slice_of(d->d_name));
		if (mname_parse(f.name, &f.n) != 0)
			continue;
		if (n == cap) {                                       /* doubled in the arena: what is left behind is as much again at most */
			struct found *more = arena_array(a, cap == 0 ? 64 : cap * 2, sizeof *more);

			if (n > 0)
				memcpy(more, list, n * sizeof *more);
			list = more;
			cap = cap == 0 ? 64 : cap * 2;
		}
		list[n++] = f;
	}
	why = errno;                                                  /* a list cut short by an error would read as messages that have gone */
	closedir(dir);
	if (why != 0)
		return err_set(e, ERR_TEMP, why, "listing a mailbox");
	*list_out = list;
	*n_out = n;
	return 0;
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

int dirlist_odd(int dirfd, void (*fn)(void *ctx, const char *name, const char *what), void *ctx, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return err_set(e, ERR_TEMP, errno, "listing a mailbox");
	}
	while ((d = readdir(dir)) != NULL) {
		const char *what = d->d_name[0] == '.' ? NULL : oddity(dirfd, d->d_name);

		if (what != NULL)
			fn(ctx, d->d_name, what);
	}
	closedir(dir);
	return 0;
}

static int count_lf(int fd, uint64_t *bare_out)
{
	char *p = mem_new(READ_STEP), last = 0;
	uint64_t bare = 0;
	ssize_t got;

	while ((got = read(fd, p, READ_STEP)) > 0)
		for (ssize_t i = 0; i < got; last = p[i++])
			bare += p[i] == '\n' && last != '\r';
	free(p);
	*bare_out = bare;
	return got < 0 ? -1 : 0;
}

int message_measure(int dirfd, const char *name, uint64_t *file_size_out, uint64_t *size_out, int64_t *mtime_out, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	uint64_t bare = 0;
	int rc = 0;

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "a message file");
	if (fstat(fd, &st) != 0)
		rc = err_set(e, ERR_TEMP, errno, "a message file");
	else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > LIMIT_MESSAGE_FILE)
		rc = err_set(e, ERR_DENIED, 0, S_ISREG(st.st_mode) ? "larger than a message may be" : "not a plain file");
	else if (count_lf(fd, &bare) != 0)
		rc = err_set(e, ERR_TEMP, errno, "a message file");
	close(fd);
	if (rc != 0)
		return -1;
	*file_size_out = (uint64_t)st.st_size;
	*size_out = (uint64_t)st.st_size + bare;
	*mtime_out = (int64_t)st.st_mtim.tv_sec;
	return 0;
}
