/*
 * The ledger of failures: growing delays, blocks that end, known-good addresses, and that processes share it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/auth_ledger.h"

#define NOW 1795311821

static struct net_addr addr_of(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

static void answers_come_later_and_later(void **state)
{
	static const uint32_t wanted[] = { 2000, 4000, 8000, 15000, 15000 };
	struct auth_ledger *l = auth_ledger_open(NULL, NULL);
	struct net_addr a = addr_of("192.0.2.7"), b = addr_of("192.0.2.8"), six = addr_of("2001:db8::1"), same = addr_of("2001:db8::ffff:1"), next = addr_of("2001:db8:0:1::1");

	(void)state;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(auth_ledger_failed(l, &a, SLICE("u1@x"), NOW, 2000), wanted[i]);
	assert_int_equal(auth_ledger_failed(l, &a, SLICE("u2@x"), NOW, 2000), 15000);               /* the address */
	assert_int_equal(auth_ledger_failed(l, &b, SLICE("u1@x"), NOW, 2000), 15000);               /* the user */
	assert_int_equal(auth_ledger_failed(l, &b, SLICE("u3@x"), NOW, 2000), 4000);
	assert_int_equal(auth_ledger_failed(l, &six, SLICE("u4@x"), NOW, 2000), 2000);
	assert_int_equal(auth_ledger_failed(l, &same, SLICE("u5@x"), NOW, 2000), 4000);             /* one /64 */
	assert_int_equal(auth_ledger_failed(l, &next, SLICE("u6@x"), NOW, 2000), 2000);
	assert_int_equal(auth_ledger_failed(l, &a, SLICE("u7@x"), NOW + 8 * LEDGER_HALF_LIFE_S, 2000), 2000);
	assert_int_equal(auth_ledger_failed(l, &a, SLICE("u7@x"), NOW, 0), 0);
	struct net_addr lo = addr_of("127.0.0.1");
	assert_int_equal(auth_ledger_failed(l, &lo, SLICE("u8@x"), NOW, 2000), 2000);
	assert_int_equal(auth_ledger_failed(l, &lo, SLICE("u9@x"), NOW, 2000), 2000);
	auth_ledger_close(&l);
}

static void blocks_end_and_spare_the_known(void **state)
{
	struct auth_ledger *l = auth_ledger_open(NULL, NULL);
	struct net_addr bad = addr_of("192.0.2.7"), home = addr_of("198.51.100.1"), cafe = addr_of("198.51.100.2");
	char text[32];

	(void)state;
	auth_ledger_succeeded(l, &home, SLICE("u1@x"), NOW - 3 * 86400);
	for (unsigned i = 0; i < LEDGER_BLOCK_ADDR; i++) {
		assert_true(auth_ledger_may_try(l, &bad, SLICE("u1@x"), NOW));
		(void)auth_ledger_failed(l, &bad, SLICE("u1@x"), NOW, 1);
	}
	assert_false(auth_ledger_may_try(l, &bad, SLICE("u1@x"), NOW));
	assert_false(auth_ledger_may_try(l, &bad, SLICE("other@x"), NOW));
	assert_true(auth_ledger_may_try(l, &cafe, SLICE("u1@x"), NOW));
	for (unsigned i = 0; i < LEDGER_BLOCK_USER; i++) {
		snprintf(text, sizeof(text), "203.0.113.%u", i);
		struct net_addr a = addr_of(text);
		(void)auth_ledger_failed(l, &a, SLICE("u1@x"), NOW, 1);
	}
	assert_false(auth_ledger_may_try(l, &cafe, SLICE("u1@x"), NOW));
	assert_true(auth_ledger_may_try(l, &home, SLICE("u1@x"), NOW));   /* never locked out at home */
	assert_int_equal(auth_ledger_failed(l, &home, SLICE("u1@x"), NOW, 2000), 2000);
	assert_false(auth_ledger_may_try(l, &home, SLICE("u1@x"), NOW + LEDGER_GOOD_S) == false);
	assert_true(auth_ledger_may_try(l, &bad, SLICE("u1@x"), NOW + 3 * LEDGER_HALF_LIFE_S));
	auth_ledger_close(&l);
}

static void daemons_share_it(void **state)
{
	char path[] = "/tmp/test_ledger.XXXXXX";
	struct net_addr a = addr_of("192.0.2.7");
	struct err e = ERR_INIT;
	int fd = mkstemp(path), status;
	struct stat st;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	struct auth_ledger *l = auth_ledger_open(path, &e);
	assert_int_equal(e.kind, ERR_NONE);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_blocks * 512 >= st.st_size);                    /* no hole: a disk that fills up later is no SIGBUS */
	pid_t pid = fork();
	if (pid == 0) {
		struct auth_ledger *other = auth_ledger_open(path, &e);
		for (int i = 0; i < 20; i++)
			(void)auth_ledger_failed(other, &a, SLICE("u1@x"), NOW, 1);
		_exit(0);
	}
	for (int i = 0; i < 20; i++)
		(void)auth_ledger_failed(l, &a, SLICE("u1@x"), NOW, 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(auth_ledger_may_try(l, &a, SLICE("u2@x"), NOW));     /* 40 together, none lost */
	auth_ledger_close(&l);
	unlink(path);
	l = auth_ledger_open("/nonexistent/x", &e);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_int_equal(auth_ledger_failed(l, &a, SLICE("u1@x"), NOW, 5), 5);
	auth_ledger_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_later_and_later),
		cmocka_unit_test(blocks_end_and_spare_the_known),
		cmocka_unit_test(daemons_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
