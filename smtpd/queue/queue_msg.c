/*
 * queue/queue_msg.c - see queue_msg.h.
 */
#include "queue/queue_msg.h"

enum { BATCH_FULL = 48 << 10, ENVELOPE_RIDES = 8 << 10, TEXT_MAX = 4096 };

/* ---- batches ---- */

static struct msg *batch_for(struct qbatch *b, uint32_t type)
{
	if (b->open && (b->m.type != type || b->m.body.len > BATCH_FULL))
		qbatch_flush(b);
	if (!b->open)
		msg_init(&b->m, type);
	b->open = true;
	return &b->m;
}

void qbatch_flush(struct qbatch *b)
{
	if (!b->open)
		return;
	if (b->chan != NULL)
		chan_send(b->chan, &b->m);
	else
		msg_free(&b->m);
	b->open = false;
}

void qbatch_drop(struct qbatch *b)
{
	if (b->open)
		msg_free(&b->m);
	b->open = false;
	b->chan = NULL;
}

static bool batch_more(struct msg *m)
{
	return !m->broken && m->rest.n > 0;
}

/* ---- front and queue ---- */

void qmsg_send_need(struct chan *c)
{
	struct msg m;

	msg_init(&m, QMSG_NEED_SEGMENT);
	chan_send(c, &m);
}

void qmsg_send_hold(struct chan *c, const uint64_t *segments, size_t n)
{
	struct msg m;

	msg_init(&m, QMSG_HOLD);
	for (size_t i = 0; i < n; i++)
		msg_put_u64(&m, segments[i]);
	chan_send(c, &m);
}

void qmsg_send_released(struct chan *c, uint64_t segment)
{
	struct msg m;

	msg_init(&m, QMSG_RELEASED);
	msg_put_u64(&m, segment);
	chan_send(c, &m);
}

void qmsg_send_suspect(struct chan *c, uint64_t segment, uint64_t good_to)
{
	struct msg m;

	msg_init(&m, QMSG_SUSPECT);
	msg_put_u64(&m, segment);
	msg_put_u64(&m, good_to);
	chan_send(c, &m);
}

void qmsg_send_segment(struct chan *c, uint64_t number, int fd)
{
	struct msg m;

	msg_init(&m, QMSG_SEGMENT);
	msg_put_u64(&m, number);
	m.fd = fd;
	chan_send(c, &m);
}

void qmsg_send_space(struct chan *c, uint64_t have, uint64_t keep)
{
	struct msg m;

	msg_init(&m, QMSG_SPACE);
	msg_put_u64(&m, have);
	msg_put_u64(&m, keep);
	chan_send(c, &m);
}

static void put_place(struct msg *m, const struct journal_place *p)
{
	msg_put_u64(m, p->segment);
	msg_put_u64(m, p->generation);
	msg_put_u64(m, p->offset);
	msg_put_u64(m, p->length);
}

static void get_place(struct msg *m, struct journal_place *out)
{
	out->segment = msg_get_u64(m);
	out->generation = msg_get_u64(m);
	out->offset = msg_get_u64(m);
	out->length = msg_get_u64(m);
}

void qmsg_put_accepted(struct qbatch *b, const struct journal_place *place, struct slice envelope_text)
{
	struct msg *m = batch_for(b, QMSG_ACCEPTED);

	put_place(m, place);
	msg_put_slice(m, envelope_text.n <= ENVELOPE_RIDES ? envelope_text : SLICE(""));
}

bool qmsg_get_accepted(struct msg *m, struct journal_place *place_out, struct slice *envelope_text_out)
{
	if (!batch_more(m))
		return false;
	get_place(m, place_out);
	*envelope_text_out = msg_get_slice(m, ENVELOPE_RIDES);
	return !m->broken;
}

/* ---- jobs ---- */

void qmsg_put_job(struct qbatch *b, const struct qjob *job, const struct qjob_rcpt *rcpts)
{
	struct msg *m = batch_for(b, QMSG_JOBS);

	msg_put_u64(m, job->token);
	msg_put_slice(m, job->id);
	put_place(m, &job->place);
	msg_put_u32(m, job->flags);
	msg_put_u32(m, job->env_flags);
	msg_put_u64(m, (uint64_t)job->arrived);
	msg_put_u64(m, (uint64_t)job->queued);
	msg_put_u64(m, job->size);
	msg_put_slice(m, job->sender);
	msg_put_slice(m, job->envid);
	msg_put_slice(m, job->next_hop);
	msg_put_u32(m, job->n_rcpts);
	for (uint32_t i = 0; i < job->n_rcpts; i++) {
		msg_put_u32(m, rcpts[i].index);
		msg_put_u32(m, rcpts[i].notify);
		msg_put_slice(m, rcpts[i].address);
		msg_put_slice(m, rcpts[i].orcpt);
		msg_put_slice(m, rcpts[i].original);
		msg_put_slice(m, rcpts[i].user);
		msg_put_slice(m, rcpts[i].folder);
	}
}

static bool get_rcpts(struct msg *m, struct qjob_rcpt *r, uint32_t n)
{
	for (uint32_t i = 0; i < n && !m->broken; i++) {
		r[i].index = msg_get_u32(m);
		r[i].notify = msg_get_u32(m);
		r[i].address = msg_get_slice(m, TEXT_MAX);
		r[i].orcpt = msg_get_slice(m, TEXT_MAX);
		r[i].original = msg_get_slice(m, TEXT_MAX);
		r[i].user = msg_get_slice(m, TEXT_MAX);
		r[i].folder = msg_get_slice(m, TEXT_MAX);
	}
	return !m->broken;
}

bool qmsg_get_job(struct msg *m, struct qjob *out, struct qjob_rcpt rcpts_out[QJOB_RCPTS])
{
	if (!batch_more(m))
		return false;
	out->token = msg_get_u64(m);
	out->id = msg_get_slice(m, QUEUE_ID_MAX - 1);
	get_place(m, &out->place);
	out->flags = msg_get_u32(m);
	out->env_flags = msg_get_u32(m);
	out->arrived = (int64_t)msg_get_u64(m);
	out->queued = (int64_t)msg_get_u64(m);
	out->size = msg_get_u64(m);
	out->sender = msg_get_slice(m, TEXT_MAX);
	out->envid = msg_get_slice(m, TEXT_MAX);
	out->next_hop = msg_get_slice(m, TEXT_MAX);
	out->n_rcpts = msg_get_u32(m);
	if (out->n_rcpts > QJOB_RCPTS)
		m->broken = true;
	return !m->broken && get_rcpts(m, rcpts_out, out->n_rcpts);
}

/* ---- results ---- */

void qmsg_put_result(struct qbatch *b, const struct qresult *r)
{
	struct msg *m = batch_for(b, QMSG_RESULTS);

	msg_put_u64(m, r->token);
	msg_put_u32(m, r->index);
	msg_put_u32(m, (uint32_t)r->outcome | (r->dsn_passed_on ? 256u : 0));
	msg_put_slice(m, r->dsn);
	msg_put_slice(m, slice_head(r->mta, TEXT_MAX));
	msg_put_slice(m, slice_head(r->text, TEXT_MAX));
}

bool qmsg_get_result(struct msg *m, struct qresult *out)
{
	uint32_t outcome;

	if (!batch_more(m))
		return false;
	out->token = msg_get_u64(m);
	out->index = msg_get_u32(m);
	outcome = msg_get_u32(m);
	out->dsn_passed_on = (outcome & 256) != 0;
	outcome &= 255;
	out->outcome = (enum qoutcome)outcome;
	out->dsn = msg_get_slice(m, 32);
	out->mta = msg_get_slice(m, TEXT_MAX);
	out->text = msg_get_slice(m, TEXT_MAX);
	if (outcome > QRESULT_FAILED)
		m->broken = true;
	return !m->broken;
}
