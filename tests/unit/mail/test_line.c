#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "mail/line.h"

static void takes_lines_that_end_in_crlf(void **state UNUSED)
{
	static const struct { struct slice in; enum parse says; const char *line; size_t used; } cases[] = {
		{ SLICE_INIT(""), PARSE_MORE, NULL, 99 },
		{ SLICE_INIT("abc"), PARSE_MORE, NULL, 99 },
		{ SLICE_INIT("abc\r"), PARSE_MORE, NULL, 99 },
		{ SLICE_INIT("\r\n"), PARSE_OK, "", 2 },
		{ SLICE_INIT("abc\r\nx"), PARSE_OK, "abc", 5 },
		{ SLICE_INIT("abc\nx"), PARSE_BAD, NULL, 4 },
		{ SLICE_INIT("\n"), PARSE_BAD, NULL, 1 },
		{ SLICE_INIT("a\rb\r\n"), PARSE_BAD, NULL, 5 },
		{ SLICE_INIT("a\r\r\n"), PARSE_BAD, NULL, 4 },
		{ SLICE_INIT("a\0b\r\n"), PARSE_BAD, NULL, 5 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct slice line = SLICE_INIT("untouched");
		size_t used = 99;

		assert_int_equal(line_take(cases[i].in, &line, &used), cases[i].says);
		assert_int_equal(used, cases[i].used);
		assert_true(slice_eqs(line, cases[i].line != NULL ? cases[i].line : "untouched"));
	}
}

static void keep(void *ctx, struct slice octets)
{
	buf_put(ctx, octets);
}

/* Feeds `in` in pieces of `piece` octets; *used_out counts to the end, or is in.n. */
static enum parse feed(struct dot *d, struct slice in, size_t piece, struct buf *out, size_t *used_out)
{
	size_t at = 0, used;

	dot_init(d);
	buf_reset(out);
	while (at < in.n) {
		enum parse says = dot_unstuff(d, slice_head(slice_from(in, at), piece), &used, keep, out);

		at += used;
		*used_out = at;
		if (says == PARSE_OK)
			return PARSE_OK;
		assert_int_equal(used, at == in.n && in.n % piece != 0 ? in.n % piece : piece);
	}
	*used_out = at;
	return PARSE_MORE;
}

static void unstuffs_in_pieces_of_any_size(void **state UNUSED)
{
	static const struct { struct slice wire; const char *message; unsigned lines; size_t left; } cases[] = {
		{ SLICE_INIT(".\r\n"), "", 0, 0 },
		{ SLICE_INIT("a\r\n.\r\nMAIL"), "a\r\n", 1, 4 },
		{ SLICE_INIT("..\r\n..a\r\n.b\r\na.\r\n\r\n.\r\n"), ".\r\n.a\r\nb\r\na.\r\n\r\n", 5, 0 },
		{ SLICE_INIT("...\r\n.\r\n.\r\n"), "..\r\n", 1, 3 },
	};
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		for (size_t piece = 1; piece <= cases[i].wire.n; piece++) {
			struct dot d;
			size_t used;

			assert_int_equal(feed(&d, cases[i].wire, piece, &out, &used), PARSE_OK);
			assert_string_equal(buf_str(&out), cases[i].message);
			assert_int_equal(d.octets, out.len);
			assert_int_equal(d.lines, cases[i].lines);
			assert_int_equal(d.bad, DOT_FINE);
			assert_int_equal(d.bad_line, 0);
			assert_int_equal(cases[i].wire.n - used, cases[i].left);
		}
	buf_done(&out);
}

/* weaknesses.md row 1: every mix of CR, LF, CRLF and NUL around a dot. None but CRLF.CRLF may end the message. */
static void no_other_end_of_data_is_one(void **state UNUSED)
{
	static const struct { struct slice shape; int bad; } shapes[] = {
		{ SLICE_INIT("\n.\n"), DOT_BARE_LF }, { SLICE_INIT("\n.\r\n"), DOT_BARE_LF }, { SLICE_INIT("\r\n.\n"), DOT_BARE_LF },
		{ SLICE_INIT("\r.\r"), DOT_BARE_CR }, { SLICE_INIT("\r.\r\n"), DOT_BARE_CR }, { SLICE_INIT("\r\n.\r"), DOT_BARE_CR },
		{ SLICE_INIT("\r.\n"), DOT_BARE_CR }, { SLICE_INIT("\n.\r"), DOT_BARE_LF }, { SLICE_INIT("\n\n.\n\n"), DOT_BARE_LF },
		{ SLICE_INIT("\r\r.\r\r"), DOT_BARE_CR }, { SLICE_INIT("\n\r.\n\r"), DOT_BARE_LF }, { SLICE_INIT("\n\r.\r\n"), DOT_BARE_LF },
		{ SLICE_INIT("\r\n.\n\r"), DOT_BARE_LF }, { SLICE_INIT("\r\r\n.\r\r\n"), DOT_BARE_CR }, { SLICE_INIT("\r\n.\r\r\n"), DOT_BARE_CR },
		{ SLICE_INIT("\r\n\0.\r\n"), DOT_NUL }, { SLICE_INIT("\r\n.\0\r\n"), DOT_NUL }, { SLICE_INIT("\r\0\n.\r\n"), DOT_BARE_CR },
		{ SLICE_INIT("\r\n.\r\0\n"), DOT_BARE_CR }, { SLICE_INIT("\0\r\n.\r\0"), DOT_NUL }, { SLICE_INIT("\n\0.\0\n"), DOT_BARE_LF },
		{ SLICE_INIT("\0.\0"), DOT_NUL }, { SLICE_INIT("\n.\r\0\n"), DOT_BARE_LF }, { SLICE_INIT("\r\n..\n"), DOT_BARE_LF },
	};
	struct buf wire, out;

	assert_int_equal(sizeof(shapes) / sizeof(*shapes), 24);
	buf_init(&wire, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
		for (size_t piece = 1; piece <= 40; piece++) {
			struct dot d;
			size_t used = 0;

			buf_reset(&wire);
			buf_puts(&wire, "one\r\ntwo");
			buf_put(&wire, shapes[i].shape);
			buf_puts(&wire, "MAIL FROM:<evil@example.test>\r\nDATA\r\nevil\r\n");
			assert_int_equal(feed(&d, buf_view(&wire), piece, &out, &used), PARSE_MORE);
			assert_int_equal(d.bad, shapes[i].bad);
			assert_in_range(d.bad_line, 2, 3);
			buf_puts(&wire, ".\r\nQUIT\r\n");                 /* the true end is still found */
			assert_int_equal(feed(&d, buf_view(&wire), piece, &out, &used), PARSE_OK);
			assert_int_equal(wire.len - used, 6);
			assert_int_equal(d.bad, shapes[i].bad);
		}
	buf_done(&wire);
	buf_done(&out);
}

static void the_first_fault_is_kept(void **state UNUSED)
{
	struct buf out;
	struct dot d;
	size_t used;

	buf_init(&out, BUF_UNBOUNDED);
	feed(&d, SLICE("a\r\nb\nc\r\n\0\r\n"), 100, &out, &used);
	assert_int_equal(d.bad, DOT_BARE_LF);
	assert_int_equal(d.bad_line, 2);
	buf_done(&out);
}

static void a_line_has_an_end(void **state UNUSED)
{
	size_t n = LIMIT_SMTP_BODY_LINE;
	char *line = malloc(n + 3);
	struct buf out;
	struct dot d;
	size_t used;

	assert_non_null(line);
	memset(line, 'a', n);
	memcpy(line + n, "\r\n", 3);
	buf_init(&out, BUF_UNBOUNDED);
	assert_int_equal(feed(&d, slice_mem(line, n + 2), 5000, &out, &used), PARSE_MORE);
	assert_int_equal(d.bad, DOT_FINE);
	assert_int_equal(out.len, n + 2);
	memcpy(line + n, "a\r\n", 3);
	feed(&d, slice_mem(line, n + 3), 5000, &out, &used);
	assert_int_equal(d.bad, DOT_LONG);
	assert_int_equal(d.bad_line, 1);
	buf_done(&out);
	free(line);
}

static void stuffing_round_trip(void **state UNUSED)
{
	static const char *const messages[] = { "", "a\r\n", ".\r\n", "..\r\n.a\r\n\r\n.\r\n", "a.\r\n.b\r\n" };
	struct buf wire, out;

	buf_init(&wire, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(messages) / sizeof(*messages); i++)
		for (size_t piece = 1; piece < 8; piece++) {
			struct slice rest = slice_of(messages[i]);
			struct dot d;
			size_t used;
			bool bol = true;

			buf_reset(&wire);
			for (; rest.n > 0; rest = slice_from(rest, piece))
				dot_stuff(slice_head(rest, piece), &bol, &wire);
			assert_true(bol);
			buf_puts(&wire, ".\r\n");
			assert_int_equal(feed(&d, buf_view(&wire), 3, &out, &used), PARSE_OK);
			assert_int_equal(used, wire.len);
			assert_string_equal(buf_str(&out), messages[i]);
		}
	buf_done(&wire);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_lines_that_end_in_crlf), cmocka_unit_test(unstuffs_in_pieces_of_any_size),
		cmocka_unit_test(no_other_end_of_data_is_one), cmocka_unit_test(the_first_fault_is_kept), cmocka_unit_test(a_line_has_an_end),
		cmocka_unit_test(stuffing_round_trip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
