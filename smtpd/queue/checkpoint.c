/*
 * queue/checkpoint.c - makes durable what happened since the last one, then lets go of what was kept only in case it was not.
 *
 *   1. in the loop      .env.new of every message whose .env is behind; lines of queue.log written; what is settled by now is marked as covered
 *   2. in the flusher   syncfs of the mail file system, syncfs of the spool, fdatasync of queue.log
 *   3. in the loop      "checkpoint" into queue.log; .env.new to .env; files of settled messages removed
 *   4. in the flusher   heads of closed segments with nothing left in them become "free"
 *   5. in the loop      they are given to fronts that wait; queue.log is renewed when it has grown
 *
 * An error of syncfs in 2 is final: the next one would say OK though pages are lost. Nothing is released any more and no segment is given, so accepting
 * stops when the fronts' segments are full; after a restart everything since the last checkpoint is done again.
 *
 * queue.log is another matter, since memory knows all that it must say. No room for a line: the lines wait in memory. A flush of it that failed: it is
 * never flushed again, a new one is written from memory and takes its place. Until one of them succeeds, which is tried each second, there is no
 * checkpoint, fronts refuse mail with 452, and what was acknowledged is delivered as ever.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/deferred.h"
#include "queue/state.h"
#include "store/mbox.h"

#define LOG_RENEW_AT (4u << 20)

void queue_gone(struct queue *q, const char *id, bool large, bool deferred)
{
	struct gone *g = mem_new(sizeof(*g));

	memcpy(g->id, id, QUEUE_ID_MAX);
	g->large = large;
	g->deferred = deferred;
	list_append(&q->gone, &g->node);
	q->changed = true;
}

/* ---- 1 ---- */

static void write_dirty(struct queue *q)
{
	size_t n = 0;
	struct err e = ERR_INIT;

	LIST_EACH(node, &q->dirty)
		n++;
	q->committing = mem_grow(q->committing, (n + 1) * sizeof(*q->committing));
	q->n_committing = 0;
	LIST_EACH_SAFE(node, &q->dirty) {
		struct qmessage *m = LIST_OF(node, struct qmessage, node_dirty);

		if (deferred_update(q->settings->spool_directory, &m->env, &e) < 0) {
			log_error("%s: %s", m->env.id, e.text);       /* stays dirty: the next checkpoint tries again */
			continue;
		}
		list_remove(&m->node_dirty);
		memcpy(q->committing[q->n_committing++], m->env.id, QUEUE_ID_MAX);
	}
}

/* The checkpoint came to nothing: what step 1 took is for the next one. */
static void take_back(struct queue *q)
{
	for (size_t i = 0; i < q->n_committing; i++) {
		struct qmessage *m = hmap_get(q->by_id, slice_of(q->committing[i]));

		if (m != NULL)
			queue_dirty(q, m);
	}
	for (size_t i = 0; i < q->n_freeing; i++)
		q->freeing[i]->state = SEG_CLOSED;
	q->n_committing = q->n_freeing = 0;
	q->changed = q->local_changed = q->spool_changed = true;
}

static void mark_covered(struct queue *q)
{
	LIST_EACH(n, &q->gone)
		LIST_OF(n, struct gone, node)->covered = true;
	q->n_freeing = 0;
	LIST_EACH(n, segs_all(q->segs)) {
		struct seg *seg = LIST_OF(n, struct seg, node);

		seg->n_covered = seg->n_settled;
		if (seg->state == SEG_CLOSED && seg->live == 0 && q->n_freeing < sizeof(q->freeing) / sizeof(*q->freeing)) {
			seg->state = SEG_FREEING;
			q->freeing[q->n_freeing++] = seg;
		}
	}
}

/* ---- 2 ---- */

static int sync_spool(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), sys = 0;

	if (fd < 0 || syncfs(fd) < 0)
		sys = errno;
	file_close(&fd);
	return sys;
}

static bool same_file_system(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev;
}

static void sync_work(void *ctx)
{
	struct queue *q = ctx;

	q->mail_errno = q->spool_errno = q->log_errno = 0;
	q->checkpoint_err = (struct err)ERR_INIT;
	if (q->flush_mail && store_checkpoint(q->settings->mail_directory, &q->checkpoint_err) < 0)
		q->mail_errno = EIO;
	if (q->flush_spool)
		q->spool_errno = sync_spool(q->settings->spool_directory);
	if (fdatasync(qlog_fd(q->log)) < 0)
		q->log_errno = errno;
}

/* ---- 3 to 5 ---- */

static void remove_gone(struct queue *q)
{
	struct buf path;

	buf_init(&path, BUF_UNBOUNDED);
	LIST_EACH_SAFE(n, &q->gone) {
		struct gone *g = LIST_OF(n, struct gone, node);

		if (!g->covered)
			continue;
		if (g->deferred)
			deferred_remove(q->settings->spool_directory, g->id);
		if (g->large) {
			buf_reset(&path);
			spool_path_large(q->settings->spool_directory, g->id, &path);
			unlink(buf_str(&path));
		}
		list_remove(&g->node);
		free(g);
	}
	buf_done(&path);
}

static void commit_dirty(struct queue *q)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < q->n_committing; i++) {
		if (deferred_commit(q->settings->spool_directory, q->committing[i], &e) < 0 && e.kind != ERR_NOTFOUND)
			log_error("%s: %s", q->committing[i], e.text);
	}
	q->n_committing = 0;
}

static void put_settled(struct queue *q, bool covered)
{
	LIST_EACH(n, segs_all(q->segs)) {
		const struct seg *seg = LIST_OF(n, struct seg, node);
		size_t from = covered ? 0 : seg->n_covered, to = covered ? seg->n_covered : seg->n_settled;

		if (seg->state == SEG_FREE)
			continue;
		for (size_t i = from; i < to; i++) {
			if (seg->settled[i].moved)
				qlog_moved(q->log, seg->settled[i].id);
			else
				qlog_done(q->log, seg->settled[i].id);
		}
	}
}

static void put_open(struct queue *q)
{
	struct slice key;
	void *value;

	LIST_EACH(n, &q->gone) {
		if (LIST_OF(n, struct gone, node)->deferred)
			qlog_done(q->log, LIST_OF(n, struct gone, node)->id);
	}
	for (size_t at = 0; hmap_next(q->by_token, &at, &key, &value); ) {
		const struct qmessage *m = value;

		for (size_t i = 0; i < m->env.n_rcpts; i++) {
			if (m->run[i].noted)
				qlog_rcpt(q->log, m->env.id, m->env.rcpts[i].next_hop.n > 0, m->env.rcpts[i].address);
		}
	}
}

static void log_is_stuck(struct queue *q, const struct err *e)
{
	if (qlog_has_failed(q->log)) {
		log_error("%s: nothing is released any more and accepting will stop. Nothing that was acknowledged is lost: mend the disk and restart", e->text);
		q->disk_failed = true;
	} else if (!q->log_stuck) {
		log_error("%s: new mail is refused with 452 until it can be, which is tried each second. Nothing that was acknowledged is lost", e->text);
	}
	q->log_stuck = true;
}

static void log_is_well(struct queue *q)
{
	if (q->log_stuck)
		log_info("queue.log is written again");
	q->log_stuck = false;
}

bool queue_rewrite_log(struct queue *q)
{
	struct err e = ERR_INIT;

	qlog_rewrite_begin(q->log);
	put_settled(q, true);
	qlog_checkpoint(q->log);
	put_settled(q, false);
	put_open(q);
	if (qlog_rewrite_end(q->log, &e) == 0) {
		log_is_well(q);
		return true;
	}
	if (qlog_must_renew(q->log) || qlog_has_failed(q->log))
		log_is_stuck(q, &e);
	else
		log_warn("%s: the old one, %llu kB, goes on", e.text, (unsigned long long)(qlog_size(q->log) >> 10));
	return false;
}

/* Everything that waits is in queue.log, and it is one that may be flushed. */
static bool log_ready(struct queue *q)
{
	struct err e = ERR_INIT;

	if (qlog_must_renew(q->log))
		return queue_rewrite_log(q);
	if (qlog_write(q->log, &e) < 0) {
		log_is_stuck(q, &e);
		return false;
	}
	log_is_well(q);
	return true;
}

void queue_log_retry(struct queue *q)
{
	if (qlog_is_stuck(q->log) || q->log_stuck) {
		q->changed = true;
		queue_checkpoint(q);
	}
}

static void free_work(void *ctx)
{
	struct queue *q = ctx;

	for (size_t i = 0; i < q->n_freeing; i++) {
		if (segs_write_free(q->segs, q->freeing[i], &q->checkpoint_err) < 0)
			q->mail_errno = EIO;
	}
}

static void free_done(void *ctx)
{
	struct queue *q = ctx;

	if (q->mail_errno != 0) {
		log_error("%s", q->checkpoint_err.text);
		q->disk_failed = true;
		return;
	}
	for (size_t i = 0; i < q->n_freeing; i++)
		segs_freed(q->segs, q->freeing[i]);
	q->n_freeing = 0;
	queue_front_serve(q);
	if (qlog_size(q->log) > LOG_RENEW_AT)
		queue_rewrite_log(q);
	if (q->again)
		queue_checkpoint(q);
}

static void sync_done(void *ctx)
{
	struct queue *q = ctx;

	if (q->log_errno != 0)
		qlog_spoil(q->log);
	if (q->mail_errno != 0 || q->spool_errno != 0) {
		q->disk_failed = true;
		log_error("the disk failed a flush (mail: %s; spool: %s; queue.log: %s): nothing is released any more and accepting will stop. "
		    "Nothing that was acknowledged is lost: mend the disk and restart", q->mail_errno != 0 ? q->checkpoint_err.text : "ok",
		    q->spool_errno != 0 ? strerror(q->spool_errno) : "ok", q->log_errno != 0 ? strerror(q->log_errno) : "ok");
		return;
	}
	if (q->log_errno != 0) {
		log_warn("queue.log: flush failed: %s; a new one is written", strerror(q->log_errno));
		if (!queue_rewrite_log(q)) {
			take_back(q);
			return;
		}
	} else {
		qlog_checkpoint(q->log);
	}
	commit_dirty(q);
	remove_gone(q);
	flusher_start(q->flusher, free_work, free_done, q);
}

void queue_checkpoint(struct queue *q)
{
	if (!q->recovered || q->disk_failed || qlog_has_failed(q->log))
		return;
	if (flusher_is_busy(q->flusher)) {
		q->again = true;
		return;
	}
	q->again = false;
	if (!q->changed)
		return;
	if (!log_ready(q))
		return;
	write_dirty(q);
	mark_covered(q);
	q->flush_mail = q->local_changed;
	q->flush_spool = (q->spool_changed || q->n_committing > 0) &&
	    !(q->flush_mail && same_file_system(q->settings->mail_directory, q->settings->spool_directory));
	q->local_changed = q->spool_changed = false;
	q->changed = !list_is_empty(&q->dirty);                       /* there was no room for their .env.new */
	flusher_start(q->flusher, sync_work, sync_done, q);
}

void queue_last_checkpoint(struct queue *q)
{
	struct err e = ERR_INIT;

	if (qlog_write(q->log, &e) < 0)
		log_error("%s", e.text);
	if (!q->recovered || q->disk_failed || flusher_is_busy(q->flusher) || !log_ready(q))
		return;
	write_dirty(q);
	q->flush_mail = q->flush_spool = true;
	sync_work(q);
	if (q->mail_errno != 0 || q->spool_errno != 0 || q->log_errno != 0)
		return;
	qlog_checkpoint(q->log);
	commit_dirty(q);
	if (qlog_write(q->log, &e) < 0)
		log_error("%s", e.text);
}
