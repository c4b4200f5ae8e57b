/*
 * dracd/rpc.c - a procedure is a row: version, number, who may, what runs it.
 */
#include "dracd/rpc.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"

struct rpc {
	struct core *core;
	const struct core_caller *who;
	const struct drac_call *call;
	struct table_time now;
	struct buf *out;
	struct rpc_mark *mark;
};

struct row {
	uint32_t version, procedure;
	enum core_class least;                                        /* of version 3 */
	enum rpc_outcome (*run)(struct rpc *r);
	bool counts;                                                  /* its result is a drac3_count */
};

static enum rpc_outcome garbage(struct rpc *r)
{
	core_stats(r->core)[STAT_GARBAGE]++;
	drac_reply_put(r->out, r->call->xid, DRAC_GARBAGE_ARGS);
	return RPC_NOW;
}

static enum rpc_outcome run_null(struct rpc *r)
{
	drac_reply_put(r->out, r->call->xid, DRAC_SUCCESS);
	return RPC_NOW;
}

/*
 * Versions 1 and 2
 */

static enum rpc_outcome add_result(struct rpc *r, enum drac_addstat stat, bool sync)
{
	drac_reply_put(r->out, r->call->xid, DRAC_SUCCESS);
	xdr_put_u32(r->out, stat);
	return sync ? RPC_SYNC : RPC_NOW;
}

static enum rpc_outcome run_add(struct rpc *r)
{
	struct drac_grant_args g = { .ttl = 0 };
	char caller[NET_TEXT_MAX], addr[NET_TEXT_MAX];
	uint32_t retry;
	bool sync = false;
	int rc = r->call->version == 1 ? drac1_args_read(r->call->args, &g.addr) : drac2_args_read(r->call->args, &g.addr);

	if (rc != 0)
		return garbage(r);
	net_addr_text(&r->who->addr, caller);
	if (!core_may_register(r->core, &r->who->addr)) {
		if (core_stats(r->core)[STAT_REFUSED_CALLER]++ % 1000 < CORE_LOG_LINES)
			log_warn("drac: refused caller=%s, addr=%s, reason=not-permitted (see drac_allow)", caller, net_addr_text(&g.addr, addr));
		return add_result(r, DRAC_ADD_PERM, false);
	}
	g.who.service = r->call->version == 1 ? SLICE("v1") : SLICE("v2");
	g.who.host = slice_of(caller);
	g.who.flags = core_trusts(r->core, &r->who->addr) ? DRAC_WHO_TRUSTED : 0;
	enum drac_status st = core_grant(r->core, &g, r->now, &retry, &sync);

	return add_result(r, st == DRAC3_OK ? DRAC_ADD_OK : DRAC_ADD_PERM, sync);
}

/*
 * Version 3
 */

static enum rpc_outcome entry_result(struct rpc *r, enum drac_status st, const struct drac_entry *en, uint32_t retry, bool sync)
{
	drac_reply_put(r->out, r->call->xid, DRAC_SUCCESS);
	drac_grant_res_put(r->out, st, en, retry);
	return sync ? RPC_SYNC : RPC_NOW;
}

static enum rpc_outcome run_grant(struct rpc *r)
{
	struct drac_grant_args g;
	struct drac_entry en = { .n = 0 };
	uint32_t retry = 0;
	bool sync = false;
	enum drac_status st;

	if (drac_grant_args_read(r->call->args, &g) != 0)
		return garbage(r);
	if (g.bad_addr || g.addr.len == 0)
		return entry_result(r, DRAC3_BADADDR, &en, 0, false);
	g.who.flags &= DRAC_WHO_TLS | DRAC_WHO_PROXIED | DRAC_WHO_RENEWAL;        /* the others are for us to say */
	if (g.who.user.n == 0 && r->who->class != CLASS_ADMIN)
		return entry_result(r, DRAC3_DENIED, &en, 0, false);      /* version 3 names its user */
	st = core_grant(r->core, &g, r->now, &retry, &sync);
	if (st == DRAC3_OK && table_query(core_table(r->core), &g.addr, r->now, &en) != DRAC3_OK)
		en.addr = g.addr;                                         /* of mynetworks: nothing is stored */
	return entry_result(r, st, &en, retry, sync);
}

static enum rpc_outcome run_query(struct rpc *r)
{
	struct drac_key k;
	struct drac_entry en = { .n = 0 };
	enum drac_status st;

	if (drac_key_read(r->call->args, &k) != 0)
		return garbage(r);
	if (k.bad_addr || k.addr.len == 0)
		return entry_result(r, DRAC3_BADADDR, &en, 0, false);
	st = core_query(r->core, &k.addr, r->now, &en);
	return entry_result(r, st, &en, 60, false);
}

static enum rpc_outcome run_used(struct rpc *r)
{
	struct drac_use_args u;
	struct drac_entry en = { .n = 0 };
	enum drac_status st;

	if (drac_use_args_read(r->call->args, &u) != 0)
		return garbage(r);
	if (u.bad_addr || u.addr.len == 0)
		return entry_result(r, DRAC3_BADADDR, &en, 0, false);
	st = table_use(core_table(r->core), &u.addr, r->now, &en);
	core_stats(r->core)[STAT_USED] += st == DRAC3_OK;
	return entry_result(r, st, &en, 0, false);
}

static enum rpc_outcome count_result(struct rpc *r, enum drac_status st, uint32_t n, bool sync)
{
	drac_reply_put(r->out, r->call->xid, DRAC_SUCCESS);
	drac_count_put(r->out, st, n);
	return sync ? RPC_SYNC : RPC_NOW;
}

static enum rpc_outcome run_revoke(struct rpc *r)
{
	struct drac_key k;

	if (drac_key_read(r->call->args, &k) != 0)
		return garbage(r);
	if (k.bad_addr || (k.addr.len == 0 && k.user.n == 0))
		return count_result(r, DRAC3_BADADDR, 0, false);
	unsigned n = core_revoke(r->core, &k.addr, k.user, r->now);

	return count_result(r, DRAC3_OK, n, true);
}

static enum rpc_outcome run_flush(struct rpc *r)
{
	if (r->call->args.n != 0)
		return garbage(r);
	return count_result(r, DRAC3_OK, core_flush(r->core, r->now), true);
}

struct page {
	struct buf entries;
	uint32_t n, max;
};

static bool page_add(void *ctx, const struct drac_entry *en)
{
	struct page *p = ctx;

	if (p->n >= p->max || p->entries.len > LIMIT_DRAC_REPLY - 8192)   /* an entry is below 6 kB */
		return false;
	drac_entry_put(&p->entries, en);
	p->n++;
	return true;
}

static enum rpc_outcome run_list(struct rpc *r)
{
	struct drac_list_args l;
	struct page p = { .n = 0 };
	uint64_t cursor = 0;

	if (drac_list_args_read(r->call->args, &l) != 0)
		return garbage(r);
	drac_reply_put(r->out, r->call->xid, DRAC_SUCCESS);
	if (l.cursor.n != 0 && l.cursor.n != sizeof(cursor)) {
		xdr_put_u32(r->out, DRAC3_CURSOR);
		return RPC_NOW;
	}
	if (l.cursor.n != 0)
		memcpy(&cursor, l.cursor.p, sizeof(cursor));
	p.max = l.max == 0 || l.max > DRAC_PAGE ? DRAC_PAGE : l.max;
	buf_init(&p.entries, BUF_UNBOUNDED);
	cursor = table_list(core_table(r->core), cursor, l.user, r->now, page_add, &p);
	xdr_put_u32(r->out, DRAC3_OK);
	xdr_put_u32(r->out, p.n);
	buf_put(r->out, buf_view(&p.entries));
	xdr_put_opaque(r->out, slice_mem(&cursor, cursor ? sizeof(cursor) : 0));
	xdr_put_u32(r->out, cursor == 0);
	buf_done(&p.entries);
	return RPC_NOW;
}

enum { PEER_STATS = 4 };
_Static_assert(STAT_COUNT + 3 + PEER_STATS * CORE_PEERS_MAX <= DRAC_STATS, "STATS has room for 64 numbers");

static void put_stat(struct buf *b, const char *name, uint64_t v)
{
	xdr_put_opaque(b, slice_of(name));
	xdr_put_u64(b, v);
}

/* By number, in the order of drac_peers: a name does not fit into the name of a number. */
static void put_peer(struct buf *b, unsigned n, const struct core_peer *p, struct table_time now)
{
	int64_t silent = now.mono_s - p->caught_up_mono_s;
	bool has_all = p->state == CORE_PEER_SELF || (p->state == CORE_PEER_UP && silent <= CORE_PEER_SILENT_S);
	const struct { const char *name; uint64_t v; } stats[PEER_STATS] = {
		{ "state", p->state },
		{ "lag_s", has_all ? 0 : (uint64_t)silent },
		{ "events", p->events },
		{ "clock_s", (uint64_t)p->clock_s },
	};
	char name[32];

	for (size_t i = 0; i < PEER_STATS; i++) {
		snprintf(name, sizeof(name), "peer%u_%s", n, stats[i].name);
		put_stat(b, name, stats[i].v);
	}
}

static enum rpc_outcome run_stats(struct rpc *r)
{
	const struct core_peer *peers;
	size_t n_peers;

	if (r->call->args.n != 0)
		return garbage(r);
	drac_reply_put(r->out, r->call->xid, DRAC_SUCCESS);
	n_peers = core_peers(r->core, &peers);
	xdr_put_u32(r->out, (uint32_t)(STAT_COUNT + 3 + PEER_STATS * n_peers));
	put_stat(r->out, "clock", (uint64_t)r->now.wall_s);
	put_stat(r->out, "entries", table_count(core_table(r->core)));
	put_stat(r->out, "serial", core_serial(r->core));
	for (size_t i = 0; i < STAT_COUNT; i++)
		put_stat(r->out, core_stat_names[i], core_stats(r->core)[i]);
	for (size_t i = 0; i < n_peers; i++)
		put_peer(r->out, (unsigned)i + 1, &peers[i], r->now);
	return RPC_NOW;
}

void rpc_pull(struct core *c, const struct rpc_mark *m, struct buf *out)
{
	struct buf events;
	uint64_t last = core_serial(c);
	uint32_t max = m->pull.max == 0 || m->pull.max > DRAC_PAGE ? DRAC_PAGE : m->pull.max;

	buf_init(&events, BUF_UNBOUNDED);
	int n = core_events(c, m->pull.epoch, m->pull.after, max, &events, &last);

	drac_reply_put(out, m->xid, DRAC_SUCCESS);
	xdr_put_u32(out, DRAC3_OK);
	xdr_put_u64(out, core_epoch(c));
	xdr_put_u64(out, last);
	xdr_put_u32(out, n < 0);
	xdr_put_u32(out, n < 0 ? 0 : (uint32_t)n);
	buf_put(out, buf_view(&events));
	buf_done(&events);
}

static enum rpc_outcome run_pull(struct rpc *r)
{
	struct drac_pull_args *p = &r->mark->pull;

	if (drac_pull_args_read(r->call->args, p) != 0)
		return garbage(r);
	if (p->epoch == core_epoch(r->core) && p->after == core_serial(r->core) && p->wait_ms != 0)
		return RPC_WAIT;
	rpc_pull(r->core, r->mark, r->out);
	return RPC_NOW;
}

static const struct row rows[] = {
	{ 1, DRAC_NULL, CLASS_NONE, run_null, false },
	{ 1, DRAC_ADD, CLASS_NONE, run_add, false },
	{ 2, DRAC_NULL, CLASS_NONE, run_null, false },
	{ 2, DRAC_ADD, CLASS_NONE, run_add, false },
	{ 3, DRAC_NULL, CLASS_NONE, run_null, false },
	{ 3, DRAC3_GRANT, CLASS_SUBMIT, run_grant, false },
	{ 3, DRAC3_QUERY, CLASS_READ, run_query, false },
	{ 3, DRAC3_REVOKE, CLASS_ADMIN, run_revoke, true },
	{ 3, DRAC3_USED, CLASS_READ, run_used, false },
	{ 3, DRAC3_LIST, CLASS_PEER, run_list, false },
	{ 3, DRAC3_FLUSH, CLASS_ADMIN, run_flush, true },
	{ 3, DRAC3_STATS, CLASS_READ, run_stats, false },
	{ 3, DRAC3_PULL, CLASS_PEER, run_pull, false },
};

static const struct row *find(uint32_t version, uint32_t procedure)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].version == version && rows[i].procedure == procedure)
			return &rows[i];
	return NULL;
}

void rpc_failed(const struct rpc_mark *m, struct buf *out)
{
	const struct row *row = find(m->version, m->procedure);

	drac_reply_put(out, m->xid, DRAC_SUCCESS);
	if (m->version < 3)
		xdr_put_u32(out, DRAC_ADD_SYSERR);
	else
		xdr_put_u32(out, DRAC3_SYSERR);
	if (row != NULL && row->counts)
		xdr_put_u32(out, 0);
}

static enum rpc_outcome denied(struct rpc *r, const struct row *row)
{
	if (row->procedure == DRAC3_STATS) {                              /* has no status */
		drac_reply_put_denied(r->out, r->call->xid, DRAC_AUTH_TOOWEAK);
		return RPC_NOW;
	}
	drac_reply_put(r->out, r->call->xid, DRAC_SUCCESS);
	xdr_put_u32(r->out, DRAC3_DENIED);
	if (row->counts)
		xdr_put_u32(r->out, 0);
	return RPC_NOW;
}

/* Everything about the head of the call that can be wrong, in the order of RFC 5531 and of the original. RPC_WAIT: nothing is. */
static enum rpc_outcome check_head(struct rpc *r, bool is_open_door)
{
	const struct drac_call *call = r->call;

	if (call->rpc_version != 2)
		return RPC_DROP;
	if (call->program != DRAC_PROGRAM)
		drac_reply_put(r->out, call->xid, DRAC_PROG_UNAVAIL);
	else if (is_open_door && call->version == 3 && call->procedure != DRAC_NULL)
		drac_reply_put_denied(r->out, call->xid, DRAC_AUTH_TOOWEAK);
	else if (is_open_door && (call->version < 1 || call->version > 2))
		drac_reply_put_low_high(r->out, call->xid, 1, 2);
	else if (!is_open_door && call->version != 3)
		drac_reply_put_low_high(r->out, call->xid, 3, 3);
	else if (call->cred_flavor > 1)                                   /* AUTH_NONE and AUTH_SYS; who sends the latter proves nothing by it */
		drac_reply_put_denied(r->out, call->xid, DRAC_AUTH_REJECTEDCRED);
	else
		return RPC_WAIT;
	return RPC_NOW;
}

enum rpc_outcome rpc_handle(struct core *c, const struct core_caller *who, struct slice octets, struct table_time now, struct buf *out, struct rpc_mark *mark_out)
{
	struct drac_call call;
	struct rpc r = { c, who, &call, now, out, mark_out };

	core_stats(c)[STAT_CALLS]++;
	if (drac_call_read(octets, &call) != 0) {
		core_stats(c)[STAT_GARBAGE]++;
		return RPC_DROP;
	}
	*mark_out = (struct rpc_mark){ .xid = call.xid, .version = call.version, .procedure = call.procedure };
	enum rpc_outcome bad = check_head(&r, who->door == DOOR_UDP || who->door == DOOR_TCP);

	if (bad != RPC_WAIT)
		return bad;
	const struct row *row = find(call.version, call.procedure);

	if (row == NULL) {
		drac_reply_put(out, call.xid, DRAC_PROC_UNAVAIL);
		return RPC_NOW;
	}
	if (who->class < row->least)
		return denied(&r, row);
	return row->run(&r);
}
