/*
 * store/notify.c - a datagram socket below the user's directory for each process that wants to hear; whoever changes a folder sends to all of them.
 *
 * The directory is listed at each change, so there is no registration that could go stale; a socket whose process died answers ECONNREFUSED and is
 * removed. Paths are short (sun_path has 108 octets) by way of /proc/self/fd, where the directory's own path is not.
 */
#include "store/folder.h"
#include "store/notifier.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"

static bool address_of(struct sockaddr_un *to, const char *dir, int dirfd, const char *name)
{
	int n;

	*to = (struct sockaddr_un){ .sun_family = AF_UNIX };
	n = snprintf(to->sun_path, sizeof to->sun_path, "%s/%s", dir, name);
	if (n > 0 && (size_t)n < sizeof to->sun_path)
		return true;
	n = snprintf(to->sun_path, sizeof to->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
	return n > 0 && (size_t)n < sizeof to->sun_path;
}

/* ---- any directory ---- */

int notifier_bind(const char *path, int *fd_out, struct err *e)
{
	struct sockaddr_un self;
	char name[40];
	uint64_t r;
	int dir, fd;

	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return err_set(e, err_kind_of(errno), errno, "%s", path);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", path);
	text_random(&r, sizeof r);
	snprintf(name, sizeof name, "%ld.%08lx", (long)getpid(), (unsigned long)(r & 0xffffffffu));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !address_of(&self, path, dir, name) || bind(fd, (const struct sockaddr *)&self, sizeof self) != 0) {
		(void)err_set(e, ERR_TEMP, errno, "binding a socket in %s", path);
		file_close(&fd);
		close(dir);
		return -1;
	}
	close(dir);
	*fd_out = fd;
	return 0;
}

void notifier_init(struct notifier *n)
{
	*n = (struct notifier){ -1, -1 };
}

void notifier_close(struct notifier *n)
{
	file_close(&n->dir);
	file_close(&n->sock);
}

static void send_to(struct notifier *n, const char *path, const char *name)
{
	struct sockaddr_un to;

	if (n->sock < 0)
		n->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->sock < 0 || !address_of(&to, path, n->dir, name))
		return;
	if (sendto(n->sock, "c", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof to) >= 0)
		return;
	if (errno == ECONNREFUSED)                                    /* its process died; EAGAIN: it has enough to wake up for already */
		(void)unlinkat(n->dir, name, 0);
}

/* getdents64 on a descriptor that stays open: two system calls, no allocation. */
void notifier_send(struct notifier *n, int dirfd, const char *name, const char *path)
{
	_Alignas(8) char entries[4096];
	ssize_t got;

	if (n->dir < 0)
		n->dir = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (n->dir < 0 || lseek(n->dir, 0, SEEK_SET) != 0)
		return;
	while ((got = getdents64(n->dir, entries, sizeof entries)) > 0)
		for (ssize_t at = 0; at < got;) {
			const struct dirent64 *d = (const void *)(entries + at);

			if (d->d_name[0] != '.')
				send_to(n, path, d->d_name);
			at += d->d_reclen;
		}
}

/* ---- a user's ---- */

static int notify_path(const char *box_dir, char out[4096], struct err *e)
{
	int n = snprintf(out, 4096, "%s/" NOTIFY_DIR, box_dir);

	return n > 0 && n < 4096 ? 0 : err_set(e, ERR_LIMIT, 0, "%s: too long a path", box_dir);
}

int notify_bind(const char *box_dir, int *fd_out, struct err *e)
{
	char path[4096];

	return notify_path(box_dir, path, e) != 0 ? -1 : notifier_bind(path, fd_out, e);
}

void notify_drain(int fd)
{
	char waste[64];

	while (recv(fd, waste, sizeof waste, MSG_DONTWAIT) > 0)
		continue;
}

void notify_unbind(const char *box_dir, int *fd)
{
	struct sockaddr_un self = { .sun_family = AF_UNIX };
	socklen_t n = sizeof self;
	char path[4096];
	const char *name;

	if (*fd < 0)
		return;
	if (getsockname(*fd, (struct sockaddr *)&self, &n) == 0 && (name = strrchr(self.sun_path, '/')) != NULL) {
		int len = snprintf(path, sizeof path, "%s/" NOTIFY_DIR "%s", box_dir, name);

		if (len > 0 && (size_t)len < sizeof path)
			(void)unlink(path);
	}
	file_close(fd);
}

void notify_send(struct box *b)
{
	char path[4096];

	if (notify_path(b->dir, path, NULL) == 0)
		notifier_send(&b->notifier, b->dirfd, NOTIFY_DIR, path);
}
