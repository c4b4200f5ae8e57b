/*
 * deliver/proc.c - the deliver process. Runs as posthouse; reads the spool and accounts.db (for quotas), writes the mail directory; hears the queue alone;
 * sees no network and no password.
 *
 * A message is written once and linked for its further mailboxes. What it returns as sent is visible, and durable at the queue's next checkpoint.
 */
#include "deliver/deliver.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "deliver/boxes.h"
#include "queue/logline.h"
#include "queue/spool.h"
#include "serve/accounts.h"
#include "serve/sandbox.h"

/*
 * What was accepted is safe and may wait a moment; who stands at the door may not. So where the processors are short fronts come first, and what piles up
 * meanwhile is delivered in larger batches. A third of a share is left, so that delivery never stops.
 */
enum { DELIVER_NICE = 5 };

struct deliver {
	struct loop *loop;
	const struct settings *settings;
	struct chan *queue;
	struct qbatch results;
	struct loop_task flush;
	struct spool_reader *reader;
	struct boxes *boxes;
	struct arena *arena;                                          /* of one job */
	char last_id[QUEUE_ID_MAX];                                   /* a message with many recipients comes in several jobs */
	struct buf last_path, last_sender;
	bool retiring;
};

/* ---- one mailbox ---- */

static int put_once(struct deliver *d, const struct qjob_rcpt *r, const struct delivery *del, const char **path_out, struct err *e)
{
	struct box *box;

	if (boxes_get(d->boxes, r->user, true, loop_now(d->loop), &box, e) < 0)
		return -1;
	if (box_deliver(box, r->folder.n > 0 ? r->folder : SLICE("INBOX"), del, d->arena, path_out, e) == 0)
		return 0;
	/* user+folder where there is no such folder, or a name that cannot be one: INBOX. */
	if (r->folder.n > 0 && (e->kind == ERR_NOTFOUND || e->kind == ERR_DENIED))
		return box_deliver(box, SLICE("INBOX"), del, d->arena, path_out, e);
	return -1;
}

/* A mailbox that was moved away or restored while we had it open is opened anew. */
static int put_into(struct deliver *d, const struct qjob_rcpt *r, const struct delivery *del, const char **path_out, struct err *e)
{
	if (put_once(d, r, del, path_out, e) == 0)
		return 0;
	boxes_forget(d->boxes, r->user);
	return e->kind == ERR_LIMIT || e->kind == ERR_DENIED ? -1 : put_once(d, r, del, path_out, e);
}

/* A full mailbox is "try later" for over_quota_grace, then the sender hears; after it room.c refuses at RCPT. */
static void set_failure(struct qresult *res, const struct settings *s, const struct qjob *job, const struct err *e, int64_t now_us)
{
	bool quota = e->kind == ERR_LIMIT && e->sys == 0;

	res->outcome = QRESULT_DEFERRED;
	res->dsn = SLICE("4.2.0");
	if (quota && now_us - job->arrived >= (int64_t)s->over_quota_grace * CLOCK_US_PER_S) {
		res->outcome = QRESULT_FAILED;
		res->dsn = SLICE("5.2.2");
	} else if (quota) {
		res->dsn = SLICE("4.2.2");
	} else if (e->kind == ERR_LIMIT) {
		res->dsn = SLICE("4.3.1");
	} else if (e->kind == ERR_DENIED && e->sys == 0) {
		res->outcome = QRESULT_FAILED;
		res->dsn = SLICE("5.1.3");
	}
	res->text = slice_of(e->text);
}

static void deliver_rcpt(struct deliver *d, const struct qjob *job, const struct qjob_rcpt *r, struct delivery *del)
{
	struct qresult res = { .token = job->token, .index = r->index, .outcome = QRESULT_SENT, .dsn = SLICE("2.0.0"), .text = SLICE("delivered to mailbox") };
	struct attempt_times t = { .began = clock_wall_us() };
	const char *path = NULL;
	struct err e = ERR_INIT;

	if (put_into(d, r, del, &path, &e) < 0) {
		set_failure(&res, d->settings, job, &e, t.began);
	} else if (path != NULL) {
		del->link_from = path;
	}
	t.ended = clock_wall_us();
	logline_attempt(job, r, SLICE("local"), &t, &res);
	qmsg_put_result(&d->results, &res);
}

/* ---- one job ---- */

static struct slice with_return_path(struct deliver *d, const struct qjob *job, struct slice message)
{
	size_t head = sizeof("Return-Path: <>\r\n") - 1 + job->sender.n;
	char *p = arena_alloc(d->arena, head + message.n + 1);

	memcpy(p, "Return-Path: <", 14);
	if (job->sender.n > 0)
		memcpy(p + 14, job->sender.p, job->sender.n);
	memcpy(p + 14 + job->sender.n, ">\r\n", 3);
	if (message.n > 0)
		memcpy(p + head, message.p, message.n);
	return slice_mem(p, head + message.n);
}

static void fail_job(struct deliver *d, const struct qjob *job, const struct qjob_rcpt *rcpts, const struct err *e)
{
	struct attempt_times t = { .began = clock_wall_us() };

	t.ended = t.began;
	for (uint32_t i = 0; i < job->n_rcpts; i++) {
		struct qresult res = { .token = job->token, .index = rcpts[i].index, .outcome = QRESULT_DEFERRED, .dsn = SLICE("4.3.0"), .text = slice_of(e->text) };

		logline_attempt(job, &rcpts[i], SLICE("local"), &t, &res);
		qmsg_put_result(&d->results, &res);
	}
}

static void deliver_job(struct deliver *d, const struct qjob *job, const struct qjob_rcpt *rcpts)
{
	struct delivery del = { .internaldate = job->arrived / CLOCK_US_PER_S, .maybe_again = (job->flags & QJOB_MAYBE_AGAIN) != 0,
		.unclean = (job->flags & QJOB_UNCLEAN) != 0 };
	struct spool_message msg;
	struct err e = ERR_INIT;

	del.queue_id = arena_str(d->arena, job->id);
	if (spool_message_get(d->reader, del.queue_id, &job->place, (job->flags & QJOB_IN_LARGE) != 0, d->arena, &msg, &e) < 0) {
		fail_job(d, job, rcpts, &e);
		return;
	}
	del.octets = with_return_path(d, job, msg.octets);
	spool_message_done(&msg);
	if (strcmp(d->last_id, del.queue_id) == 0 && d->last_path.len > 0 && slice_eq(buf_view(&d->last_sender), job->sender))
		del.link_from = buf_str(&d->last_path);
	for (uint32_t i = 0; i < job->n_rcpts; i++)
		deliver_rcpt(d, job, &rcpts[i], &del);
	buf_reset(&d->last_path);
	if (job->n_rcpts == QJOB_RCPTS && del.link_from != NULL) {
		memcpy(d->last_id, del.queue_id, strlen(del.queue_id) + 1);
		buf_puts(&d->last_path, del.link_from);
		buf_reset(&d->last_sender);
		buf_put(&d->last_sender, job->sender);
	}
}

/* ---- the link ---- */

static void flush_results(void *ctx)
{
	struct deliver *d = ctx;

	qbatch_flush(&d->results);
}

static void on_msg(void *ctx, struct msg *m)
{
	struct deliver *d = ctx;
	struct qjob_rcpt rcpts[QJOB_RCPTS];
	struct qjob job;

	if (m->type != QMSG_JOBS) {
		log_warn("unknown message %u from the queue", m->type);
		return;
	}
	while (qmsg_get_job(m, &job, rcpts)) {
		deliver_job(d, &job, rcpts);
		arena_reset(d->arena);
	}
	loop_task_queue(d->loop, &d->flush, flush_results, d);
}

static void on_close(void *ctx)
{
	struct deliver *d = ctx;

	qbatch_drop(&d->results);
	chan_free(&d->queue);
	if (d->retiring)
		loop_stop(d->loop);
}

static const struct chan_ops chan_ops = { on_msg, on_close, NULL };

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct deliver *d = ctx;

	(void)index;
	if (strcmp(role, "queue") != 0) {
		close(fd);
		return;
	}
	qbatch_drop(&d->results);
	chan_free(&d->queue);
	d->queue = chan_new(d->loop, fd, &chan_ops, d);
	d->results.chan = d->queue;
}

static void on_retire(void *ctx)
{
	struct deliver *d = ctx;

	d->retiring = true;                                           /* each message is done whole before the loop comes back here */
	qbatch_flush(&d->results);
	loop_stop(d->loop);
}

static const struct proc_events proc_events = { on_link, on_retire };

/* UNIX: datagrams about changed mailboxes, syslog. */
void smtpd_deliver_sandbox(const struct settings *s, struct arena *a, struct sandbox *out)
{
	const char *const read[] = { s->spool_directory, accounts_directory(s, a), NULL };
	const char *const write[] = { s->mail_directory, s->runtime_directory, NULL };
	const char **reads = arena_array(a, sizeof(read) / sizeof(read[0]), sizeof(*reads));
	const char **writes = arena_array(a, sizeof(write) / sizeof(write[0]), sizeof(*writes));

	memcpy(reads, read, sizeof(read));
	memcpy(writes, write, sizeof(write));
	*out = (struct sandbox){ .needs = SANDBOX_DGRAM, .read_paths = reads, .write_paths = writes };
}

void smtpd_deliver_run(struct proc *p)
{
	struct deliver *d = mem_new(sizeof(*d));
	const struct settings *s = proc_settings(p);
	struct sandbox sb;
	struct err e = ERR_INIT;

	d->loop = proc_loop(p);
	d->settings = s;
	d->arena = arena_new(64 << 10);
	(void)setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + DELIVER_NICE);
	buf_init(&d->last_path, BUF_UNBOUNDED);
	buf_init(&d->last_sender, BUF_UNBOUNDED);
	smtpd_deliver_sandbox(s, d->arena, &sb);
	if (spool_make(s->spool_directory, &e) < 0 || file_mkdirs(s->mail_directory, 0700, &e) < 0 || sandbox_enter(&sb, &e) < 0)
		log_fatal("deliver: %s", e.text);
	d->reader = spool_reader_new(s->spool_directory);
	d->boxes = boxes_new(s, true);
	proc_start(p, &proc_events, d);
	proc_ready(p);
	loop_run(d->loop);
	boxes_free(&d->boxes);
	spool_reader_free(&d->reader);
}
