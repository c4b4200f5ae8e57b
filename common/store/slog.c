/*
 * store/slog.c - see slog.h.
 */
#include "store/slog.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/num.h"

#define MAGIC "PHLOG001"
#define FIRST_STEP (8u << 10)                                         /* most changes are small */
#define READ_STEP (256u << 10)
#define AHEAD 16384u

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

void slog_init(struct slog *l)
{
	*l = (struct slog){ .fd = -1 };
}

void slog_header_put(uint64_t id, uint64_t base, uint64_t tag, struct buf *out)
{
	char h[SLOG_HEADER] = MAGIC;

	num_put_le64(h + 8, id);
	num_put_le64(h + 16, base);
	num_put_le64(h + 24, tag);
	num_put_le32(h + SLOG_HEADER - 4, hash_crc32c(0, h, SLOG_HEADER - 4));
	buf_put(out, slice_mem(h, sizeof h));
}

int slog_header_parse(struct slice in, uint64_t *id_out, uint64_t *base_out, uint64_t *tag_out)
{
	if (in.n < SLOG_HEADER || memcmp(in.p, MAGIC, 8) != 0 || num_get_le64(in.p + 8) == 0)
		return -1;
	if (num_get_le32(in.p + SLOG_HEADER - 4) != hash_crc32c(0, in.p, SLOG_HEADER - 4))
		return -1;
	*id_out = num_get_le64(in.p + 8);
	*base_out = num_get_le64(in.p + 16);
	*tag_out = num_get_le64(in.p + 24);
	return 0;
}

static uint32_t record_crc(struct slice payload, uint64_t id, uint64_t at)
{
	char seed[20];

	num_put_le64(seed, id);
	num_put_le64(seed + 8, at);
	num_put_le32(seed + 16, (uint32_t)payload.n);
	return hash_crc32c(hash_crc32c(0, seed, sizeof seed), payload.p, payload.n);
}

enum slog_parse slog_record_parse(struct slice in, uint64_t id, uint64_t at, struct slice *payload_out, size_t *used_out)
{
	struct slice payload;
	size_t n;

	if (in.n < 8)
		return SLOG_SHORT;
	n = num_get_le32(in.p);
	if (n == 0 || n > SLOG_RECORD_MAX)
		return SLOG_BAD;
	if (in.n < 8 + padded(n))
		return SLOG_SHORT;
	payload = slice_mem(in.p + 8, n);
	if (num_get_le32(in.p + 4) != record_crc(payload, id, at))
		return SLOG_BAD;
	*payload_out = payload;
	*used_out = 8 + padded(n);
	return SLOG_RECORD;
}

void slog_record_put(struct slice payload, uint64_t id, uint64_t at, struct buf *out)
{
	static const char zeros[8];
	char head[8];

	num_put_le32(head, (uint32_t)payload.n);
	num_put_le32(head + 4, record_crc(payload, id, at));
	buf_put(out, slice_mem(head, sizeof head));
	buf_put(out, payload);
	buf_put(out, slice_mem(zeros, padded(payload.n) - payload.n));
}

static int read_header(struct slog *l, struct err *e)
{
	char h[SLOG_HEADER];
	ssize_t got = pread(l->fd, h, sizeof h, 0);

	if (got < 0)
		return err_set(e, ERR_TEMP, errno, "reading the mailbox log");
	l->id = l->base = l->tag = l->end = 0;
	if (slog_header_parse(slice_mem(h, (size_t)got), &l->id, &l->base, &l->tag) == 0)
		l->end = SLOG_HEADER;
	return 0;
}

int slog_open(struct slog *l, int dirfd, const char *name, bool create, struct err *e)
{
	struct stat st;
	int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (create ? O_CREAT : 0), 0600);

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", name);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_TEMP, 0, "%s is not a plain file", name);
	}
	slog_close(l);
	l->fd = fd;
	if (read_header(l, e) == 0)
		return 0;
	slog_close(l);
	return -1;
}

void slog_close(struct slog *l)
{
	file_close(&l->fd);
	slog_init(l);
}

static int lock_op(int fd, int op, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET };
	int rc;

	do
		rc = fcntl(fd, op, &fl);
	while (rc != 0 && errno == EINTR);
	return rc;
}

int slog_lock(struct slog *l, bool *replaced_out, struct err *e)
{
	struct stat st;

	if (lock_op(l->fd, F_OFD_SETLKW, F_WRLCK) != 0 || fstat(l->fd, &st) != 0)
		return err_set(e, ERR_TEMP, errno, "locking the mailbox log");
	l->locked = true;
	*replaced_out = st.st_nlink == 0;
	l->size = (uint64_t)st.st_size;
	if (*replaced_out)
		slog_unlock(l);
	else if (l->id == 0 && read_header(l, e) != 0) {              /* whoever had the lock may have begun it */
		slog_unlock(l);
		return -1;
	}
	return 0;
}

void slog_unlock(struct slog *l)
{
	if (l->fd >= 0 && l->locked)
		(void)lock_op(l->fd, F_OFD_SETLK, F_UNLCK);
	l->locked = false;
}

enum slog_state slog_look(const struct slog *l)
{
	struct stat st;

	if (l->fd < 0 || fstat(l->fd, &st) != 0 || st.st_nlink == 0)
		return SLOG_REPLACED;
	return (uint64_t)st.st_size == l->end ? SLOG_SAME : SLOG_GROWN;
}

/* Hands out the records in `all`, which begins at l->end. Returns how it ended. */
static enum slog_parse take_records(struct slog *l, struct slice *all, int (*fn)(void *, struct slice, uint64_t), void *ctx, bool *stop)
{
	struct slice payload;
	size_t used;

	for (;;) {
		enum slog_parse p = all->n == 0 ? SLOG_SHORT : slog_record_parse(*all, l->id, l->end, &payload, &used);

		if (p != SLOG_RECORD)
			return p;
		l->end += used;
		*all = slice_from(*all, used);
		if (fn(ctx, payload, l->end - used) != 0) {
			*stop = true;
			return SLOG_SHORT;
		}
	}
}

int slog_read(struct slog *l, int (*fn)(void *ctx, struct slice payload, uint64_t at), void *ctx, bool *bad_out, struct err *e)
{
	struct buf b;
	bool stop = false;
	size_t step = FIRST_STEP;
	int rc = 0;

	*bad_out = false;
	buf_init(&b, BUF_UNBOUNDED);
	for (; !stop; step = READ_STEP) {
		char *room = buf_room(&b, step);
		ssize_t got = pread(l->fd, room, step, (off_t)(l->end + b.len));
		struct slice all;
		enum slog_parse how;

		if (got < 0) {
			rc = err_set(e, ERR_TEMP, errno, "reading the mailbox log");
			break;
		}
		buf_filled(&b, (size_t)got);
		all = buf_view(&b);
		how = take_records(l, &all, fn, ctx, &stop);
		*bad_out = !stop && all.n > 0;
		if (got == 0 || how == SLOG_BAD)
			break;
		buf_take(&b, b.len - all.n);
		if ((size_t)got < step)
			break;
	}
	buf_done(&b);
	return rc;
}

static void take_ahead(struct slog *l, size_t n)
{
	if (l->end + n + AHEAD / 4 <= l->reserved)
		return;
	l->reserved = (l->end + n) / AHEAD * AHEAD + 2 * AHEAD;
	if (fallocate(l->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)l->reserved) != 0) {}     /* not to be had: then not */
}

static int write_at(struct slog *l, struct slice s, struct err *e)
{
	size_t done = 0;

	take_ahead(l, s.n);
	while (done < s.n) {
		ssize_t n = pwrite(l->fd, s.p + done, s.n - done, (off_t)(l->end + done));
		int why = errno;

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && why == EINTR)
			continue;
		if (ftruncate(l->fd, (off_t)l->end) != 0) {}          /* what is left there is no record */
		return err_set(e, n < 0 ? err_kind_of(why) : ERR_TEMP, n < 0 ? why : EIO, "writing the mailbox log");
	}
	l->end += s.n;
	return 0;
}

int slog_begin(struct slog *l, uint64_t id, uint64_t base, uint64_t tag, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, BUF_UNBOUNDED);
	slog_header_put(id, base, tag, &b);
	if (ftruncate(l->fd, 0) != 0) {
		buf_done(&b);
		return err_set(e, err_kind_of(errno), errno, "emptying the mailbox log");
	}
	l->end = 0;
	rc = write_at(l, buf_view(&b), e);
	buf_done(&b);
	if (rc == 0)
		l->id = id, l->base = base, l->tag = tag;
	return rc;
}

int slog_append(struct slog *l, struct slice payload, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, BUF_UNBOUNDED);
	slog_record_put(payload, l->id, l->end, &b);
	rc = write_at(l, buf_view(&b), e);
	buf_done(&b);
	return rc;
}
