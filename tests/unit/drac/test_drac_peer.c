/*
 * Our XDR against libtirpc's, with code that rpcgen makes of drac3.x: what one side writes the other reads, both ways, field by field.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drac/drac_msg.h"

#ifdef HAVE_RPCGEN
#include "peer3.h"

static char theirs[65536];

static struct slice encode(xdrproc_t proc, void *v)
{
	XDR x;

	xdrmem_create(&x, theirs, sizeof(theirs), XDR_ENCODE);
	assert_true(proc(&x, v));
	return slice_mem(theirs, xdr_getpos(&x));
}

static void decode(xdrproc_t proc, void *v, size_t size, struct slice in)
{
	XDR x;
	union { const char *in; char *out; } octets = { .in = in.p };

	memset(v, 0, size);
	xdrmem_create(&x, octets.out, (u_int)in.n, XDR_DECODE);
	assert_true(proc(&x, v));
	assert_int_equal(xdr_getpos(&x), in.n);
}

static char user[] = "u1@office.example", service[] = "imaps", host[] = "mx", session[] = "s-1";

static peer3_who their_who(void)
{
	return (peer3_who){ user, service, host, session, 5 };
}

static struct drac_who our_who(void)
{
	return (struct drac_who){ slice_of(user), slice_of(service), slice_of(host), slice_of(session), 5 };
}

static void same_who(const struct drac_who *o, const peer3_who *t)
{
	assert_true(slice_eqs(o->user, t->user) && slice_eqs(o->service, t->service) && slice_eqs(o->host, t->host) && slice_eqs(o->session, t->session));
	assert_int_equal(o->flags, t->flags);
}

static struct net_addr addr_of(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

static void grant_args(void **state)
{
	struct net_addr a = addr_of("2001:db8::5");
	char octets[16];
	peer3_grant_args t = { .addr = { 16, octets }, .who = their_who(), .ttl = 77 }, back;
	struct drac_grant_args o = { .addr = a, .who = our_who(), .ttl = 77 }, got;
	struct buf b;

	(void)state;
	memcpy(octets, a.octets, 16);
	assert_int_equal(drac_grant_args_read(encode((xdrproc_t)xdr_peer3_grant_args, &t), &got), 0);
	assert_true(net_addr_eq(&got.addr, &a));
	assert_int_equal(got.ttl, 77);
	same_who(&got.who, &t.who);
	buf_init(&b, BUF_UNBOUNDED);
	drac_grant_args_put(&b, &o);
	assert_true(slice_eq(buf_view(&b), encode((xdrproc_t)xdr_peer3_grant_args, &t)));
	decode((xdrproc_t)xdr_peer3_grant_args, &back, sizeof(back), buf_view(&b));
	same_who(&o.who, &back.who);
	xdr_free((xdrproc_t)xdr_peer3_grant_args, (char *)&back);
	buf_done(&b);
}

static void grant_result(void **state)
{
	struct drac_entry e = { .addr = addr_of("192.0.2.7"), .first = 1795311821, .expires = 1795313621, .used = 3, .n = 2 }, got;
	peer3_grant_res t;
	enum drac_status st;
	uint32_t retry;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < 2; i++)
		e.vouchers[i] = (struct drac_voucher){ our_who(), 1795311821 + i, 1795313621 - i };
	buf_init(&b, BUF_UNBOUNDED);
	drac_grant_res_put(&b, DRAC3_OK, &e, 0);
	decode((xdrproc_t)xdr_peer3_grant_res, &t, sizeof(t), buf_view(&b));
	assert_int_equal(t.status, PEER3_OK);
	assert_int_equal(t.peer3_grant_res_u.grant.addr.peer3_addr_len, 4);
	assert_int_equal(t.peer3_grant_res_u.grant.expires, e.expires);
	assert_int_equal(t.peer3_grant_res_u.grant.vouchers.vouchers_len, 2);
	assert_int_equal(t.peer3_grant_res_u.grant.vouchers.vouchers_val[1].expires, 1795313620);
	assert_true(slice_eq(encode((xdrproc_t)xdr_peer3_grant_res, &t), buf_view(&b)));
	assert_int_equal(drac_grant_res_read(encode((xdrproc_t)xdr_peer3_grant_res, &t), &st, &got, &retry), 0);
	assert_int_equal(st, DRAC3_OK);
	assert_true(got.n == 2 && got.used == 3 && got.first == e.first && net_addr_eq(&got.addr, &e.addr));
	same_who(&got.vouchers[1].who, &t.peer3_grant_res_u.grant.vouchers.vouchers_val[1].who);
	xdr_free((xdrproc_t)xdr_peer3_grant_res, (char *)&t);
	buf_reset(&b);
	drac_grant_res_put(&b, DRAC3_LIMITED, NULL, 42);
	decode((xdrproc_t)xdr_peer3_grant_res, &t, sizeof(t), buf_view(&b));
	assert_int_equal(t.peer3_grant_res_u.retry_after, 42);
	assert_int_equal(drac_grant_res_read(buf_view(&b), &st, &got, &retry), 0);
	assert_true(st == DRAC3_LIMITED && retry == 42);
	buf_reset(&b);
	drac_grant_res_put(&b, DRAC3_NOTFOUND, NULL, 0);
	decode((xdrproc_t)xdr_peer3_grant_res, &t, sizeof(t), buf_view(&b));
	assert_int_equal(t.status, PEER3_NOTFOUND);
	buf_done(&b);
}

static void other_arguments(void **state)
{
	char octets[4] = { (char)192, 0, 2, 7 };
	char cursor[8] = "abcdefg";
	peer3_key k = { { 4, octets }, user };
	peer3_use_args u = { { 4, octets }, user, 9 };
	peer3_list_args l = { { 8, cursor }, 12, user };
	peer3_pull_args p = { 0x1122334455667788, 7, 64, 1000 };
	peer3_count c = { PEER3_LIMITED, 5 };
	struct drac_key ok;
	struct drac_use_args ou;
	struct drac_list_args ol;
	struct drac_pull_args op;
	enum drac_status st;
	uint32_t n;
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	assert_int_equal(drac_key_read(encode((xdrproc_t)xdr_peer3_key, &k), &ok), 0);
	assert_true(slice_eqs(ok.user, user) && ok.addr.len == 4 && !ok.bad_addr);
	drac_key_put(&b, &ok);
	assert_true(slice_eq(buf_view(&b), encode((xdrproc_t)xdr_peer3_key, &k)));
	buf_reset(&b);
	assert_int_equal(drac_use_args_read(encode((xdrproc_t)xdr_peer3_use_args, &u), &ou), 0);
	assert_true(ou.rcpts == 9);
	drac_use_args_put(&b, &ou);
	assert_true(slice_eq(buf_view(&b), encode((xdrproc_t)xdr_peer3_use_args, &u)));
	buf_reset(&b);
	assert_int_equal(drac_list_args_read(encode((xdrproc_t)xdr_peer3_list_args, &l), &ol), 0);
	assert_true(ol.max == 12 && ol.cursor.n == 8);
	drac_list_args_put(&b, &ol);
	assert_true(slice_eq(buf_view(&b), encode((xdrproc_t)xdr_peer3_list_args, &l)));
	buf_reset(&b);
	assert_int_equal(drac_pull_args_read(encode((xdrproc_t)xdr_peer3_pull_args, &p), &op), 0);
	assert_true(op.epoch == 0x1122334455667788 && op.after == 7 && op.max == 64 && op.wait_ms == 1000);
	drac_pull_args_put(&b, &op);
	assert_true(slice_eq(buf_view(&b), encode((xdrproc_t)xdr_peer3_pull_args, &p)));
	assert_int_equal(drac_count_read(encode((xdrproc_t)xdr_peer3_count, &c), &st, &n), 0);
	assert_true(st == DRAC3_LIMITED && n == 5);
	buf_done(&b);
}

static void events(void **state)
{
	struct drac_event e = { .serial = 9, .kind = DRAC_EV_REVOKE, .addr = addr_of("192.0.2.7"), .who = our_who(), .expires = 11 }, got;
	peer3_event t;
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	drac_event_put(&b, &e);
	decode((xdrproc_t)xdr_peer3_event, &t, sizeof(t), buf_view(&b));
	assert_true(t.serial == 9 && t.kind == PEER3_EV_REVOKE && t.expires == 11);
	struct xdr x = { encode((xdrproc_t)xdr_peer3_event, &t), false };
	drac_event_get(&x, &got);
	assert_true(xdr_done(&x) && got.serial == 9);
	same_who(&got.who, &t.who);
	xdr_free((xdrproc_t)xdr_peer3_event, (char *)&t);
	buf_done(&b);
}

/* The whole head, by libtirpc's own client and server code. */
static void heads(void **state)
{
	struct rpc_msg m = { .rm_xid = 0x12345678, .rm_direction = CALL };
	struct drac_call c;
	struct buf b;
	XDR x;

	(void)state;
	m.rm_call.cb_rpcvers = 2;
	m.rm_call.cb_prog = DRAC_PROGRAM;
	m.rm_call.cb_vers = 3;
	m.rm_call.cb_proc = DRAC3_QUERY;
	m.rm_call.cb_cred = _null_auth;
	m.rm_call.cb_verf = _null_auth;
	xdrmem_create(&x, theirs, sizeof(theirs), XDR_ENCODE);
	assert_true(xdr_callmsg(&x, &m));
	struct slice wire = slice_mem(theirs, xdr_getpos(&x));
	assert_int_equal(drac_call_read(wire, &c), 0);
	assert_true(c.xid == 0x12345678 && c.rpc_version == 2 && c.program == DRAC_PROGRAM && c.version == 3 && c.procedure == DRAC3_QUERY && c.args.n == 0);
	buf_init(&b, BUF_UNBOUNDED);
	drac_call_put(&b, 0x12345678, 3, DRAC3_QUERY);
	assert_true(slice_eq(buf_view(&b), wire));
	buf_reset(&b);
	drac_reply_put_low_high(&b, 7, 1, 2);
	memset(&m, 0, sizeof(m));
	m.acpted_rply.ar_results.proc = (xdrproc_t)(void (*)(void))xdr_void;
	xdrmem_create(&x, b.p, (u_int)b.len, XDR_DECODE);
	assert_true(xdr_replymsg(&x, &m));
	assert_true(m.rm_xid == 7 && m.acpted_rply.ar_stat == PROG_MISMATCH && m.acpted_rply.ar_vers.low == 1 && m.acpted_rply.ar_vers.high == 2);
	buf_reset(&b);
	drac_reply_put_denied(&b, 8, DRAC_AUTH_TOOWEAK);
	memset(&m, 0, sizeof(m));
	xdrmem_create(&x, b.p, (u_int)b.len, XDR_DECODE);
	assert_true(xdr_replymsg(&x, &m));
	assert_true(m.rm_reply.rp_stat == MSG_DENIED && m.rjcted_rply.rj_stat == AUTH_ERROR && m.rjcted_rply.rj_why == AUTH_TOOWEAK);
	buf_done(&b);
}

static void versions_1_and_2(void **state)
{
	static const char two[] = "00000020000000010000000dffffffb8";
	struct net_addr a4 = addr_of("192.0.2.77"), a6 = addr_of("2001:db8::ff80"), got;
	peer1_add_args one = { 0xc000024d };
	peer2_add_args six;
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	drac1_args_put(&b, &a4);
	assert_true(slice_eq(buf_view(&b), encode((xdrproc_t)xdr_peer1_add_args, &one)));
	buf_reset(&b);
	for (size_t i = 0; i < 16; i++)
		six.octet[i] = (signed char)a6.octets[i];
	drac2_args_put(&b, &a6);
	assert_int_equal(b.len, 64);
	assert_true(slice_eq(buf_view(&b), encode((xdrproc_t)xdr_peer2_add_args, &six)));
	for (size_t i = 0; i < 16; i++) {
		char hex[3] = { two[2 * (i % 16)], two[2 * (i % 16) + 1], 0 };
		assert_int_equal((uint8_t)b.p[i], (uint8_t)strtoul(hex, NULL, 16));
	}
	assert_int_equal(drac2_args_read(buf_view(&b), &got), 0);
	assert_true(net_addr_eq(&got, &a6));
	for (size_t i = 0; i < 16; i++)
		six.octet[i] = a6.octets[i];                              /* where char is unsigned */
	assert_int_equal(drac2_args_read(encode((xdrproc_t)xdr_peer2_add_args, &six), &got), 0);
	assert_true(net_addr_eq(&got, &a6));
	buf_done(&b);
}
#endif

int main(void)
{
#ifdef HAVE_RPCGEN
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grant_args),
		cmocka_unit_test(grant_result),
		cmocka_unit_test(other_arguments),
		cmocka_unit_test(events),
		cmocka_unit_test(heads),
		cmocka_unit_test(versions_1_and_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
#else
	print_message("skipped: no rpcgen (Debian: rpcsvc-proto)\n");
	return 0;
#endif
}
