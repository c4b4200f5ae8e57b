/*
 * tests/unit/store/test_verify.c - what is wrong is found and mended; what is right is called so.
 */
#include "store_env.h"

#include <fcntl.h>

#include "store/verify.h"

static void on_line(void *ctx, const char *text)
{
	struct buf *b = ctx;

	buf_putf(b, "%s\n", text);
}

static unsigned verify(struct env *v, bool repair, struct buf *out)
{
	struct verify_report to = { on_line, out };
	unsigned faults = 99;

	buf_reset(out);
	OK(v, box_verify(v->b, repair, &to, &faults, &v->e));
	return faults;
}

static void test_verify(void **state)
{
	struct env *v = *state;
	struct folder_status s;
	const char *path;
	struct buf out;
	int fd;

	buf_init(&out, BUF_UNBOUNDED);
	env_open(v);
	env_deliver_n(v, "INBOX", 3);
	assert_int_equal(verify(v, false, &out), 0);
	path = env_deliver(v, "INBOX", "SHORT", MESSAGE);
	assert_int_equal(truncate(path, 10), 0);
	assert_int_equal(verify(v, false, &out), 1);
	assert_non_null(strstr(buf_str(&out), "INBOX: UID 4: 10 octets, but the name says 93"));
	path = env_deliver(v, "Sent", "X", MESSAGE);
	fd = open(arena_printf(v->a, "%s/office.test/u1/.Sent/tmp/old", v->dir), O_CREAT | O_WRONLY, 0600);
	assert_int_equal(futimens(fd, (struct timespec[2]){ { 1000, 0 }, { 1000, 0 } }), 0);
	close(fd);
	assert_int_equal(verify(v, true, &out), 2);
	assert_non_null(strstr(buf_str(&out), "Sent: left over from a crash: tmp/old"));
	OK(v, box_status(v->b, SLICE("Sent"), &s, &v->e));
	assert_int_equal(s.messages, 1);
	assert_int_equal(verify(v, false, &out), 0);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(test_verify, env_setup, env_teardown) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
