/*
 * Names and addresses out of DNS records; nothing malformed passes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "io/dns.h"

static void test_names(void **state)
{
	static const struct { struct slice rdata; const char *want; } cases[] = {
		{ SLICE_INIT("\2Mx\7Example\4test\0"), "mx.example.test" },
		{ SLICE_INIT("\0"), "" },
		{ SLICE_INIT("\2mx"), NULL },                         /* no root */
		{ SLICE_INIT("\5mx\0"), NULL },                       /* label past the end */
		{ SLICE_INIT("\2mx\0x"), NULL },                      /* octets behind */
		{ SLICE_INIT("\300\014"), NULL },                     /* a pointer */
		{ SLICE_INIT("\3a\r\n\0"), NULL },
		{ SLICE_INIT("\3a.b\0"), NULL },
		{ SLICE_INIT(""), NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char out[256] = "untouched";
		int rc = dns_get_name(cases[i].rdata, out);

		assert_int_equal(rc, cases[i].want == NULL ? -1 : 0);
		assert_string_equal(out, cases[i].want == NULL ? "untouched" : cases[i].want);
	}
}

static void test_longest_name(void **state)
{
	char rdata[330], out[256];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 5; i++) {
		rdata[n++] = 63;
		memset(rdata + n, 'a', 63);
		n += 63;
	}
	rdata[n] = 0;
	assert_int_equal(dns_get_name(slice_mem(rdata, n + 1), out), -1);
	rdata[3 * 64] = 0;
	assert_int_equal(dns_get_name(slice_mem(rdata, 3 * 64 + 1), out), 0);
	assert_int_equal(strlen(out), 191);
}

static void test_mx_and_addr(void **state)
{
	unsigned pref = 0;
	char host[256];
	struct net_addr a;
	char text[NET_TEXT_MAX];

	(void)state;
	assert_int_equal(dns_get_mx(SLICE("\1\2\2mx\0"), &pref, host), 0);
	assert_true(pref == 258 && strcmp(host, "mx") == 0);
	assert_int_equal(dns_get_mx(SLICE("\0\0\0"), &pref, host), 0);
	assert_true(pref == 0 && host[0] == '\0');                    /* null MX, RFC 7505 */
	assert_int_equal(dns_get_mx(SLICE("\0\0"), &pref, host), -1);
	assert_int_equal(dns_get_addr(SLICE("\177\0\0\1"), &a), 0);
	assert_string_equal(net_addr_text(&a, text), "127.0.0.1");
	assert_int_equal(dns_get_addr(SLICE("\177\0\0"), &a), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_longest_name),
		cmocka_unit_test(test_mx_and_addr),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
