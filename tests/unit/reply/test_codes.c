/*
 * Every row of the table of refusals: complete, found by its code, and able to make a reply that leads back to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "reply/codes.h"

static void test_rows(void **state)
{
	struct arena *a = arena_new(0);

	(void)state;
	assert_null(code_row(CODE_NONE));
	for (unsigned c = CODE_NONE + 1; c < CODES; c++) {
		const struct code_row *row = code_row((enum code)c);
		const char *reply;

		assert_non_null(row->name);
		assert_int_equal(strlen(row->name), 3);
		assert_true(strlen(row->status) >= sizeof("550 5.7.1") - 1);
		assert_int_equal(row->status[0], row->status[4]);     /* 5xx goes with 5.x.x */
		assert_true(strlen(row->title) > 3 && strlen(row->meaning) > 20 && strlen(row->cure) > 5);
		assert_int_equal(row->meaning[strlen(row->meaning) - 1], '.');
		assert_int_equal(row->cure[strlen(row->cure) - 1], '.');
		assert_int_equal(code_find(slice_of(row->name)), c);
		reply = code_reply(a, (enum code)c, "some [words] of %d", 1);
		assert_true(slice_starts(slice_of(reply), slice_of(row->status)));
		assert_int_equal(code_find(slice_of(reply)), c);
		for (const char *p = reply; *p != '\0'; p++)
			assert_true(*p >= ' ' && *p <= '~');
	}
	arena_free(&a);
}

static void test_find(void **state)
{
	(void)state;
	assert_int_equal(code_find(SLICE("PH-R01")), CODE_RELAY_DENIED);
	assert_int_equal(code_find(SLICE("ph-r01")), CODE_RELAY_DENIED);
	assert_int_equal(code_find(SLICE(" [PH-R01] ")), CODE_RELAY_DENIED);
	assert_int_equal(code_find(SLICE("550 5.7.1 <x@[192.0.2.1]>... no [PH-R01]")), CODE_RELAY_DENIED);
	assert_int_equal(code_find(SLICE("R99")), CODE_NONE);
	assert_int_equal(code_find(SLICE("")), CODE_NONE);
	assert_int_equal(code_find(SLICE("[")), CODE_NONE);
	assert_int_equal(code_find(SLICE("]")), CODE_NONE);
	assert_int_equal(code_find(SLICE("550 5.7.1 no code at all")), CODE_NONE);
}

static void test_reply(void **state)
{
	struct arena *a = arena_new(0);

	(void)state;
	assert_string_equal(code_reply(a, CODE_RELAY_DENIED, "<%s>... Relaying denied", "x@y"), "550 5.7.1 <x@y>... Relaying denied [PH-R01]");
	assert_string_equal(code_reply_as(a, "450 4.7.0", CODE_ACCESS_WORDS, "later"), "450 4.7.0 later [PH-A03]");
	assert_string_equal(code_reply_as(a, NULL, CODE_NONE, "as it is"), "as it is");
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_find), cmocka_unit_test(test_reply) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
