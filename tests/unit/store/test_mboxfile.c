/*
 * tests/unit/admin/test_mboxfile.c - the mbox format: where messages begin, what is bookkeeping, quoting, and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/mboxfile.h"
#include "store/mbox.h"

static void test_from_line(void **state)
{
	static const struct { const char *line, *sender; int64_t date; } good[] = {
		{ "From a@b Thu Jan  1 00:00:10 1970\n", "a@b", 10 },
		{ "From a@b Thu Jan  1 00:00:10 1970\r\n", "a@b", 10 },
		{ "From a@b  Thu Jan  1 00:00 1970\n", "a@b", 0 },
		{ "From a b@c Thu Jan  1 01:00:00 +0100 1970\n", "a b@c", 0 },
		{ "From a@b Thu Jan  1 01:00:00 1970 +0100\n", "a@b", 0 },
		{ "From a@b Wed Dec 31 19:00:00 EST 1969\n", "a@b", 0 },
		{ "From - Sun Nov 22 05:14:07 2026\n", "-", 1795324447 },
		{ "From Thu Jan  1 00:00:10 1970\n", "", 10 },
	};
	static const char *const bad[] = {
		"From here on text\n", "From a@b\n", "From \n", "", "from a@b Thu Jan  1 00:00:10 1970\n", ">From a@b Thu Jan  1 00:00:10 1970\n",
		"From a@b Thu Jan 41 00:00:10 1970\n", "From a@b Thu Jan 1 1970 00:00:10\n", "From a@b Thu Jan  1 00:00:10\n", "From a@b Thu Foo  1 00:00:10 1970\n",
		"From me, in Jan 1 at 10:30 2020 we met\n",
	};
	struct slice sender;
	int64_t date;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		if (mboxfile_from_line(slice_of(good[i].line), &sender, &date) != 0)
			fail_msg("not taken: %s", good[i].line);
		assert_true(slice_eqs(sender, good[i].sender));
		assert_int_equal(date, good[i].date);
	}
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (mboxfile_from_line(slice_of(bad[i]), &sender, &date) == 0)
			fail_msg("taken: %s", bad[i]);
}

#define FROM "From a@b Thu Jan  1 00:00:10 1970\n"

static void test_split(void **state)
{
	struct slice file = SLICE("\n" FROM "A: 1\n\nx\nFrom here on\n\n" FROM FROM "B: 2\r\n\r\n\r\n" FROM "C: 3\n\nno end");
	static const char *const raw[] = { "A: 1\n\nx\nFrom here on\n", "", "B: 2\r\n\r\n", "C: 3\n\nno end" };
	struct mboxfile_message m;
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < sizeof raw / sizeof raw[0]; i++) {
		assert_int_equal(mboxfile_next(file, &at, &m), 1);
		assert_int_equal(m.raw.n, strlen(raw[i]));
		assert_true(slice_eqs(m.raw, raw[i]));
		assert_true(slice_starts(slice_from(file, m.at), SLICE(FROM)));
	}
	assert_int_equal(mboxfile_next(file, &at, &m), 0);
	at = 0;
	assert_int_equal(mboxfile_next(SLICE("Subject: x\n\n" FROM), &at, &m), -1);
	assert_int_equal(mboxfile_next(SLICE("\n\n"), &at, &m), 0);
}

static void clean_slice(struct slice raw, struct mboxfile_marks *marks, const char *want)
{
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	mboxfile_clean(raw, marks, &b);
	assert_string_equal(buf_str(&b), want);
	buf_done(&b);
}

static void clean(const char *raw, struct mboxfile_marks *marks, const char *want)
{
	clean_slice(slice_of(raw), marks, want);
}

static void test_bookkeeping(void **state)
{
	struct mboxfile_marks m;

	(void)state;
	clean("A: 1\nStatus: RO\nX-Status: AFTD\nX-Keywords: Work $Forwarded\n\t$Label1   \nX-UID: 17\nX-IMAPbase: 1 2\nB: 2\n\nStatus: RO\n", &m,
	    "A: 1\r\nB: 2\r\n\r\nStatus: RO\r\n");
	assert_int_equal(m.flags, MSG_SEEN | MSG_ANSWERED | MSG_FLAGGED | MSG_DRAFT | MSG_DELETED | MSG_FORWARDED);
	assert_int_equal(m.n_keywords, 2);
	assert_true(slice_eqs(m.keywords[0], "Work") && slice_eqs(m.keywords[1], "$Label1"));
	assert_false(m.is_internal);
	clean("Status: O\n", &m, "");
	assert_int_equal(m.flags, 0);
	clean("Status: new customer\nX-UID: a\n\n", &m, "Status: new customer\r\nX-UID: a\r\n\r\n");
	clean("Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\n", &m, "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\r\n\r\n");
	assert_true(m.is_internal);
}

static void test_quoting(void **state)
{
	struct mboxfile_marks m;

	(void)state;
	clean("A: 1\r\n\r\n>From x\r\n>>From y\n> From z\n>Fromage\nend", &m, "A: 1\r\n\r\nFrom x\r\n>From y\r\n> From z\r\n>Fromage\r\nend\r\n");
}

static void test_round_trip(void **state)
{
	static const char *const octets[] = {
		"", "\r\n", "A: 1\r\n", "A: 1\r\n\r\n", "A: 1\r\n\r\n\r\n", "A: 1\r\n\r\nFrom a\r\n>From b\r\n\r\n" , "no header\r\n>From\r\n",
		"A: 1\r\n\r\nFrom a@b Thu Jan  1 00:00:10 1970\r\nx\r\n",
	};
	struct mboxfile_marks marks = { .uid = 17, .uidvalidity = 1700000000, .uidnext = 4294967290u, .flags = MSG_SEEN | MSG_DELETED | MSG_FORWARDED, .keywords = { SLICE_INIT("Work"), SLICE_INIT("b") }, .n_keywords = 2 }, got;
	struct mboxfile_message m;
	struct buf file;
	size_t at = 0;

	(void)state;
	buf_init(&file, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof octets / sizeof octets[0]; i++)
		mboxfile_put(slice_of(octets[i]), &marks, (int64_t)i * 100000000, &file);
	for (size_t i = 0; i < sizeof octets / sizeof octets[0]; i++) {
		assert_int_equal(mboxfile_next(buf_view(&file), &at, &m), 1);
		clean_slice(m.raw, &got, octets[i]);
		assert_int_equal(got.flags, marks.flags);
		assert_int_equal(got.n_keywords, 2);
		assert_true(got.uid == 17 && got.uidvalidity == 1700000000 && got.uidnext == 4294967290u && !got.is_internal);
		assert_int_equal(m.date, (int64_t)i * 100000000);
	}
	assert_int_equal(mboxfile_next(buf_view(&file), &at, &m), 0);
	buf_done(&file);
}

static void test_line_ends(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	mboxfile_to_crlf(SLICE("a\nb\r\n\nc\rd"), &b);
	assert_string_equal(buf_str(&b), "a\r\nb\r\n\r\nc\rd");
	buf_reset(&b);
	mboxfile_to_lf(SLICE("a\r\nb\r\n\r\nc\rd\n"), &b);
	assert_string_equal(buf_str(&b), "a\nb\n\nc\rd\n");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_line), cmocka_unit_test(test_split), cmocka_unit_test(test_bookkeeping), cmocka_unit_test(test_quoting),
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_line_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
