/*
 * How many connections an address has: exactly here, and with what other fronts have; what becomes of a front that dies, and of those of old generations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "serve/crowd.h"

static void *memory(void)
{
	void *m = mmap(NULL, CROWD_OCTETS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(m, MAP_FAILED);
	text_random(m, 16);
	return m;
}

static struct net_addr addr(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

static void alone(void **state)
{
	struct crowd *c = crowd_new(NULL, 0, 0);
	struct net_addr a = addr("192.0.2.7"), b = addr("192.0.2.8"), six = addr("2001:db8::1"), same = addr("2001:db8::ffff:1"), next = addr("2001:db8:0:1::1");

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(crowd_admit(c, &a, 3));
	assert_false(crowd_admit(c, &a, 3));
	assert_true(crowd_admit(c, &a, 0));                               /* no limit */
	crowd_leave(c, &a);
	assert_true(crowd_admit(c, &b, 3));
	crowd_leave(c, &a);
	assert_true(crowd_admit(c, &a, 3));
	assert_true(crowd_admit(c, &six, 1));
	assert_false(crowd_admit(c, &same, 1));                           /* one /64 */
	assert_true(crowd_admit(c, &next, 1));
	crowd_free(&c);
}

static void fronts_count_together(void **state)
{
	void *m = memory();
	struct crowd *one = crowd_new(m, 0, 0), *two = crowd_new(m, 0, 1);
	struct net_addr a = addr("192.0.2.7"), six = addr("2001:db8::1"), same = addr("2001:db8::ffff:1");

	(void)state;
	assert_true(crowd_admit(one, &a, 3));
	assert_true(crowd_admit(two, &a, 3));
	assert_true(crowd_admit(two, &a, 3));
	assert_false(crowd_admit(one, &a, 3));
	assert_false(crowd_admit(two, &a, 3));
	crowd_leave(two, &a);
	assert_true(crowd_admit(one, &a, 3));
	assert_true(crowd_admit(one, &six, 1));
	assert_false(crowd_admit(two, &same, 1));
	crowd_free(&one);                                                 /* a front that goes takes its own with it */
	assert_true(crowd_admit(two, &a, 3));
	assert_true(crowd_admit(two, &a, 3));
	assert_false(crowd_admit(two, &a, 3));
	crowd_free(&two);
	munmap(m, CROWD_OCTETS);
}

static void a_front_that_dies_is_replaced(void **state)
{
	void *m = memory();
	struct crowd *two = crowd_new(m, 0, 1), *one;
	struct net_addr a = addr("192.0.2.7");
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct crowd *c = crowd_new(m, 0, 0);
		_exit(crowd_admit(c, &a, 2) && crowd_admit(c, &a, 2) ? 0 : 1);        /* and dies without a word */
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(crowd_admit(two, &a, 2));                            /* until it is replaced: nobody knows better */
	one = crowd_new(m, 0, 0);
	assert_true(crowd_admit(two, &a, 2));
	assert_true(crowd_admit(one, &a, 2));
	assert_false(crowd_admit(one, &a, 2));
	crowd_free(&one);
	crowd_free(&two);
	munmap(m, CROWD_OCTETS);
}

static void generations_count_together_for_a_while(void **state)
{
	void *m = memory();
	struct crowd *old = crowd_new(m, 7, 0), *fresh = crowd_new(m, 8, 0);
	struct net_addr a = addr("192.0.2.7");

	(void)state;
	assert_true(crowd_admit(old, &a, 2));
	assert_true(crowd_admit(fresh, &a, 2));
	assert_false(crowd_admit(fresh, &a, 2));
	crowd_free(&old);
	assert_true(crowd_admit(fresh, &a, 2));
	crowd_free(&fresh);
	munmap(m, CROWD_OCTETS);
}

/* More fronts than rows: the last count alone, and rows of generations long gone are taken. */
static void rows_run_out(void **state)
{
	void *m = memory();
	struct crowd *c[CROWD_ROWS], *late, *later;
	struct net_addr a = addr("192.0.2.9");

	(void)state;
	for (unsigned i = 0; i < CROWD_ROWS; i++)
		c[i] = crowd_new(m, 1, i);
	assert_true(crowd_admit(c[0], &a, 1));
	late = crowd_new(m, 2, 0);
	assert_true(crowd_admit(late, &a, 1));
	assert_false(crowd_admit(late, &a, 1));
	later = crowd_new(m, 5, 0);
	assert_true(crowd_admit(later, &a, 1));                           /* it took the row that told of c[0] */
	assert_false(crowd_admit(c[1], &a, 1));
	crowd_free(&late);
	crowd_free(&later);
	for (unsigned i = 1; i < CROWD_ROWS; i++)
		crowd_free(&c[i]);
	crowd_free(&c[0]);
	munmap(m, CROWD_OCTETS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone), cmocka_unit_test(fronts_count_together), cmocka_unit_test(a_front_that_dies_is_replaced),
		cmocka_unit_test(generations_count_together_for_a_while), cmocka_unit_test(rows_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
