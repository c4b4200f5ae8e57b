/*
 * queue/settle.c - what a result means for a recipient, and what follows for its message: finished, reported to the sender, or deferred.
 *
 * A failed recipient stays RCPT_FAILED until the notification about it is in the journal; only then is it done. A notification about <> goes to
 * postmaster, and one about that is dropped: no message makes more than two.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/header.h"
#include "queue/bounce.h"
#include "queue/deferred.h"
#include "queue/state.h"

enum { REPORT_AGAIN_S = 60, COMPACT_AT = 8192 };

/* ---- later ---- */

struct due_ctx { struct queue *queue; uint64_t token; };

static void on_due(void *ctx)
{
	struct due_ctx *d = ctx;
	struct qmessage *m = hmap_get(d->queue->by_token, slice_mem(&d->token, sizeof(d->token)));

	if (m != NULL)
		queue_message_go(d->queue, m);
}

static void start_due(struct queue *q, struct qmessage *m, int64_t after_s)
{
	struct due_ctx *d;

	if (m->due.ctx == NULL) {
		d = arena_alloc(m->arena, sizeof(*d));
		*d = (struct due_ctx){ q, m->token };
		m->due.ctx = d;
	}
	loop_timer_start(q->loop, &m->due, after_s > 0 ? after_s * CLOCK_MS_PER_S : 1, on_due, m->due.ctx);
}

/* ---- one recipient ---- */

static void rcpt_done(struct queue *q, struct qmessage *m, size_t i)
{
	struct rcpt *r = &m->env.rcpts[i];

	r->state = RCPT_DONE;
	if ((m->env.n_rcpts > 1 || r->next_hop.n > 0) && !m->run[i].noted) {   /* of a lone mailbox "done" says it */
		qlog_rcpt(q->log, m->env.id, r->next_hop.n > 0, r->address);
		m->run[i].noted = true;
	}
	queue_dirty(q, m);
}

static void rcpt_failed(struct qmessage *m, size_t i, struct slice dsn, struct slice mta, struct slice text)
{
	struct rcpt *r = &m->env.rcpts[i];

	r->state = RCPT_FAILED;
	r->last_reply = arena_dup(m->arena, text);
	m->run[i].report = REPORT_FAILED;
	m->run[i].dsn = arena_dup(m->arena, dsn);
	m->run[i].mta = arena_dup(m->arena, mta);
}

static void rcpt_deferred(struct queue *q, struct qmessage *m, size_t i, const struct qresult *res)
{
	int64_t now = loop_wall_us(q->loop) / CLOCK_US_PER_S;
	struct rcpt *r = &m->env.rcpts[i];

	r->attempts++;
	if (now >= schedule_expires_at(q->settings, &m->env)) {
		log_info("%s: from=<%.*s>, to=<%.*s>, status=expired, returned to sender", m->env.id, SLICE_FMT(m->env.sender), SLICE_FMT(r->address));
		rcpt_failed(m, i, res->dsn.n > 0 && res->dsn.p[0] == '5' ? res->dsn : SLICE("4.4.7"), res->mta, res->text);
		return;
	}
	r->next_try = schedule_next_try(q->settings, r->attempts, now);
	r->last_reply = arena_dup(m->arena, slice_head(res->text, 1024));
	m->run[i].dsn = arena_dup(m->arena, res->dsn);
	m->run[i].mta = arena_dup(m->arena, res->mta);
	queue_dirty(q, m);
}

void queue_result(struct queue *q, struct qmessage *m, const struct qresult *res)
{
	struct rcpt *r = &m->env.rcpts[res->index];
	struct qrun *run = &m->run[res->index];

	q->changed = true;
	if (r->next_hop.n == 0)
		q->local_changed = true;
	switch (res->outcome) {
	case QRESULT_SENT:
		if ((r->notify & NOTIFY_SUCCESS) && !res->dsn_passed_on && m->env.sender.n > 0) {
			run->report = r->next_hop.n > 0 ? REPORT_RELAYED : REPORT_DELIVERED;
			run->dsn = arena_dup(m->arena, res->dsn);
			run->mta = arena_dup(m->arena, res->mta);
			r->last_reply = arena_dup(m->arena, slice_head(res->text, 1024));
		}
		rcpt_done(q, m, res->index);
		break;
	case QRESULT_DEFERRED:
		rcpt_deferred(q, m, res->index, res);
		break;
	case QRESULT_FAILED:
		rcpt_failed(m, res->index, res->dsn, res->mta, slice_head(res->text, 1024));
		break;
	}
	if (m->n_out == 0 && !list_is_linked(&m->node_local) && !list_is_linked(&m->node_remote))
		queue_round_over(q, m);
}

void queue_fail_rcpt(struct queue *q, struct qmessage *m, size_t i, const char *dsn, struct slice text)
{
	int64_t age_us = loop_wall_us(q->loop) - m->env.arrived;
	struct slice code = slice_of(dsn);

	/* "550 5.1.1 text" brings its own code. */
	if (text.n > 10 && ascii_is_digit(text.p[0]) && text.p[3] == ' ' && text.p[5] == '.') {
		struct slice rest = slice_from(text, 4);
		ptrdiff_t blank = slice_chr(rest, ' ');

		if (blank > 0)
			code = slice_head(rest, (size_t)blank);
	}
	log_info("%s: to=<%.*s>, relay=none, delay=%.2f, dsn=%.*s, status=bounced (%.*s)", m->env.id, SLICE_FMT(m->env.rcpts[i].address),
	    (double)age_us / CLOCK_US_PER_S, SLICE_FMT(code), SLICE_FMT(text));
	rcpt_failed(m, i, code, SLICE(""), text);
}

/* ---- notifications ---- */

struct report {
	struct queue *queue;
	uint64_t token;                                               /* of the message that it is about */
	char id[QUEUE_ID_MAX];
	struct slice sender;                                          /* whose recipients they are, in the message's arena */
	bool failures, delays;
};

static bool is_postmaster(const struct rcpt *r)
{
	struct slice a = r->original.n > 0 ? r->original : r->address;

	return slice_istarts(a, SLICE("postmaster@")) || slice_ieqs(a, "postmaster");
}

/* Is something to be said about this recipient, and what? Those about which nothing may be said are done with. */
static bool due_report(struct queue *q, struct qmessage *m, size_t i, enum bounce_action *action_out)
{
	struct rcpt *r = &m->env.rcpts[i];
	struct qrun *run = &m->run[i];

	if (r->state == RCPT_FAILED) {
		*action_out = BOUNCE_FAILED;
		if (m->env.sender.n > 0 ? rcpt_wants(r, NOTIFY_FAILURE) : !is_postmaster(r))
			return true;
		log_info("%s: to=<%.*s>: nobody is told (%s)", m->env.id, SLICE_FMT(r->address),
		    m->env.sender.n > 0 ? "the sender asked for that" : "a notification to postmaster failed");
		rcpt_done(q, m, i);
		return false;
	}
	switch (run->report) {
	case REPORT_DELIVERED:
		*action_out = BOUNCE_DELIVERED;
		return true;
	case REPORT_RELAYED:
		*action_out = BOUNCE_RELAYED;
		return true;
	case REPORT_DELAYED:
		*action_out = BOUNCE_DELAYED;
		return true;
	default:
		return false;
	}
}

static void on_report(void *ctx, const struct journal_place *place, const struct err *err)
{
	struct report *rep = ctx;
	struct queue *q = rep->queue;
	struct qmessage *m = hmap_get(q->by_token, slice_mem(&rep->token, sizeof(rep->token)));

	(void)place;
	if (m != NULL) {
		m->reporting = false;
		if (err != NULL) {
			log_error("%s: cannot write a notification: %s; tried again in %d s", m->env.id, err->text, REPORT_AGAIN_S);
			start_due(q, m, REPORT_AGAIN_S);
		} else {
			log_info("%s: sender %s notification: %s", m->env.id, rep->failures ? "non-delivery" : rep->delays ? "delay" : "delivery status", rep->id);
			for (size_t i = 0; i < m->env.n_rcpts; i++) {
				if (!slice_eq(envelope_sender_for(&m->env, &m->env.rcpts[i]), rep->sender))
					continue;                     /* another's: the next notification */
				if (m->run[i].report != REPORT_NONE && m->env.rcpts[i].state == RCPT_FAILED)
					rcpt_done(q, m, i);
				m->run[i].report = REPORT_NONE;
			}
			if (rep->delays) {
				m->env.flags |= ENV_DELAY_TOLD;
				queue_dirty(q, m);
			}
			queue_round_over(q, m);
		}
	}
	free(rep);
}

static void submit_report(struct queue *q, struct qmessage *m, const struct bounce_rcpt *rcpts, size_t n, struct report *rep)
{
	int64_t now_us = loop_wall_us(q->loop);
	struct slice to = rep->sender.n > 0 ? rep->sender : slice_of(arena_printf(m->arena, "postmaster@%s", q->settings->myorigin));
	struct rcpt rcpt = { .address = to, .notify = NOTIFY_NEVER };
	struct envelope env = { .arrived = now_us, .sender = SLICE(""), .rcpts = &rcpt, .n_rcpts = 1,
		.flags = m->env.flags & (ENV_SMTPUTF8 | ENV_8BITMIME), .client = SLICE("local") };
	struct envelope about = m->env;
	struct bounce b = { .env = &about, .id = rep->id, .rcpts = rcpts, .n_rcpts = n, .to = to, .now = now_us / CLOCK_US_PER_S,
		.retry_until = schedule_expires_at(q->settings, &m->env) };
	struct arena *scratch = arena_new(0);
	struct spool_message msg = { SLICE_NONE, NULL, 0 };
	struct err e = ERR_INIT;
	struct slice text;
	struct buf out;

	if (!slice_eq(rep->sender, m->env.sender))
		about.envid = SLICE("");                              /* the author's, not the owner's */
	b.zone_min = date_local_zone(b.now);
	if (spool_message_get(q->reader, m->env.id, &m->place, m->in_large && !m->on_disk, scratch, &msg, &e) < 0)
		log_error("%s: %s; the notification goes without it", m->env.id, e.text);
	b.original = msg.octets;
	memcpy(env.id, rep->id, QUEUE_ID_MAX);
	buf_init(&out, BUF_UNBOUNDED);
	bounce_put(&b, q->settings, &out);
	text = buf_view(&out);
	entry_submit(q->entry, &env, &text, 1, on_report, rep);
	buf_done(&out);
	spool_message_done(&msg);
	arena_free(&scratch);
}

/* One notification about everything that is due to the sender, or to the owner of one list. False: nothing is. */
static bool report(struct queue *q, struct qmessage *m)
{
	struct bounce_rcpt *rcpts = mem_array(m->env.n_rcpts + 1, sizeof(*rcpts));
	struct report *rep = mem_new(sizeof(*rep));
	size_t n = 0;

	for (size_t i = 0; i < m->env.n_rcpts; i++) {
		enum bounce_action action;

		if ((n > 0 && !slice_eq(envelope_sender_for(&m->env, &m->env.rcpts[i]), rep->sender)) || !due_report(q, m, i, &action))
			continue;
		rep->sender = envelope_sender_for(&m->env, &m->env.rcpts[i]);
		if (m->run[i].report == REPORT_NONE)                  /* failed before a restart */
			m->run[i].report = REPORT_FAILED;
		rcpts[n++] = (struct bounce_rcpt){ &m->env.rcpts[i], action, m->run[i].dsn, m->run[i].mta, m->env.rcpts[i].last_reply };
		rep->failures |= action == BOUNCE_FAILED;
		rep->delays |= action == BOUNCE_DELAYED;
	}
	if (n > 0) {
		rep->queue = q;
		rep->token = m->token;
		queue_id_new(rep->id, loop_wall_us(q->loop), 999);
		m->reporting = true;
		submit_report(q, m, rcpts, n, rep);
	} else {
		free(rep);
	}
	free(rcpts);
	return n > 0;
}

static bool mark_delays(struct queue *q, struct qmessage *m)
{
	bool any = false;

	if (!schedule_warns(q->settings, &m->env, loop_wall_us(q->loop) / CLOCK_US_PER_S))
		return false;
	for (size_t i = 0; i < m->env.n_rcpts; i++) {
		if (m->env.rcpts[i].state == RCPT_WAITING && rcpt_wants(&m->env.rcpts[i], NOTIFY_DELAY)) {
			m->run[i].report = REPORT_DELAYED;
			any = true;
		}
	}
	return any;
}

/* ---- the message ---- */

void queue_dirty(struct queue *q, struct qmessage *m)
{
	q->changed = true;
	if (m->on_disk && !list_is_linked(&m->node_dirty))
		list_append(&q->dirty, &m->node_dirty);
}

void queue_settled(struct queue *q, struct qmessage *m)
{
	qlog_done(q->log, m->env.id);
	log_info("%s: removed", m->env.id);
	if (m->seg != NULL)
		seg_settle(m->seg, m->env.id, false);
	if (m->in_large || m->on_disk)
		queue_gone(q, m->env.id, m->in_large, m->on_disk);
	q->changed = true;
	queue_message_free(q, m);
}

int queue_defer(struct queue *q, struct qmessage *m)
{
	struct arena *scratch;
	struct spool_message msg;
	struct err e = ERR_INIT;
	int rc;

	if (m->on_disk)
		return 0;
	if (m->in_large) {
		rc = deferred_store_large(q->settings->spool_directory, &m->env, &e);
	} else {
		scratch = arena_new(0);
		rc = spool_message_get(q->reader, m->env.id, &m->place, false, scratch, &msg, &e);
		if (rc == 0) {
			rc = deferred_store(q->settings->spool_directory, &m->env, msg.octets, &e);
			spool_message_done(&msg);
		}
		arena_free(&scratch);
	}
	if (rc < 0) {
		log_error("%s: stays in the journal: %s", m->env.id, e.text);
		return -1;
	}
	qlog_moved(q->log, m->env.id);
	if (m->in_large)
		queue_gone(q, m->env.id, true, false);
	m->in_large = false;
	m->on_disk = q->spool_changed = q->changed = true;
	if (m->seg != NULL)
		seg_settle(m->seg, m->env.id, true);
	m->seg = NULL;
	m->place = (struct journal_place){ 0 };
	return 0;
}

static void wait_for_next(struct queue *q, struct qmessage *m)
{
	int64_t next = INT64_MAX, now = loop_wall_us(q->loop) / CLOCK_US_PER_S;

	for (size_t i = 0; i < m->env.n_rcpts; i++) {
		if (m->env.rcpts[i].state == RCPT_WAITING && m->env.rcpts[i].next_try < next)
			next = m->env.rcpts[i].next_try;
	}
	if ((m->env.flags & ENV_HELD) || next == INT64_MAX)
		return;
	start_due(q, m, next - now);
}

/* Each attempt leaves some octets in the message's arena; over days of attempts that adds up, so it is now and then made anew from its envelope. */
static struct qmessage *compact(struct queue *q, struct qmessage *m)
{
	bool maybe_again = m->maybe_again, unclean = m->unclean, expanded = m->expanded, dirty = list_is_linked(&m->node_dirty);
	struct err e = ERR_INIT;
	struct buf text;

	buf_init(&text, BUF_UNBOUNDED);
	envelope_put(&m->env, &text);
	queue_message_free(q, m);
	m = queue_message_new(q, buf_view(&text), &e);
	buf_done(&text);
	if (m == NULL)
		log_fatal("queue: an envelope that was just written is not understood: %s", e.text);
	m->on_disk = true;
	m->maybe_again = maybe_again;
	m->unclean = unclean;
	m->expanded = expanded;
	for (size_t i = 0; i < m->env.n_rcpts; i++)
		m->run[i].noted = m->env.rcpts[i].state == RCPT_DONE;
	if (dirty)
		queue_dirty(q, m);
	return m;
}

void queue_round_over(struct queue *q, struct qmessage *m)
{
	bool all_done = true;

	if (m->n_out > 0 || m->reporting)
		return;
	if (!m->removed && (mark_delays(q, m) || !(m->env.flags & ENV_HELD)) && report(q, m))
		return;
	for (size_t i = 0; i < m->env.n_rcpts; i++)
		all_done &= m->env.rcpts[i].state == RCPT_DONE;
	if (all_done || m->removed) {
		queue_settled(q, m);
		return;
	}
	if (queue_defer(q, m) == 0 && !(m->env.flags & ENV_HELD) && arena_used(m->arena) > COMPACT_AT + 4 * m->env.n_rcpts * sizeof(*m->env.rcpts))
		m = compact(q, m);
	wait_for_next(q, m);
}
