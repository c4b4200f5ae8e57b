/*
 * store/local_notify.c - a datagram socket below the user's directory for each process that wants to hear; whoever changes a folder sends to all of them.
 *
 * The directory is listed at each change, so there is no registration that could go stale; a socket whose process died answers ECONNREFUSED and is
 * removed. Paths are short (sun_path has 108 octets) by way of /proc/self/fd, where the directory's own path is not.
 */
#include "store/local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static int bind_in(const char *path, int *fd_out, struct err *e)
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

void local_notifier_init(struct local_notifier *n)
{
	*n = (struct local_notifier){ -1, -1, "" };
}

void local_notifier_close(struct local_notifier *n)
{
	file_close(&n->dir);
	file_close(&n->sock);
}

static void send_to(struct local_notifier *n, const char *path, const char *name)
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
static void send_all(struct local_notifier *n, int dirfd, const char *name, const char *path)
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

static int topic_path(const char *path, const char *topic, char out[4096], struct err *e)
{
	int n = snprintf(out, 4096, "%s/%s", path, topic);

	return n > 0 && n < 4096 ? 0 : err_set(e, ERR_LIMIT, 0, "%s: too long a path", path);
}

void local_notify(struct shelf *h, const char *topic)
{
	struct local_shelf *x = local_shelf_of(h);
	char path[4096];

	if (strcmp(x->notifier.topic, topic) != 0) {
		local_notifier_close(&x->notifier);
		snprintf(x->notifier.topic, sizeof x->notifier.topic, "%s", topic);
	}
	if (topic_path(x->path, topic, path, NULL) == 0)
		send_all(&x->notifier, x->dir, topic, path);
}

int local_listen(const struct store *s, const char *path, const char *topic, int *fd_out, struct err *e)
{
	char whole[4096];

	(void)s;
	return topic_path(path, topic, whole, e) != 0 ? -1 : bind_in(whole, fd_out, e);
}

void local_unlisten(const struct store *s, const char *path, const char *topic, int *fd)
{
	struct sockaddr_un self = { .sun_family = AF_UNIX };
	socklen_t n = sizeof self;
	char whole[4096];
	const char *name;

	(void)s;
	if (*fd < 0)
		return;
	if (getsockname(*fd, (struct sockaddr *)&self, &n) == 0 && (name = strrchr(self.sun_path, '/')) != NULL) {
		int len = snprintf(whole, sizeof whole, "%s/%s%s", path, topic, name);

		if (len > 0 && (size_t)len < sizeof whole)
			(void)unlink(whole);
	}
	file_close(fd);
}
