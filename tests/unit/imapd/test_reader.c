/* Commands off the wire: whole, an octet at a time, with literals, and what is refused before it is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/limits.h"
#include "imapd/reader.h"

/* Feeds `in` in pieces of `step` octets; commands are written to log as "<...>", reads that ended it as "CLOSE". */
static void feed(const char *in, size_t n, size_t step, struct buf *log, struct buf *out)
{
	struct imap_reader r;
	struct slice command;
	size_t taken = 0;

	imap_reader_init(&r, &imap_caps_login);
	for (size_t have = step; taken < n;) {
		size_t used, end = have < n ? have : n;
		enum imap_read got = imap_reader_input(&r, slice_mem(in + taken, end - taken), &used, &command, out);

		taken += used;
		if (got == IMAP_READ_COMMAND)
			buf_putf(log, "<%.*s>", SLICE_FMT(command));
		if (got == IMAP_READ_CLOSE) {
			buf_puts(log, "CLOSE");
			break;
		}
		if (got == IMAP_READ_MORE) {
			if (have >= n)
				break;
			have += step;
		}
	}
	imap_reader_done(&r);
}

static const struct { const char *in, *commands, *out; } rows[] = {
	{ "a NOOP\r\nb NOOP\r\n", "<a NOOP><b NOOP>", "" },
	{ "\r\na NOOP\r\n", "<><a NOOP>", "" },
	{ "a LOGIN {2}\r\nab {3+}\r\nxyz\r\nb NOOP\r\n", "<a LOGIN {2}\r\nab {3+}\r\nxyz><b NOOP>", "+ go on\r\n" },
	{ "a LOGIN {0}\r\n {0+}\r\n\r\n", "<a LOGIN {0}\r\n {0+}\r\n>", "+ go on\r\n" },
	{ "a LOGIN {5000}\r\nb NOOP\r\n", "<b NOOP>", "a BAD literal larger than 4096 octets before login\r\n" },
	{ "a LOGIN {5+}\r\na\r\nb}\r\nb NOOP\r\n", "<a LOGIN {5+}\r\na\r\nb}><b NOOP>", "" },
	{ "a LOGIN {4294967295}\r\nb NOOP\r\n", "<b NOOP>", "a BAD literal larger than 4096 octets before login\r\n" },
	{ "a LOGIN {18446744073709551616}\r\nb NOOP\r\n", "<b NOOP>", "a BAD number out of range\r\n" },
	{ "a LOGIN {18446744073709551616+}\r\nb NOOP\r\n", "CLOSE", "a BAD number out of range\r\n* BYE that literal is too large to skip, good-bye\r\n" },
	{ "a NOOP\nb NOOP\r\n", "<b NOOP>", "a BAD a command line ends with CR LF, and has neither inside\r\n" },
};

static void both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (size_t step = 1; step < 100; step += 98) {
			struct buf log, out;

			buf_init(&log, 10000);
			buf_init(&out, 10000);
			feed(rows[i].in, strlen(rows[i].in), step, &log, &out);
			if (strcmp(buf_str(&log), rows[i].commands) != 0 || strcmp(buf_str(&out), rows[i].out) != 0)
				fail_msg("row %zu, step %zu: %s %s", i, step, buf_str(&log), buf_str(&out));
			buf_done(&log);
			buf_done(&out);
		}
}

static void swallows(void **state)
{
	struct buf in, log, out;

	(void)state;
	buf_init(&in, BUF_UNBOUNDED);
	buf_init(&log, 10000);
	buf_init(&out, 10000);
	buf_puts(&in, "a LOGIN {6000+}\r\n");
	for (int i = 0; i < 1000; i++)
		buf_puts(&in, "b NO\r\n");
	buf_puts(&in, " {3+}\r\nb\r\n\r\nc NOOP\r\n");
	feed(in.p, in.len, 7, &log, &out);
	assert_string_equal(buf_str(&log), "<c NOOP>");
	assert_string_equal(buf_str(&out), "a BAD literal larger than 4096 octets before login\r\n");
	buf_done(&in);
	buf_done(&log);
	buf_done(&out);
}

static void endless_line(void **state)
{
	struct buf in, log, out;

	(void)state;
	buf_init(&in, BUF_UNBOUNDED);
	buf_init(&log, 10000);
	buf_init(&out, 10000);
	for (int i = 0; i < 10000; i++)
		buf_puts(&in, "aaaaaaaaaa");
	feed(in.p, in.len, LIMIT_IMAP_LINE_PRELOGIN, &log, &out);
	assert_string_equal(buf_str(&log), "CLOSE");
	assert_string_equal(buf_str(&out), "* BYE command line longer than 8192 octets before login, good-bye\r\n");
	buf_reset(&in);
	buf_reset(&log);
	buf_reset(&out);
	for (int i = 0; i < 1000; i++)
		buf_puts(&in, "a aaaaaaaaaaaaaaaa {1+}\r\nx");
	feed(in.p, in.len, 100, &log, &out);
	assert_string_equal(buf_str(&log), "CLOSE");
	buf_done(&in);
	buf_done(&log);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_ways), cmocka_unit_test(swallows), cmocka_unit_test(endless_line) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
