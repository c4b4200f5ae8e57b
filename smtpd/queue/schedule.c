/*
 * queue/schedule.c - see schedule.h.
 */
#include "queue/schedule.h"

#include "base/clock.h"

int64_t schedule_next_try(const struct settings *s, unsigned attempts, int64_t now)
{
	uint64_t wait = s->minimal_backoff_time;

	for (unsigned i = 1; i < attempts && wait < s->maximal_backoff_time; i++)
		wait *= 2;
	if (wait > s->maximal_backoff_time)
		wait = s->maximal_backoff_time;
	return now + (int64_t)wait;
}

int64_t schedule_expires_at(const struct settings *s, const struct envelope *env)
{
	uint32_t life = env->sender.n == 0 ? s->bounce_queue_lifetime : s->maximal_queue_lifetime;

	return env->arrived / CLOCK_US_PER_S + life;
}

bool schedule_warns(const struct settings *s, const struct envelope *env, int64_t now)
{
	if (s->delay_warning_time == 0 || env->sender.n == 0 || (env->flags & ENV_DELAY_TOLD))
		return false;
	return now - env->arrived / CLOCK_US_PER_S >= s->delay_warning_time;
}

bool rcpt_wants(const struct rcpt *r, unsigned notify_bit)
{
	unsigned notify = r->notify == 0 ? NOTIFY_FAILURE | NOTIFY_DELAY : r->notify;

	return !(notify & NOTIFY_NEVER) && (notify & notify_bit);
}
