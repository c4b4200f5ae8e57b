/*
 * Next hops and the order of MX records.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "client/hop.h"

static void test_texts(void **state)
{
	static const struct { const char *in, *host; bool lmtp, use_mx; unsigned port; } cases[] = {
		{ "Example.NET", "example.net", false, true, 0 }, { "example.net.", "example.net", false, true, 0 },
		{ "example.net:2525", "example.net", false, true, 2525 }, { "[mail.example.net]", "mail.example.net", false, false, 0 },
		{ "[192.0.2.1]:26", "192.0.2.1", false, false, 26 }, { "[2001:db8::1]:25", "2001:db8::1", false, false, 25 },
		{ "lmtp:[host]:24", "host", true, false, 24 }, { "lmtp:/Run/x", "/Run/x", true, false, 0 }, { "smtp:[h]", "h", false, false, 0 },
		{ "", NULL, false, false, 0 }, { "[]", NULL, false, false, 0 }, { "[x", NULL, false, false, 0 }, { "x:0", NULL, false, false, 0 },
		{ "x:65536", NULL, false, false, 0 }, { "[x]y", NULL, false, false, 0 }, { "a b", NULL, false, false, 0 }, { "lmtp:", NULL, false, false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct hop h;

		assert_int_equal(hop_parse(slice_of(cases[i].in), &h), cases[i].host == NULL ? -1 : 0);
		if (cases[i].host == NULL)
			continue;
		assert_string_equal(h.host, cases[i].host);
		assert_true(h.lmtp == cases[i].lmtp && h.use_mx == cases[i].use_mx && h.port == cases[i].port);
	}
}

static void test_sorted_and_shuffled(void **state)
{
	unsigned first[3] = { 0, 0, 0 };

	(void)state;
	for (uint64_t luck = 0; luck < 300; luck++) {
		struct mx list[] = { { 20, "d" }, { 10, "a" }, { 10, "b" }, { 10, "c" } };

		mx_sort(list, 4, luck * 0x9e3779b97f4a7c15u);
		assert_string_equal(list[3].host, "d");
		first[list[0].host[0] - 'a']++;
	}
	assert_true(first[0] > 50 && first[1] > 50 && first[2] > 50);
}

static void test_cut_at_us(void **state)
{
	struct mx list[] = { { 5, "a" }, { 10, "b" }, { 10, "Us.test" }, { 20, "c" } };

	(void)state;
	assert_int_equal(mx_cut_at_us(list, 4, "us.test"), 1);
	assert_int_equal(mx_cut_at_us(list, 4, "other.test"), 4);
	assert_int_equal(mx_cut_at_us(list, 4, "a"), 0);
}

static void test_null_mx(void **state)
{
	struct mx null = { 0, "" }, list[] = { { 0, "" }, { 10, "a" } };

	(void)state;
	assert_true(mx_is_null(&null, 1));
	assert_false(mx_is_null(list, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_texts), cmocka_unit_test(test_sorted_and_shuffled), cmocka_unit_test(test_cut_at_us),
		cmocka_unit_test(test_null_mx) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
