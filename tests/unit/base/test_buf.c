#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"

static void grows_to_its_cap_and_no_further(void **state UNUSED)
{
	struct buf b;

	buf_init(&b, 100);
	for (int i = 0; i < 10; i++)
		assert_int_equal(buf_adds(&b, "0123456789"), 0);
	assert_int_equal(b.len, 100);
	assert_int_equal(buf_addc(&b, 'x'), -1);
	assert_int_equal(buf_addf(&b, "%d", 1), -1);
	assert_null(buf_room(&b, 1));
	assert_non_null(buf_room(&b, 0));
	assert_int_equal(b.len, 100);
	assert_int_equal(strlen(buf_str(&b)), 100);
	buf_done(&b);
	buf_done(&b);
	assert_int_equal(buf_adds(&b, "again"), 0);                   /* the cap outlives buf_done */
	buf_wipe(&b);
}

static void keeps_a_nul_behind(void **state UNUSED)
{
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	assert_string_equal(buf_str(&b), "");
	buf_put(&b, SLICE("a\0b"));
	assert_int_equal(b.len, 3);
	assert_int_equal(buf_str(&b)[3], 0);
	buf_putc(&b, 'c');
	buf_putf(&b, "%s-%d", "x", 7);
	assert_true(slice_eq(buf_view(&b), SLICE("a\0bcx-7")));
	buf_take(&b, 2);
	assert_string_equal(buf_str(&b), "bcx-7");
	buf_cut(&b, 2);
	assert_string_equal(buf_str(&b), "bc");
	buf_reset(&b);
	assert_string_equal(buf_str(&b), "");
	assert_non_null(b.p);
	buf_shrink(&b);
	assert_null(b.p);
	buf_done(&b);
}

static void room_is_filled_by_the_caller(void **state UNUSED)
{
	struct buf b;
	char *to;

	buf_init(&b, 1000);
	buf_puts(&b, "head ");
	to = buf_room(&b, 500);
	assert_non_null(to);
	memset(to, 'y', 500);
	buf_filled(&b, 3);
	assert_string_equal(buf_str(&b), "head yyy");
	assert_null(buf_room(&b, SIZE_MAX));
	assert_null(buf_room(&b, 993));
	assert_non_null(buf_room(&b, 992));
	buf_done(&b);
}

static void long_formats_fit(void **state UNUSED)
{
	struct buf b;
	char text[5000];

	memset(text, 'z', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	buf_init(&b, BUF_UNBOUNDED);
	buf_putf(&b, "<%s>", text);
	assert_int_equal(b.len, 5001);
	assert_int_equal(b.p[5000], '>');
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_to_its_cap_and_no_further), cmocka_unit_test(keeps_a_nul_behind),
		cmocka_unit_test(room_is_filled_by_the_caller), cmocka_unit_test(long_formats_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
