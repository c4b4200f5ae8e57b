/*
 * store/local_log.c - a log is a file, written at its end under an OFD lock, which goes with its holder; replaced by rename, noticed by nlink.
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

#define AHEAD 16384u

struct local_log {
	struct store_log base;
	int fd;
	bool locked, guarded;
	uint64_t size;                                                /* while it is locked */
	uint64_t reserved;                                            /* disk blocks taken ahead up to here, so that flags and expunges go on when it is full */
};

static struct local_log *log_of(struct store_log *l)
{
	return (struct local_log *)(void *)l;
}

static struct store_log *log_new(const struct store_ops *ops, int fd, bool guarded)
{
	struct local_log *l = mem_new(sizeof *l);

	l->base.ops = ops;
	l->fd = fd;
	l->guarded = guarded;
	return &l->base;
}

int local_log_open(struct shelf *h, const char *name, unsigned how, struct store_log **out, struct err *e)
{
	struct stat st;
	int fd = openat(local_shelf_of(h)->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | ((how & LOG_MAKE) != 0 ? O_CREAT : 0), 0600);

	if (fd < 0)
		return local_failed(e, name);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_TEMP, 0, "%s is not a plain file", name);
	}
	*out = log_new(h->ops, fd, (how & LOG_GUARDED) != 0);
	return 0;
}

void local_log_close(struct store_log *l)
{
	file_close(&log_of(l)->fd);
	free(l);
}

/* ---- the lock ---- */

int local_lock(int fd, bool wait, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET };
	int rc;

	do
		rc = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &fl);
	while (rc != 0 && errno == EINTR);
	return rc;
}

int local_log_lock(struct store_log *l, bool *replaced_out, uint64_t *size_out, struct err *e)
{
	struct local_log *x = log_of(l);
	struct stat st;

	if (local_lock(x->fd, true, F_WRLCK) != 0 || fstat(x->fd, &st) != 0)
		return err_set(e, ERR_TEMP, errno, "locking a log");
	x->locked = true;
	x->size = *size_out = (uint64_t)st.st_size;
	*replaced_out = st.st_nlink == 0;
	if (*replaced_out)
		local_log_unlock(l);
	return 0;
}

void local_log_unlock(struct store_log *l)
{
	struct local_log *x = log_of(l);

	if (x->locked)
		(void)local_lock(x->fd, false, F_UNLCK);
	x->locked = false;
}

bool local_log_look(struct store_log *l, uint64_t *size_out)
{
	struct stat st;

	if (fstat(log_of(l)->fd, &st) != 0 || st.st_nlink == 0)
		return false;
	*size_out = (uint64_t)st.st_size;
	return true;
}

/* ---- octets ---- */

int local_log_read(struct store_log *l, uint64_t at, char *p, size_t n, size_t *got_out, struct err *e)
{
	ssize_t got = pread(log_of(l)->fd, p, n, (off_t)at);

	if (got < 0)
		return err_set(e, ERR_TEMP, errno, "reading a log");
	*got_out = (size_t)got;
	return 0;
}

static void take_ahead(struct local_log *l, uint64_t end)
{
	if (l->guarded || end + AHEAD / 4 <= l->reserved)
		return;
	l->reserved = end / AHEAD * AHEAD + 2 * AHEAD;
	if (fallocate(l->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)l->reserved) != 0) {}     /* not to be had: then not */
}

static int append(struct local_log *l, uint64_t at, struct slice octets, struct err *e)
{
	int why;

	take_ahead(l, at + octets.n);
	if (local_write_at(l->fd, at, octets) == 0) {
		l->size = at + octets.n;
		return 0;
	}
	why = errno;
	if (ftruncate(l->fd, (off_t)at) != 0) {}                      /* what is left there is no record */
	return err_set(e, err_kind_of(why), why, "writing a log");
}

/* Who holds the lock, or another log's that guards this one, knows the end: nobody else can have moved it. */
int local_log_append(struct store_log *l, uint64_t expected, struct slice octets, struct err *e)
{
	struct local_log *x = log_of(l);
	bool replaced = false, own = !x->locked && !x->guarded;
	uint64_t size = x->size;
	int rc;

	if (own && local_log_lock(l, &replaced, &size, e) != 0)
		return -1;
	if (replaced || (!x->guarded && size != expected))
		rc = err_set(e, ERR_EXISTS, 0, "the log has grown");
	else
		rc = append(x, expected, octets, e);
	if (own)
		local_log_unlock(l);
	return rc;
}

int local_log_cut(struct store_log *l, uint64_t at, struct err *e)
{
	struct local_log *x = log_of(l);

	if (ftruncate(x->fd, (off_t)at) != 0)
		return local_failed(e, "cutting a log");
	x->size = at;
	return 0;
}

int local_log_flush(struct store_log *l, struct err *e)
{
	return fdatasync(log_of(l)->fd) == 0 ? 0 : err_set(e, ERR_TEMP, errno, "flushing a log");
}

int local_log_swap(struct shelf *h, const char *name, struct draft *d, struct store_log **out, struct err *e)
{
	struct local_draft *x = (struct local_draft *)(void *)d;
	struct local_log *l;

	if (local_lock(x->fd, false, F_WRLCK) != 0)                   /* before anybody else can know it */
		return err_set(e, ERR_TEMP, errno, "locking %s", name);
	if (local_draft_place(d, name, e) != 0)
		return -1;
	*out = log_new(h->ops, x->fd, false);
	l = log_of(*out);
	l->locked = true;
	l->size = x->size;
	x->fd = -1;
	return 0;
}
