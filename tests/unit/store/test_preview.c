/*
 * tests/unit/store/test_preview.c - what a list of messages shows of each.
 */
#include "store_env.h"

#include "base/text.h"
#include "store/preview.h"

static void test_previews(void **state)
{
	static const struct { const char *message, *want; } cases[] = {
		{ "Subject: x\r\n\r\n  Hello,\r\n\r\n\tworld \r\n", "Hello, world" },
		{ "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZQ==\r\n", "Gr\xc3\xbc\xc3\x9f" "e" },
		{ "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n", "Gr\xc3\xbc\xc3\x9f" "e" },
		{ "Content-Type: text/html\r\n\r\n<html><style>p { x }</style><p>One &amp; <b>two</b></p><script>bad()</script> three <unfinished", "One & two three" },
		{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nno\r\n"
		  "--b\r\nContent-Type: text/html\r\n\r\n<i>html</i>\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b--\r\n", "plain" },
		{ "Content-Type: text/plain; charset=x-unknown\r\n\r\na\xff" "b\r\n", "a\xef\xbf\xbd" "b" },
		{ "Content-Type: image/png\r\n\r\nxxxx", "" },
		{ "", "" },
	};
	struct arena *a = arena_new(0);
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct slice m = slice_of(cases[i].message);

		buf_reset(&b);
		preview_put(m, mime_parse(m, a), &b);
		assert_string_equal(buf_str(&b), cases[i].want);
	}
	arena_free(&a);
	buf_done(&b);
}

/* However a text is cut, what comes out is UTF-8 and not too long. */
static void test_cut(void **state)
{
	struct arena *a = arena_new(0);
	struct buf m, out;

	(void)state;
	buf_init(&m, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	buf_puts(&m, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	for (int i = 0; i < 1200; i++) {
		buf_puts(&m, i % 7 == 0 ? " " : "\xf0\x9f\x93\xae");
		buf_reset(&out);
		preview_put(buf_view(&m), mime_parse(buf_view(&m), a), &out);
		assert_true(text_is_utf8(buf_view(&out)));
		assert_true(out.len <= PREVIEW_CHARS * 4);
		arena_reset(a);
	}
	arena_free(&a);
	buf_done(&m);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_previews), cmocka_unit_test(test_cut) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
