#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/text.h"

static int unbase64(const char *s, struct buf *out)
{
	buf_reset(out);
	return text_unbase64(slice_of(s), out);
}

static void base64_round_trip(void **state UNUSED)
{
	struct buf coded, plain;
	char octets[64];

	buf_init(&coded, BUF_UNBOUNDED);
	buf_init(&plain, BUF_UNBOUNDED);
	for (size_t n = 0; n <= sizeof(octets); n++) {
		for (size_t i = 0; i < n; i++)
			octets[i] = (char)(i * 37 + n);
		buf_reset(&coded);
		assert_int_equal(text_base64(slice_mem(octets, n), &coded), 0);
		assert_int_equal(coded.len, (n + 2) / 3 * 4);
		assert_int_equal(unbase64(buf_str(&coded), &plain), 0);
		assert_true(slice_eq(buf_view(&plain), slice_mem(octets, n)));
	}
	buf_reset(&coded);
	assert_int_equal(text_base64(SLICE("foob"), &coded), 0);
	assert_string_equal(buf_str(&coded), "Zm9vYg==");
	buf_done(&coded);
	buf_done(&plain);
}

static void base64_is_strict(void **state UNUSED)
{
	static const char *const bad[] = { "Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm-v", "Z=9v", "Zg=v", "\xc3\xa9==" };
	struct buf out;

	buf_init(&out, 5);
	buf_puts(&out, "ab");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(text_unbase64(slice_of(bad[i]), &out), -1);
		assert_string_equal(buf_str(&out), "ab");
	}
	assert_int_equal(text_unbase64(SLICE("Zm9vYmFy"), &out), -1); /* over the cap */
	assert_int_equal(text_base64(SLICE("abcd"), &out), -1);
	assert_string_equal(buf_str(&out), "ab");
	assert_int_equal(text_unbase64(SLICE("Zm9v"), &out), 0);
	assert_string_equal(buf_str(&out), "abfoo");
	buf_done(&out);
}

static void hex_round_trip(void **state UNUSED)
{
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	text_hex(SLICE("\x00\xff\x1a"), &out);
	assert_string_equal(buf_str(&out), "00ff1a");
	buf_reset(&out);
	assert_int_equal(text_unhex(SLICE("00FF1a"), &out), 0);
	assert_true(slice_eq(buf_view(&out), SLICE("\x00\xff\x1a")));
	assert_int_equal(text_unhex(SLICE("0"), &out), -1);
	assert_int_equal(text_unhex(SLICE("00 1"), &out), -1);
	assert_int_equal(out.len, 3);
	buf_done(&out);
}

static void utf8_is_rfc3629(void **state UNUSED)
{
	static const char *const good[] = { "", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };
	static const char *const bad[] = { "\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc2", "\xe2\x82", "\xf0\x90\x80", "\xc2" "a", "\xff" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(text_is_utf8(slice_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(text_is_utf8(slice_of(bad[i])));
	assert_int_equal(text_utf8_len(SLICE("\xe2\x82\xac+")), 3);
	assert_int_equal(text_utf8_len(SLICE("")), 0);
	assert_true(text_is_ascii(SLICE("a\x7f")));
	assert_false(text_is_ascii(SLICE("a\0")));
	assert_false(text_is_ascii(SLICE("\x80")));
	assert_true(text_has_ctl(SLICE("a\x7f")));
	assert_true(text_has_ctl(SLICE("a\n")));
	assert_false(text_has_ctl(SLICE("a \x80")));
}

static void json_is_rfc8259(void **state UNUSED)
{
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	text_json(SLICE("a\"\\\n\0\x7f/\xc3\xa9\xff\xc3"), &out);
	assert_string_equal(buf_str(&out), "\"a\\\"\\\\\\u000a\\u0000\\u007f/\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\"");
	buf_reset(&out);
	text_json(SLICE(""), &out);
	assert_string_equal(buf_str(&out), "\"\"");
	buf_done(&out);
}

static void escape_leaves_nothing_to_forge(void **state UNUSED)
{
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	text_escape(SLICE("a\r\n\\b\xff\xc3\xa9\x7f\0"), &out);
	assert_string_equal(buf_str(&out), "a\\x0d\\x0a\\x5cb\\xff\xc3\xa9\\x7f\\x00");
	buf_done(&out);
}

static void xtext_is_rfc3461(void **state UNUSED)
{
	static const char *const bad[] = { "a b", "a=b", "a+2", "a+", "a+2b", "a+GG", "\x80", "a\x7f" };
	struct buf out;

	buf_init(&out, 12);
	assert_int_equal(text_xtext(SLICE("a+b= \xff"), &out), -1);    /* 14 octets */
	assert_int_equal(out.len, 0);
	assert_int_equal(text_xtext(SLICE("a+b= "), &out), 0);
	assert_string_equal(buf_str(&out), "a+2Bb+3D+20");
	buf_reset(&out);
	assert_int_equal(text_unxtext(SLICE("a+2Bb+3D+20"), &out), 0);
	assert_string_equal(buf_str(&out), "a+b= ");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(text_unxtext(slice_of(bad[i]), &out), -1);
		assert_string_equal(buf_str(&out), "a+b= ");
	}
	buf_done(&out);
}

static void secrets_and_chance(void **state UNUSED)
{
	char a[32] = { 0 }, b[32] = { 0 };

	assert_true(text_equal_secret(SLICE("abc"), SLICE("abc")));
	assert_false(text_equal_secret(SLICE("abc"), SLICE("abd")));
	assert_false(text_equal_secret(SLICE("abc"), SLICE("abcd")));
	text_random(a, sizeof(a));
	text_random(b, sizeof(b));
	assert_int_not_equal(memcmp(a, b, sizeof(a)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_round_trip), cmocka_unit_test(base64_is_strict), cmocka_unit_test(hex_round_trip),
		cmocka_unit_test(utf8_is_rfc3629), cmocka_unit_test(escape_leaves_nothing_to_forge), cmocka_unit_test(json_is_rfc8259), cmocka_unit_test(xtext_is_rfc3461),
		cmocka_unit_test(secrets_and_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
