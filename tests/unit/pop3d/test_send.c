/* A message on its way out: dot-stuffing in steps, TOP's lines, and what is mended for clients that choke. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "pop3d/pop3.h"

static void transmit(struct slice message, uint64_t lines, struct buf *out)
{
	struct mbody body = { .octets = message, .fd = -1 };
	struct pop3_send t;

	buf_reset(out);
	pop3_send_start(&t, &body, lines, false);
	t.active = false;                                             /* the octets are ours: nothing to unmap */
	while (pop3_send_step(&t, out) == SESSION_MORE)
		;
}

static void cases(void **state)
{
	static const struct { struct slice in; uint64_t lines; const char *want; } table[] = {
		{ SLICE_INIT("A: b\r\n\r\nhi\r\n"),             UINT64_MAX, "A: b\r\n\r\nhi\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n\r\n.\r\n..x\r\n"),       UINT64_MAX, "A: b\r\n\r\n..\r\n...x\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n\r\n1\r\n2\r\n3\r\n"),    0,          "A: b\r\n\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n\r\n1\r\n.2\r\n3\r\n"),   2,          "A: b\r\n\r\n1\r\n..2\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n\r\n1\r\n"),              100,        "A: b\r\n\r\n1\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n\r\nno end"),             UINT64_MAX, "A: b\r\n\r\nno end\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n\r\nhalf\r"),             UINT64_MAX, "A: b\r\n\r\nhalf\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n"),                       UINT64_MAX, "A: b\r\n\r\n.\r\n" },         /* no empty line: gets one */
		{ SLICE_INIT("A: b"),                           UINT64_MAX, "A: b\r\n\r\n.\r\n" },
		{ SLICE_INIT(""),                               UINT64_MAX, "\r\n.\r\n" },
		{ SLICE_INIT("A: b\n\n.bare\nLF\n"),            UINT64_MAX, "A: b\r\n\r\n..bare\r\nLF\r\n.\r\n" },
		{ SLICE_INIT("A: b\r\n\r\nx\0y\r\n"),           UINT64_MAX, "A: b\r\n\r\nx\x80y\r\n.\r\n" },   /* NUL never goes out */
		{ SLICE_INIT("\r\nbody\r\n"),                   0,          "\r\n.\r\n" },
	};
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 20);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		transmit(table[i].in, table[i].lines, &out);
		assert_string_equal(buf_str(&out), table[i].want);
	}
	buf_done(&out);
}

/* Lines whose CRLF meets every chunk border, leading dots included. */
static void chunk_borders(void **state)
{
	struct buf in, out, want;

	(void)state;
	buf_init(&in, 1 << 20);
	buf_init(&out, 1 << 20);
	buf_init(&want, 1 << 20);
	for (size_t pad = 0; pad < 6; pad++) {
		buf_reset(&in);
		buf_reset(&want);
		buf_puts(&in, "A: b\r\n\r\n");
		buf_puts(&want, "A: b\r\n\r\n");
		for (size_t n = 0; n < 5; n++) {
			for (size_t i = 0; i < (16u << 10) - 10 + pad + n; i++) {
				buf_putc(&in, 'x');
				buf_putc(&want, 'x');
			}
			buf_puts(&in, "\r\n.\r\n.dot\r\n");
			buf_puts(&want, "\r\n..\r\n..dot\r\n");
		}
		buf_puts(&want, ".\r\n");
		transmit(buf_view(&in), UINT64_MAX, &out);
		assert_int_equal(out.len, want.len);
		assert_memory_equal(out.p, want.p, want.len);
	}
	buf_done(&in);
	buf_done(&out);
	buf_done(&want);
}

static void a_step_is_bounded(void **state)
{
	size_t n = 1 << 20, steps = 1, before = 0;
	char *octets = malloc(n);
	struct mbody body = { .octets = { octets, n }, .fd = -1 };
	struct pop3_send t;
	struct buf out;

	(void)state;
	assert_non_null(octets);
	memset(octets, 'x', n);
	memcpy(octets, "A: b\r\n\r\n", 8);
	buf_init(&out, 2 << 20);
	pop3_send_start(&t, &body, UINT64_MAX, false);
	t.active = false;
	for (; pop3_send_step(&t, &out) == SESSION_MORE; steps++) {
		assert_in_range(out.len - before, 1, 2 * POP3_STEP);
		before = out.len;
	}
	assert_in_range(steps, 8, 17);
	buf_done(&out);
	free(octets);
}

/* What a caller with sendfile sends: the same octets, most of them by file. */
static size_t transmit_by_file(struct slice message, struct buf *out)
{
	struct mbody body = { .octets = message, .fd = 0 };
	enum session_want want;
	struct pop3_send t;
	size_t by_file = 0;

	buf_reset(out);
	pop3_send_start(&t, &body, UINT64_MAX, true);
	t.active = false;
	while ((want = pop3_send_step(&t, out)) != SESSION_INPUT) {
		if (want != SESSION_FILE)
			continue;
		assert_int_not_equal(t.file_n, 0);
		buf_put(out, slice_head(slice_from(message, t.file_at), t.file_n));
		by_file += t.file_n;
	}
	return by_file;
}

static void put_lines(struct buf *in, unsigned n, const char *line)
{
	while (n-- > 0)
		buf_puts(in, line);
}

/* A long clean message, with what must be mended at every place of a stretch in turn. */
static void stretches_by_file_are_the_same_octets(void **state)
{
	static const char *const dirt[] = { "", ".\r\n", "..x\r\n", "bare\n", "lone\rcr\r\n", "\n", "nul" };
	static const char line[] = "0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n";
	struct buf in, by_copy, by_file;

	(void)state;
	buf_init(&in, 8 << 20);
	buf_init(&by_copy, 8 << 20);
	buf_init(&by_file, 8 << 20);
	for (size_t d = 0; d < sizeof(dirt) / sizeof(dirt[0]); d++) {
		for (unsigned before = 0; before < 2000; before += 199) {
			size_t n;

			buf_reset(&in);
			buf_puts(&in, "Subject: x\r\n\r\n");
			put_lines(&in, before, line);
			buf_puts(&in, dirt[d]);
			if (strcmp(dirt[d], "nul") == 0)
				buf_put(&in, SLICE("\0\r\n"));
			put_lines(&in, 20000, line);
			buf_puts(&in, before % 2 == 0 ? "no end" : "");
			transmit(buf_view(&in), UINT64_MAX, &by_copy);
			n = transmit_by_file(buf_view(&in), &by_file);
			assert_in_range(n, in.len / 10 * 9, in.len);
			assert_int_equal(by_file.len, by_copy.len);
			assert_memory_equal(by_file.p, by_copy.p, by_copy.len);
		}
	}
	buf_done(&in);
	buf_done(&by_copy);
	buf_done(&by_file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases),
		cmocka_unit_test(chunk_borders),
		cmocka_unit_test(a_step_is_bounded),
		cmocka_unit_test(stretches_by_file_are_the_same_octets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
