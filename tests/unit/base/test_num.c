#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/num.h"

static void decimals_are_whole_and_bounded(void **state UNUSED)
{
	static const char *const bad[] = { "", "-1", "+1", " 1", "1 ", "1a", "0x1", "18446744073709551616", "99999999999999999999" };
	uint64_t v = 77;
	uint32_t w = 77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(num_u64(slice_of(bad[i]), UINT64_MAX, &v), -1);
	assert_int_equal(v, 77);
	assert_int_equal(num_u64(SLICE("18446744073709551615"), UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(num_u64(SLICE("007"), 7, &v), 0);
	assert_int_equal(v, 7);
	assert_int_equal(num_u64(SLICE("8"), 7, &v), -1);
	assert_int_equal(num_u32(SLICE("4294967296"), UINT32_MAX, &w), -1);
	assert_int_equal(w, 77);
	assert_int_equal(num_u32(SLICE("4294967295"), UINT32_MAX, &w), 0);
	assert_true(w == UINT32_MAX);
}

static void signed_reaches_both_ends(void **state UNUSED)
{
	int64_t v = 1;

	assert_int_equal(num_i64(SLICE("-9223372036854775808"), &v), 0);
	assert_true(v == INT64_MIN);
	assert_int_equal(num_i64(SLICE("9223372036854775807"), &v), 0);
	assert_true(v == INT64_MAX);
	assert_int_equal(num_i64(SLICE("9223372036854775808"), &v), -1);
	assert_int_equal(num_i64(SLICE("-9223372036854775809"), &v), -1);
	assert_int_equal(num_i64(SLICE("-"), &v), -1);
	assert_int_equal(num_i64(SLICE("--1"), &v), -1);
	assert_int_equal(num_i64(SLICE("-5"), &v), 0);
	assert_int_equal(v, -5);
}

static void other_bases(void **state UNUSED)
{
	uint64_t v;
	char text[14];
	static const uint64_t values[] = { 0, 1, 35, 36, 1700000000, UINT64_MAX };

	assert_int_equal(num_hex(SLICE("fF0"), &v), 0);
	assert_int_equal(v, 0xff0);
	assert_int_equal(num_hex(SLICE("ffffffffffffffff"), &v), 0);
	assert_int_equal(num_hex(SLICE("0ffffffffffffffff"), &v), -1);
	assert_int_equal(num_hex(SLICE("g"), &v), -1);
	assert_int_equal(num_hex(SLICE(""), &v), -1);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		size_t n = num_to_base36(values[i], text);

		assert_int_equal(num_base36(slice_mem(text, n), UINT64_MAX, &v), 0);
		assert_true(v == values[i]);
		assert_int_equal(text[n], 0);
	}
	assert_string_equal(text, "3w5e11264sgsf");
	assert_int_equal(num_base36(SLICE("3w5e11264sgsg"), UINT64_MAX, &v), -1);
	assert_int_equal(num_base36(SLICE("A"), UINT64_MAX, &v), -1);
}

static void units(void **state UNUSED)
{
	static const struct { const char *text; uint64_t v; const char *back; } secs[] = {
		{ "90", 90, "90s" }, { "10s", 10, "10s" }, { "5m", 300, "5m" }, { "2h", 7200, "2h" }, { "3d", 259200, "3d" },
		{ "1w", 604800, "1w" }, { "0", 0, "0" }, { "3600", 3600, "1h" },
	}, sizes[] = {
		{ "64K", 65536, "64K" }, { "25M", 26214400, "25M" }, { "2g", 2147483648, "2G" }, { "1000", 1000, "1000" }, { "0", 0, "0" },
		{ "1T", 1099511627776, "1T" },
	};
	static const char *const bad[] = { "", "m", "1x", "1 m", "-1m", "1mm", "99999999999999999999w", "30500568904944w" };
	uint64_t v;
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(secs) / sizeof(*secs); i++) {
		assert_int_equal(num_secs(slice_of(secs[i].text), &v), 0);
		assert_true(v == secs[i].v);
		buf_reset(&b);
		num_put_secs(&b, v);
		assert_string_equal(buf_str(&b), secs[i].back);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_int_equal(num_size(slice_of(sizes[i].text), &v), 0);
		assert_true(v == sizes[i].v);
		buf_reset(&b);
		num_put_size(&b, v);
		assert_string_equal(buf_str(&b), sizes[i].back);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(num_secs(slice_of(bad[i]), &v), -1);
	assert_int_equal(num_size(SLICE("16777216T"), &v), -1);
	assert_int_equal(num_secs(SLICE("1M"), &v), -1);              /* a month? a minute? */
	buf_done(&b);
}

static void little_endian_at_any_address(void **state UNUSED)
{
	unsigned char p[12] = { 0 };

	num_put_le32(p + 1, 0x01020304);
	assert_int_equal(p[1], 4);
	assert_int_equal(p[4], 1);
	assert_int_equal(num_get_le32(p + 1), 0x01020304);
	num_put_le64(p + 3, 0xfedcba9876543210);
	assert_true(num_get_le64(p + 3) == 0xfedcba9876543210);
	assert_int_equal(p[11], 0);
	num_put_le16(p + 1, 0xabcd);
	assert_int_equal(num_get_le16(p + 1), 0xabcd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decimals_are_whole_and_bounded), cmocka_unit_test(signed_reaches_both_ends), cmocka_unit_test(other_bases),
		cmocka_unit_test(units), cmocka_unit_test(little_endian_at_any_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
