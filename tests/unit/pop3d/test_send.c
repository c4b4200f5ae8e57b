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
	pop3_send_start(&t, &body, lines);
	t.active = false;                                             /* the octets are ours: nothing to unmap */
	while (pop3_send_step(&t, out))
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
	pop3_send_start(&t, &body, UINT64_MAX);
	t.active = false;
	for (; pop3_send_step(&t, &out); steps++) {
		assert_in_range(out.len - before, 1, 2 * POP3_STEP);
		before = out.len;
	}
	assert_in_range(steps, 8, 17);
	buf_done(&out);
	free(octets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases),
		cmocka_unit_test(chunk_borders),
		cmocka_unit_test(a_step_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
