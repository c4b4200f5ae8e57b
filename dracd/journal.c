/*
 * dracd/journal.c - see the header.
 */
#include "dracd/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "dracd/jrecord.h"

#define FILE_MAX (1u << 30)
#define REWRITE_LEAST (4u << 20)                                          /* no sooner than that */
#define SNAPSHOT_STEP (256u << 10)
#define PENDING_MAX (4u << 20)                                            /* while there is no space; then the table is written anew instead */

struct journal {
	char *path, *path_new;
	int fd;
	uint32_t salt;                                                /* of both files */
	struct buf pending;                                           /* gathered */
	size_t size, rewrite_at;
	bool is_broken;                                               /* fd may not be appended to */
	bool is_rewriting, has_new;                                   /* a child writes path_new; it is there, to be taken over */
	struct buf tail;                                              /* records since the child was forked */
	int sys;                                                      /* why the last flush failed */
	struct {                                                      /* what journal_work() alone touches from begin to end */
		bool is_begun, take_over;
		struct buf records;
		size_t tail_n;                                        /* of records: what the old file has already */
		int fd, sys;
		bool is_torn;                                         /* fd could not be cut back, or its flush failed */
		size_t size;
	} job;
};

static int replay(const char *path, struct table *t, struct table_time now, size_t *lost_out, struct err *e)
{
	struct buf b;
	struct err why = ERR_INIT;

	buf_init(&b, FILE_MAX);
	if (file_read(path, &b, &why) != 0) {
		buf_done(&b);
		return why.kind == ERR_NOTFOUND ? 0 : err_set(e, why.kind, 0, "%s", why.text);
	}
	*lost_out = jrecord_apply_all(buf_view(&b), t, now);
	buf_done(&b);
	return 0;
}

/*
 * The file anew
 */

struct snapshot {
	struct buf b;
	uint32_t salt;
	int fd;
	bool failed;
};

static void snapshot_write(struct snapshot *s)
{
	if (!s->failed && file_write_all(s->fd, buf_view(&s->b)) != 0)
		s->failed = true;
	buf_reset(&s->b);
}

static void snapshot_one(void *ctx, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at)
{
	struct snapshot *s = ctx;

	jrecord_grant(&s->b, s->salt, addr, who, login_at, expires_at);
	if (s->b.len >= SNAPSHOT_STEP)
		snapshot_write(s);
}

int journal_write_new(const struct journal *j, struct table *t)
{
	struct snapshot s = { .salt = j->salt, .fd = open(j->path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) };

	if (s.fd < 0)
		return -1;
	buf_init(&s.b, BUF_UNBOUNDED);
	jrecord_header(&s.b, j->salt);
	table_each_voucher(t, snapshot_one, &s);
	snapshot_write(&s);
	buf_done(&s.b);
	if (s.failed || fsync(s.fd) != 0) {
		int sys = errno;
		close(s.fd);
		errno = sys;
		return -1;
	}
	return close(s.fd);
}

bool journal_wants_rewrite(const struct journal *j)
{
	return !j->is_rewriting && !j->has_new && (j->is_broken || j->size > j->rewrite_at);
}

/* From here on path_new and the tail together say what the table will be. What was gathered before is in the table too. */
void journal_rewrite(struct journal *j)
{
	buf_reset(&j->tail);
	j->is_rewriting = true;
}

void journal_rewritten(struct journal *j, bool ok)
{
	j->is_rewriting = false;
	j->has_new = ok;
	if (ok)
		return;
	unlink(j->path_new);
	buf_reset(&j->tail);
	buf_shrink(&j->tail);
	if (!j->is_broken)
		j->rewrite_at = j->size + j->size / 4;                    /* not again at once */
}

/*
 * Flushes
 */

bool journal_begin(struct journal *j)
{
	if (j->is_rewriting)
		buf_put(&j->tail, buf_view(&j->pending));
	if (j->is_broken && !j->has_new)
		buf_reset(&j->pending);                                   /* refused; in the table and so in the new file all the same */
	j->job.is_begun = j->has_new || j->pending.len != 0;
	if (!j->job.is_begun)
		return false;
	buf_reset(&j->job.records);
	j->job.tail_n = 0;
	if (j->has_new) {
		buf_put(&j->job.records, buf_view(&j->tail));
		j->job.tail_n = j->tail.len;
	}
	buf_put(&j->job.records, buf_view(&j->pending));
	buf_reset(&j->pending);
	j->job.take_over = j->has_new;
	j->job.fd = j->fd;
	j->job.size = j->size;
	j->job.sys = 0;
	j->job.is_torn = false;
	return true;
}

/* The child's file and what came since; then it takes the name. The old file is whole until the rename. */
static void work_take_over(struct journal *j)
{
	int fd = open(j->path_new, O_WRONLY | O_APPEND | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (size < 0 || file_write_all(fd, buf_view(&j->job.records)) != 0 || fdatasync(fd) != 0 || rename(j->path_new, j->path) != 0) {
		j->job.sys = errno;
		file_close(&fd);
		return;
	}
	file_close(&j->job.fd);
	j->job.fd = fd;
	j->job.size = (size_t)size + j->job.records.len;
	if (file_sync_directory_of(j->path) != 0) {
		j->job.sys = errno;
		j->job.is_torn = true;
	}
}

static void work_append(struct journal *j)
{
	if (file_write_all(j->job.fd, buf_view(&j->job.records)) != 0) {
		j->job.sys = errno;
		j->job.is_torn = ftruncate(j->job.fd, (off_t)j->job.size) != 0;
	} else if (fdatasync(j->job.fd) != 0) {
		j->job.sys = errno;
		j->job.is_torn = true;
	} else
		j->job.size += j->job.records.len;
}

void journal_work(struct journal *j)
{
	if (j->job.take_over)
		work_take_over(j);
	else
		work_append(j);
}

/* What was not written comes first in the next flush. */
static void put_back(struct journal *j)
{
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	buf_put(&b, slice_from(buf_view(&j->job.records), j->job.tail_n));
	buf_put(&b, buf_view(&j->pending));
	buf_done(&j->pending);
	j->pending = b;
	if (b.len > PENDING_MAX)
		j->is_broken = true;
}

static void drop_new(struct journal *j)
{
	j->has_new = false;
	buf_reset(&j->tail);
	buf_shrink(&j->tail);
}

int journal_end(struct journal *j, struct err *e)
{
	if (!j->job.is_begun)
		return j->is_broken ? err_set(e, ERR_TEMP, j->sys, "%s", j->path) : 0;
	j->job.is_begun = false;
	j->fd = j->job.fd;
	j->size = j->job.size;
	j->is_broken |= j->job.is_torn;
	if (j->job.sys == 0 && j->job.take_over) {
		drop_new(j);
		j->is_broken = false;
		j->rewrite_at = j->size * 4 > REWRITE_LEAST ? j->size * 4 : REWRITE_LEAST;
	}
	if (j->job.sys == 0)
		return 0;
	j->sys = j->job.sys;
	if (j->job.take_over) {
		journal_rewritten(j, false);
		drop_new(j);
	}
	if (!j->is_broken)
		put_back(j);
	return err_set(e, ERR_TEMP, j->sys, "%s", j->path);
}

int journal_sync(struct journal *j, struct err *e)
{
	if (journal_begin(j))
		journal_work(j);
	return journal_end(j, e);
}

/*
 * Start and end
 */

/* The first snapshot, before anybody is served. Where there is no space dracd goes on with what it read, and writes when there is some. */
static int first_write(struct journal *j, struct table *t, struct err *e)
{
	if (journal_write_new(j, t) != 0) {
		j->sys = errno;
		unlink(j->path_new);
		j->is_broken = true;
		if (j->sys == ENOSPC || j->sys == EDQUOT)
			return 0;
		return err_set(e, err_kind_of(j->sys), j->sys, "%s", j->path_new);
	}
	j->has_new = true;
	return journal_sync(j, e);
}

int journal_open(struct journal **j_out, const char *path, struct table *t, struct table_time now, size_t *lost_out, struct err *e)
{
	struct journal *j = mem_new(sizeof(*j));
	size_t lost = 0;

	j->fd = -1;
	j->path = mem_str(path);
	if (asprintf(&j->path_new, "%s.new", path) < 0)
		abort();
	text_random(&j->salt, sizeof(j->salt));
	buf_init(&j->pending, BUF_UNBOUNDED);
	buf_init(&j->tail, BUF_UNBOUNDED);
	buf_init(&j->job.records, BUF_UNBOUNDED);
	if (replay(path, t, now, &lost, e) != 0 || first_write(j, t, e) != 0) {
		journal_close(&j);
		return -1;
	}
	*lost_out = lost;
	*j_out = j;
	return 0;
}

void journal_close(struct journal **jp)
{
	struct journal *j = jp ? *jp : NULL;

	if (j == NULL)
		return;
	file_close(&j->fd);
	buf_done(&j->pending);
	buf_done(&j->tail);
	buf_done(&j->job.records);
	free(j->path);
	free(j->path_new);
	free(j);
	*jp = NULL;
}

/*
 * Records
 */

void journal_grant(struct journal *j, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at)
{
	jrecord_grant(&j->pending, j->salt, addr, who, login_at, expires_at);
}

void journal_revoke(struct journal *j, const struct net_addr *addr, struct slice user)
{
	jrecord_revoke(&j->pending, j->salt, addr, user);
}

void journal_flush(struct journal *j)
{
	jrecord_flush(&j->pending, j->salt);
}

bool journal_is_dirty(const struct journal *j)
{
	return j->pending.len != 0 || j->has_new;
}
