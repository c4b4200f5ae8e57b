/* The tokenizer of IMAP commands: what is a token, what is not, and what the reply says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "imapd/parse.h"

static struct arena *arena;

static int set_up(void **state) { (void)state; arena = arena_new(0); return 0; }
static int tear_down(void **state) { (void)state; arena_free(&arena); return 0; }

static struct imap_text text(const char *s)
{
	struct imap_text t;

	imap_text_init(&t, slice_of(s), arena);
	return t;
}

static const struct { const char *in, *out, *rest; } strings[] = {
	{ "INBOX x", "INBOX", " x" },
	{ "\"a b\"", "a b", "" },
	{ "\"a\\\"b\\\\\" c", "a\"b\\", " c" },
	{ "\"\"", "", "" },
	{ "{3}\r\na b c", "a b", " c" },
	{ "{0+}\r\n x", "", " x" },
	{ "a]b", "a]b", "" },
	{ "a\xc3\xa4", "a\xc3\xa4", "" },
	{ "\"a", NULL, NULL }, { "\"a\\x\"", NULL, NULL }, { "", NULL, NULL }, { "(a", NULL, NULL }, { "{4}\r\nabc", NULL, NULL }, { "{3}abc", NULL, NULL },
	{ "{-1}\r\n", NULL, NULL }, { "{99999999999}\r\n", NULL, NULL }, { "{}\r\n", NULL, NULL }, { "%", NULL, NULL },
};

static void astrings(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
		struct imap_text t = text(strings[i].in);
		struct slice s = SLICE("untouched");
		int got = imap_astring(&t, &s);

		if (got != (strings[i].out == NULL ? -1 : 0))
			fail_msg("%s: %d", strings[i].in, got);
		assert_true(slice_eqs(s, got == 0 ? strings[i].out : "untouched"));
		assert_true(slice_eqs(t.rest, got == 0 ? strings[i].rest : strings[i].in));
	}
}

static void nul_is_refused(void **state)
{
	static const char quoted[] = "\"a\0b\"", literal[] = "{3}\r\na\0b";
	struct slice s;
	struct imap_text t;

	(void)state;
	imap_text_init(&t, slice_mem(quoted, sizeof quoted - 1), arena);
	assert_int_equal(imap_astring(&t, &s), -1);
	assert_string_equal(t.why, "NUL is not allowed");
	imap_text_init(&t, slice_mem(literal, sizeof literal - 1), arena);
	assert_int_equal(imap_astring(&t, &s), -1);
	assert_string_equal(t.why, "NUL is not allowed");
}

static void numbers(void **state)
{
	static const struct { const char *in; int ok; uint32_t v; } rows[] = {
		{ "0", 0, 0 }, { "2147483647", 0, 2147483647u }, { "2147483648", 0, 2147483648u }, { "4294967295", 0, UINT32_MAX }, { "4294967296", -1, 0 },
		{ "9223372036854775808", -1, 0 }, { "18446744073709551616", -1, 0 }, { "-1", -1, 0 }, { "x", -1, 0 }, { "", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct imap_text t = text(rows[i].in);
		uint32_t v = 0;

		assert_int_equal(imap_number(&t, &v), rows[i].ok);
		assert_int_equal(v, rows[i].v);
	}
}

static void sets(void **state)
{
	static const struct { const char *in; uint32_t max; const char *out; } rows[] = {
		{ "1", 9, "1" }, { "3:1", 9, "1:3" }, { "*", 9, "9" }, { "12:*", 9, "9:12" }, { "5,1:2,3,7:*", 9, "1:3,5,7:9" }, { "1:*", 0, "" }, { "*:1", 1, "1" },
		{ "1:4294967295,4294967295", 5, "1:5" /* 2^32-1 is what "*" is read as */ }, { "2,2,2", 9, "2" },
	};
	static const char *const bad[] = { "", "0", "1:", "a", "1,,2", "4294967296", "1:0" };

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct imap_text t = text(rows[i].in);
		struct imap_set set;
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(imap_set(&t, &set), 0);
		imap_set_resolve(&set, rows[i].max);
		imap_set_put(&set, &b);
		assert_string_equal(buf_str(&b), rows[i].out);
		for (uint32_t n = 1; n < 15; n++) {
			bool has = false;

			for (size_t k = 0; k < set.n; k++)
				has = has || (n >= set.r[k].first && n <= set.r[k].last);
			assert_int_equal(imap_set_has(&set, n), has);
		}
		buf_done(&b);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct imap_text t = text(bad[i]);
		struct imap_set set;

		if (imap_set(&t, &set) == 0 && imap_at_end(&t))
			fail_msg("%s was accepted", bad[i]);
	}
}

static void dates(void **state)
{
	struct imap_text t = text("22-Nov-2026 \"1-Jan-1970\" \" 5-Feb-2024 01:02:03 +0100\" \"x\"");
	int64_t v = 0;

	(void)state;
	assert_int_equal(imap_date(&t, &v), 0);
	assert_int_equal(v, 1795305600);
	assert_int_equal(imap_space(&t), 0);
	assert_int_equal(imap_date(&t, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(imap_space(&t), 0);
	assert_int_equal(imap_date_time(&t, &v), 0);
	assert_int_equal(v, 1707091323);
	assert_int_equal(imap_space(&t), 0);
	assert_int_equal(imap_date_time(&t, &v), -1);
}

static void flags(void **state)
{
	struct imap_text t = text("(\\Seen \\draft $Label1 \\Recent $forwarded x) () \\Deleted Junk");
	struct imap_flags f;

	(void)state;
	assert_int_equal(imap_flags(&t, true, &f), 0);
	assert_int_equal(f.flags, 1 | 16 | 32);
	assert_int_equal(f.n_keywords, 2);
	assert_true(slice_eqs(f.keywords[1], "x"));
	assert_int_equal(imap_space(&t), 0);
	assert_int_equal(imap_flags(&t, true, &f), 0);
	assert_int_equal(f.flags, 0);
	assert_int_equal(imap_space(&t), 0);
	assert_int_equal(imap_flags(&t, true, &f), -1);
	assert_int_equal(imap_flags(&t, false, &f), 0);
	assert_int_equal(f.flags, 8);
	assert_int_equal(f.n_keywords, 1);
	t = text("(\\Nonsense)");
	assert_int_equal(imap_flags(&t, true, &f), -1);
}

static void depth(void **state)
{
	char many[1000];
	struct imap_text t;
	int n = 0;

	(void)state;
	memset(many, '(', sizeof many);
	imap_text_init(&t, slice_mem(many, sizeof many), arena);
	while (imap_open(&t) == 0)
		n++;
	assert_int_equal(n, LIMIT_IMAP_DEPTH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(astrings), cmocka_unit_test(nul_is_refused), cmocka_unit_test(numbers), cmocka_unit_test(sets), cmocka_unit_test(dates),
		cmocka_unit_test(flags), cmocka_unit_test(depth),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
