/*
 * Replies of strange servers: whole, octet by octet, and hostile (weaknesses.md row 15).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "client/reply.h"

static const struct { struct slice in; enum parse want; unsigned code; const char *dsn, *text; } cases[] = {
	{ SLICE_INIT("250 ok\r\n"), PARSE_OK, 250, "2.0.0", "ok" },
	{ SLICE_INIT("250\r\n"), PARSE_OK, 250, "2.0.0", "" },
	{ SLICE_INIT("550 5.1.1 no such user\r\n"), PARSE_OK, 550, "5.1.1", "no such user" },
	{ SLICE_INIT("550-5.7.1 first\r\n550 5.7.1 second\r\n"), PARSE_OK, 550, "5.7.1", "first second" },
	{ SLICE_INIT("550 4.1.1 wrong class\r\n"), PARSE_OK, 550, "5.0.0", "4.1.1 wrong class" },
	{ SLICE_INIT("451 4.1234.1 x\r\n"), PARSE_OK, 451, "4.0.0", "4.1234.1 x" },
	{ SLICE_INIT("250-a\r\n250"), PARSE_MORE, 0, NULL, NULL },
	{ SLICE_INIT("5.7.2\r\n"), PARSE_BAD, 0, NULL, NULL },        /* CVE-2026-43964 */
	{ SLICE_INIT("250 ok\n"), PARSE_BAD, 0, NULL, NULL },
	{ SLICE_INIT("250-a\r\n550 b\r\n"), PARSE_BAD, 0, NULL, NULL },
	{ SLICE_INIT("25\r\n"), PARSE_BAD, 0, NULL, NULL },
	{ SLICE_INIT("150 x\r\n"), PARSE_BAD, 0, NULL, NULL },
	{ SLICE_INIT("650 x\r\n"), PARSE_BAD, 0, NULL, NULL },
	{ SLICE_INIT("250:x\r\n"), PARSE_BAD, 0, NULL, NULL },
	{ SLICE_INIT("250 a\0b\r\n"), PARSE_BAD, 0, NULL, NULL },
	{ SLICE_INIT("\r\n"), PARSE_BAD, 0, NULL, NULL },
};

static void check(struct reply *r, enum parse got, size_t i)
{
	assert_int_equal(got, cases[i].want);
	if (got != PARSE_OK)
		return;
	assert_int_equal(r->code, cases[i].code);
	assert_string_equal(reply_dsn(r), cases[i].dsn);
	assert_string_equal(buf_str(&r->text), cases[i].text);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const char *why = NULL;
		struct reply r;
		size_t used = 0;

		reply_init(&r);
		check(&r, reply_take(&r, cases[i].in, false, &used, &why), i);
		if (cases[i].want == PARSE_BAD)
			assert_non_null(why);
		reply_done(&r);
	}
}

static void test_octet_by_octet(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		enum parse p = PARSE_MORE;
		const char *why;
		struct reply r;
		size_t from = 0, used;

		reply_init(&r);
		for (size_t n = 1; n <= cases[i].in.n && p == PARSE_MORE; n++) {
			used = 0;
			p = reply_take(&r, slice_from(slice_head(cases[i].in, n), from), false, &used, &why);
			from += used;
		}
		check(&r, p, i);
		reply_done(&r);
	}
}

static void test_bounded(void **state)
{
	char *line = malloc(LIMIT_REPLY_LINE + 100);
	const char *why;
	struct reply r;
	size_t used = 0;
	struct buf b;

	(void)state;
	memset(line, 'x', LIMIT_REPLY_LINE + 100);
	memcpy(line, "250 ", 4);
	reply_init(&r);
	assert_int_equal(reply_take(&r, slice_mem(line, LIMIT_REPLY_LINE + 100), false, &used, &why), PARSE_BAD);
	reply_reset(&r);
	buf_init(&b, BUF_UNBOUNDED);
	for (int i = 0; i < 100000; i++)
		buf_puts(&b, "250-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n");
	assert_int_equal(reply_take(&r, buf_view(&b), false, &used, &why), PARSE_BAD);
	assert_true(r.text.len <= REPLY_TEXT_MAX);
	buf_done(&b);
	reply_done(&r);
	free(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole), cmocka_unit_test(test_octet_by_octet), cmocka_unit_test(test_bounded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
