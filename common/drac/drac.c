/*
 * drac/drac.c - the client side of version 3 over the local socket: calls in flight, each with its deadline, one connection for all.
 */
#include "drac/drac.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "drac/drac_msg.h"
#include "io/conn.h"

#define OUT_MAX (4u << 20)

struct call {
	struct drac_client *client;
	uint32_t xid;
	drac_answer_fn *fn;                                           /* NULL: nobody waits */
	void *ctx;
	struct loop_timer timer;
	struct list_node node;
};

struct drac_client {
	struct loop *loop;
	char *path;
	struct conn *conn;
	uint32_t next_xid;
	struct list_node calls;
};

static void call_done(struct call *c, const struct drac_grant *g)
{
	drac_answer_fn *fn = c->fn;
	void *ctx = c->ctx;

	loop_timer_stop(c->client->loop, &c->timer);
	list_remove(&c->node);
	free(c);
	if (fn != NULL)
		fn(ctx, g);
}

static void unreachable(struct call *c, const char *text)
{
	const struct drac_grant g = { .verdict = DRAC_UNREACHABLE, .text = text };

	call_done(c, &g);
}

static void on_deadline(void *ctx)
{
	unreachable(ctx, "dracd does not answer in time");
}

static void on_dead(void *ctx)
{
	unreachable(ctx, "dracd is not running");
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct drac_client *c = ctx;
	struct list_node all;
	struct list_node *n;

	(void)why;
	(void)e;
	conn_free(&c->conn);
	list_init(&all);
	while ((n = list_first(&c->calls)) != NULL) {                     /* what they start anew goes over a new connection */
		list_remove(n);
		list_append(&all, n);
	}
	while ((n = list_first(&all)) != NULL)
		unreachable(LIST_OF(n, struct call, node), "dracd closed the connection");
}

static void fill(struct drac_grant *g, const struct drac_entry *en)
{
	g->verdict = DRAC_LIVE;
	g->expires_at = (int64_t)en->expires;
	g->text = "live";
	for (size_t i = 0; i < en->n; i++) {
		const struct drac_who *w = &en->vouchers[i].who;
		if (w->user.n != 0 || (w->flags & DRAC_WHO_TRUSTED))
			g->users[g->n_users++] = w->user;
	}
}

static void answer(struct call *c, int rc, struct slice result)
{
	static const char *const texts[] = { "ok", "dracd: not permitted", "dracd: system error", "dracd: unknown status", "no live entry", "dracd: bad address",
		"the address is one that is never authorised", "too many entries for this address or user", "dracd: bad cursor", "dracd: redirected" };
	struct drac_grant g = { .verdict = DRAC_REFUSED, .text = "dracd refused the call" };
	struct drac_entry en;
	enum drac_status status;
	uint32_t retry;

	if (rc == 0 && drac_grant_res_read(result, &status, &en, &retry) == 0) {
		g.text = texts[status];
		if (status == DRAC3_OK)
			fill(&g, &en);
		else if (status == DRAC3_NOTFOUND)
			g.verdict = DRAC_NO_GRANT;
	}
	call_done(c, &g);
}

static struct call *find(struct drac_client *c, uint32_t xid)
{
	LIST_EACH(n, &c->calls)
		if (LIST_OF(n, struct call, node)->xid == xid)
			return LIST_OF(n, struct call, node);
	return NULL;
}

static void on_record(struct drac_client *c, struct slice record)
{
	struct slice result = SLICE_NONE;
	uint32_t xid;
	int rc = drac_reply_read(record, &xid, &result);
	struct call *call = rc < 0 ? NULL : find(c, xid);

	if (call != NULL)
		answer(call, rc, result);
}

static void on_input(void *ctx)
{
	struct drac_client *c = ctx;
	char copy[LIMIT_DRAC_REPLY];

	while (c->conn != NULL) {
		struct slice in = conn_input(c->conn);
		struct xdr x = { in, false };
		uint32_t mark = xdr_get_u32(&x), n = mark & ~DRAC_RECORD_LAST;
		if (x.broken)
			return;
		if (!(mark & DRAC_RECORD_LAST) || n > sizeof(copy)) {
			conn_abort(c->conn);
			return;
		}
		if (x.rest.n < n)
			return;
		memcpy(copy, x.rest.p, n);                                /* an answer may call us again */
		conn_take(c->conn, 4 + n);
		on_record(c, slice_mem(copy, n));
	}
}

static void on_drained(void *ctx)
{
	(void)ctx;
}

static const struct conn_ops ops = { .on_input = on_input, .on_drained = on_drained, .on_close = on_close };

static void connect_to(struct drac_client *c)
{
	static const struct conn_limits limits = { .in_max = LIMIT_DRAC_REPLY + 4, .out_max = OUT_MAX };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(c->path) >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, c->path, strlen(c->path) + 1);
	c->conn = conn_connect(c->loop, (const struct sockaddr *)(const void *)&sa, sizeof(sa), NULL, 0, &limits, &ops, c, NULL);
}

/* Sends `args` under a fresh XID. fn is called from the loop in every case. */
static void start(struct drac_client *c, enum drac_proc proc, const struct buf *args, int timeout_ms, drac_answer_fn *fn, void *ctx)
{
	struct call *call = mem_new(sizeof(*call));
	struct buf b;

	*call = (struct call){ .client = c, .xid = c->next_xid++, .fn = fn, .ctx = ctx };
	list_append(&c->calls, &call->node);
	if (c->conn == NULL)
		connect_to(c);
	if (c->conn == NULL) {
		loop_timer_start(c->loop, &call->timer, 0, on_dead, call);
		return;
	}
	loop_timer_start(c->loop, &call->timer, timeout_ms, on_deadline, call);
	buf_init(&b, BUF_UNBOUNDED);
	xdr_put_u32(&b, 0);
	drac_call_put(&b, call->xid, 3, proc);
	buf_put(&b, buf_view(args));
	xdr_set_u32(&b, 0, DRAC_RECORD_LAST | (uint32_t)(b.len - 4));
	conn_write(c->conn, buf_view(&b));
	buf_done(&b);
}

struct drac_client *drac_client_new(struct loop *l, const char *socket_path)
{
	struct drac_client *c = mem_new(sizeof(*c));

	c->loop = l;
	c->path = mem_str(socket_path);
	c->next_xid = 1;
	list_init(&c->calls);
	return c;
}

void drac_client_free(struct drac_client **cp)
{
	struct drac_client *c = cp ? *cp : NULL;

	if (c == NULL)
		return;
	LIST_EACH_SAFE(n, &c->calls) {
		struct call *call = LIST_OF(n, struct call, node);
		loop_timer_stop(c->loop, &call->timer);
		free(call);
	}
	conn_free(&c->conn);
	free(c->path);
	free(c);
	*cp = NULL;
}

void drac_query(struct drac_client *c, const struct net_addr *addr, int timeout_ms, drac_answer_fn *fn, void *ctx)
{
	const struct drac_key k = { .addr = *addr };
	struct buf args;

	buf_init(&args, BUF_UNBOUNDED);
	drac_key_put(&args, &k);
	start(c, DRAC3_QUERY, &args, timeout_ms, fn, ctx);
	buf_done(&args);
}

void drac_send_grant(struct drac_client *c, const struct net_addr *addr, struct slice user, const char *service, const char *host,
    struct slice session, unsigned flags, int timeout_ms, drac_answer_fn *fn, void *ctx)
{
	const struct drac_grant_args g = { .addr = *addr, .who = { .user = user, .service = slice_of(service), .host = slice_of(host), .session = session, .flags = flags } };
	struct buf args;

	buf_init(&args, BUF_UNBOUNDED);
	drac_grant_args_put(&args, &g);
	start(c, DRAC3_GRANT, &args, timeout_ms, fn, ctx);
	buf_done(&args);
}

void drac_forget(struct drac_client *c, void *ctx)
{
	LIST_EACH(n, &c->calls) {
		struct call *call = LIST_OF(n, struct call, node);
		if (call->ctx == ctx)
			call->fn = NULL;
	}
}

void drac_used(struct drac_client *c, const struct net_addr *addr, struct slice sender, unsigned rcpts)
{
	const struct drac_use_args u = { .addr = *addr, .sender = sender, .rcpts = rcpts };
	struct buf args;

	buf_init(&args, BUF_UNBOUNDED);
	drac_use_args_put(&args, &u);
	start(c, DRAC3_USED, &args, 1000, NULL, NULL);
	buf_done(&args);
}
