/*
 * io/conn_time.c - deadlines: one timer for all, moved only when it fires too early.
 */
#include "io/conn_in.h"

#define CONN_CLOSE_MS 10000

static void conn_on_timer(void *ctx);

static int64_t conn_next_deadline(const struct conn *c)
{
	int64_t at = INT64_MAX;

	if (c->closing)
		return c->close_at;
	if (c->idle_ms > 0)
		at = c->moved_at + c->idle_ms;
	if (c->deadline_at > 0 && c->deadline_at < at)
		at = c->deadline_at;
	return at;
}

void conn_arm(struct conn *c)
{
	int64_t at = conn_next_deadline(c);

	if (c->ended || at == INT64_MAX)
		loop_timer_stop(c->loop, &c->timer);
	else if (!loop_timer_is_running(&c->timer) || c->timer.at_ms > at)
		loop_timer_start(c->loop, &c->timer, at - loop_now(c->loop), conn_on_timer, c);
}

void conn_start_closing(struct conn *c, enum conn_end why)
{
	c->closing = true;
	c->why = why;
	c->close_at = loop_now(c->loop) + CONN_CLOSE_MS;
	conn_arm(c);
	conn_soon(c);
}

static void conn_time_is_over(struct conn *c, enum conn_end why)
{
	if (c->ops->on_timeout == NULL || c->connecting || conn_is_before_tls(c)) {
		conn_end(c, why, NULL);
		return;
	}
	c->ops->on_timeout(c->ctx, why);
	if (!c->ended)
		conn_start_closing(c, why);
}

static void conn_on_timer(void *ctx)
{
	struct conn *c = ctx;
	int64_t now = loop_now(c->loop);

	conn_enter(c);
	if (now < conn_next_deadline(c))
		conn_arm(c);
	else if (c->closing)
		conn_end(c, c->why, NULL);
	else if (c->deadline_at > 0 && now >= c->deadline_at)
		conn_time_is_over(c, CONN_DEADLINE);
	else
		conn_time_is_over(c, CONN_IDLE);
	conn_leave(c);
}

void conn_idle_ms(struct conn *c, int64_t ms)
{
	c->idle_ms = ms;
	conn_arm(c);
}

void conn_deadline_ms(struct conn *c, int64_t ms)
{
	c->deadline_at = ms > 0 ? loop_now(c->loop) + ms : 0;
	conn_arm(c);
}
