/*
 * dracd without sockets: byte vectors and errors of versions 1 and 2, rights and pages of version 3.
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
#include "base/text.h"
#include "conf/conf.h"
#include "dracd/rpc.h"
#include "tests/unit/dracd/dracd_test.h"

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
	expect(c, &local, CALL1 "c000024d", ACCEPTED "00000000" "00000000");
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

static void addresses_that_no_login_opens(void **state)
{
	static const char *const never[] = { "0.1.2.3", "100.64.0.9", "100.127.255.255", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::", "fe80::1", "ff02::1", "203.0.113.5" };
	static const char *const others[] = { "100.128.0.1", "169.253.1.1", "203.0.113.6", "10.0.0.1", "2001:db8::1", "127.0.0.1" };
	struct settings *s;
	struct core *c = new_core(&s, "proxy_protocol_from=203.0.113.5");
	struct core_caller admin = caller_of(DOOR_LOCAL, "127.0.0.1", CLASS_ADMIN);
	struct drac_entry e;

	(void)state;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (grant_by(c, &admin, never[i], "u1@x", &e) != DRAC3_NEVER)
			fail_msg("%s", never[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (grant_by(c, &admin, others[i], "u1@x", &e) != DRAC3_OK)
			fail_msg("%s", others[i]);
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
		cmocka_unit_test(bytes_of_versions_1_and_2),
		cmocka_unit_test(heads_that_are_wrong),
		cmocka_unit_test(short_datagrams_store_nothing),
		cmocka_unit_test(version_3_rights_and_lists),
		cmocka_unit_test(addresses_that_no_login_opens),
		cmocka_unit_test(pages),
		cmocka_unit_test(lifetime_zero_is_refused),
	};

	if (log_open("/dev/null", LOG_L_ERROR, NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
