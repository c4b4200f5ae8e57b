/*
 * dracd/peer_link.c - see the header.
 */
#include "dracd/peer_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/conn.h"

#define ADDRS_MAX 8u                                                      /* of a name, tried in turn */

struct question {
	struct peer_link *link;
	struct dns_query *query;
};

struct peer_link {
	struct loop *loop;
	struct tls_ctx *tls;
	struct dns *dns;
	struct peer_host host;
	char *name;                                                   /* host.host, for SNI and the DNS */
	const struct peer_link_hooks *hooks;
	void *ctx;
	struct question questions[2];
	struct net_addr addrs[ADDRS_MAX];
	size_t n_addrs, next_addr;
	struct conn *conn;
	bool is_ready, is_asked;
	uint32_t xid;
	struct buf record;
	struct loop_timer timer;
	int timeout_ms;
	char why[320];
};

struct peer_link *peer_link_new(struct loop *l, struct tls_ctx *tls, struct dns *dns, const struct peer_host *host, const struct peer_link_hooks *hooks, void *ctx)
{
	struct peer_link *k = mem_new(sizeof(*k));

	k->loop = l;
	k->tls = tls;
	k->dns = dns;
	k->host = *host;
	k->hooks = hooks;
	k->ctx = ctx;
	k->name = mem_new(host->host.n + 1);
	memcpy(k->name, host->host.p, host->host.n);
	buf_init(&k->record, LIMIT_DRAC_REPLY);
	for (size_t i = 0; i < 2; i++)
		k->questions[i].link = k;
	return k;
}

void peer_link_close(struct peer_link *k)
{
	loop_timer_stop(k->loop, &k->timer);
	for (size_t i = 0; i < 2; i++)
		dns_cancel(&k->questions[i].query);
	conn_free(&k->conn);
	k->is_ready = k->is_asked = false;
}

void peer_link_free(struct peer_link **kp)
{
	struct peer_link *k = kp ? *kp : NULL;

	if (k == NULL)
		return;
	peer_link_close(k);
	buf_done(&k->record);
	free(k->name);
	free(k);
	*kp = NULL;
}

void peer_link_drop(struct peer_link *k, const char *why)
{
	char copy[sizeof(k->why)];

	snprintf(copy, sizeof(copy), "%s", why);
	peer_link_close(k);
	k->hooks->down(k->ctx, copy);
}

/*
 * Replies
 */

static void on_reply_late(void *ctx)
{
	struct peer_link *k = ctx;

	snprintf(k->why, sizeof(k->why), "it gave no answer within %d s", k->timeout_ms / 1000);
	peer_link_drop(k, k->why);
}

static void on_record(struct peer_link *k)
{
	struct slice result;
	uint32_t xid;
	int rc = drac_reply_read(buf_view(&k->record), &xid, &result);

	if (rc > 0)
		peer_link_drop(k, "it refuses the call: does it know version 3, and are we one of its drac_tls_peers?");
	else if (rc < 0 || xid != k->xid || !k->is_asked)
		peer_link_drop(k, "what it says makes no sense: no reply to our call");
	else {
		k->is_asked = false;
		loop_timer_stop(k->loop, &k->timer);
		k->hooks->reply(k->ctx, result);
	}
}

static void on_input(void *ctx)
{
	struct peer_link *k = ctx;

	while (k->conn != NULL) {
		struct xdr x = { conn_input(k->conn), false };
		uint32_t mark = xdr_get_u32(&x), n = mark & ~DRAC_RECORD_LAST;

		if (x.broken)
			return;
		if (!(mark & DRAC_RECORD_LAST) || n > LIMIT_DRAC_REPLY) {
			peer_link_drop(k, "what it says makes no sense: the record is too large");
			return;
		}
		if (x.rest.n < n)
			return;
		buf_reset(&k->record);
		buf_put(&k->record, slice_head(x.rest, n));
		conn_take(k->conn, 4 + (size_t)n);
		on_record(k);
	}
}

void peer_link_call(struct peer_link *k, enum drac_proc proc, struct slice args, int timeout_ms)
{
	struct buf b;

	k->is_asked = true;
	k->timeout_ms = timeout_ms;
	loop_timer_start(k->loop, &k->timer, timeout_ms, on_reply_late, k);
	buf_init(&b, BUF_UNBOUNDED);
	xdr_put_u32(&b, 0);
	drac_call_put(&b, ++k->xid, 3, proc);
	buf_put(&b, args);
	xdr_set_u32(&b, 0, DRAC_RECORD_LAST | (uint32_t)(b.len - 4));
	conn_write(k->conn, buf_view(&b));
	buf_done(&b);
}

/*
 * Connecting: one address after the other
 */

static void try_next(struct peer_link *k);

static void on_tls(void *ctx)
{
	struct peer_link *k = ctx;

	k->is_ready = true;
	loop_timer_stop(k->loop, &k->timer);
	k->hooks->ready(k->ctx);
}

static const char *end_text(enum conn_end why)
{
	return why == CONN_EOF ? "it closed the connection" : why == CONN_OVERFLOW ? "it does not read" : "the connection was lost";
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct peer_link *k = ctx;
	bool was_ready = k->is_ready;

	snprintf(k->why, sizeof(k->why), "%s", e != NULL && e->text[0] ? e->text : end_text(why));
	conn_free(&k->conn);
	if (was_ready)
		peer_link_drop(k, k->why);
	else
		try_next(k);
}

static const struct conn_ops ops = { .on_input = on_input, .on_tls = on_tls, .on_close = on_close };

static void on_connect_late(void *ctx)
{
	struct peer_link *k = ctx;

	snprintf(k->why, sizeof(k->why), "no connection within %d s", PEER_CONNECT_MS / 1000);
	conn_free(&k->conn);
	try_next(k);
}

static void try_next(struct peer_link *k)
{
	static const struct conn_limits limits = { .in_max = LIMIT_DRAC_REPLY + 4, .out_max = 2 * LIMIT_DRAC_CALL };
	struct sockaddr_storage ss;
	struct err e = ERR_INIT;

	while (k->conn == NULL && k->next_addr < k->n_addrs) {
		socklen_t n = net_addr_to_sockaddr(&k->addrs[k->next_addr++], &ss);

		k->conn = conn_connect(k->loop, (const struct sockaddr *)&ss, n, NULL, 0, &limits, &ops, k, &e);
		if (k->conn == NULL)
			snprintf(k->why, sizeof(k->why), "%s", e.text);
	}
	if (k->conn == NULL) {
		peer_link_drop(k, k->why);
		return;
	}
	conn_start_tls(k->conn, k->tls, k->name, NULL);
	loop_timer_start(k->loop, &k->timer, PEER_CONNECT_MS, on_connect_late, k);
}

static void on_addresses(void *ctx, const struct dns_answer *a)
{
	struct question *q = ctx;
	struct peer_link *k = q->link;

	q->query = NULL;
	for (size_t i = 0; i < a->n && k->n_addrs < ADDRS_MAX; i++)
		if (dns_get_addr(a->data[i], &k->addrs[k->n_addrs]) == 0)
			k->addrs[k->n_addrs++].port = k->host.addr.port;
	if (a->status == DNS_FAILED || a->status == DNS_TIMEOUT)
		snprintf(k->why, sizeof(k->why), "its address is not to be had: %.200s", a->why);
	if (k->questions[0].query == NULL && k->questions[1].query == NULL)
		try_next(k);
}

void peer_link_open(struct peer_link *k)
{
	k->n_addrs = k->next_addr = 0;
	if (k->host.addr.len != 0) {
		k->addrs[k->n_addrs++] = k->host.addr;
		try_next(k);
		return;
	}
	snprintf(k->why, sizeof(k->why), "its name has no address");
	k->questions[0].query = dns_ask(k->dns, slice_of(k->name), DNS_AAAA, PEER_CONNECT_MS, on_addresses, &k->questions[0]);
	k->questions[1].query = dns_ask(k->dns, slice_of(k->name), DNS_A, PEER_CONNECT_MS, on_addresses, &k->questions[1]);
}
