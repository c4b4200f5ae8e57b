#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "mail/charset.h"
#include "mail/header.h"

static struct arena *arena;

static int make_arena(void **state UNUSED)
{
	arena = arena_new(0);
	return 0;
}

static int drop_arena(void **state UNUSED)
{
	arena_free(&arena);
	return 0;
}

static void splits_at_the_first_empty_line(void **state UNUSED)
{
	static const struct { const char *message, *header, *body; bool end; } cases[] = {
		{ "A: b\r\n\r\nbody\r\n\r\nmore", "A: b\r\n", "body\r\n\r\nmore", true },
		{ "A: b\n\nbody", "A: b\n", "body", true },
		{ "A: b\n\r\nbody", "A: b\n", "body", true },
		{ "\r\nbody", "", "body", true },
		{ "A: b\r\n", "A: b\r\n", "", false },
		{ "A: b", "A: b", "", false },
		{ "", "", "", false },
		{ "A: b\r\n \r\n\r\nbody", "A: b\r\n \r\n", "body", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct slice body, header;
		bool end = !cases[i].end;

		header = header_split(slice_of(cases[i].message), &body, &end);
		assert_true(slice_eqs(header, cases[i].header));
		assert_true(slice_eqs(body, cases[i].body));
		assert_int_equal(end, cases[i].end);
	}
}

static void walks_fields(void **state UNUSED)
{
	struct slice rest = SLICE("From mbox\r\nA: b\r\nSubject :c\r\n d\r\n\te\r\nX:\nY:z"), name, value, raw;

	assert_true(header_next(&rest, &name, &value, &raw));
	assert_true(name.n == 0 && slice_eqs(value, "From mbox") && slice_eqs(raw, "From mbox\r\n"));
	assert_true(header_next(&rest, &name, &value, &raw));
	assert_true(slice_eqs(name, "A") && slice_eqs(value, " b") && slice_eqs(raw, "A: b\r\n"));
	assert_true(header_next(&rest, &name, &value, &raw));
	assert_true(slice_eqs(name, "Subject") && slice_eqs(value, "c\r\n d\r\n\te") && slice_eqs(raw, "Subject :c\r\n d\r\n\te\r\n"));
	assert_string_equal(header_unfold(value, arena).p, "c d\te");
	assert_true(header_next(&rest, &name, &value, &raw));
	assert_true(slice_eqs(name, "X") && value.n == 0);
	assert_true(header_next(&rest, &name, &value, &raw));
	assert_true(slice_eqs(name, "Y") && slice_eqs(value, "z") && slice_eqs(raw, "Y:z"));
	assert_false(header_next(&rest, &name, &value, &raw));
}

static void stops_at_an_empty_line(void **state UNUSED)
{
	struct slice rest = SLICE("A: b\r\n\r\nC: d\r\n"), name, value, raw;

	assert_true(header_next(&rest, &name, &value, &raw));
	assert_false(header_next(&rest, &name, &value, &raw));
}

static void finds_and_counts(void **state UNUSED)
{
	struct slice header = SLICE("Received: 1\r\nX-Received: no\r\nRECEIVED: 2\r\n x\r\nbad name: 3\r\n"), value;

	assert_true(header_find(header, SLICE("received"), &value) && slice_eqs(value, " 1"));
	assert_false(header_find(header, SLICE("bad name"), &value));
	assert_false(header_find(header, SLICE("X"), &value));
	assert_int_equal(header_count(header, SLICE("Received")), 2);
}

static void decodes_words(void **state UNUSED)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "plain", "plain" },
		{ "=?utf-8?Q?a=C3=A9_b?=", "a\xc3\xa9 b" },
		{ "=?UTF-8?b?w6k=?= x", "\xc3\xa9 x" },
		{ "x =?iso-8859-1?q?=e9?= y", "x \xc3\xa9 y" },
		{ "=?utf-8?Q?a?=\r\n =?utf-8?Q?b?=", "ab" },
		{ "=?utf-8?Q?a?= =?iso-8859-1?Q?=E9?=", "a\xc3\xa9" },
		{ "=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "\xc3\xa9" },
		{ "=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c" },
		{ "=?utf-8*en?Q?a?=", "a" },
		{ "=?utf-8?B?w6k?=", "\xc3\xa9" },
		{ "=?utf-8?Q?=FF?=", "\xef\xbf\xbd" },
		{ "=?koi8-r?B?8NLJ18XU?=", "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82" },
		{ "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "\xe6\x97\xa5\xe6\x9c\xac" },
		{ "=?x-unknown?Q?a=20b?=", "=?x-unknown?Q?a=20b?=" },
		{ "=?iso-2022-cn-ext?B?GyQqSBtO?=", "=?iso-2022-cn-ext?B?GyQqSBtO?=" },
		{ "=?utf-8?X?a?=", "=?utf-8?X?a?=" },
		{ "=?utf-8?Q?a", "=?utf-8?Q?a" },
		{ "=?utf-8?B?!!?=", "=?utf-8?B?!!?=" },
		{ "=?=?=?utf-8?q?a?=", "=?=?a" },
		{ "=?", "=?" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct slice out = header_decode(slice_of(cases[i].in), arena);

		if (!slice_eqs(out, cases[i].out))
			fail_msg("%s: %.*s", cases[i].in, SLICE_FMT(out));
	}
}

static void charsets(void **state UNUSED)
{
	struct buf out;

	buf_init(&out, 8);
	assert_true(charset_is_known(SLICE("Windows-1252")));
	assert_int_equal(charset_to_utf8(SLICE("utf-7"), SLICE("a"), &out), -1);
	assert_int_equal(charset_to_utf8(SLICE("us-ascii"), SLICE("a\x80"), &out), 0);      /* what people call ASCII */
	assert_string_equal(buf_str(&out), "a\xe2\x82\xac");
	assert_int_equal(charset_to_utf8(SLICE("windows-1252"), SLICE("\x80\x80"), &out), -1);
	assert_string_equal(buf_str(&out), "a\xe2\x82\xac");
	buf_reset(&out);
	assert_int_equal(charset_to_utf8(SLICE("gb2312"), SLICE("\xd6\xd0\xd6"), &out), 0);
	assert_string_equal(buf_str(&out), "\xe4\xb8\xad\xef\xbf\xbd");
	buf_done(&out);
}

/* Lists as "name|route|local|domain", "{name" and "}" for groups, ";" between. */
static void print_list(struct slice value, struct buf *out)
{
	struct address *list;
	size_t n = address_list(value, arena, &list);

	buf_reset(out);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(out, ';');
		if (list[i].kind == ADDRESS_GROUP_START)
			buf_putf(out, "{%.*s", SLICE_FMT(list[i].name));
		else if (list[i].kind == ADDRESS_GROUP_END)
			buf_putc(out, '}');
		else
			buf_putf(out, "%.*s|%.*s|%.*s|%.*s", SLICE_FMT(list[i].name), SLICE_FMT(list[i].route), SLICE_FMT(list[i].local), SLICE_FMT(list[i].domain));
	}
}

static void address_lists(void **state UNUSED)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "", "" },
		{ " a@b ", "||a|b" },
		{ "a@b, c@d", "||a|b;||c|d" },
		{ "a@b,,  ,c@d,", "||a|b;||c|d" },
		{ "Ann <a@b>", "Ann||a|b" },
		{ "Ann B. Clark <a@b>", "Ann B. Clark||a|b" },
		{ "\"Clark, Ann \\\"X\\\"\" <a@b>", "Clark, Ann \"X\"||a|b" },
		{ "\"Ann\"B <a@b>", "AnnB||a|b" },
		{ "=?utf-8?q?A?= <a@b>", "=?utf-8?q?A?=||a|b" },
		{ "<a@b>", "||a|b" },
		{ "a@b (Ann (really) B)", "Ann (really) B||a|b" },
		{ "Ann (comment) B <a@b> (after)", "Ann B||a|b" },
		{ "a (x) . (y) b @ (z) c . d", "z||a.b|c.d" },
		{ "\"a b\"@c", "||a b|c" },
		{ "\"\"@c", "|||c" },
		{ "a@[192.0.2.1]", "||a|[192.0.2.1]" },
		{ "X <@r,@s:a@b>", "X|@r,@s|a|b" },
		{ "root", "||root|" },
		{ "Ann <root>", "Ann||root|" },
		{ "Daemon <>", "Daemon|||" },
		{ "Team: a@b, C <c@d>;, e@f", "{Team;||a|b;C||c|d;};||e|f" },
		{ "undisclosed-recipients:;", "{undisclosed-recipients;}" },
		{ "Team: a@b", "{Team;||a|b;}" },
		{ "x: y: z@z, a@b;", "{x;||a|b;}" },
		{ "a@b@c, d@e", "||d|e" },
		{ "a] b, d@e", "||d|e" },
		{ "Ann <a@b, d@e", "||d|e" },
		{ "Ann <a@b", "Ann||a|b" },
		{ "<@r a@b>, d@e", "||d|e" },
		{ "\"open, a@b", "||open, a@b|" },
		{ "(open, a@b", "" },
		{ "a@b (open", "ope||a|b" },
		{ "a\r\n @b", "||a|b" },
		{ "A\r\n\tB <a@b>", "A B||a|b" },
		{ "\xc3\xa9 <\xc3\xa9@b>", "\xc3\xa9||\xc3\xa9|b" },
	};
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		print_list(slice_of(cases[i].in), &out);
		if (strcmp(buf_str(&out), cases[i].out) != 0)
			fail_msg("%s: got %s", cases[i].in, buf_str(&out));
	}
	buf_done(&out);
}

/* weaknesses.md row 12: no text makes it slow, and the list has an end. */
static void address_lists_are_linear(void **state UNUSED)
{
	static const char *const units[] = { "(", "<", "\\", "\"", ",", "a@b,", "x:", ";", "<@", "((a)", "[", "a@b(", "@", "<>" };
	struct buf in;

	buf_init(&in, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		struct address *list;
		clock_t start = clock();
		size_t n;

		buf_reset(&in);
		for (int k = 0; k < 100000; k++)
			buf_puts(&in, units[i]);
		n = address_list(buf_view(&in), arena, &list);
		assert_true(n <= LIMIT_ADDRESSES);
		assert_true(clock() - start < CLOCKS_PER_SEC);        /* takes a millisecond; squared it would be minutes */
		arena_reset(arena);
	}
	buf_done(&in);
}

static void groups_stay_whole_at_the_limit(void **state UNUSED)
{
	struct address *list;
	struct buf in;
	size_t n, depth = 0;

	buf_init(&in, BUF_UNBOUNDED);
	for (int k = 0; k < 2000; k++)
		buf_puts(&in, k % 7 == 0 ? "g:a@b," : k % 7 == 5 ? ";" : "a@b,");
	n = address_list(buf_view(&in), arena, &list);
	assert_in_range(n, LIMIT_ADDRESSES - 1, LIMIT_ADDRESSES);
	for (size_t i = 0; i < n; i++) {
		depth += list[i].kind == ADDRESS_GROUP_START;
		assert_true(depth <= 1);
		depth -= list[i].kind == ADDRESS_GROUP_END;
	}
	assert_int_equal(depth, 0);
	buf_done(&in);
}

static void reads_dates(void **state UNUSED)
{
	static const struct { const char *in; int64_t when; int zone; } cases[] = {
		{ "Sun, 22 Nov 2026 01:48:07 +0000", 1795312087, 0 },
		{ "22 Nov 2026 01:48 +0000", 1795312080, 0 },
		{ "  Sun , 22 Nov 2026 03:48:07 +0200 (CEST (x))", 1795312087, 120 },
		{ "Sat, 21 Nov 2026 20:18:07 -0530", 1795312087, -330 },
		{ "1 jan 1970 00:00:00 GMT", 0, 0 },
		{ "31 Dec 1969 23:59:59 UT", -1, 0 },
		{ "Thu, 01 Jan 70 00:00:00 Z", 0, 0 },
		{ "1 Jan 49 00:00 EST", 2493090000, -300 },
		{ "1 Jan 126 00:00 +0000", 1767225600, 0 },
		{ "29 Feb 2000 12:00:00 +0000", 951825600, 0 },
		{ "Sun, 22\r\n Nov 2026 01:48:07 XYZ", 1795312087, 0 },
		{ "Sun, 22 Nov 2026 01:48:07", 1795312087, 0 },
		{ "31 Dec 2016 23:59:60 +0000", 1483228800, 0 },
		{ "31 Dec 9999 23:59:59 +0000", 253402300799, 0 },
	};
	static const char *const bad[] = {
		"", "Sun", "22 Nov", "32 Nov 2026 00:00 +0000", "0 Nov 2026 00:00 +0000", "31 Nov 2026 00:00 +0000", "29 Feb 2026 00:00 +0000",
		"29 Feb 1900 00:00 +0000", "22 Foo 2026 00:00 +0000", "22 Nov 2026", "22 Nov 2026 24:00 +0000", "22 Nov 2026 00:60 +0000",
		"22 Nov 2026 00:00:61 +0000", "22 Nov 2026 00:00 +00", "22 Nov 2026 00:00 +0060", "22 Nov 2026 00:00 +0000 x", "22 Nov 20266 00:00 +0000",
		"22 Nov 2 00:00 +0000", "22 Nov 0000 00:00 +0000", "22 Nov 2026 00.00 +0000", "Nov 22 2026 00:00 +0000", "99999999999 Nov 2026 00:00 +0000",
		"22-Nov-2026 00:00 +0000",
	};
	int64_t when;
	int zone;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (date_parse(slice_of(cases[i].in), &when, &zone) < 0 || when != cases[i].when || zone != cases[i].zone)
			fail_msg("%s: %lld %d", cases[i].in, (long long)when, zone);
		assert_int_equal(date_parse(slice_of(cases[i].in), &when, NULL), 0);
	}
	when = 7;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (date_parse(slice_of(bad[i]), &when, &zone) == 0)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(when, 7);
}

static void dates_round_trip(void **state UNUSED)
{
	static const int zones[] = { 0, 60, -60, 330, -570, 845, -720 };
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	date_put(1795312087, 0, &out);
	assert_string_equal(buf_str(&out), "Sun, 22 Nov 2026 01:48:07 +0000");
	buf_reset(&out);
	date_put(1795312087, -330, &out);
	assert_string_equal(buf_str(&out), "Sat, 21 Nov 2026 20:18:07 -0530");
	for (int64_t when = -2208988800; when < 8000000000; when += 12345677) {       /* 1900 to 2223 */
		int zone = zones[(when & 0xffff) % 7], zone_back;
		time_t t = (time_t)(when + zone * 60);
		char want[40];
		struct tm tm;
		int64_t back;

		buf_reset(&out);
		date_put(when, zone, &out);
		assert_int_equal(date_parse(buf_view(&out), &back, &zone_back), 0);
		assert_true(back == when && zone_back == zone);
		strftime(want, sizeof(want), "%a, %d %b %Y %H:%M:%S", gmtime_r(&t, &tm));
		assert_true(slice_starts(buf_view(&out), slice_of(want)));
	}
	assert_in_range(date_local_zone(0) + 1000, 0, 2000);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_at_the_first_empty_line), cmocka_unit_test(walks_fields), cmocka_unit_test(stops_at_an_empty_line),
		cmocka_unit_test(finds_and_counts), cmocka_unit_test(decodes_words), cmocka_unit_test(charsets), cmocka_unit_test(address_lists),
		cmocka_unit_test(address_lists_are_linear), cmocka_unit_test(groups_stay_whole_at_the_limit), cmocka_unit_test(reads_dates),
		cmocka_unit_test(dates_round_trip),
	};

	return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
