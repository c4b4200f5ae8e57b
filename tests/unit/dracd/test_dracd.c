/*
 * dracd without sockets: byte vectors and errors of versions 1 and 2, the table by the second, limits, journal, published file, allow file.
 */
#include <db.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/conf.h"
#include "dracd/allow.h"
#include "dracd/core.h"
#include "dracd/publish.h"
#include "dracd/rpc.h"
#include "map/map.h"

#define T0 1795311821

static const struct table_policy policy = { 1800, 28800, 8, 8 };

static struct net_addr addr_of(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

static struct drac_grant_args grant_of(const char *addr, const char *user, uint32_t flags)
{
	return (struct drac_grant_args){ .addr = addr_of(addr), .who = { .user = slice_of(user), .service = SLICE("imap"), .host = SLICE("mx"), .session = SLICE("s"), .flags = flags } };
}

static struct table_time at(int64_t s)
{
	return (struct table_time){ T0 + s, 1000 + s };
}

/*
 * Table
 */

static void expiry_is_to_the_second(void **state)
{
	struct table *t = table_new(&policy);
	struct drac_grant_args g = grant_of("192.0.2.7", "u1@x", 0);
	struct table_grant r;
	struct drac_entry e;

	(void)state;
	table_grant(t, &g, at(0), &r);
	assert_true(r.status == DRAC3_OK && r.is_new && r.moved && r.expires_at == T0 + 1800);
	assert_int_equal(table_query(t, &g.addr, at(1800), &e), DRAC3_OK);
	assert_int_equal(table_next_s(t, at(0)), 1801);
	assert_int_equal(table_expire(t, at(1800)), 0);
	assert_int_equal(table_query(t, &g.addr, at(1801), &e), DRAC3_NOTFOUND);
	table_grant(t, &g, at(2000), &r);
	assert_int_equal(table_expire(t, at(3801)), 1);
	assert_int_equal(table_count(t), 0);
	assert_int_equal(table_next_s(t, at(0)), -1);
	table_free(&t);
}

static void clocks_that_jump(void **state)
{
	struct table *t = table_new(&policy);
	struct drac_grant_args g = grant_of("192.0.2.7", "u1@x", 0);
	struct table_grant r;
	struct drac_entry e;
	int64_t m = 1000;

	(void)state;
	table_grant(t, &g, (struct table_time){ T0, m }, &r);
	assert_int_equal(table_query(t, &g.addr, (struct table_time){ T0 - 3600, m + 1801 }, &e), DRAC3_NOTFOUND);          /* set back an hour: ends all the same */
	table_grant(t, &g, (struct table_time){ T0, m }, &r);
	assert_int_equal(table_query(t, &g.addr, (struct table_time){ T0 + 1860, m + 1 }, &e), DRAC3_NOTFOUND);             /* set on */
	table_grant(t, &g, (struct table_time){ (int64_t)1 << 31, m }, &r);                                                   /* 2038 */
	assert_int_equal(table_query(t, &g.addr, (struct table_time){ ((int64_t)1 << 31) + 1800, m + 1800 }, &e), DRAC3_OK);
	assert_int_equal(table_expire(t, (struct table_time){ ((int64_t)1 << 31) + 315360000, m + 1 }), 1);
	table_free(&t);
}

static void renewals(void **state)
{
	struct table *t = table_new(&policy);
	struct drac_grant_args g = grant_of("192.0.2.7", "u1@x", 0), renew = grant_of("192.0.2.7", "u1@x", DRAC_WHO_RENEWAL);
	struct table_grant r;
	struct drac_entry e;

	(void)state;
	table_grant(t, &renew, at(0), &r);
	assert_int_equal(r.status, DRAC3_NOTFOUND);                       /* there is no login that it could prolong */
	table_grant(t, &g, at(0), &r);
	table_grant(t, &g, at(100), &r);
	assert_true(!r.moved && !r.is_new && r.expires_at == T0 + 1900);  /* less than a tenth: not written */
	table_grant(t, &g, at(179), &r);
	assert_false(r.moved);
	table_grant(t, &g, at(180), &r);
	assert_true(r.moved);
	for (int64_t s = 600; s <= 28800; s += 600)
		table_grant(t, &renew, at(s), &r);
	assert_int_equal(r.status, DRAC3_OK);
	assert_int_equal(table_query(t, &g.addr, at(180 + 28800), &e), DRAC3_OK);
	table_grant(t, &renew, at(180 + 28800), &r);
	assert_int_equal(table_query(t, &g.addr, at(180 + 28801), &e), DRAC3_NOTFOUND);     /* max_age after the login */
	struct drac_grant_args brief = grant_of("192.0.2.8", "u1@x", 0);
	brief.ttl = 10;
	table_grant(t, &brief, at(0), &r);
	assert_int_equal(r.expires_at, T0 + 10);
	brief.ttl = 1000000;
	table_grant(t, &brief, at(0), &r);
	assert_int_equal(r.expires_at, T0 + 1800);                        /* clamped */
	table_free(&t);
}

static void limits(void **state)
{
	struct table *t = table_new(&policy);
	struct table_grant r;
	struct drac_entry e;
	char user[32], addr[32];
	struct drac_grant_args g;

	(void)state;
	for (int i = 0; i < 8; i++) {
		snprintf(user, sizeof(user), "u%d@x", i);
		g = grant_of("192.0.2.7", user, 0);
		table_grant(t, &g, at(i), &r);
		assert_int_equal(r.status, DRAC3_OK);
	}
	assert_int_equal(table_query(t, &g.addr, at(9), &e), DRAC3_OK);
	assert_true(e.n == 8 && slice_eqs(e.vouchers[0].who.user, "u7@x"));
	g = grant_of("192.0.2.7", "u9@x", 0);
	table_grant(t, &g, at(10), &r);
	assert_true(r.status == DRAC3_LIMITED && r.became_shared && r.retry_after > 0);
	assert_int_equal(table_query(t, &g.addr, at(11), &e), DRAC3_LIMITED);      /* taken for a shared address */
	for (int i = 0; i < 12; i++) {
		snprintf(addr, sizeof(addr), "198.51.100.%d", i);
		g = grant_of(addr, "roamer@x", 0);
		table_grant(t, &g, at(20 + i), &r);
		assert_true(r.status == DRAC3_OK && r.evicted == (i >= 8));
	}
	g = grant_of("198.51.100.3", "roamer@x", 0);
	assert_int_equal(table_query(t, &g.addr, at(40), &e), DRAC3_NOTFOUND);
	g = grant_of("198.51.100.4", "roamer@x", 0);
	assert_int_equal(table_query(t, &g.addr, at(40), &e), DRAC3_OK);
	struct net_addr none = { .len = 0 };
	assert_int_equal(table_revoke(t, &none, SLICE("roamer@x"), NULL, NULL), 8);
	assert_int_equal(table_query(t, &g.addr, at(40), &e), DRAC3_NOTFOUND);
	g = grant_of("192.0.2.7", "", 0);
	assert_int_equal(table_revoke(t, &g.addr, SLICE("u3@x"), NULL, NULL), 1);
	assert_int_equal(table_revoke(t, &g.addr, SLICE_NONE, NULL, NULL), 7);
	assert_int_equal(table_count(t), 0);
	table_free(&t);
}

/* Many entries against a plain model: whatever was granted last ends 1800 s later, no sooner, no later. */
static void heap_agrees_with_a_model(void **state)
{
	enum { N = 500 };
	struct table *t = table_new(&policy);
	int64_t ends[N] = { 0 };
	struct table_grant r;
	struct drac_entry e;
	char addr[32], user[32];
	unsigned seed = 1;

	(void)state;
	for (int64_t s = 0; s < 20000; s++) {
		seed = seed * 1103515245u + 12345u;
		unsigned i = seed >> 8 & 511, what = seed >> 20 & 15;
		if (i < N && what < 12) {
			snprintf(addr, sizeof(addr), "10.0.%u.%u", i / 256, i % 256);
			snprintf(user, sizeof(user), "u%u@x", i);
			struct drac_grant_args g = grant_of(addr, user, 0);
			g.ttl = (seed >> 4) % 1800 + 1;
			table_grant(t, &g, at(s), &r);
			ends[i] = s + g.ttl;
		} else if (i < N && what == 12) {
			snprintf(addr, sizeof(addr), "10.0.%u.%u", i / 256, i % 256);
			struct net_addr a = addr_of(addr);
			table_revoke(t, &a, SLICE_NONE, NULL, NULL);
			ends[i] = -1;
		}
		if (s % 7 == 0)
			table_expire(t, at(s));
		if (s % 97 != 0)
			continue;
		size_t live = 0;
		table_expire(t, at(s));
		for (unsigned k = 0; k < N; k++)
			live += ends[k] >= s && ends[k] > 0;
		assert_int_equal(table_count(t), live);
		assert_true(live == 0 || table_next_s(t, at(s)) > 0);
	}
	(void)e;
	table_free(&t);
}

/*
 * Procedures
 */

static struct settings *settings_with(const char *const *o)
{
	struct settings *s = NULL;
	struct buf w;
	struct err e = ERR_INIT;

	buf_init(&w, BUF_UNBOUNDED);
	if (conf_load(&s, NULL, o, &w, &e) != 0)
		fail_msg("%s", e.text);
	buf_done(&w);
	return s;
}

static struct core *new_core(struct settings **s_out, const char *extra)
{
	const char *const o[] = { "drac_allow=/nonexistent/dracd.allow", extra, NULL };
	struct core *c = NULL;
	struct err e = ERR_INIT;

	*s_out = settings_with(o);
	if (core_new_volatile(&c, *s_out, &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

static struct core_caller caller_of(enum core_door door, const char *addr, enum core_class class)
{
	return (struct core_caller){ .door = door, .class = class, .addr = addr_of(addr) };
}

static void expect(struct core *c, const struct core_caller *who, const char *call_hex, const char *reply_hex)
{
	struct buf call, out, hex;
	struct rpc_mark mark;

	buf_init(&call, 4096);
	buf_init(&out, BUF_UNBOUNDED);
	buf_init(&hex, BUF_UNBOUNDED);
	assert_int_equal(text_unhex(slice_of(call_hex), &call), 0);
	enum rpc_outcome rc = rpc_handle(c, who, buf_view(&call), at(0), &out, &mark);
	if (reply_hex == NULL)
		assert_int_equal(rc, RPC_DROP);
	text_hex(buf_view(&out), &hex);
	assert_string_equal(buf_str(&hex), reply_hex ? reply_hex : "");
	buf_done(&call);
	buf_done(&out);
	buf_done(&hex);
}

#define XID "01020304"
#define CALL1 XID "00000000" "00000002" "000dbc05" "00000001" "00000001" "00000000" "00000000" "00000000" "00000000"
#define CALL2 XID "00000000" "00000002" "000dbc05" "00000002" "00000001" "00000000" "00000000" "00000000" "00000000"
#define ACCEPTED XID "00000001" "00000000" "00000000" "00000000"
#define V6 "00000020000000010000000dffffffb8" "00000000000000000000000000000000" "00000000000000000000000000000000" "0000000000000000ffffffffffffff80"

static void bytes_of_versions_1_and_2(void **state)
{
	struct settings *s;
	struct core *c = new_core(&s, NULL);
	struct core_caller local = caller_of(DOOR_UDP, "127.0.0.1", CLASS_NONE), other = caller_of(DOOR_UDP, "203.0.113.9", CLASS_NONE);
	struct core_caller forged = caller_of(DOOR_UDP, "127.0.0.2", CLASS_NONE);
	struct drac_entry e;
	struct net_addr a = addr_of("192.0.2.77"), a6 = addr_of("2001:db8::ff80");

	(void)state;
	expect(c, &local, CALL1 "c000024d", ACCEPTED "00000000" "00000000");          /* drac.md 1.2 */
	assert_int_equal(core_query(c, &a, at(0), &e), DRAC3_OK);
	assert_true(e.n == 1 && e.vouchers[0].who.user.n == 0 && slice_eqs(e.vouchers[0].who.service, "v1") && slice_eqs(e.vouchers[0].who.host, "127.0.0.1"));
	expect(c, &local, CALL2 V6, ACCEPTED "00000000" "00000000");
	assert_int_equal(core_query(c, &a6, at(0), &e), DRAC3_OK);
	expect(c, &other, CALL1 "c000024d", ACCEPTED "00000000" "00000001");          /* not permitted */
	expect(c, &forged, CALL1 "c000024d", ACCEPTED "00000000" "00000001");
	expect(c, &local, CALL1 "ffffffff", ACCEPTED "00000000" "00000001");          /* what a failed inet_addr() sends */
	expect(c, &local, CALL1 "00000000", ACCEPTED "00000000" "00000001");
	expect(c, &local, CALL1 "7f000001", ACCEPTED "00000000" "00000000");          /* loopback is stored */
	expect(c, &local, CALL1, ACCEPTED "00000004");
	expect(c, &local, CALL1 "c0000200" "00000000", ACCEPTED "00000004");
	expect(c, &local, CALL2 "c0000200", ACCEPTED "00000004");
	core_free(&c);
	conf_free(&s);
}

static void heads_that_are_wrong(void **state)
{
	struct settings *s;
	struct core *c = new_core(&s, NULL);
	struct core_caller local = caller_of(DOOR_UDP, "127.0.0.1", CLASS_NONE), admin = caller_of(DOOR_LOCAL, "127.0.0.1", CLASS_ADMIN);

	(void)state;
	expect(c, &local, XID "00000000" "00000002" "000dbc05" "00000001" "00000000" "0000000000000000" "0000000000000000", ACCEPTED "00000000");         /* NULL */
	expect(c, &local, XID "00000000" "00000002" "000dbc05" "00000001" "00000007" "0000000000000000" "0000000000000000", ACCEPTED "00000003");         /* procedure */
	expect(c, &local, XID "00000000" "00000002" "000dbc05" "00000003" "00000000" "0000000000000000" "0000000000000000", ACCEPTED "000000020000000100000002");
	expect(c, &local, XID "00000000" "00000002" "000dbc05" "00000009" "00000001" "0000000000000000" "0000000000000000", ACCEPTED "000000020000000100000002");
	expect(c, &local, XID "00000000" "00000002" "000dbc06" "00000001" "00000001" "0000000000000000" "0000000000000000", ACCEPTED "00000001");         /* program */
	expect(c, &local, XID "00000000" "00000003" "000dbc05" "00000001" "00000001" "0000000000000000" "0000000000000000" "c000024d", NULL);             /* RPC 3 */
	expect(c, &local, XID "00000001" "00000002" "000dbc05" "00000001" "00000001" "0000000000000000" "0000000000000000", NULL);                        /* a reply */
	expect(c, &local, XID "00000000" "00000002" "000dbc05" "00000001" "00000001" "0000006300000000" "0000000000000000" "c000024d",                     /* flavor 99 */
	    XID "00000001" "00000001" "00000001" "00000002");
	expect(c, &local, XID "00000000" "00000002" "000dbc05" "00000003" "00000001" "0000000000000000" "0000000000000000",                                /* v3 by UDP */
	    XID "00000001" "00000001" "00000001" "00000005");
	expect(c, &admin, CALL1 "c000024d", ACCEPTED "000000020000000300000003");
	expect(c, &local, "", NULL);
	core_free(&c);
	conf_free(&s);
}

/* drac.md section 5: calls cut off anywhere, after a good one, store nothing that was not said. */
static void short_datagrams_store_nothing(void **state)
{
	struct settings *s;
	struct core *c = new_core(&s, NULL);
	struct core_caller local = caller_of(DOOR_UDP, "127.0.0.1", CLASS_NONE);
	struct buf call, out;
	struct rpc_mark mark;

	(void)state;
	expect(c, &local, CALL1 "0ac8c9ca", ACCEPTED "00000000" "00000000");
	buf_init(&call, 256);
	assert_int_equal(text_unhex(SLICE(CALL1 "0b0c0000" "00000000"), &call), 0);
	assert_int_equal(call.len, 48);
	for (size_t n = 0; n <= 48; n++) {
		char *copy = malloc(n + 1);
		memcpy(copy, call.p, n);
		buf_init(&out, BUF_UNBOUNDED);
		if (n != 44)
			(void)rpc_handle(c, &local, slice_mem(copy, n), at(0), &out, &mark);
		buf_done(&out);
		free(copy);
	}
	assert_int_equal(table_count(core_table(c)), 1);
	buf_done(&call);
	core_free(&c);
	conf_free(&s);
}

static enum drac_status grant_by(struct core *c, const struct core_caller *who, const char *addr, const char *user, struct drac_entry *e)
{
	struct drac_grant_args g = grant_of(addr, user, DRAC_WHO_TRUSTED);
	struct rpc_mark mark;
	struct buf call, out;
	struct slice result;
	enum drac_status st = DRAC3_UNKNOWN;
	uint32_t xid, retry;

	buf_init(&call, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	drac_call_put(&call, 5, 3, DRAC3_GRANT);
	drac_grant_args_put(&call, &g);
	(void)rpc_handle(c, who, buf_view(&call), at(0), &out, &mark);
	assert_int_equal(drac_reply_read(buf_view(&out), &xid, &result), 0);
	assert_int_equal(drac_grant_res_read(result, &st, e, &retry), 0);
	buf_done(&call);
	buf_done(&out);
	return st;
}

static void version_3_rights_and_lists(void **state)
{
	struct settings *s;
	struct core *c = new_core(&s, "mynetworks=198.51.100.0/24 127.0.0.0/8");
	struct core_caller admin = caller_of(DOOR_LOCAL, "127.0.0.1", CLASS_ADMIN), reader = caller_of(DOOR_LOCAL, "127.0.0.1", CLASS_READ);
	struct core_caller peer = caller_of(DOOR_TLS, "192.0.2.1", CLASS_PEER);
	struct drac_entry e;

	(void)state;
	assert_int_equal(grant_by(c, &admin, "192.0.2.7", "u1@x", &e), DRAC3_OK);
	assert_true(e.n == 1 && e.vouchers[0].who.flags == 0);            /* nobody calls himself trusted */
	assert_int_equal(grant_by(c, &reader, "192.0.2.7", "u1@x", &e), DRAC3_DENIED);
	assert_int_equal(grant_by(c, &peer, "192.0.2.8", "u2@x", &e), DRAC3_OK);
	assert_int_equal(grant_by(c, &peer, "192.0.2.8", "", &e), DRAC3_DENIED);
	assert_int_equal(grant_by(c, &admin, "224.0.0.1", "u1@x", &e), DRAC3_NEVER);
	assert_int_equal(grant_by(c, &admin, "fe80::1", "u1@x", &e), DRAC3_NEVER);
	assert_int_equal(grant_by(c, &admin, "198.51.100.9", "u1@x", &e), DRAC3_OK);
	assert_int_equal(e.n, 0);
	assert_int_equal(grant_by(c, &admin, "127.0.0.1", "u1@x", &e), DRAC3_OK);
	assert_int_equal(e.n, 1);
	assert_int_equal(table_count(core_table(c)), 3);
	assert_int_equal(core_serial(c), 3);
	core_free(&c);
	conf_free(&s);
}

static void pages(void **state)
{
	struct settings *s;
	struct core *c = new_core(&s, NULL);
	struct core_caller admin = caller_of(DOOR_LOCAL, "127.0.0.1", CLASS_ADMIN);
	struct drac_list_args l = { .max = 0 };
	struct drac_entry e;
	struct rpc_mark mark;
	struct buf call, out;
	struct slice result;
	char addr[32], user[32], cursor[8];
	uint32_t xid;
	unsigned seen = 0, calls = 0;
	bool eof = false;

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(addr, sizeof(addr), "192.0.2.%d", i);
		snprintf(user, sizeof(user), "u%d@x", i / 5);
		assert_int_equal(grant_by(c, &admin, addr, user, &e), DRAC3_OK);
	}
	buf_init(&call, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	while (!eof) {
		buf_reset(&call);
		buf_reset(&out);
		drac_call_put(&call, 9, 3, DRAC3_LIST);
		drac_list_args_put(&call, &l);
		(void)rpc_handle(c, &admin, buf_view(&call), at(0), &out, &mark);
		assert_int_equal(drac_reply_read(buf_view(&out), &xid, &result), 0);
		struct xdr x = { result, false };
		assert_int_equal(drac_status_get(&x), DRAC3_OK);
		uint32_t n = xdr_get_u32(&x);
		for (uint32_t i = 0; i < n; i++)
			drac_entry_get(&x, &e);
		struct slice next = xdr_get_opaque(&x, DRAC_CURSOR_MAX);
		eof = xdr_get_u32(&x) != 0;
		assert_true(xdr_done(&x));
		memcpy(cursor, next.p, next.n);
		l.cursor = slice_mem(cursor, next.n);
		seen += n;
		calls++;
	}
	assert_int_equal(seen, 200);
	assert_int_equal(calls, 4);
	buf_done(&call);
	buf_done(&out);
	core_free(&c);
	conf_free(&s);
}

/*
 * Disk
 */

static void count_key(void *ctx, const struct net_addr *a, int64_t expires)
{
	(void)a;
	*(int64_t *)ctx += expires;
}

static void journal_survives(void **state)
{
	char dir[] = "/tmp/test_dracd.XXXXXX", cmd[64], table_o[96], journal[96];
	struct settings *s;
	struct core *c = NULL;
	struct err e = ERR_INIT;
	size_t lost;
	uint32_t retry;
	bool sync = false;
	struct drac_entry en;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(table_o, sizeof(table_o), "drac_table=%s/dracd.db", dir);
	snprintf(journal, sizeof(journal), "%s/dracd.db.journal", dir);
	const char *const o[] = { "drac_allow=/nonexistent/x", table_o, NULL };
	s = settings_with(o);
	assert_int_equal(core_new(&c, s, at(0), &lost, &e), 0);
	struct drac_grant_args g1 = grant_of("192.0.2.7", "u1@x", 0), g2 = grant_of("2001:db8::7", "u2@x", 0), g3 = grant_of("192.0.2.9", "u3@x", 0);
	assert_int_equal(core_grant(c, &g1, at(0), &retry, &sync), DRAC3_OK);
	assert_true(sync);
	assert_int_equal(core_grant(c, &g2, at(5), &retry, &sync), DRAC3_OK);
	assert_int_equal(core_grant(c, &g3, at(5), &retry, &sync), DRAC3_OK);
	core_revoke(c, &g3.addr, SLICE_NONE);
	assert_int_equal(core_sync(c, &e), 0);
	core_free(&c);                                                    /* as after kill -9: nothing more is written */
	assert_int_equal(core_new(&c, s, at(100), &lost, &e), 0);
	assert_int_equal(lost, 0);
	assert_int_equal(table_count(core_table(c)), 2);
	assert_int_equal(core_query(c, &g2.addr, at(1805), &en), DRAC3_OK);
	assert_true(slice_eqs(en.vouchers[0].who.user, "u2@x") && slice_eqs(en.vouchers[0].who.session, "s"));
	assert_int_equal(core_query(c, &g2.addr, at(1806), &en), DRAC3_NOTFOUND);
	core_free(&c);
	/* a torn tail, then damage in the middle */
	struct buf b;
	buf_init(&b, 1u << 20);
	assert_int_equal(file_read(journal, &b, &e), 0);
	size_t whole = b.len;
	assert_int_equal(truncate(journal, (off_t)whole - 3), 0);
	assert_int_equal(core_new(&c, s, at(100), &lost, &e), 0);
	assert_true(lost != 0);
	assert_int_equal(table_count(core_table(c)), 1);
	core_free(&c);
	for (size_t i = 0; i < whole; i += 5) {
		b.p[i] = (char)(b.p[i] ^ 0x10);
		assert_int_equal(file_replace(journal, buf_view(&b), 0600, &e), 0);
		assert_int_equal(core_new(&c, s, at(100), &lost, &e), 0);
		assert_true(lost != 0 && table_count(core_table(c)) < 2);
		core_free(&c);
		b.p[i] = (char)(b.p[i] ^ 0x10);
	}
	buf_done(&b);
	conf_free(&s);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

static void published_file_is_the_originals(void **state)
{
	char dir[] = "/tmp/test_dracp.XXXXXX", cmd[256], path[64], line[256];
	struct table *t = table_new(&policy);
	struct drac_grant_args g = grant_of("127.0.0.1", "u1@x", 0);
	struct table_grant r;
	struct err e = ERR_INIT;
	static const char wanted[] = "VERSION=3\nformat=print\ntype=btree\ndb_pagesize=512\nHEADER=END\n 127.0.0.1\n 1795313621\nDATA=END\n";

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/dracd.db", dir);
	table_grant(t, &g, at(0), &r);
	assert_int_equal(publish_write(t, path, PUBLISH_PLAIN, &e), 0);
	snprintf(cmd, sizeof(cmd), "db5.3_dump -p %s && db5.3_verify %s", path, path);
	if (system("command -v db5.3_dump >/dev/null") == 0) {
		FILE *f = popen(cmd, "r");                                /* drac.md 1.6 */
		size_t n = fread(line, 1, sizeof(line) - 1, f);
		line[n] = '\0';
		pclose(f);
		assert_true(strncmp(line, wanted, sizeof(wanted) - 1) == 0);
	}
	g = grant_of("2001:db8::1:0:0:77", "u1@x", 0);
	table_grant(t, &g, at(0), &r);
	assert_int_equal(publish_write(t, path, PUBLISH_PLAIN | PUBLISH_SENDMAIL | PUBLISH_EXIM | PUBLISH_EXIM_NET, &e), 0);
	static const char *const keys[] = { "127.0.0.1", "2001:db8::1:0:0:77", "IPv6:2001:db8:0:0:1:0:0:77", "2001:0db8:0000:0000:0001:0000:0000:0077",
		"2001.0db8.0000.0000.0001.0000.0000.0077" };
	DB *db;
	assert_int_equal(db_create(&db, NULL, 0), 0);
	assert_int_equal(db->open(db, NULL, path, NULL, DB_BTREE, DB_RDONLY, 0), 0);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		DBT k, v;
		union { const char *in; void *out; } u = { .in = keys[i] };
		memset(&k, 0, sizeof(k));
		memset(&v, 0, sizeof(v));
		k.data = u.out;
		k.size = (u_int32_t)strlen(keys[i]);
		assert_int_equal(db->get(db, NULL, &k, &v, 0), 0);
		assert_int_equal(v.size, 10);
		assert_memory_equal(v.data, "1795313621", 10);
	}
	db->close(db, 0);
	int64_t sum = 0;
	table_each(t, count_key, &sum);
	assert_int_equal(sum, 2 * (int64_t)1795313621);
	table_free(&t);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

/*
 * Allow file: drac.md 1.5
 */

static void allow_file(void **state)
{
	static const char text[] = "# comment\n255.0.0.0 10.0.0.0\n255.255.255.255\t192.0.2.1\n\n172.16.0.0/12\n2001:db8::/32\n198.51.100.7\n255.0.255.0 11.0.5.0\r\n";
	static const struct { const char *addr; bool ok; } cases[] = {
		{ "10.1.2.3", true }, { "11.1.2.3", false }, { "192.0.2.1", true }, { "192.0.2.2", false }, { "172.31.255.255", true }, { "172.32.0.0", false },
		{ "2001:db8:1::1", true }, { "2001:db9::1", false }, { "198.51.100.7", true }, { "11.9.5.9", true }, { "127.0.0.1", false },
	};
	static const char *const bad[] = { "255.0.0.0 127.0.0.1", "999.0.0.0 127.0.0.1", "255.255.255.0 192.0.2.0 trailing", "10.0.0.1/8", "host.example",
		"255.255.255.0 2001:db8::1", "10.0.0.0/33", "255.255.255.0", "not a line at all" };
	struct allow *a = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(allow_parse(&a, "dracd.allow", slice_of(text), &e), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_addr c = addr_of(cases[i].addr);
		if (allow_has(a, &c) != cases[i].ok)
			fail_msg("%s", cases[i].addr);
	}
	allow_free(&a);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char buf[128];
		if (strcmp(bad[i], "255.255.255.0") == 0)
			continue;                                         /* reads as a host, odd but clear */
		snprintf(buf, sizeof(buf), "# x\n%s\n", bad[i]);
		assert_int_equal(allow_parse(&a, "dracd.allow", slice_of(buf), &e), -1);
		if (strstr(e.text, "dracd.allow:2: ") == NULL)
			fail_msg("%s", e.text);
	}
	assert_int_equal(allow_parse(&a, "dracd.allow", SLICE(""), &e), 0);       /* empty: nobody */
	struct net_addr lo = addr_of("127.0.0.1"), lo2 = addr_of("127.0.0.2"), lo6 = addr_of("::1");
	assert_false(allow_has(a, &lo));
	allow_free(&a);
	assert_int_equal(allow_load(&a, "/nonexistent/dracd.allow", &e), 0);      /* missing: this machine */
	assert_true(allow_has(a, &lo) && allow_has(a, &lo6) && !allow_has(a, &lo2));
	allow_free(&a);
	assert_int_equal(allow_from_list(&a, "drac_never", "0.0.0.0/8 bogus", &e), -1);
	assert_non_null(strstr(e.text, "drac_never: 'bogus'"));
}

static void lifetime_zero_is_refused(void **state)
{
	static const char *const bad[] = { "drac_lifetime=0", "drac_lifetime=-5", "drac_lifetime=abc", "drac_lifetime=2d" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *const o[] = { bad[i], NULL };
		struct settings *s = NULL;
		struct buf w;
		struct err e = ERR_INIT;
		buf_init(&w, BUF_UNBOUNDED);
		assert_int_equal(conf_load(&s, NULL, o, &w, &e), -1);
		assert_non_null(strstr(e.text, "drac_lifetime"));
		buf_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expiry_is_to_the_second),
		cmocka_unit_test(clocks_that_jump),
		cmocka_unit_test(renewals),
		cmocka_unit_test(limits),
		cmocka_unit_test(heap_agrees_with_a_model),
		cmocka_unit_test(bytes_of_versions_1_and_2),
		cmocka_unit_test(heads_that_are_wrong),
		cmocka_unit_test(short_datagrams_store_nothing),
		cmocka_unit_test(version_3_rights_and_lists),
		cmocka_unit_test(pages),
		cmocka_unit_test(journal_survives),
		cmocka_unit_test(published_file_is_the_originals),
		cmocka_unit_test(allow_file),
		cmocka_unit_test(lifetime_zero_is_refused),
	};

	if (log_open("/dev/null", LOG_L_ERROR, NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
