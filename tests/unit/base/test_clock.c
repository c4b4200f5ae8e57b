#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "base/attr.h"
#include "base/clock.h"

static void clocks_tell_the_same_time_as_the_system(void **state UNUSED)
{
	int64_t before = time(NULL), us = clock_wall_us(), s = clock_wall_s(), mono = clock_mono_ms();

	assert_in_range(us / CLOCK_US_PER_S, before, before + 5);
	assert_in_range(s, before, before + 5);
	assert_true(clock_mono_ms() >= mono);
	assert_true(mono > 0);
	assert_true(clock_boot_s() > 0 && clock_boot_s() <= s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(clocks_tell_the_same_time_as_the_system) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
