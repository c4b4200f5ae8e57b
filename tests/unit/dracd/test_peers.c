/*
 * dracd between hosts, without sockets: what a host tells and what another makes of it, over the octets of PULL; and the settings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "conf/conf.h"
#include "dracd/graves.h"
#include "dracd/peer_conf.h"
#include "dracd/rpc.h"
#include "io/tls_peer.h"
#include "tests/unit/dracd/dracd_test.h"

struct host {
	struct settings *s;
	struct core *c;
	uint64_t heard;                                               /* serial of the other's last event */
};

static void host_init(struct host *h, const char *extra)
{
	const char *const o[] = { "drac_allow=/nonexistent/x", "mynetworks=10.0.0.0/8", extra, extra != NULL ? "drac_max_age=1d" : NULL, NULL };
	struct err e = ERR_INIT;

	h->s = settings_with(o);
	h->heard = 0;
	if (core_new_volatile(&h->c, h->s, &e) != 0)
		fail_msg("%s", e.text);
}

static void host_done(struct host *h)
{
	core_free(&h->c);
	conf_free(&h->s);
}

static void grant(struct host *h, const char *addr, const char *user, uint32_t flags, struct table_time now)
{
	struct drac_grant_args g = grant_of(addr, user, flags);
	uint32_t retry;
	bool sync = false;

	assert_int_equal(core_grant(h->c, &g, now, &retry, &sync), DRAC3_OK);
}

struct hearing { struct host *to; struct table_time now; };

static void hear_one(void *ctx, const struct drac_event *e)
{
	const struct hearing *x = ctx;

	core_replicate(x->to->c, e, core_origin(SLICE("mx1:1")), x->now);
}

/* `to` pulls everything that `from` has to tell, over the wire's octets. */
static unsigned hear(struct host *from, struct host *to, struct table_time now)
{
	const struct rpc_mark m = { .xid = 1, .version = 3, .procedure = DRAC3_PULL, .pull = { core_epoch(from->c), to->heard, 64, 0 } };
	struct hearing x = { to, now };
	struct drac_pulled r;
	struct slice result;
	struct buf out;
	uint32_t xid;

	buf_init(&out, BUF_UNBOUNDED);
	rpc_pull(from->c, &m, &out);
	assert_int_equal(drac_reply_read(buf_view(&out), &xid, &result), 0);
	assert_int_equal(drac_pull_res_read(result, core_epoch(from->c), to->heard, &r, hear_one, &x), 0);
	assert_int_equal(r.status, DRAC3_OK);
	assert_false(r.head.snapshot_needed);
	to->heard = r.head.last;
	buf_done(&out);
	return r.n;
}

static bool get(struct host *h, const char *addr, const char *user, struct table_time now, struct drac_voucher *out)
{
	const struct drac_who who = { .user = slice_of(user) };
	struct net_addr a = addr_of(addr);

	return table_find(core_table(h->c), &a, &who, now, out);
}

static void a_grant_comes_with_its_times(void **state)
{
	struct host a, b;
	struct drac_voucher v;

	(void)state;
	host_init(&a, NULL);
	host_init(&b, NULL);
	grant(&a, "192.0.2.7", "u1@x", DRAC_WHO_TLS, at(0));
	assert_int_equal(hear(&a, &b, at(60)), 1);
	assert_true(get(&b, "192.0.2.7", "u1@x", at(60), &v));
	assert_true(v.at == T0 && v.expires == T0 + 1800);
	assert_true((v.who.flags & DRAC_WHO_REPLICATED) && (v.who.flags & DRAC_WHO_TLS) && core_origin_of(v.who.flags) == core_origin(SLICE("mx1:1")));
	assert_true(slice_eqs(v.who.host, "mx") && slice_eqs(v.who.service, "imap"));
	assert_int_equal(core_serial(b.c), 0);                            /* not told on: no circles */
	assert_true(get(&b, "192.0.2.7", "u1@x", at(1800), &v));
	assert_false(get(&b, "192.0.2.7", "u1@x", at(1801), &v));         /* to the second, by the same time as there */
	host_done(&a);
	host_done(&b);
}

static void renewals_keep_the_login(void **state)
{
	struct host a, b;
	struct drac_voucher v;

	(void)state;
	host_init(&a, NULL);
	host_init(&b, NULL);
	grant(&a, "192.0.2.7", "u1@x", 0, at(0));
	hear(&a, &b, at(0));
	for (int s = 600; s < 30000; s += 600) {
		struct drac_grant_args g = grant_of("192.0.2.7", "u1@x", DRAC_WHO_RENEWAL);
		uint32_t retry;
		bool sync;
		core_grant(a.c, &g, at(s), &retry, &sync);
		hear(&a, &b, at(s));
		bool there = get(&b, "192.0.2.7", "u1@x", at(s), &v);
		assert_true(there == (s <= 28800));                       /* drac_max_age after the login, on both */
		assert_true(!there || v.at == T0);
	}
	host_done(&a);
	host_done(&b);
}

static void our_own_lists_and_limits_count(void **state)
{
	struct host a, b;
	struct drac_voucher v;
	char user[16];

	(void)state;
	host_init(&a, "drac_never=0.0.0.0/8");
	host_init(&b, "drac_never=198.51.100.0/24");
	grant(&a, "198.51.100.7", "u1@x", 0, at(0));
	grant(&a, "10.1.1.1", "u1@x", 0, at(0));                          /* in mynetworks: nothing is stored, nothing told */
	assert_int_equal(hear(&a, &b, at(0)), 1);
	assert_false(get(&b, "198.51.100.7", "u1@x", at(0), &v));
	for (int i = 0; i < 8; i++) {
		snprintf(user, sizeof(user), "a%d@x", i);
		grant(i < 4 ? &a : &b, "192.0.2.7", user, 0, at(0));
	}
	hear(&a, &b, at(0));
	grant(&a, "192.0.2.7", "one-more@x", 0, at(0));                   /* the ninth user, as B sees it */
	hear(&a, &b, at(0));
	struct drac_entry e;
	struct net_addr shared = addr_of("192.0.2.7");
	assert_int_equal(core_query(b.c, &shared, at(0), &e), DRAC3_LIMITED);
	for (int i = 0; i < 9; i++) {                                     /* nine addresses of one user: the first gives way, on both */
		char addr[16];
		snprintf(addr, sizeof(addr), "192.0.3.%d", i);
		grant(&a, addr, "u2@x", 0, at(i));
	}
	hear(&a, &b, at(10));
	assert_false(get(&b, "192.0.3.0", "u2@x", at(10), &v));
	assert_true(get(&b, "192.0.3.8", "u2@x", at(10), &v));
	host_done(&a);
	host_done(&b);
}

static void the_later_end_counts_and_ours_stays_ours(void **state)
{
	struct host a, b;
	struct drac_voucher v;

	(void)state;
	host_init(&a, NULL);
	host_init(&b, NULL);
	grant(&b, "192.0.2.7", "u1@x", 0, at(0));
	grant(&a, "192.0.2.7", "u1@x", 0, at(300));
	hear(&a, &b, at(300));
	assert_true(get(&b, "192.0.2.7", "u1@x", at(300), &v));
	assert_true(v.at == T0 + 300 && v.expires == T0 + 2100);
	assert_int_equal(core_origin_of(v.who.flags), 0);
	grant(&a, "192.0.2.8", "u1@x", 0, at(300));
	grant(&b, "192.0.2.8", "u1@x", 0, at(600));
	hear(&a, &b, at(600));                                            /* older than what is here */
	assert_true(get(&b, "192.0.2.8", "u1@x", at(600), &v));
	assert_true(v.at == T0 + 600 && v.expires == T0 + 2400);
	host_done(&a);
	host_done(&b);
}

static void a_peer_can_not_make_it_longer_than_we_would(void **state)
{
	struct host a, b;
	struct drac_voucher v;

	(void)state;
	host_init(&a, "drac_lifetime=1d");
	host_init(&b, NULL);
	grant(&a, "192.0.2.7", "u1@x", 0, at(0));
	hear(&a, &b, at(0));
	assert_true(get(&b, "192.0.2.7", "u1@x", at(0), &v));
	assert_true(v.expires == T0 + 1800);
	host_done(&a);
	host_done(&b);
}

static void revocations_beat_what_is_older(void **state)
{
	struct host a, b;
	struct drac_voucher v;
	struct net_addr none = { .len = 0 }, addr = addr_of("192.0.2.7");

	(void)state;
	host_init(&a, NULL);
	host_init(&b, NULL);
	grant(&a, "192.0.2.7", "u1@x", 0, at(0));
	grant(&a, "192.0.2.7", "u2@x", 0, at(0));
	core_revoke(b.c, &addr, SLICE("u1@x"), at(5));                    /* B has not heard of the login yet */
	hear(&a, &b, at(6));
	assert_false(get(&b, "192.0.2.7", "u1@x", at(6), &v));
	assert_true(get(&b, "192.0.2.7", "u2@x", at(6), &v));
	struct drac_grant_args renewal = grant_of("192.0.2.7", "u1@x", DRAC_WHO_RENEWAL);
	uint32_t retry;
	bool sync;
	core_grant(a.c, &renewal, at(600), &retry, &sync);                /* A has not heard of the revocation yet */
	hear(&a, &b, at(600));
	assert_false(get(&b, "192.0.2.7", "u1@x", at(600), &v));
	a.heard = 0;
	hear(&b, &a, at(601));                                            /* now it has, and that it was said at 5 */
	assert_false(get(&a, "192.0.2.7", "u1@x", at(601), &v));
	grant(&a, "192.0.2.7", "u1@x", 0, at(700));                       /* a login after it counts, everywhere */
	hear(&a, &b, at(700));
	assert_true(get(&b, "192.0.2.7", "u1@x", at(700), &v));

	core_revoke(b.c, &none, SLICE("u2@x"), at(710));
	grant(&a, "192.0.2.9", "u2@x", 0, at(720));
	hear(&b, &a, at(730));                                            /* of the user, but of before: the new login stays */
	assert_false(get(&a, "192.0.2.7", "u2@x", at(730), &v));
	assert_true(get(&a, "192.0.2.9", "u2@x", at(730), &v));

	core_flush(b.c, at(740));
	grant(&a, "192.0.2.10", "u3@x", 0, at(750));
	hear(&b, &a, at(760));
	assert_false(get(&a, "192.0.2.9", "u2@x", at(760), &v));
	assert_true(get(&a, "192.0.2.10", "u3@x", at(760), &v));
	host_done(&a);
	host_done(&b);
}

static void graves_are_bounded(void **state)
{
	struct graves *g = graves_new(100);
	struct net_addr a = addr_of("192.0.2.7"), none = { .len = 0 };
	char user[32];

	(void)state;
	graves_add(g, &a, SLICE("u1"), 1, 50, 50);
	assert_true(graves_hold(g, &a, SLICE("u1"), 1, 49));
	assert_true(graves_hold(g, &a, SLICE("u1"), 1, 0));
	assert_false(graves_hold(g, &a, SLICE("u1"), 1, 50));             /* the login of that second came after it: the host says both in order */
	assert_true(graves_hold(g, &a, SLICE("u1"), 2, 50));              /* that of another host may have been before */
	assert_false(graves_hold(g, &a, SLICE("u1"), 2, 51));
	assert_false(graves_hold(g, &a, SLICE("u2"), 1, 49));
	graves_add(g, &a, SLICE("u1"), 1, 40, 60);                           /* an older word changes nothing */
	assert_true(graves_hold(g, &a, SLICE("u1"), 1, 49));
	for (unsigned i = 0; i < GRAVES_MAX + 10; i++) {
		snprintf(user, sizeof(user), "n%u", i);
		graves_add(g, &none, slice_of(user), 1, 70, 70);
	}
	assert_int_equal(graves_count(g), GRAVES_MAX);
	assert_false(graves_hold(g, &a, SLICE("u1"), 1, 49));                /* the oldest made room */
	graves_add(g, &none, SLICE_NONE, 1, 171, 171);                       /* and what no login can be older than is gone */
	assert_int_equal(graves_count(g), 1);
	assert_true(graves_hold(g, &a, SLICE("u1"), 1, 170));
	graves_free(&g);
}

static void settings_that_are_wrong(void **state)
{
	static const char fp[] = "drac_tls_peers=sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
	static const struct { const char *o[6]; const char *says; } cases[] = {
		{ { "drac_peers=mx2" }, "HOST:PORT" },
		{ { "drac_peers=mx2:0" }, "HOST:PORT" },
		{ { "drac_peers=2001:db8::1:99" }, "IPv6 is written" },
		{ { "drac_peers=[2001:db8::1:99" }, "neither a name nor an address" },
		{ { "drac_peers=mx2:1 MX2:1" }, "twice" },
		{ { "drac_peers=a:1 b:1 c:1 d:1 e:1 f:1 g:1 h:1 i:1" }, "no more than 8" },
		{ { "drac_peers=mx2:1", "drac_tls_cert_file=", "tls_cert_file=" }, "drac_tls_cert_file" },
		{ { "listen_drac_tls=127.0.0.1:1", "drac_tls_key_file=" }, "drac_tls_key_file" },
		{ { "listen_drac_tls=127.0.0.1:1", "drac_tls_ca_file=/nonexistent/ca" }, "nobody could connect" },
		{ { "listen_drac_tls=127.0.0.1:1", "drac_tls_cert_file=/nonexistent/c", "drac_peers=mx2:1" }, "/nonexistent/c" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct settings *s = settings_with(cases[i].o);
		struct err e = ERR_INIT;
		if (peer_conf_check(s, NULL, &e) == 0 || strstr(e.text, cases[i].says) == NULL)
			fail_msg("case %zu: %s", i, e.text);
		conf_free(&s);
	}
	unsigned char octets[TLS_FINGERPRINT_SIZE];
	assert_int_equal(tls_peer_fingerprint(slice_of(strchr(fp, '=') + 1), octets), 1);
	assert_int_equal(octets[31], 0xff);
	assert_int_equal(tls_peer_fingerprint(SLICE("SHA256:00:11"), octets), -1);
	assert_int_equal(tls_peer_fingerprint(SLICE("mx2.test"), octets), 0);
}

static void settings_without_effect(void **state)
{
	const char *const o[] = { "drac_tls_ca_file=/x", "drac_tls_peers=mx2", NULL };
	struct settings *s = settings_with(o);
	struct err e = ERR_INIT;
	struct buf w;

	(void)state;
	buf_init(&w, BUF_UNBOUNDED);
	assert_int_equal(peer_conf_check(s, &w, &e), 0);
	assert_non_null(strstr(buf_str(&w), "drac_tls_ca_file is set without effect"));
	assert_non_null(strstr(buf_str(&w), "drac_tls_peers is set without effect"));
	buf_done(&w);
	conf_free(&s);
}

static void stats_name_clock_and_peers(void **state)
{
	const struct core_caller who = { .door = DOOR_LOCAL, .class = CLASS_ADMIN };
	struct host a;
	struct buf call, out;
	struct rpc_mark mark;
	struct slice result;
	uint32_t xid;
	uint64_t v;

	(void)state;
	host_init(&a, NULL);
	for (unsigned i = 0; i < CORE_PEERS_MAX; i++)
		core_peer_add(a.c)->clock_s = -3;
	buf_init(&call, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	drac_call_put(&call, 1, 3, DRAC3_STATS);
	assert_int_equal(rpc_handle(a.c, &who, buf_view(&call), at(0), &out, &mark), RPC_NOW);
	assert_int_equal(drac_reply_read(buf_view(&out), &xid, &result), 0);
	assert_int_equal(drac_stats_res_find(result, "clock", &v), 1);
	assert_true(v == T0);
	assert_int_equal(drac_stats_res_find(result, "peer8_clock_s", &v), 1);
	assert_true((int64_t)v == -3);
	assert_int_equal(drac_stats_res_find(result, "peer9_clock_s", &v), 0);
	buf_done(&call);
	buf_done(&out);
	host_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grant_comes_with_its_times),
		cmocka_unit_test(renewals_keep_the_login),
		cmocka_unit_test(our_own_lists_and_limits_count),
		cmocka_unit_test(the_later_end_counts_and_ours_stays_ours),
		cmocka_unit_test(a_peer_can_not_make_it_longer_than_we_would),
		cmocka_unit_test(revocations_beat_what_is_older),
		cmocka_unit_test(graves_are_bounded),
		cmocka_unit_test(settings_that_are_wrong),
		cmocka_unit_test(settings_without_effect),
		cmocka_unit_test(stats_name_clock_and_peers),
	};

	if (log_open("/dev/null", LOG_L_ERROR, NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
