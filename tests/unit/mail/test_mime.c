/* The MIME tree and its IMAP text: RFC examples, what the world sends, and what attackers send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/limits.h"
#include "mail/mime.h"

#define H "From: a@b.example\r\n"

static const struct row { const char *name, *message, *body, *structure; } rows[] = {
	{ "plain",
	  H "\r\nHello\r\nworld\r\n",
	  "(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 14 2)",
	  "(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 14 2 NIL NIL NIL NIL)" },
	{ "no body",
	  H,
	  "(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 0 0)",
	  "(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 0 0 NIL NIL NIL NIL)" },
	{ "mixed with attachment",
	  "Content-Type: multipart/mixed; boundary=\"b 1\"; (comment) charset=x\r\n\r\npreamble\r\n--b 1\r\n"
	  "Content-Type: TEXT/Html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nSGk=\r\n"
	  "\r\n--b 1  \r\nContent-Type: application/pdf; name=\"a \\\"b\\\".pdf\"\r\nContent-Disposition: ATTACHMENT;\r\n filename*0=\"long \";\r\n filename*1=name.pdf\r\n"
	  "Content-ID: <x@y>\r\nContent-Description: a file\r\nContent-MD5: abc==\r\nContent-Language: de, en\r\nContent-Location: http://x/\r\n\r\n%PDF\r\n--b 1--\r\nepilogue\r\n",
	  "((\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"BASE64\" 6 1)(\"application\" \"pdf\" (\"name\" \"a \\\"b\\\".pdf\") \"<x@y>\" \"a file\" \"7BIT\" 4) \"mixed\")",
	  "((\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"BASE64\" 6 1 NIL NIL NIL NIL)"
	  "(\"application\" \"pdf\" (\"name\" \"a \\\"b\\\".pdf\") \"<x@y>\" \"a file\" \"7BIT\" 4 \"abc==\" (\"attachment\" (\"filename\" \"long name.pdf\")) (\"de\" \"en\") \"http://x/\")"
	  " \"mixed\" (\"boundary\" \"b 1\" \"charset\" \"x\") NIL NIL NIL)" },
};

static const struct row more_rows[] = {
	{ "digest: the default is a message",
	  "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: inner\r\nFrom: x@y\r\n\r\ntext\r\n--d--\r\n",
	  "((\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 33 (NIL \"inner\" ((NIL NIL \"x\" \"y\")) ((NIL NIL \"x\" \"y\")) ((NIL NIL \"x\" \"y\")) NIL NIL NIL NIL NIL) "
	  "(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 4 0) 3) \"digest\")",
	  NULL },
	{ "no delimiter at all: one empty child",
	  "Content-Type: multipart/alternative; boundary=x\r\n\r\nnothing\r\n",
	  "((\"text\" \"plain\" NIL NIL NIL \"7BIT\" 0 0) \"alternative\")", NULL },
	{ "no boundary parameter: a leaf",
	  "Content-Type: multipart/mixed\r\n\r\n--x\r\n",
	  "(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 5 1)", NULL },
	{ "a boundary that begins like the outer one",
	  "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\n\r\n1\r\n--ab--\r\n--a\r\n\r\n2\r\n--a--\r\n",
	  "(((\"text\" \"plain\" NIL NIL NIL \"7BIT\" 1 0) \"mixed\")(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 1 0) \"mixed\")", NULL },
	{ "the inner end is missing",
	  "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n1\r\n--a\r\n\r\n2\r\n",
	  "(((\"text\" \"plain\" NIL NIL NIL \"7BIT\" 1 0) \"mixed\")(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 3 1) \"mixed\")", NULL },
	{ "a delimiter inside a header",
	  "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: image/png\r\n--a\r\n\r\n2\r\n--a--\r\n",
	  "((\"image\" \"png\" NIL NIL NIL \"7BIT\" 0)(\"text\" \"plain\" NIL NIL NIL \"7BIT\" 1 0) \"mixed\")", NULL },
	{ "8-bit and broken parameters",
	  "Content-Type: text/plain; charset=utf-8 format=flowed; name=M\xc3\xbcll datei.txt; =x; ;y\r\n\r\n",
	  "(\"text\" \"plain\" (\"charset\" \"utf-8\" \"format\" \"flowed\" \"name\" {15}\r\nM\xc3\xbcll datei.txt) NIL NIL \"7BIT\" 0 0)", NULL },
	{ "RFC 2231 with charset",
	  "Content-Type: application/x; title*0*=us-ascii'en'This%20is; title*1=\" \\\"fun%\"; title*3=lost; t*=utf-8''x\r\n\r\n",
	  "(\"application\" \"x\" (\"title*\" \"us-ascii'en'This%20is%20%22fun%25\" \"t*\" \"utf-8''x\") NIL NIL \"7BIT\" 0)", NULL },
	{ "bare LF lines",
	  "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a--\n",
	  "((\"text\" \"plain\" NIL NIL NIL \"7BIT\" 1 0) \"mixed\")", NULL },
};

static void check_text(const struct row *r, bool extended, const char *want)
{
	struct arena *a = arena_new(0);
	struct buf out;

	if (want == NULL) {
		arena_free(&a);
		return;
	}
	buf_init(&out, BUF_UNBOUNDED);
	mime_put_structure(slice_of(r->message), mime_parse(slice_of(r->message), a), extended, &out);
	if (strcmp(buf_str(&out), want) != 0)
		fail_msg("%s:\n got %s\nwant %s", r->name, buf_str(&out), want);
	buf_done(&out);
	arena_free(&a);
}

static void structures(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		check_text(&rows[i], false, rows[i].body);
		check_text(&rows[i], true, rows[i].structure);
	}
	for (size_t i = 0; i < sizeof more_rows / sizeof *more_rows; i++)
		check_text(&more_rows[i], false, more_rows[i].body);
}

static void envelope(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, BUF_UNBOUNDED);
	mime_put_envelope(SLICE("Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n"
	                        "Subject: IMAP4rev1 WG mtg summary\r\n and minutes\r\nTo: imap@cac.washington.edu\r\n"
	                        "Cc: minutes@CNRI.Reston.VA.US, \"John \\\"K\\\"\" <KLENSIN@MIT.EDU>\r\nBcc: \r\nMessage-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n"), &out);
	assert_string_equal(buf_str(&out),
	    "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) "
	    "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John \\\"K\\\"\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \"<B27397-0100000@cac.washington.edu>\")");
	buf_reset(&out);
	mime_put_envelope(SLICE("To: Friends: a@b, c@d;\r\nFrom: root\r\nReply-To:\r\nSubject: \r\n\r\n"), &out);
	assert_string_equal(buf_str(&out),
	    "(NIL \"\" ((NIL NIL \"root\" \"\")) ((NIL NIL \"root\" \"\")) ((NIL NIL \"root\" \"\")) "
	    "((NIL NIL \"Friends\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")(NIL NIL NIL NIL)) NIL NIL NIL NIL)");
	buf_done(&out);
}

static const char nested[] =
    "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\none\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: in\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\ntwo.one\r\n--b\r\n\r\ntwo.two\r\n--b--\r\n"
    "--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\nthree.one\r\n--a--\r\n";

static void section_is(const char *message, const char *section, const char *tail, const char *body)
{
	struct arena *a = arena_new(0);
	struct slice t = SLICE_NONE;
	const struct mime_part *p = mime_section(mime_parse(slice_of(message), a), slice_of(section), &t);

	if (body == NULL) {
		assert_null(p);
	} else {
		assert_non_null(p);
		assert_true(slice_eqs(t, tail));
		if (!slice_eqs(slice_mem(message + p->body_at, p->body_len), body))
			fail_msg("%s is %.*s", section, (int)p->body_len, message + p->body_at);
	}
	arena_free(&a);
}

static void sections(void **state)
{
	(void)state;
	section_is(nested, "1", "", "one");
	section_is(nested, "1.MIME", "MIME", "one");
	section_is(nested, "2.1", "", "two.one");
	section_is(nested, "2.2.MIME", "MIME", "two.two");
	section_is(nested, "3.1", "", "three.one");
	section_is(nested, "3.HEADER", "HEADER", "Subject: plain\r\n\r\nthree.one");
	section_is(nested, "1.1", NULL, NULL);
	section_is(nested, "4", NULL, NULL);
	section_is(nested, "3.2", NULL, NULL);
	section_is(nested, "0", NULL, NULL);
	section_is(nested, "99999999999", NULL, NULL);
	section_is("\r\nx", "1", "", "x");
	section_is("\r\nx", "1.1", NULL, NULL);
	section_is("\r\nx", "2", NULL, NULL);
}

/* ---- what attackers send (rows 17 and 18) ---- */

static unsigned count_parts(const struct mime_part *root, unsigned *depth_out)
{
	unsigned n = 0;
	const struct mime_part *p = root;

	*depth_out = 0;
	for (;;) {
		n++;
		*depth_out = p->depth > *depth_out ? p->depth : *depth_out;
		if (p->first != NULL) {
			p = p->first;
			continue;
		}
		while (p != root && p->next == NULL)
			p = p->parent;
		if (p == root)
			return n;
		p = p->next;
	}
}

static void deep(void **state)
{
	struct arena *a = arena_new(0);
	struct buf m, out;
	unsigned depth;

	(void)state;
	buf_init(&m, BUF_UNBOUNDED);
	buf_init(&out, BUF_UNBOUNDED);
	for (unsigned i = 0; i < 10000; i++)
		buf_putf(&m, "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", i, i);
	assert_true(count_parts(mime_parse(buf_view(&m), a), &depth) <= LIMIT_MIME_DEPTH + 1);
	assert_true(depth < LIMIT_MIME_DEPTH);
	mime_put_structure(buf_view(&m), mime_parse(buf_view(&m), a), true, &out);
	buf_reset(&m);
	for (unsigned i = 0; i < 10000; i++)
		buf_puts(&m, "Content-Type: message/rfc822\r\n\r\n");
	count_parts(mime_parse(buf_view(&m), a), &depth);
	assert_int_equal(depth, LIMIT_MIME_DEPTH - 1);
	buf_done(&m);
	buf_done(&out);
	arena_free(&a);
}

static void many(void **state)
{
	struct arena *a = arena_new(0);
	struct buf m;
	unsigned depth;
	int64_t start = clock_mono_ms();

	(void)state;
	buf_init(&m, BUF_UNBOUNDED);
	buf_puts(&m, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	for (unsigned i = 0; i < 1000000; i++)
		buf_puts(&m, "--b\r\n\r\n");
	assert_int_equal(count_parts(mime_parse(buf_view(&m), a), &depth), LIMIT_MIME_PARTS);
	buf_done(&m);
	arena_free(&a);
	assert_true(clock_mono_ms() - start < 2000);
}

static int64_t time_of(struct slice message)
{
	struct arena *a = arena_new(0);
	struct buf out;
	int64_t start = clock_mono_ms();

	buf_init(&out, BUF_UNBOUNDED);
	struct mime_part *root = mime_parse(message, a);

	mime_put_structure(message, root, true, &out);
	mime_put_envelope(slice_head(message, root->header_len), &out);
	int64_t took = clock_mono_ms() - start;

	buf_done(&out);
	arena_free(&a);
	return took;
}

static void bombs(void **state)
{
	struct buf m;

	(void)state;
	buf_init(&m, BUF_UNBOUNDED);
	buf_puts(&m, "To: ");
	for (unsigned i = 0; i < 100000; i++)
		buf_puts(&m, "((,.!<a@");
	assert_true(time_of(buf_view(&m)) < 1000);
	buf_reset(&m);
	buf_puts(&m, "Content-Type: text/plain");
	for (unsigned i = 0; i < 100000; i++)
		buf_putf(&m, ";\r\n a*%u=\"x", i % 100);
	assert_true(time_of(buf_view(&m)) < 1000);
	buf_reset(&m);
	for (unsigned i = 0; i < 500000; i++)
		buf_puts(&m, "X: y\r\n");
	assert_true(time_of(buf_view(&m)) < 1000);
	buf_reset(&m);
	buf_puts(&m, "\r\n");
	while (m.len < 10u << 20)
		buf_puts(&m, "--VGhpcyBpcyBhIGxpbmUgb2YgYmFzZTY0IHRleHQgdGhhdCBzdGFuZHMgZm9yIGEgZmlsZQ==\r\n");
	int64_t took = time_of(buf_view(&m));

	print_message("10 MB: %d ms\n", (int)took);
	assert_true(took < 500);
	buf_done(&m);
}

/* ---- depth x boundary x encoding x truncation: nothing leaves its parent, the text is balanced ---- */

static void check_tree(struct slice message)
{
	struct arena *a = arena_new(0);
	struct mime_part *root = mime_parse(message, a), *p = root;
	struct buf out;
	long balance = 0;

	for (;;) {
		assert_true(p->body_at == p->header_at + p->header_len);
		assert_true(p->body_at + p->body_len <= message.n);
		if (p->parent != NULL) {
			assert_true(p->header_at >= p->parent->body_at);
			assert_true(p->body_at + p->body_len <= p->parent->body_at + p->parent->body_len);
		}
		if (p->first != NULL) {
			p = p->first;
			continue;
		}
		while (p != root && p->next == NULL)
			p = p->parent;
		if (p == root)
			break;
		p = p->next;
	}
	buf_init(&out, BUF_UNBOUNDED);
	mime_put_structure(message, root, true, &out);
	for (size_t i = 0; i < out.len; i++)
		balance += out.p[i] == '(' ? 1 : out.p[i] == ')' ? -1 : 0;
	assert_int_equal(balance, 0);
	buf_done(&out);
	arena_free(&a);
}

static void put_message(struct buf *m, unsigned depth, unsigned width, const char *boundary, const char *encoding)
{
	if (depth == 0) {
		buf_putf(m, "Content-Transfer-Encoding: %s\r\n\r\nbody =3D\r\n", encoding);
		return;
	}
	buf_putf(m, "Content-Type: multipart/mixed; boundary=\"%s%u\"\r\n\r\n", boundary, depth);
	for (unsigned i = 0; i < width; i++) {
		buf_putf(m, "\r\n--%s%u\r\n", boundary, depth);
		put_message(m, depth - 1, width, boundary, encoding);
	}
	buf_putf(m, "\r\n--%s%u--\r\n", boundary, depth);
}

static void generated(void **state)
{
	static const char *const boundaries[] = { "x", "-", "--x", "a b" }, *const encodings[] = { "base64", "quoted-printable", "" };

	(void)state;
	for (unsigned depth = 0; depth < 4; depth++)
		for (unsigned b = 0; b < 4; b++)
			for (unsigned e = 0; e < 3; e++) {
				struct buf m;

				buf_init(&m, BUF_UNBOUNDED);
				put_message(&m, depth, 2, boundaries[b], encodings[e]);
				for (size_t n = 0; n <= m.len; n += 1 + m.len / 100)
					check_tree(slice_head(buf_view(&m), n));
				buf_done(&m);
			}
}

static void strings(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	imap_put_nstring(SLICE_NONE, &b);
	imap_put_string(SLICE(""), &b);
	imap_put_string(SLICE("a\"\\"), &b);
	imap_put_string(SLICE("a\r\n\0\x80"), &b);
	assert_true(slice_eq(buf_view(&b), SLICE("NIL\"\"\"a\\\"\\\\\"{5}\r\na\r\n?\x80")));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structures), cmocka_unit_test(envelope), cmocka_unit_test(sections), cmocka_unit_test(deep), cmocka_unit_test(many),
		cmocka_unit_test(bombs), cmocka_unit_test(generated), cmocka_unit_test(strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
