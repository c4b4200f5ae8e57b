/*
 * When to try again and when to give up, with time as a parameter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "queue/schedule.h"

static const struct settings s = { .minimal_backoff_time = 300, .maximal_backoff_time = 3600, .maximal_queue_lifetime = 432000,
	.bounce_queue_lifetime = 172800, .delay_warning_time = 14400 };

static void test_doubles_up_to_the_cap(void **state)
{
	static const int64_t want[] = { 300, 300, 600, 1200, 2400, 3600, 3600 };

	(void)state;
	for (unsigned attempts = 0; attempts < 7; attempts++)
		assert_int_equal(schedule_next_try(&s, attempts, 1000), 1000 + want[attempts]);
	assert_int_equal(schedule_next_try(&s, UINT32_MAX, 0), 3600);
}

static void test_lifetime(void **state)
{
	struct envelope env = { .arrived = 5000000, .sender = SLICE("a@b") };

	(void)state;
	assert_int_equal(schedule_expires_at(&s, &env), 5 + 432000);
	env.sender = SLICE("");
	assert_int_equal(schedule_expires_at(&s, &env), 5 + 172800);
}

static void test_warning_once_and_never_for_null(void **state)
{
	struct envelope env = { .arrived = 0, .sender = SLICE("a@b") };
	struct settings off = s;

	(void)state;
	assert_false(schedule_warns(&s, &env, 14399));
	assert_true(schedule_warns(&s, &env, 14400));
	env.flags = ENV_DELAY_TOLD;
	assert_false(schedule_warns(&s, &env, 20000));
	env.flags = 0;
	env.sender = SLICE("");
	assert_false(schedule_warns(&s, &env, 20000));
	env.sender = SLICE("a@b");
	off.delay_warning_time = 0;
	assert_false(schedule_warns(&off, &env, 20000));
}

static void test_notify(void **state)
{
	struct rcpt r = { .notify = 0 };

	(void)state;
	assert_true(rcpt_wants(&r, NOTIFY_FAILURE) && rcpt_wants(&r, NOTIFY_DELAY) && !rcpt_wants(&r, NOTIFY_SUCCESS));
	r.notify = NOTIFY_NEVER;
	assert_false(rcpt_wants(&r, NOTIFY_FAILURE));
	r.notify = NOTIFY_SUCCESS;
	assert_true(rcpt_wants(&r, NOTIFY_SUCCESS) && !rcpt_wants(&r, NOTIFY_FAILURE));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_doubles_up_to_the_cap), cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_warning_once_and_never_for_null), cmocka_unit_test(test_notify) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
