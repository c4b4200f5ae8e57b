/*
 * The allow file, as the original read it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "drac/allow.h"

static struct net_addr addr_of(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

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

/* Who lets so much of the world register that strangers are in it. */
static void strangers(void **state)
{
	static const struct { const char *text, *also; unsigned line; } cases[] = {
		{ "192.0.2.1\n255.0.0.0 10.0.0.0\n127.0.0.0/8\nfc00::/7\n12.0.0.0/8\n2400::/19\n", NULL, 0 },
		{ "192.0.2.1\n0.0.0.0 0.0.0.0\n", NULL, 2 }, { "# x\n\n0.0.0.0/1\n", NULL, 3 }, { "::/0\n", NULL, 1 }, { "2000::/3\n", NULL, 1 }, { "8.0.0.0/7\n", NULL, 1 },
		{ "0.0.0.255 0.0.0.7\n", NULL, 1 }, { "255.0.255.0 11.0.5.0\n", NULL, 0 },
		{ "12.0.0.0/8\n13.0.0.0/8\n14.0.0.0/8\n15.0.0.0/8\n", NULL, 4 }, { "12.0.0.0/9\n13.0.0.0/9\n14.0.0.0/9\n15.0.0.0/9\n", NULL, 0 },
		{ "0.0.0.0/0\n", "127.0.0.1 192.0.2.0/24", 0 }, { "0.0.0.0/0\n", "", 0 }, { "0.0.0.0/0\n", "::/0", 0 }, { "192.0.2.0/24\n", "0.0.0.0/0", 0 },
		{ "192.0.2.1\n0.0.0.0/0\n", "0.0.0.0/1", 2 }, { "0.0.0.0/1\n", "128.0.0.0/1", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct allow *a = NULL, *also = NULL;
		struct err e = ERR_INIT;
		unsigned line = 0;

		assert_int_equal(allow_parse(&a, "dracd.allow", slice_of(cases[i].text), &e), 0);
		if (cases[i].also != NULL)
			assert_int_equal(allow_from_list(&also, "drac_trust_v1", cases[i].also, &e), 0);
		if (allow_lets_strangers_in(a, also, &line) != (cases[i].line != 0) || line != cases[i].line)
			fail_msg("%s with %s: %u", cases[i].text, cases[i].also != NULL ? cases[i].also : "all", line);
		allow_free(&a);
		allow_free(&also);
	}
}

/* The list that we ship, with the setting's default. */
static void shipped_never_list(void **state)
{
	static const struct { const char *addr; bool never; } cases[] = {
		{ "209.85.220.41", true }, { "2a00:1450:4864:20::1", true }, { "40.92.1.1", true }, { "40.107.8.9", true }, { "2a01:111:f403:c100::2", true },
		{ "192.0.2.1", false }, { "93.184.216.34", false }, { "2001:db8::1", false }, { "127.0.0.1", false },
	};
	struct allow *a = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(allow_from_list(&a, "drac_never", "", &e), 0);
	assert_int_equal(allow_add_file(a, "/nonexistent/dracd.never", &e), 0);
	assert_int_equal(allow_count(a), 0);
	if (allow_add_file(a, "etc/dracd.never", &e) != 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_addr c = addr_of(cases[i].addr);
		if (allow_has(a, &c) != cases[i].never)
			fail_msg("%s", cases[i].addr);
	}
	assert_int_equal(allow_add_list(a, "proxy_protocol_from", "10.0.0.0/8 nonsense", &e), -1);
	assert_non_null(strstr(e.text, "proxy_protocol_from: 'nonsense'"));
	allow_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allow_file), cmocka_unit_test(strangers),
		cmocka_unit_test(shipped_never_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
