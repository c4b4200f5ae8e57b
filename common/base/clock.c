#include "base/clock.h"

#include <time.h>

static struct timespec now(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t;
}

int64_t clock_wall_us(void)
{
	struct timespec t = now(CLOCK_REALTIME);

	return (int64_t)t.tv_sec * CLOCK_US_PER_S + t.tv_nsec / 1000;
}

int64_t clock_wall_s(void)
{
	return now(CLOCK_REALTIME).tv_sec;
}

int64_t clock_boot_s(void)
{
	struct timespec up;

	if (clock_gettime(CLOCK_BOOTTIME, &up) < 0)
		return 0;
	return clock_wall_s() - (int64_t)up.tv_sec;
}

int64_t clock_mono_ms(void)
{
	struct timespec t = now(CLOCK_MONOTONIC);

	return (int64_t)t.tv_sec * CLOCK_MS_PER_S + t.tv_nsec / 1000000;
}
