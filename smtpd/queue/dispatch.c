/*
 * queue/dispatch.c - due recipients go out to deliver and client processes, results come back.
 *
 * A message waits in the ready list of each process that it needs, so a pump touches only what it can send. All mailbox recipients of a message go to one
 * deliver process, chosen by the first user: one data write for all of them, one process that has that user's mailbox open, and the same process again
 * after a restart of the queue, so that "again" comes behind what that process still had in hand.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/state.h"

enum { WINDOW_LOCAL = 2000, WINDOW_REMOTE = 4000 };

static bool is_due(const struct qmessage *m, size_t i, bool remote, int64_t now)
{
	const struct rcpt *r = &m->env.rcpts[i];

	return r->state == RCPT_WAITING && m->run[i].out == NULL && r->next_try <= now && (remote ? r->next_hop.n : r->user.n) > 0;
}

static void put_job(struct target *t, struct qmessage *m, struct qjob *job, struct qjob_rcpt *rcpts)
{
	if (job->n_rcpts == 0)
		return;
	qmsg_put_job(&t->batch, job, rcpts);
	job->n_rcpts = 0;
	m->queued = loop_wall_us(t->queue->loop);
}

/* The due recipients of one next hop (all mailboxes are one) and one sender (members of a list are its owner's). */
static void send_hop(struct target *t, struct qmessage *m, size_t first, int64_t now)
{
	static const struct slice none = { "", 0 };
	struct qjob_rcpt rcpts[QJOB_RCPTS];
	struct qjob job = { .token = m->token, .id = slice_of(m->env.id), .place = m->place, .env_flags = m->env.flags, .arrived = m->env.arrived,
		.queued = m->queued, .size = m->env.size, .sender = envelope_sender_for(&m->env, &m->env.rcpts[first]), .next_hop = m->env.rcpts[first].next_hop };

	job.envid = m->env.rcpts[first].owner.n > 0 ? none : m->env.envid;
	job.flags = (m->maybe_again ? QJOB_MAYBE_AGAIN : 0) | (m->in_large && !m->on_disk ? QJOB_IN_LARGE : 0) | (m->unclean ? QJOB_UNCLEAN : 0);
	for (size_t i = first; i < m->env.n_rcpts; i++) {
		const struct rcpt *r = &m->env.rcpts[i];

		if (!is_due(m, i, t->remote, now) || (t->remote && !slice_eq(r->next_hop, job.next_hop)) ||
		    !slice_eq(envelope_sender_for(&m->env, r), job.sender))
			continue;
		rcpts[job.n_rcpts++] = (struct qjob_rcpt){ (uint32_t)i, r->notify, r->address, r->orcpt, r->original,
			t->remote ? none : r->user, t->remote ? none : r->folder };
		m->run[i].out = t;
		m->n_out++;
		t->n_out++;
		if (job.n_rcpts == QJOB_RCPTS)
			put_job(t, m, &job, rcpts);
	}
	put_job(t, m, &job, rcpts);
}

static void send_message(struct target *t, struct qmessage *m, int64_t now)
{
	for (size_t i = 0; i < m->env.n_rcpts; i++) {
		if (is_due(m, i, t->remote, now))
			send_hop(t, m, i, now);
	}
}

static void pump_target(struct target *t)
{
	size_t window = t->remote ? WINDOW_REMOTE : WINDOW_LOCAL;
	int64_t now = loop_wall_us(t->queue->loop) / CLOCK_US_PER_S;
	struct list_node *n;

	while (t->chan != NULL && t->n_out < window && !chan_is_full(t->chan) && (n = list_first(&t->ready)) != NULL) {
		struct qmessage *m = t->remote ? LIST_OF(n, struct qmessage, node_remote) : LIST_OF(n, struct qmessage, node_local);

		list_remove(n);
		send_message(t, m, now);
	}
	qbatch_flush(&t->batch);
}

static void pump_task(void *ctx)
{
	struct queue *q = ctx;

	for (size_t i = 0; i < q->n_deliver; i++)
		pump_target(&q->deliver[i]);
	pump_target(&q->client);
}

void queue_pump(struct queue *q)
{
	loop_task_queue(q->loop, &q->pump, pump_task, q);
}

void queue_ready(struct queue *q, struct qmessage *m)
{
	int64_t now = loop_wall_us(q->loop) / CLOCK_US_PER_S;

	if (m->removed || (m->env.flags & ENV_HELD))
		return;
	for (size_t i = 0; i < m->env.n_rcpts; i++) {
		if (!list_is_linked(&m->node_remote) && is_due(m, i, true, now))
			list_append(&q->client.ready, &m->node_remote);
		if (!list_is_linked(&m->node_local) && is_due(m, i, false, now)) {
			size_t at = hash_stable(m->env.rcpts[i].user) % q->n_deliver;

			list_append(&q->deliver[at].ready, &m->node_local);
		}
	}
	queue_pump(q);
}

/* ---- results and the end of a process ---- */

static void on_msg(void *ctx, struct msg *msg)
{
	struct target *t = ctx;
	struct queue *q = t->queue;
	struct qresult r;

	if (msg->type != QMSG_RESULTS) {
		log_warn("unknown message %u from %s", msg->type, t->remote ? "client" : "deliver");
		return;
	}
	while (qmsg_get_result(msg, &r)) {
		struct qmessage *m = hmap_get(q->by_token, slice_mem(&r.token, sizeof(r.token)));

		if (m == NULL || r.index >= m->env.n_rcpts || m->run[r.index].out != t)
			continue;                                     /* removed by the admin meanwhile */
		m->run[r.index].out = NULL;
		t->n_out--;
		m->n_out--;
		queue_result(q, m, &r);
	}
	queue_pump(q);
}

/* What it had in hand was perhaps done: again, with that said. */
static void take_back(struct target *t)
{
	struct queue *q = t->queue;
	struct qmessage *m;
	struct slice key;
	void *value;

	for (size_t at = 0; hmap_next(q->by_token, &at, &key, &value); ) {
		bool had = false;

		m = value;
		for (size_t i = 0; i < m->env.n_rcpts && m->n_out > 0; i++) {
			if (m->run[i].out != t)
				continue;
			m->run[i].out = NULL;
			m->n_out--;
			m->maybe_again = had = true;
		}
		if (had && m->n_out == 0 && (m->removed || (m->env.flags & ENV_HELD)))
			queue_round_over(q, m);                       /* may free it: the walk allows that */
		else if (had)
			queue_ready(q, m);
	}
	t->n_out = 0;
}

static void on_close(void *ctx)
{
	struct target *t = ctx;

	qbatch_drop(&t->batch);
	chan_free(&t->chan);
	if (t->n_out > 0)
		take_back(t);
}

static void on_space(void *ctx)
{
	struct target *t = ctx;

	queue_pump(t->queue);
}

static const struct chan_ops chan_ops = { on_msg, on_close, on_space };

void queue_target_init(struct queue *q, struct target *t, unsigned index, bool remote)
{
	*t = (struct target){ .queue = q, .index = index, .remote = remote };
	list_init(&t->ready);
}

void queue_target_link(struct target *t, int fd)
{
	if (t->chan != NULL)
		on_close(t);
	t->chan = chan_new(t->queue->loop, fd, &chan_ops, t);
	t->batch.chan = t->chan;
	queue_pump(t->queue);
}

void queue_target_done(struct target *t)
{
	qbatch_drop(&t->batch);
	chan_free(&t->chan);
}
