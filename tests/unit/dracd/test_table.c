/*
 * The table by the second: expiry, clocks that jump, renewals, limits, and the heap against a model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/dracd/dracd_test.h"

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

/* However many logins there are, the table has its bound; who is in stays in, and is renewed. */
static void table_is_bounded(void **state)
{
	struct table *t = table_new(&policy);
	struct table_grant r;
	char user[32];

	(void)state;
	for (uint32_t i = 0; i <= TABLE_ENTRIES_MAX; i++) {
		struct drac_grant_args g = { .addr = { .octets = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, .len = 4 } };
		g.who.user = slice_mem(user, (size_t)snprintf(user, sizeof(user), "u%u", i));
		table_grant(t, &g, at(0), &r);
		assert_int_equal(r.status, i < TABLE_ENTRIES_MAX ? DRAC3_OK : DRAC3_LIMITED);
	}
	assert_true(r.retry_after > 0);
	assert_int_equal(table_count(t), TABLE_ENTRIES_MAX);
	struct drac_grant_args again = grant_of("10.0.0.5", "u5", 0);

	table_grant(t, &again, at(9), &r);
	assert_true(r.status == DRAC3_OK && !r.is_new);
	assert_int_equal(table_expire(t, at(1801)), TABLE_ENTRIES_MAX - 1);
	assert_int_equal(table_count(t), 1);
	table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expiry_is_to_the_second),
		cmocka_unit_test(clocks_that_jump),
		cmocka_unit_test(renewals),
		cmocka_unit_test(limits),
		cmocka_unit_test(heap_agrees_with_a_model),
		cmocka_unit_test(table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
