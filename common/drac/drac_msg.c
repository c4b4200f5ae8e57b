/*
 * drac/drac_msg.c - see the header.
 */
#include "drac/drac_msg.h"

#include <string.h>

enum { RPC_CALL, RPC_REPLY };
enum { RPC_ACCEPTED, RPC_DENIED };
enum { RPC_VERSION = 2, AUTH_BODY_MAX = 400, DENIED_AUTH = 1 };

/*
 * Heads
 */

int drac_call_read(struct slice in, struct drac_call *out)
{
	struct xdr x = { in, false };
	struct drac_call c = { .xid = xdr_get_u32(&x) };

	if (xdr_get_u32(&x) != RPC_CALL)
		return -1;
	c.rpc_version = xdr_get_u32(&x);
	c.program = xdr_get_u32(&x);
	c.version = xdr_get_u32(&x);
	c.procedure = xdr_get_u32(&x);
	c.cred_flavor = xdr_get_u32(&x);
	xdr_get_opaque(&x, AUTH_BODY_MAX);
	xdr_get_u32(&x);
	xdr_get_opaque(&x, AUTH_BODY_MAX);
	if (x.broken)
		return -1;
	c.args = x.rest;
	*out = c;
	return 0;
}

void drac_call_put(struct buf *b, uint32_t xid, uint32_t version, uint32_t procedure)
{
	const uint32_t words[] = { xid, RPC_CALL, RPC_VERSION, DRAC_PROGRAM, version, procedure, 0, 0, 0, 0 };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		xdr_put_u32(b, words[i]);
}

void drac_reply_put(struct buf *b, uint32_t xid, enum drac_accept stat)
{
	const uint32_t words[] = { xid, RPC_REPLY, RPC_ACCEPTED, 0, 0, stat };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		xdr_put_u32(b, words[i]);
}

void drac_reply_put_low_high(struct buf *b, uint32_t xid, uint32_t low, uint32_t high)
{
	drac_reply_put(b, xid, DRAC_PROG_MISMATCH);
	xdr_put_u32(b, low);
	xdr_put_u32(b, high);
}

void drac_reply_put_denied(struct buf *b, uint32_t xid, uint32_t auth_stat)
{
	const uint32_t words[] = { xid, RPC_REPLY, RPC_DENIED, DENIED_AUTH, auth_stat };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		xdr_put_u32(b, words[i]);
}

int drac_reply_read(struct slice in, uint32_t *xid_out, struct slice *result_out)
{
	struct xdr x = { in, false };
	uint32_t xid = xdr_get_u32(&x);

	if (xdr_get_u32(&x) != RPC_REPLY || x.broken)
		return -1;
	*xid_out = xid;
	if (xdr_get_u32(&x) != RPC_ACCEPTED)
		return x.broken ? -1 : 1;
	xdr_get_u32(&x);
	xdr_get_opaque(&x, AUTH_BODY_MAX);
	uint32_t stat = xdr_get_u32(&x);
	if (x.broken)
		return -1;
	*result_out = x.rest;
	return stat == DRAC_SUCCESS ? 0 : 1;
}

/*
 * Versions 1 and 2
 */

static void unmap(struct net_addr *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->len != 16 || memcmp(a->octets, mapped, sizeof(mapped)) != 0)
		return;
	memmove(a->octets, a->octets + 12, 4);
	memset(a->octets + 4, 0, 12);
	a->len = 4;
}

int drac1_args_read(struct slice args, struct net_addr *out)
{
	if (args.n != 4)
		return -1;
	memset(out, 0, sizeof(*out));
	memcpy(out->octets, args.p, 4);
	out->len = 4;
	return 0;
}

int drac2_args_read(struct slice args, struct net_addr *out)
{
	if (args.n != 64)
		return -1;
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < 16; i++)
		out->octets[i] = (uint8_t)args.p[4 * i + 3];              /* the other octets are the sign of a char, or not */
	out->len = 16;
	unmap(out);
	return 0;
}

void drac1_args_put(struct buf *b, const struct net_addr *a)
{
	buf_put(b, slice_mem(a->octets, 4));
}

void drac2_args_put(struct buf *b, const struct net_addr *a)
{
	for (size_t i = 0; i < 16; i++)
		xdr_put_u32(b, a->octets[i] & 0x80 ? 0xffffff00u | a->octets[i] : a->octets[i]);
}

/*
 * Version 3: parts
 */

static void put_addr(struct buf *b, const struct net_addr *a)
{
	xdr_put_opaque(b, slice_mem(a->octets, a->len));
}

static bool get_addr(struct xdr *x, struct net_addr *out)
{
	struct slice s = xdr_get_opaque(x, 16);

	memset(out, 0, sizeof(*out));
	if (s.n != 4 && s.n != 16)
		return s.n == 0;
	memcpy(out->octets, s.p, s.n);
	out->len = (uint8_t)s.n;
	unmap(out);
	return true;
}

static void put_who(struct buf *b, const struct drac_who *w)
{
	xdr_put_opaque(b, slice_head(w->user, DRAC_USER_MAX));
	xdr_put_opaque(b, slice_head(w->service, DRAC_SERVICE_MAX));
	xdr_put_opaque(b, slice_head(w->host, DRAC_HOST_MAX));
	xdr_put_opaque(b, slice_head(w->session, DRAC_SESSION_MAX));
	xdr_put_u32(b, w->flags);
}

static void get_who(struct xdr *x, struct drac_who *out)
{
	out->user = xdr_get_opaque(x, DRAC_USER_MAX);
	out->service = xdr_get_opaque(x, DRAC_SERVICE_MAX);
	out->host = xdr_get_opaque(x, DRAC_HOST_MAX);
	out->session = xdr_get_opaque(x, DRAC_SESSION_MAX);
	out->flags = xdr_get_u32(x);
}

/*
 * Arguments
 */

int drac_grant_args_read(struct slice args, struct drac_grant_args *out)
{
	struct xdr x = { args, false };
	struct drac_grant_args g;

	g.bad_addr = !get_addr(&x, &g.addr);
	get_who(&x, &g.who);
	g.ttl = xdr_get_u32(&x);
	if (!xdr_done(&x))
		return -1;
	*out = g;
	return 0;
}

void drac_grant_args_put(struct buf *b, const struct drac_grant_args *g)
{
	put_addr(b, &g->addr);
	put_who(b, &g->who);
	xdr_put_u32(b, g->ttl);
}

int drac_key_read(struct slice args, struct drac_key *out)
{
	struct xdr x = { args, false };
	struct drac_key k;

	k.bad_addr = !get_addr(&x, &k.addr);
	k.user = xdr_get_opaque(&x, DRAC_USER_MAX);
	if (!xdr_done(&x))
		return -1;
	*out = k;
	return 0;
}

void drac_key_put(struct buf *b, const struct drac_key *k)
{
	put_addr(b, &k->addr);
	xdr_put_opaque(b, k->user);
}

int drac_use_args_read(struct slice args, struct drac_use_args *out)
{
	struct xdr x = { args, false };
	struct drac_use_args u;

	u.bad_addr = !get_addr(&x, &u.addr);
	u.sender = xdr_get_opaque(&x, DRAC_SENDER_MAX);
	u.rcpts = xdr_get_u32(&x);
	if (!xdr_done(&x))
		return -1;
	*out = u;
	return 0;
}

void drac_use_args_put(struct buf *b, const struct drac_use_args *u)
{
	put_addr(b, &u->addr);
	xdr_put_opaque(b, slice_head(u->sender, DRAC_SENDER_MAX));
	xdr_put_u32(b, u->rcpts);
}

int drac_list_args_read(struct slice args, struct drac_list_args *out)
{
	struct xdr x = { args, false };
	struct drac_list_args l = { .cursor = xdr_get_opaque(&x, DRAC_CURSOR_MAX) };

	l.max = xdr_get_u32(&x);
	l.user = xdr_get_opaque(&x, DRAC_USER_MAX);
	if (!xdr_done(&x))
		return -1;
	*out = l;
	return 0;
}

void drac_list_args_put(struct buf *b, const struct drac_list_args *l)
{
	xdr_put_opaque(b, l->cursor);
	xdr_put_u32(b, l->max);
	xdr_put_opaque(b, l->user);
}

int drac_pull_args_read(struct slice args, struct drac_pull_args *out)
{
	struct xdr x = { args, false };
	struct drac_pull_args p = { .epoch = xdr_get_u64(&x) };

	p.after = xdr_get_u64(&x);
	p.max = xdr_get_u32(&x);
	p.wait_ms = xdr_get_u32(&x);
	if (!xdr_done(&x))
		return -1;
	*out = p;
	return 0;
}

void drac_pull_args_put(struct buf *b, const struct drac_pull_args *p)
{
	xdr_put_u64(b, p->epoch);
	xdr_put_u64(b, p->after);
	xdr_put_u32(b, p->max);
	xdr_put_u32(b, p->wait_ms);
}

/*
 * Results
 */

enum drac_status drac_status_get(struct xdr *x)
{
	uint32_t v = xdr_get_u32(x);

	return v <= DRAC3_REDIRECT ? (enum drac_status)v : DRAC3_UNKNOWN;
}

void drac_entry_put(struct buf *b, const struct drac_entry *g)
{
	put_addr(b, &g->addr);
	xdr_put_u64(b, g->first);
	xdr_put_u64(b, g->expires);
	xdr_put_u32(b, g->used);
	xdr_put_u32(b, (uint32_t)g->n);
	for (size_t i = 0; i < g->n; i++) {
		put_who(b, &g->vouchers[i].who);
		xdr_put_u64(b, g->vouchers[i].at);
		xdr_put_u64(b, g->vouchers[i].expires);
	}
}

void drac_entry_get(struct xdr *x, struct drac_entry *out)
{
	uint32_t n;

	memset(out, 0, sizeof(*out));
	if (!get_addr(x, &out->addr))
		x->broken = true;
	out->first = xdr_get_u64(x);
	out->expires = xdr_get_u64(x);
	out->used = xdr_get_u32(x);
	n = xdr_get_u32(x);
	if (n > DRAC_VOUCHERS)
		x->broken = true;
	for (uint32_t i = 0; i < n && !x->broken; i++) {
		get_who(x, &out->vouchers[i].who);
		out->vouchers[i].at = xdr_get_u64(x);
		out->vouchers[i].expires = xdr_get_u64(x);
		out->n = i + 1;
	}
}

void drac_grant_res_put(struct buf *b, enum drac_status status, const struct drac_entry *g, uint32_t retry_after)
{
	xdr_put_u32(b, status);
	if (status == DRAC3_OK)
		drac_entry_put(b, g);
	else if (status == DRAC3_LIMITED)
		xdr_put_u32(b, retry_after);
}

int drac_grant_res_read(struct slice result, enum drac_status *status_out, struct drac_entry *out, uint32_t *retry_after_out)
{
	struct xdr x = { result, false };
	enum drac_status status = drac_status_get(&x);
	uint32_t retry = 0;

	memset(out, 0, sizeof(*out));
	if (status == DRAC3_OK)
		drac_entry_get(&x, out);
	else if (status == DRAC3_LIMITED)
		retry = xdr_get_u32(&x);
	if (!xdr_done(&x))
		return -1;
	*status_out = status;
	*retry_after_out = retry;
	return 0;
}

void drac_count_put(struct buf *b, enum drac_status status, uint32_t n)
{
	xdr_put_u32(b, status);
	xdr_put_u32(b, n);
}

int drac_count_read(struct slice result, enum drac_status *status_out, uint32_t *n_out)
{
	struct xdr x = { result, false };
	enum drac_status status = drac_status_get(&x);
	uint32_t n = xdr_get_u32(&x);

	if (!xdr_done(&x))
		return -1;
	*status_out = status;
	*n_out = n;
	return 0;
}

enum { SPAN_SHIFT = 8, SPAN_MAX = 0xffffff };

void drac_event_put(struct buf *b, const struct drac_event *e)
{
	struct drac_who who = e->who;
	bool has_login = e->kind == DRAC_EV_GRANT && e->login != 0 && e->login < e->expires && e->expires - e->login <= SPAN_MAX;

	who.flags = (who.flags & DRAC_WHO_BITS) | (has_login ? (uint32_t)(e->expires - e->login) << SPAN_SHIFT : 0);
	xdr_put_u64(b, e->serial);
	xdr_put_u32(b, e->kind);
	put_addr(b, &e->addr);
	put_who(b, &who);
	xdr_put_u64(b, e->expires);
}

void drac_event_get(struct xdr *x, struct drac_event *out)
{
	memset(out, 0, sizeof(*out));
	out->serial = xdr_get_u64(x);
	out->kind = xdr_get_u32(x);
	if (!get_addr(x, &out->addr))
		x->broken = true;
	get_who(x, &out->who);
	out->expires = xdr_get_u64(x);
	uint32_t span = out->who.flags >> SPAN_SHIFT;

	if (out->kind == DRAC_EV_GRANT && span != 0 && span < out->expires)
		out->login = out->expires - span;
	out->who.flags &= DRAC_WHO_BITS;
}
