/*
 * store/local_draft.c - octets without a name: a file that has none (O_TMPFILE), or, where the file system has no such thing, one in tmp/. So nothing
 * half-written is ever seen, and a crash leaves nothing in cur/.
 */
#include "store/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

static struct local_draft *draft_of(struct draft *d)
{
	return (struct local_draft *)(void *)d;
}

int local_write_at(int fd, uint64_t at, struct slice octets)
{
	size_t done = 0;

	while (done < octets.n) {
		ssize_t n = pwrite(fd, octets.p + done, octets.n - done, (off_t)(at + done));

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			errno = EIO;
		if (n == 0 || (n < 0 && errno != EINTR))
			return -1;
	}
	return 0;
}

/* Named where it is to take a name that another file has: a file without a name can't. */
static int draft_file(struct local_draft *d, const char *purpose)
{
	if (purpose == NULL) {
		d->fd = openat(d->h->cur, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (d->fd >= 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
			return -1;
	}
	local_tmp_name(purpose == NULL ? "message" : purpose, d->tmp);
	d->fd = openat(d->h->dir, d->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->fd < 0)
		d->tmp[0] = '\0';
	return d->fd < 0 ? -1 : 0;
}

int local_draft_open(struct shelf *h, const char *purpose, struct draft **out, struct err *e)
{
	struct local_draft *d = mem_new(sizeof *d);

	d->base.ops = h->ops;
	d->h = local_shelf_of(h);
	d->is_message = purpose == NULL;
	if (draft_file(d, purpose) != 0) {
		free(d);
		return local_failed(e, purpose == NULL ? "making a message file" : purpose);
	}
	*out = &d->base;
	return 0;
}

int local_draft_write(struct draft *d, uint64_t at, struct slice octets, struct err *e)
{
	struct local_draft *x = draft_of(d);

	if (local_write_at(x->fd, at, octets) != 0)
		return local_failed(e, x->is_message ? "writing a message" : "writing");
	if (at + octets.n > x->size)
		x->size = at + octets.n;
	return 0;
}

int local_draft_map(struct draft *d, struct blob *out, struct err *e)
{
	struct local_draft *x = draft_of(d);

	return local_map(x->fd, x->size, true, out) == 0 ? 0 : local_failed(e, "mapping a message");
}

void local_draft_date(struct draft *d, int64_t mtime)
{
	struct timespec when[2] = { { .tv_sec = mtime }, { .tv_sec = mtime } };

	if (futimens(draft_of(d)->fd, when) != 0) {}                  /* for people who look with ls; the name has the date */
}

static int link_it(struct local_draft *d, const char *name)
{
	char self[40];

	if (linkat(d->fd, "", d->h->cur, name, AT_EMPTY_PATH) == 0)
		return 0;
	snprintf(self, sizeof self, "/proc/self/fd/%d", d->fd);        /* kernels before 6.10 want a privilege for the other way */
	return linkat(AT_FDCWD, self, d->h->cur, name, AT_SYMLINK_FOLLOW);
}

int local_draft_place(struct draft *d, const char *name, struct err *e)
{
	struct local_draft *x = draft_of(d);
	int rc;

	if (x->tmp[0] == '\0')
		rc = link_it(x, name);
	else if (!x->is_message)
		rc = renameat(x->h->dir, x->tmp, x->h->dir, name);
	else if ((rc = linkat(x->h->dir, x->tmp, x->h->cur, name, 0)) == 0)
		(void)unlinkat(x->h->dir, x->tmp, 0);
	else if (errno == EPERM || errno == EOPNOTSUPP)               /* a file system without links */
		rc = renameat(x->h->dir, x->tmp, x->h->cur, name);
	if (rc != 0)
		return local_failed(e, x->is_message ? "placing a message" : name);
	x->tmp[0] = '\0';
	x->is_placed = true;
	return 0;
}

int local_draft_flush(struct draft *d, struct err *e)
{
	struct local_draft *x = draft_of(d);
	int rc = x->is_placed ? fsync(x->fd) : fdatasync(x->fd);

	if (rc == 0 && x->is_placed && x->h->dir_sync)
		rc = fsync(x->is_message ? x->h->cur : x->h->dir);
	return rc == 0 ? 0 : err_set(e, ERR_TEMP, errno, "flushing %s", x->is_message ? "a message" : "a file");
}

void local_draft_drop(struct draft *d)
{
	struct local_draft *x = draft_of(d);

	if (x->tmp[0] != '\0')
		(void)unlinkat(x->h->dir, x->tmp, 0);
	file_close(&x->fd);
	free(x);
}
