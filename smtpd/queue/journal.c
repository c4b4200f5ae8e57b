/*
 * queue/journal.c - see journal.h. Octets: record.c. The pool of segments: segments.c.
 *
 * States of a segment, and what moves it on:
 *
 *   state      head says   flock   holds                        moves on by
 *   FREE       free        none    zeros and old generations    queue: head "in use" with a fresh generation, fdatasync; given to a front
 *   APPENDED   in use      front   records; acknowledged ones   front: full, failed or gone, so the lock is gone
 *                                  are those behind a flush
 *   CLOSED     in use      none    records, all known to queue  queue: each is delivered, bounced or deferred, and a checkpoint made that durable;
 *                                                               head "free", fdatasync
 *   SUSPECT    in use      none    a flush failed: records      queue: as CLOSED, but the file is kept as N.suspect and never written again
 *                                  before good_to count         (good_to is in N.mark, flushed, from the moment the front told it)
 *
 * What precedes 250: pwritev of all waiting records into blocks that hold no acknowledged one, one fdatasync that returned 0. The blocks were written
 * with zeros and flushed when the segment was made, so the flush moves data only. A flush that failed is never tried again on the same file: the
 * second one would say OK while the data is gone.
 *
 * Between a front's 451 and the queue's N.mark lies the way of one message: where both are killed in that moment, or the front has no link to the queue,
 * the record is perhaps in the page cache and is delivered although it was refused.
 *
 * After a crash the queue scans every segment whose head says in use; a record that is whole was perhaps acknowledged, so it is delivered; one that
 * is torn was not. An id that queue.log calls done is skipped.
 */
#include "queue/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "serve/flusher.h"
#include "queue/record.h"

enum { BATCH_RECORDS = 500, WAIT_FOR_SEGMENT_MS = 10000 };
#define BATCH_OCTETS (8u << 20)

struct segment {
	int fd;                                                       /* -1: none */
	uint64_t number, generation, size, at;
};

struct append {
	struct list_node node;
	struct buf octets;
	int file_fd, dir_fd;
	journal_done_fn *fn;
	void *ctx;
	struct journal_place place;
};

struct journal {
	struct loop *loop;
	const struct journal_events *ev;
	const struct journal_ops *ops;
	void *ctx;
	struct flusher *flusher, *file_flusher;                       /* the second one only once a large message came */
	struct segment cur, next;
	struct list_node files, waiting, flying;                      /* whose file is to be flushed; for a segment or the flusher; in the flusher */
	struct append *file_flying;
	unsigned failures;                                            /* one after the other */
	bool broken, asked;
	struct loop_timer patience;
	struct loop_task refuse, gather;
	/* the flusher's while it is busy */
	struct iovec iov[2 * BATCH_RECORDS + 1];
	int n_iov;
	off_t write_at;
	uint64_t batch_end;
	int job_errno, file_errno;
};

static const char zeros[SEGMENT_BLOCK];
static const struct journal_ops real_ops = { pwritev, fdatasync, fsync };

static void flush_start(struct journal *j);

/* ---- one append ---- */

static struct append *append_new(const struct envelope *env, const struct slice *pieces, size_t n, unsigned flags, journal_done_fn *fn, void *ctx)
{
	struct append *ap = mem_new(sizeof(*ap));
	struct buf text;

	buf_init(&text, BUF_UNBOUNDED);
	envelope_put(env, &text);
	buf_init(&ap->octets, BUF_UNBOUNDED);
	record_put(&ap->octets, env->id, buf_view(&text), pieces, n, flags);
	buf_done(&text);
	ap->file_fd = ap->dir_fd = -1;
	ap->fn = fn;
	ap->ctx = ctx;
	return ap;
}

static void append_free(struct append *ap)
{
	list_remove(&ap->node);
	buf_done(&ap->octets);
	file_close(&ap->file_fd);
	free(ap);
}

static void append_finish(struct append *ap, const struct err *err)
{
	journal_done_fn *fn = ap->fn;
	void *ctx = ap->ctx;
	struct journal_place place = ap->place;

	append_free(ap);
	if (fn != NULL)
		fn(ctx, err == NULL ? &place : NULL, err);
}

static void finish_all(struct list_node *head, const struct err *err)
{
	struct list_node mine;
	struct list_node *n;

	list_init(&mine);                                             /* fn() may append anew */
	while ((n = list_first(head)) != NULL) {
		list_remove(n);
		list_append(&mine, n);
	}
	while ((n = list_first(&mine)) != NULL)
		append_finish(LIST_OF(n, struct append, node), err);
}

/* ---- segments ---- */

static void ask_for_segment(struct journal *j)
{
	if (j->asked || j->next.fd >= 0)
		return;
	j->asked = true;
	j->ev->ask_segment(j->ctx);
}

static void segment_leave(struct journal *j)
{
	uint64_t number = j->cur.number;

	file_close(&j->cur.fd);
	j->ev->released(j->ctx, number);
}

static bool segment_advance(struct journal *j)
{
	if (j->next.fd < 0)
		return false;
	j->cur = j->next;
	j->next.fd = -1;
	ask_for_segment(j);
	return true;
}

int journal_give_segment(struct journal *j, uint64_t segment, int fd, struct err *e)
{
	char block[SEGMENT_BLOCK];
	struct segment_head h;
	struct stat st;

	j->asked = false;
	if (j->next.fd >= 0) {
		close(fd);
		return err_set(e, ERR_LIMIT, 0, "journal segment %llu came unasked", (unsigned long long)segment);
	}
	if (pread(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block) || segment_head_parse(slice_mem(block, sizeof(block)), &h) < 0 ||
	    h.number != segment || !h.in_use || fstat(fd, &st) < 0 || (uint64_t)st.st_size < h.size) {
		close(fd);
		return err_set(e, ERR_TEMP, 0, "journal segment %llu has no good head", (unsigned long long)segment);
	}
	j->next = (struct segment){ fd, h.number, h.generation, h.size, SEGMENT_BLOCK };
	j->broken = false;
	loop_timer_stop(j->loop, &j->patience);
	if (j->cur.fd < 0)
		segment_advance(j);
	flush_start(j);
	return 0;
}

size_t journal_holds(const struct journal *j, uint64_t segments_out[2])
{
	size_t n = 0;

	if (j->cur.fd >= 0)
		segments_out[n++] = j->cur.number;
	if (j->next.fd >= 0)
		segments_out[n++] = j->next.number;
	return n;
}

/* ---- the flush ---- */

static void refuse_waiting(void *ctx)
{
	struct journal *j = ctx;
	struct err e = ERR_INIT;

	err_set(&e, ERR_TEMP, 0, "%s", j->broken ? "the journal's disk failed" : "no journal segment to write to");
	finish_all(&j->waiting, &e);
}

static int write_all_at(const struct journal_ops *ops, int fd, struct iovec *iov, int n, off_t at)
{
	while (n > 0) {
		ssize_t w = ops->pwritev(fd, iov, n, at);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return w < 0 ? errno : EIO;
		at += w;
		for (; n > 0 && (size_t)w >= iov->iov_len; n--, iov++)
			w -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + w;
			iov->iov_len -= (size_t)w;
		}
	}
	return 0;
}

static void flush_work(void *ctx)
{
	struct journal *j = ctx;

	j->job_errno = write_all_at(j->ops, j->cur.fd, j->iov, j->n_iov, j->write_at);
	if (j->job_errno == 0 && j->ops->fdatasync(j->cur.fd) < 0)
		j->job_errno = errno;
}

static void flush_failed(struct journal *j)
{
	uint64_t number = j->cur.number, good_to = j->cur.at;
	struct err e = ERR_INIT;

	err_set(&e, ERR_TEMP, j->job_errno, "journal segment %llu: write or flush failed", (unsigned long long)number);
	file_close(&j->cur.fd);
	j->ev->suspect(j->ctx, number, good_to, &e);
	if (++j->failures >= 2) {
		j->broken = true;
		if (j->next.fd >= 0) {                                /* not trusted either; the queue takes it back */
			uint64_t unused = j->next.number;

			file_close(&j->next.fd);
			j->ev->released(j->ctx, unused);
		}
	} else if (!segment_advance(j)) {
		ask_for_segment(j);
	}
	finish_all(&j->flying, &e);
}

static void flush_done(void *ctx)
{
	struct journal *j = ctx;

	if (j->job_errno != 0) {
		flush_failed(j);
	} else {
		j->failures = 0;
		j->cur.at = j->batch_end;
		finish_all(&j->flying, NULL);
	}
	flush_start(j);
}

static void add_iov(struct journal *j, const void *p, size_t n)
{
	union { const void *in; void *out; } base = { p };            /* struct iovec knows no const */

	j->iov[j->n_iov++] = (struct iovec){ base.out, n };
}

/* As many waiting records as go into this segment and one flush; false: not even the first. */
static bool flush_gather(struct journal *j)
{
	uint64_t at = (j->cur.at + SEGMENT_BLOCK - 1) / SEGMENT_BLOCK * SEGMENT_BLOCK;

	j->n_iov = 0;
	j->write_at = (off_t)at;
	for (unsigned n = 0; n < BATCH_RECORDS && !list_is_empty(&j->waiting) && at - (uint64_t)j->write_at < BATCH_OCTETS; n++) {
		struct append *ap = LIST_OF(list_first(&j->waiting), struct append, node);
		size_t padded = record_padded(ap->octets.len);

		if (padded > j->cur.size - at)
			break;
		record_seal(ap->octets.p, j->cur.generation, at);
		ap->place = (struct journal_place){ j->cur.number, j->cur.generation, at, ap->octets.len };
		add_iov(j, ap->octets.p, ap->octets.len);
		if (padded > ap->octets.len)
			add_iov(j, zeros, padded - ap->octets.len);
		at += padded;
		list_remove(&ap->node);
		list_append(&j->flying, &ap->node);
	}
	j->batch_end = at;
	if (at % SEGMENT_BLOCK != 0)                                  /* whole blocks: the kernel need not read what it overwrites */
		add_iov(j, zeros, SEGMENT_BLOCK - at % SEGMENT_BLOCK);
	return !list_is_empty(&j->flying);
}

static void flush_start(struct journal *j)
{
	struct err e = ERR_INIT;

	while (!flusher_is_busy(j->flusher) && !list_is_empty(&j->waiting)) {
		if (j->cur.fd < 0 && !segment_advance(j)) {
			if (j->broken)
				loop_task_queue(j->loop, &j->refuse, refuse_waiting, j);
			else if (!loop_timer_is_running(&j->patience))
				loop_timer_start(j->loop, &j->patience, WAIT_FOR_SEGMENT_MS, refuse_waiting, j);
			ask_for_segment(j);
			return;
		}
		if (flush_gather(j)) {
			flusher_start(j->flusher, flush_work, flush_done, j);
		} else if (j->cur.at == SEGMENT_BLOCK) {
			err_set(&e, ERR_LIMIT, 0, "the envelope is larger than a journal segment");
			append_finish(LIST_OF(list_first(&j->waiting), struct append, node), &e);
		} else {
			segment_leave(j);
		}
	}
}

/* The first message does not go alone while others stand at the door: one flush takes all that the sockets hold by now. */
static void flush_gathered(void *ctx)
{
	flush_start(ctx);
}

/* ---- large messages: their file first ---- */

static void file_start(struct journal *j);

static void file_work(void *ctx)
{
	struct journal *j = ctx;
	const struct append *ap = j->file_flying;

	j->file_errno = j->ops->fsync(ap->file_fd) < 0 || (ap->dir_fd >= 0 && j->ops->fsync(ap->dir_fd) < 0) ? errno : 0;
}

static void file_done(void *ctx)
{
	struct journal *j = ctx;
	struct append *ap = j->file_flying;
	struct err e = ERR_INIT;

	j->file_flying = NULL;
	if (close(ap->file_fd) < 0 && j->file_errno == 0)
		j->file_errno = errno;
	ap->file_fd = -1;
	if (j->file_errno != 0) {
		err_set(&e, ERR_TEMP, j->file_errno, "flush of a large message failed");
		append_finish(ap, &e);
	} else {
		list_append(&j->waiting, &ap->node);
		flush_start(j);
	}
	file_start(j);
}

static void file_start(struct journal *j)
{
	struct list_node *n = list_first(&j->files);

	if (n == NULL || flusher_is_busy(j->file_flusher))
		return;
	list_remove(n);
	j->file_flying = LIST_OF(n, struct append, node);
	flusher_start(j->file_flusher, file_work, file_done, j);
}

/* ---- the outside ---- */

void journal_append(struct journal *j, const struct envelope *env, const struct slice *pieces, size_t n_pieces, journal_done_fn *fn, void *ctx)
{
	struct append *ap = append_new(env, pieces, n_pieces, 0, fn, ctx);

	list_append(&j->waiting, &ap->node);
	if (j->cur.fd < 0)
		flush_start(j);                                       /* asks for a segment, or has it refused */
	else
		loop_task_when_idle(j->loop, &j->gather, flush_gathered, j);
}

void journal_append_file(struct journal *j, const struct envelope *env, int file_fd, int dir_fd, journal_done_fn *fn, void *ctx)
{
	struct append *ap = append_new(env, NULL, 0, RECORD_IN_FILE, fn, ctx);

	if (j->file_flusher == NULL)
		j->file_flusher = flusher_new(j->loop);
	ap->file_fd = file_fd;
	ap->dir_fd = dir_fd;
	list_append(&j->files, &ap->node);
	file_start(j);
}

void journal_forget(struct journal *j, void *ctx)
{
	struct list_node *heads[] = { &j->files, &j->waiting, &j->flying };

	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		LIST_EACH(n, heads[i]) {
			struct append *ap = LIST_OF(n, struct append, node);

			if (ap->ctx == ctx)
				ap->fn = NULL;
		}
	}
	if (j->file_flying != NULL && j->file_flying->ctx == ctx)
		j->file_flying->fn = NULL;
}

struct journal *journal_new_with(struct loop *l, const struct journal_events *ev, const struct journal_ops *ops, void *ctx)
{
	struct journal *j = mem_new(sizeof(*j));

	j->loop = l;
	j->ev = ev;
	j->ops = ops;
	j->ctx = ctx;
	j->cur.fd = j->next.fd = -1;
	list_init(&j->files);
	list_init(&j->waiting);
	list_init(&j->flying);
	j->flusher = flusher_new(l);
	return j;
}

struct journal *journal_new(struct loop *l, const struct journal_events *ev, void *ctx)
{
	return journal_new_with(l, ev, &real_ops, ctx);
}

void journal_free(struct journal **jp)
{
	struct journal *j = *jp;
	struct list_node *heads[3], *n;

	if (j == NULL)
		return;
	flusher_free(&j->flusher);
	flusher_free(&j->file_flusher);
	loop_timer_stop(j->loop, &j->patience);
	loop_task_cancel(&j->refuse);
	loop_task_cancel(&j->gather);
	heads[0] = &j->files;
	heads[1] = &j->waiting;
	heads[2] = &j->flying;
	for (size_t i = 0; i < 3; i++) {
		while ((n = list_first(heads[i])) != NULL)
			append_free(LIST_OF(n, struct append, node));
	}
	if (j->file_flying != NULL)
		append_free(j->file_flying);
	file_close(&j->cur.fd);
	file_close(&j->next.fd);
	free(j);
	*jp = NULL;
}

bool journal_is_broken(const struct journal *j)
{
	return j->broken;
}

bool journal_is_ready(const struct journal *j)
{
	return !j->broken && (j->cur.fd >= 0 || j->next.fd >= 0);
}

int journal_read(int segment_fd, const struct journal_place *place, struct arena *a, struct slice *envelope_text_out, struct slice *message_out, struct err *e)
{
	struct record r;
	char *p;
	size_t got = 0;

	if (place->length < RECORD_HEAD || place->length > RECORD_HEAD + LIMIT_RECORD_ENVELOPE + (UINT64_C(1) << 31))
		return err_set(e, ERR_SYNTAX, 0, "journal segment %llu: no record is %llu octets long",
		    (unsigned long long)place->segment, (unsigned long long)place->length);
	p = arena_alloc(a, (size_t)place->length);
	while (got < place->length) {
		ssize_t n = pread(segment_fd, p + got, (size_t)place->length - got, (off_t)(place->offset + got));

		if (n <= 0)
			return err_set(e, ERR_TEMP, n < 0 ? errno : EIO, "journal segment %llu", (unsigned long long)place->segment);
		got += (size_t)n;
	}
	if (record_parse(slice_mem(p, got), place->generation, place->offset, &r) != RECORD_OK)
		return err_set(e, ERR_TEMP, 0, "journal segment %llu: record at %llu is damaged",
		    (unsigned long long)place->segment, (unsigned long long)place->offset);
	*envelope_text_out = r.envelope_text;
	*message_out = r.message;
	return 0;
}

void queue_id_new(char out[QUEUE_ID_MAX], int64_t wall_us, unsigned front_index)
{
	static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";      /* no A, E, I, O, U: no words */
	const unsigned base = sizeof(digits) - 1;
	uint64_t time = (uint64_t)wall_us, luck;
	size_t n = 11;

	text_random(&luck, sizeof(luck));
	for (size_t i = n; i > 0; i--, time /= base)
		out[i - 1] = digits[time % base];
	out[n++] = digits[front_index / base % base];
	out[n++] = digits[front_index % base];
	for (; n < 20; luck /= base)
		out[n++] = digits[luck % base];
	out[n] = '\0';
}
