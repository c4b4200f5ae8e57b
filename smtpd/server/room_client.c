/* server/room_client.c - see the header. Late answers are dropped by their token. */
#include "server/room_client.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"

struct room_client {
	struct loop *l;
	struct list_node links, queries;
	struct room_link *newest;
	uint64_t last_token;
};

struct room_link { struct list_node node; struct room_client *rc; struct chan *c; };

struct room_query {
	struct list_node node;
	struct room_client *rc;
	struct room_link *at;                                         /* NULL: nobody was there to ask */
	uint64_t token;
	struct loop_timer timer;
	room_answer_fn *fn;
	void *ctx;
};

void room_client_cancel(struct room_query **qp)
{
	struct room_query *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	loop_timer_stop(q->rc->l, &q->timer);
	list_remove(&q->node);
	free(q);
}

static void answer(struct room_query *q, enum room_verdict v)
{
	room_answer_fn *fn = q->fn;
	void *ctx = q->ctx;

	room_client_cancel(&q);
	fn(ctx, v);
}

static void on_deadline(void *ctx)
{
	answer(ctx, ROOM_FOUND);
}

static void on_msg(void *ctx, struct msg *m)
{
	const struct room_link *link = ctx;
	enum room_verdict v;
	uint64_t token;

	if (room_msg_read_said(m, &token, &v) != 0)
		return;
	LIST_EACH(n, &link->rc->queries) {
		struct room_query *q = LIST_OF(n, struct room_query, node);

		if (q->token == token) {
			answer(q, v);
			return;
		}
	}
}

/* What it had been asked is answered by the deadline of each; shortened here. */
static void on_close(void *ctx)
{
	struct room_link *link = ctx;
	struct room_client *rc = link->rc;

	LIST_EACH(n, &rc->queries) {
		struct room_query *q = LIST_OF(n, struct room_query, node);

		if (q->at == link) {
			q->at = NULL;
			loop_timer_start(rc->l, &q->timer, 0, on_deadline, q);
		}
	}
	if (rc->newest == link)
		rc->newest = NULL;
	chan_free(&link->c);
	list_remove(&link->node);
	free(link);
}

struct room_client *room_client_new(struct loop *l)
{
	struct room_client *rc = mem_new(sizeof(*rc));

	rc->l = l;
	list_init(&rc->links);
	list_init(&rc->queries);
	return rc;
}

void room_client_free(struct room_client **rcp)
{
	struct room_client *rc = *rcp;
	struct list_node *n;

	*rcp = NULL;
	if (rc == NULL)
		return;
	while ((n = list_first(&rc->queries)) != NULL) {
		struct room_query *q = LIST_OF(n, struct room_query, node);

		room_client_cancel(&q);
	}
	while ((n = list_first(&rc->links)) != NULL) {
		struct room_link *link = LIST_OF(n, struct room_link, node);

		chan_free(&link->c);
		list_remove(&link->node);
		free(link);
	}
	free(rc);
}

void room_client_link(struct room_client *rc, int fd)
{
	static const struct chan_ops ops = { .on_msg = on_msg, .on_close = on_close };
	struct room_link *link = mem_new(sizeof(*link));

	link->rc = rc;
	link->c = chan_new(rc->l, fd, &ops, link);
	list_append(&rc->links, &link->node);
	rc->newest = link;
}

struct room_query *room_client_ask(struct room_client *rc, struct room_ask *ask, int64_t timeout_ms, room_answer_fn *fn, void *ctx)
{
	struct room_query *q = mem_new(sizeof(*q));

	*q = (struct room_query){ .rc = rc, .at = rc->newest, .token = ++rc->last_token, .fn = fn, .ctx = ctx };
	list_append(&rc->queries, &q->node);
	if (q->at != NULL && !chan_is_full(q->at->c)) {
		ask->token = q->token;
		room_msg_ask(q->at->c, ask);
	} else {
		timeout_ms = 0;
	}
	loop_timer_start(rc->l, &q->timer, timeout_ms, on_deadline, q);
	return q;
}
