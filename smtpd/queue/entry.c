/*
 * queue/entry.c - see entry.h.
 */
#include "queue/entry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/queue_msg.h"
#include "queue/spool.h"

struct entry {
	struct loop *loop;
	const struct settings *settings;
	struct journal *journal;
	struct chan *queue;                                           /* NULL while the queue process is away */
	struct qbatch accepted;
	struct loop_task flush;
	uint64_t space_have, space_keep;                              /* keep 0: there is room */
	int large_dir;
	bool wants_segment;
	struct list_node submissions;
	struct buf text;                                              /* words for replies */
};

/* What done() of one submission needs besides: the envelope's text rides along to the queue. */
struct submission {
	struct list_node node;
	struct entry *entry;
	journal_done_fn *fn;                                          /* NULL: forgotten */
	void *ctx;
	struct buf envelope_text;
};

/* ---- the journal's events ---- */

static void ask_segment(void *ctx)
{
	struct entry *q = ctx;

	q->wants_segment = true;
	if (q->queue != NULL)
		qmsg_send_need(q->queue);
}

static void flush_accepted(void *ctx)
{
	struct entry *q = ctx;

	qbatch_flush(&q->accepted);
}

static void on_released(void *ctx, uint64_t segment)
{
	struct entry *q = ctx;

	qbatch_flush(&q->accepted);                                   /* what is in it comes first */
	if (q->queue != NULL)
		qmsg_send_released(q->queue, segment);
}

static void on_suspect(void *ctx, uint64_t segment, uint64_t good_to, const struct err *e)
{
	struct entry *q = ctx;

	log_error("%s; the segment is kept as suspect, nothing after octet %llu of it was acknowledged", e->text, (unsigned long long)good_to);
	qbatch_flush(&q->accepted);
	if (q->queue != NULL)
		qmsg_send_suspect(q->queue, segment, good_to);
}

static const struct journal_events journal_events = { ask_segment, on_released, on_suspect };

/* ---- the link ---- */

static void on_msg(void *ctx, struct msg *m)
{
	struct entry *q = ctx;
	struct err e = ERR_INIT;
	uint64_t number;

	switch (m->type) {
	case QMSG_SEGMENT:
		number = msg_get_u64(m);
		q->wants_segment = false;
		if (m->broken || m->fd < 0)
			log_error("the queue sent a journal segment without its descriptor");
		else if (journal_give_segment(q->journal, number, msg_take_fd(m), &e) < 0)
			log_error("%s", e.text);
		break;
	case QMSG_SPACE:
		q->space_have = msg_get_u64(m);
		q->space_keep = msg_get_u64(m);
		break;
	default:
		log_warn("unknown message %u from the queue", m->type);
	}
}

static void on_close(void *ctx)
{
	struct entry *q = ctx;

	qbatch_drop(&q->accepted);                                    /* the next queue process finds it in the journal */
	chan_free(&q->queue);
}

static const struct chan_ops chan_ops = { on_msg, on_close, NULL };

void entry_link(struct entry *q, int fd)
{
	uint64_t held[2];
	size_t n = journal_holds(q->journal, held);

	if (q->queue != NULL)
		on_close(q);
	q->queue = chan_new(q->loop, fd, &chan_ops, q);
	q->accepted.chan = q->queue;
	qmsg_send_hold(q->queue, held, n);
	if (q->wants_segment || n == 0)
		ask_segment(q);
}

/* ---- submissions ---- */

static void submission_free(struct submission *sub)
{
	list_remove(&sub->node);
	buf_done(&sub->envelope_text);
	free(sub);
}

static void on_journal_done(void *ctx, const struct journal_place *place, const struct err *err)
{
	struct submission *sub = ctx;
	struct entry *q = sub->entry;
	journal_done_fn *fn = sub->fn;
	void *fn_ctx = sub->ctx;

	if (err == NULL && q->queue != NULL) {
		qmsg_put_accepted(&q->accepted, place, buf_view(&sub->envelope_text));
		loop_task_queue(q->loop, &q->flush, flush_accepted, q);
	}
	submission_free(sub);
	if (fn != NULL)
		fn(fn_ctx, place, err);
}

static struct submission *submission_new(struct entry *q, const struct envelope *env, journal_done_fn *fn, void *ctx)
{
	struct submission *sub = mem_new(sizeof(*sub));

	sub->entry = q;
	sub->fn = fn;
	sub->ctx = ctx;
	buf_init(&sub->envelope_text, BUF_UNBOUNDED);
	envelope_put(env, &sub->envelope_text);
	list_append(&q->submissions, &sub->node);
	return sub;
}

void entry_submit(struct entry *q, const struct envelope *env, const struct slice *pieces, size_t n_pieces, journal_done_fn *fn, void *ctx)
{
	struct envelope sized = *env;

	sized.size = 0;
	for (size_t i = 0; i < n_pieces; i++)
		sized.size += pieces[i].n;
	journal_append(q->journal, &sized, pieces, n_pieces, on_journal_done, submission_new(q, &sized, fn, ctx));
}

void entry_submit_large(struct entry *q, const struct envelope *env, int fd, journal_done_fn *fn, void *ctx)
{
	struct envelope sized = *env;
	struct stat st;

	if (fstat(fd, &st) == 0)
		sized.size = (uint64_t)st.st_size;
	journal_append_file(q->journal, &sized, fd, q->large_dir, on_journal_done, submission_new(q, &sized, fn, ctx));
}

void entry_forget(struct entry *q, void *ctx)
{
	LIST_EACH(n, &q->submissions) {
		struct submission *sub = LIST_OF(n, struct submission, node);

		if (sub->ctx == ctx)
			sub->fn = NULL;
	}
}

int entry_large_open(struct entry *q, const char *id, int *fd_out, struct err *e)
{
	struct buf path;
	int fd;

	buf_init(&path, BUF_UNBOUNDED);
	spool_path_large(q->settings->spool_directory, id, &path);
	fd = open(buf_str(&path), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		err_set(e, err_kind_of(errno), errno, "cannot make %s", buf_str(&path));
	buf_done(&path);
	if (fd < 0)
		return -1;
	*fd_out = fd;
	return 0;
}

void entry_large_drop(struct entry *q, const char *id)
{
	struct buf path;

	buf_init(&path, BUF_UNBOUNDED);
	spool_path_large(q->settings->spool_directory, id, &path);
	if (unlink(buf_str(&path)) < 0 && errno != ENOENT)
		log_warn("cannot remove %s: %s", buf_str(&path), strerror(errno));
	buf_done(&path);
}

/* ---- life ---- */

struct entry *entry_new(struct loop *l, const struct settings *s)
{
	struct entry *q = mem_new(sizeof(*q));
	struct buf path;

	q->loop = l;
	q->settings = s;
	q->journal = journal_new(l, &journal_events, q);
	list_init(&q->submissions);
	buf_init(&q->text, BUF_UNBOUNDED);
	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/large", s->spool_directory);
	q->large_dir = open(buf_str(&path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	buf_done(&path);
	return q;
}

void entry_free(struct entry **qp)
{
	struct entry *q = *qp;

	struct list_node *n;

	if (q == NULL)
		return;
	while ((n = list_first(&q->submissions)) != NULL)
		submission_free(LIST_OF(n, struct submission, node));
	journal_free(&q->journal);
	loop_task_cancel(&q->flush);
	qbatch_flush(&q->accepted);
	chan_free(&q->queue);
	file_close(&q->large_dir);
	buf_done(&q->text);
	free(q);
	*qp = NULL;
}

enum entry_state entry_state(struct entry *q, const char **why_out)
{
	buf_reset(&q->text);
	if (journal_is_broken(q->journal)) {
		*why_out = "the journal's disk failed; the postmaster must look at the log";
		return ENTRY_BROKEN;
	}
	if (q->space_keep > 0) {
		buf_putf(&q->text, "spool full: %llu MB left, %llu MB kept free", (unsigned long long)(q->space_have >> 20), (unsigned long long)(q->space_keep >> 20));
		*why_out = buf_str(&q->text);
		return ENTRY_NO_SPACE;
	}
	if (!journal_is_ready(q->journal)) {
		*why_out = "the queue is not ready yet, try again in a moment";
		return ENTRY_NO_SEGMENT;
	}
	*why_out = "";
	return ENTRY_READY;
}
