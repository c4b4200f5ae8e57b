/*
 * io/dns.c - see dns.h.
 */
#include "io/dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unbound.h>

#include "base/idn.h"
#include "base/mem.h"

enum { DNS_RECORDS = 64 };                                            /* of one answer; the rest is not looked at */

struct dns {
	struct loop *loop;
	struct ub_ctx *ub;
	struct loop_fd watch;
	bool watching;
};

struct dns_query {
	struct dns *dns;
	int async_id;
	struct loop_timer timer;
	struct loop_task early;
	dns_fn *fn;
	void *ctx;
	enum dns_status early_status;
	const char *early_why;
};

static void on_readable(void *ctx, unsigned events)
{
	struct dns *d = ctx;

	(void)events;
	ub_process(d->ub);
}

/* ---- answers ---- */

static void query_end(struct dns_query *q, const struct dns_answer *a)
{
	dns_fn *fn = q->fn;
	void *ctx = q->ctx;

	loop_timer_stop(q->dns->loop, &q->timer);
	loop_task_cancel(&q->early);
	free(q);
	fn(ctx, a);
}

static struct dns_answer judge(const struct ub_result *r, struct slice data[DNS_RECORDS])
{
	struct dns_answer a = { DNS_OK, "", 0, data };

	if (r->bogus) {
		a.status = DNS_FAILED;
		a.why = "the answer's DNSSEC signature is bogus";
	} else if (r->nxdomain) {
		a.status = DNS_NO_NAME;
		a.why = "no such domain name";
	} else if (r->rcode != 0) {
		a.status = DNS_FAILED;
		a.why = r->rcode == 2 ? "the name servers failed (SERVFAIL)" : "the name servers refused to answer";
	} else if (!r->havedata) {
		a.status = DNS_NO_DATA;
		a.why = "no such record";
	}
	for (; a.status == DNS_OK && a.n < DNS_RECORDS && r->data[a.n] != NULL; a.n++)
		data[a.n] = slice_mem(r->data[a.n], (size_t)r->len[a.n]);
	return a;
}

static void on_answer(void *ctx, int error, struct ub_result *r)
{
	struct dns_query *q = ctx;
	struct slice data[DNS_RECORDS];
	struct dns_answer a = { DNS_FAILED, "the resolver failed", 0, data };

	if (error == 0)
		a = judge(r, data);
	query_end(q, &a);
	if (error == 0)
		ub_resolve_free(r);
}

static void on_timeout(void *ctx)
{
	struct dns_query *q = ctx;
	struct dns_answer a = { DNS_TIMEOUT, "no answer from the name servers in time", 0, NULL };

	ub_cancel(q->dns->ub, q->async_id);
	query_end(q, &a);
}

static void on_early(void *ctx)
{
	struct dns_query *q = ctx;
	struct dns_answer a = { q->early_status, q->early_why, 0, NULL };

	query_end(q, &a);
}

/* ---- questions ---- */

static void early(struct dns_query *q, enum dns_status status, const char *why)
{
	q->early_status = status;
	q->early_why = why;
	loop_task_queue(q->dns->loop, &q->early, on_early, q);
}

/* The name as the DNS knows it: A-labels, with a NUL. -1: no name. */
static int ascii_name(struct slice name, char out[256])
{
	struct arena *a = arena_new(0);
	int r = name.n == 0 || memchr(name.p, '\0', name.n) != NULL ? -1 : idn_to_ascii(name, a, &name);

	if (r == 0 && name.n <= 253) {
		memcpy(out, name.p, name.n);
		out[name.n] = '\0';
	} else {
		r = -1;
	}
	arena_free(&a);
	return r;
}

struct dns_query *dns_ask(struct dns *d, struct slice name, enum dns_type type, int timeout_ms, dns_fn *fn, void *ctx)
{
	struct dns_query *q = mem_new(sizeof(*q));
	char text[256];

	q->dns = d;
	q->fn = fn;
	q->ctx = ctx;
	if (ascii_name(name, text) != 0) {
		early(q, DNS_NO_NAME, "that is no domain name");
		return q;
	}
	if (ub_resolve_async(d->ub, text, (int)type, 1, q, on_answer, &q->async_id) != 0) {
		early(q, DNS_FAILED, "that cannot be asked for");
		return q;
	}
	if (!d->watching) {                                           /* the descriptor is there once the thread runs */
		loop_fd_add(d->loop, &d->watch, ub_fd(d->ub), LOOP_READ, on_readable, d);
		d->watching = true;
	}
	loop_timer_start(d->loop, &q->timer, timeout_ms, on_timeout, q);
	return q;
}

struct dns_query *dns_ask_ptr(struct dns *d, const struct net_addr *a, int timeout_ms, dns_fn *fn, void *ctx)
{
	static const char hex[] = "0123456789abcdef";
	char name[80];
	size_t n = 0;

	if (a->len == 4) {
		snprintf(name, sizeof(name), "%u.%u.%u.%u.in-addr.arpa", a->octets[3], a->octets[2], a->octets[1], a->octets[0]);
	} else {
		for (size_t i = 16; i > 0; i--) {
			name[n++] = hex[a->octets[i - 1] & 15];
			name[n++] = '.';
			name[n++] = hex[a->octets[i - 1] >> 4];
			name[n++] = '.';
		}
		memcpy(name + n, "ip6.arpa", sizeof("ip6.arpa"));
	}
	return dns_ask(d, slice_of(name), DNS_PTR, timeout_ms, fn, ctx);
}

void dns_cancel(struct dns_query **qp)
{
	struct dns_query *q = *qp;

	if (q == NULL)
		return;
	if (loop_timer_is_running(&q->timer))
		ub_cancel(q->dns->ub, q->async_id);
	loop_timer_stop(q->dns->loop, &q->timer);
	loop_task_cancel(&q->early);
	free(q);
	*qp = NULL;
}

/* ---- life ---- */

static int set_up(struct dns *d, const char *resolv_conf, const char *server, struct err *e)
{
	int rc;

	ub_ctx_async(d->ub, 1);
	ub_ctx_set_option(d->ub, "do-not-query-localhost:", "no");
	ub_ctx_set_option(d->ub, "unblock-lan-zones:", "yes");
	ub_ctx_set_option(d->ub, "insecure-lan-zones:", "yes");
	ub_ctx_hosts(d->ub, NULL);
	if (server[0] == '\0') {
		ub_ctx_resolvconf(d->ub, resolv_conf);                /* where it is missing libunbound asks the roots itself */
		return 0;
	}
	if ((rc = ub_ctx_set_fwd(d->ub, server)) != 0)
		return err_set(e, ERR_SYNTAX, 0, "dns_server %s: %s", server, ub_strerror(rc));
	ub_ctx_zone_add(d->ub, "test.", "transparent");
	return 0;
}

int dns_new(struct dns **d_out, struct loop *l, const char *resolv_conf, const char *server, struct err *e)
{
	struct dns *d = mem_new(sizeof(*d));

	d->loop = l;
	d->ub = ub_ctx_create();
	if (d->ub == NULL) {
		free(d);
		return err_set(e, ERR_TEMP, 0, "cannot make a resolver");
	}
	if (set_up(d, resolv_conf, server, e) < 0) {
		dns_free(&d);
		return -1;
	}
	*d_out = d;
	return 0;
}

void dns_free(struct dns **dp)
{
	struct dns *d = *dp;

	if (d == NULL)
		return;
	if (d->watching)
		loop_fd_del(d->loop, &d->watch);
	ub_ctx_delete(d->ub);
	free(d);
	*dp = NULL;
}

/* ---- rdata ---- */

static bool is_host_octet(char c)
{
	return ascii_is_alnum(c) || c == '-' || c == '_' || c == '/' ;         /* "/": RFC 2317 */
}

int dns_get_name(struct slice rdata, char out[256])
{
	char name[256];
	size_t at = 0, n = 0;

	for (;;) {
		size_t len;

		if (at >= rdata.n || (len = (unsigned char)rdata.p[at]) > 63 || rdata.n - at - 1 < len)
			return -1;
		at++;
		if (len == 0)
			break;
		if (n + len + 1 > 254)
			return -1;
		if (n > 0)
			name[n++] = '.';
		for (size_t i = 0; i < len; i++) {
			if (!is_host_octet(rdata.p[at + i]))
				return -1;
			name[n++] = ascii_lower(rdata.p[at + i]);
		}
		at += len;
	}
	if (at != rdata.n)
		return -1;
	memcpy(out, name, n);
	out[n] = '\0';
	return 0;
}

int dns_get_mx(struct slice rdata, unsigned *preference_out, char exchange_out[256])
{
	if (rdata.n < 3 || dns_get_name(slice_from(rdata, 2), exchange_out) < 0)
		return -1;
	*preference_out = (unsigned)(unsigned char)rdata.p[0] << 8 | (unsigned char)rdata.p[1];
	return 0;
}

int dns_get_addr(struct slice rdata, struct net_addr *out)
{
	if (rdata.n != 4 && rdata.n != 16)
		return -1;
	memset(out, 0, sizeof(*out));
	memcpy(out->octets, rdata.p, rdata.n);
	out->len = (uint8_t)rdata.n;
	return 0;
}
