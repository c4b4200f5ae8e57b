/*
 * queue/logline.h - the line about one recipient's attempt, as log analysers want it.
 */
#ifndef QUEUE_LOGLINE_H
#define QUEUE_LOGLINE_H

#include "queue/queue_msg.h"

struct attempt_times { int64_t began, connected, ended; };            /* microseconds since 1970; connected 0: no connection was made */

/* ID: to=<>, [orig_to=<>,] relay=, delay=, delays=before/in queue/connecting/sending, dsn=, status=sent|deferred|bounced (text) */
void logline_attempt(const struct qjob *job, const struct qjob_rcpt *rcpt, struct slice relay, const struct attempt_times *t, const struct qresult *r);

/* The text of it, for tests. */
void logline_put(const struct qjob *job, const struct qjob_rcpt *rcpt, struct slice relay, const struct attempt_times *t, const struct qresult *r, struct buf *out);

#endif
