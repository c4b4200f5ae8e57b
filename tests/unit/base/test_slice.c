#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/slice.h"

static void compares_octets_and_ascii_case(void **state UNUSED)
{
	assert_true(slice_eq(SLICE("ab"), SLICE("ab")));
	assert_false(slice_eq(SLICE("ab"), SLICE("aB")));
	assert_true(slice_ieq(SLICE("MAIL[\x80"), SLICE("mail[\x80")));
	assert_false(slice_ieq(SLICE("@"), SLICE("`")));             /* 0x40 and 0x60 are no letters */
	assert_true(slice_eq(SLICE_NONE, SLICE("")));
	assert_true(slice_eqs(SLICE("x"), "x"));
	assert_true(slice_ieqs(SLICE("x"), "X"));
	assert_true(slice_cmp(SLICE("a"), SLICE("ab")) < 0);
	assert_true(slice_cmp(SLICE("b"), SLICE("ab")) > 0);
	assert_true(slice_cmp(SLICE("\xff"), SLICE("a")) > 0);
	assert_int_equal(slice_icmp(SLICE("Ab"), SLICE("aB")), 0);
	assert_true(slice_icmp(SLICE("\xff"), SLICE("a")) > 0);
	assert_true(slice_icmp(SLICE("a"), SLICE("AB")) < 0);
}

static void knows_both_ends(void **state UNUSED)
{
	assert_true(slice_starts(SLICE("MAIL FROM"), SLICE("MAIL")));
	assert_false(slice_starts(SLICE("MA"), SLICE("MAIL")));
	assert_true(slice_istarts(SLICE("mail from"), SLICE("MAIL")));
	assert_true(slice_ends(SLICE("a.db"), SLICE(".db")));
	assert_false(slice_ends(SLICE("db"), SLICE(".db")));
	assert_true(slice_iends(SLICE("a.DB"), SLICE(".db")));
	assert_true(slice_starts(SLICE_NONE, SLICE("")));
}

static void cuts_within_bounds(void **state UNUSED)
{
	assert_true(slice_eqs(slice_from(SLICE("abc"), 1), "bc"));
	assert_int_equal(slice_from(SLICE("abc"), 9).n, 0);
	assert_int_equal(slice_from(SLICE_NONE, 9).n, 0);
	assert_true(slice_eqs(slice_head(SLICE("abc"), 2), "ab"));
	assert_true(slice_eqs(slice_head(SLICE("abc"), 9), "abc"));
	assert_true(slice_eqs(slice_trim(SLICE(" \t a b\r\n")), "a b"));
	assert_int_equal(slice_trim(SLICE("\r\n")).n, 0);
}

static void finds(void **state UNUSED)
{
	assert_int_equal(slice_chr(SLICE("a.b.c"), '.'), 1);
	assert_int_equal(slice_rchr(SLICE("a.b.c"), '.'), 3);
	assert_int_equal(slice_chr(SLICE_NONE, '.'), -1);
	assert_int_equal(slice_rchr(SLICE("abc"), '.'), -1);
	assert_int_equal(slice_find(SLICE("abcabd"), SLICE("abd")), 3);
	assert_int_equal(slice_find(SLICE("ab"), SLICE("abd")), -1);
	assert_int_equal(slice_find(SLICE_NONE, SLICE("")), 0);
	assert_int_equal(slice_ifind(SLICE("xxAbD"), SLICE("aBd")), 2);
	assert_int_equal(slice_ifind(SLICE("xx"), SLICE("aBd")), -1);
}

static void next_counts_empty_fields(void **state UNUSED)
{
	struct slice rest = SLICE(",a,,"), field;

	assert_true(slice_next(&rest, ',', &field) && field.n == 0);
	assert_true(slice_next(&rest, ',', &field) && slice_eqs(field, "a"));
	assert_true(slice_next(&rest, ',', &field) && field.n == 0);
	assert_true(slice_next(&rest, ',', &field) && field.n == 0);
	assert_false(slice_next(&rest, ',', &field));
	rest = SLICE("");
	assert_true(slice_next(&rest, ',', &field) && field.n == 0);
	assert_false(slice_next(&rest, ',', &field));
}

static void word_skips_blanks(void **state UNUSED)
{
	struct slice rest = SLICE("  ab\tc "), word;

	assert_true(slice_word(&rest, &word) && slice_eqs(word, "ab"));
	assert_true(slice_word(&rest, &word) && slice_eqs(word, "c"));
	assert_false(slice_word(&rest, &word));
}

static void classes_are_ascii(void **state UNUSED)
{
	for (int i = 0; i < 256; i++) {
		char c = (char)i;
		bool upper = i >= 'A' && i <= 'Z', lower = i >= 'a' && i <= 'z', digit = i >= '0' && i <= '9';

		assert_int_equal(ascii_is_alpha(c), upper || lower);
		assert_int_equal(ascii_is_digit(c), digit);
		assert_int_equal(ascii_is_alnum(c), upper || lower || digit);
		assert_int_equal(ascii_is_print(c), i >= 32 && i < 127);
		assert_int_equal(ascii_is_blank(c), i == 32 || i == 9);
		assert_int_equal(ascii_lower(c), upper ? (char)(i + 32) : c);
		assert_int_equal(ascii_upper(c), lower ? (char)(i - 32) : c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compares_octets_and_ascii_case), cmocka_unit_test(knows_both_ends), cmocka_unit_test(cuts_within_bounds),
		cmocka_unit_test(finds), cmocka_unit_test(next_counts_empty_fields), cmocka_unit_test(word_skips_blanks),
		cmocka_unit_test(classes_are_ascii),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
