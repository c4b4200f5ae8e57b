/* Modified UTF-7: one spelling a name, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/mime.h"

static const struct { const char *utf8, *utf7; } good[] = {
	{ "INBOX", "INBOX" },
	{ "Projekt & Überblick", "Projekt &- &ANw-berblick" },
	{ "~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-" },   /* RFC 3501 5.1.3 */
	{ "😀", "&2D3eAA-" },
	{ "ä&ö", "&AOQ-&-&APY-" },
	{ "", "" },
};

static void both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(utf8_to_utf7(slice_of(good[i].utf8), &b), 0);
		assert_string_equal(buf_str(&b), good[i].utf7);
		buf_reset(&b);
		assert_int_equal(utf7_to_utf8(slice_of(good[i].utf7), &b), 0);
		assert_string_equal(buf_str(&b), good[i].utf8);
		buf_done(&b);
	}
}

static const char *const bad[] = {
	"&", "a&b", "&ANw", "&AGE-" /* encoded "a" */, "&A-", "&AN-", "&ANx-" /* spare bits */, "&2D0-" /* half a surrogate pair */, "&3gA-",
	"&ANw-&ANw-" /* two shifts */, "\xc3\xa4", "a\tb", "&AN!-",
};

static void one_spelling(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct buf b;

		buf_init(&b, 1000);
		buf_puts(&b, "kept");
		if (utf7_to_utf8(slice_of(bad[i]), &b) == 0)
			fail_msg("%s was accepted as %s", bad[i], buf_str(&b));
		assert_string_equal(buf_str(&b), "kept");
		buf_done(&b);
	}
	struct buf small;

	buf_init(&small, 3);
	assert_int_equal(utf8_to_utf7(SLICE("\xc3\xa4"), &small), -1);        /* over max */
	assert_int_equal(utf8_to_utf7(SLICE("\xc3"), &small), -1);            /* not UTF-8 */
	assert_int_equal(small.len, 0);
	buf_done(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_ways), cmocka_unit_test(one_spelling) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
