/*
 * queue/schedule.h - when a recipient is tried again, and when we give up. Pure: time is a parameter, in seconds since 1970.
 */
#ifndef QUEUE_SCHEDULE_H
#define QUEUE_SCHEDULE_H

#include "conf/settings.h"
#include "queue/envelope.h"

/* After the attempts-th failed attempt at `now`: minimal_backoff_time doubled each time up to maximal_backoff_time. */
int64_t schedule_next_try(const struct settings *s, unsigned attempts, int64_t now);

/* When a message is returned: maximal_queue_lifetime after it arrived, bounce_queue_lifetime for <>. */
int64_t schedule_expires_at(const struct settings *s, const struct envelope *env);

/* Is it time to tell the sender that it waits? Once a message, never for <> (RFC 3461 4.1: NOTIFY decides per recipient). 0 delay_warning_time: never. */
bool schedule_warns(const struct settings *s, const struct envelope *env, int64_t now);

bool rcpt_wants(const struct rcpt *r, unsigned notify_bit);            /* RFC 3461: without NOTIFY, failure and delay */

#endif
