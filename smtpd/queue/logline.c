/*
 * queue/logline.c - see logline.h.
 */
#include "queue/logline.h"

#include "base/clock.h"
#include "base/log.h"

static const char *const status_words[] = { "sent", "deferred", "bounced" };

/* "0", "0.03", "1.2", "345": as few digits as still say something. */
static void put_delay(struct buf *out, int64_t from_us, int64_t to_us)
{
	double s = to_us > from_us ? (double)(to_us - from_us) / CLOCK_US_PER_S : 0;

	if (s < 0.005)
		buf_putc(out, '0');
	else if (s < 1)
		buf_putf(out, "%.2f", s);
	else if (s < 100)
		buf_putf(out, "%.1f", s);
	else
		buf_putf(out, "%.0f", s);
}

void logline_put(const struct qjob *job, const struct qjob_rcpt *rcpt, struct slice relay, const struct attempt_times *t, const struct qresult *r, struct buf *out)
{
	int64_t connected = t->connected != 0 ? t->connected : t->began;

	buf_putf(out, "%.*s: to=<%.*s>, ", SLICE_FMT(job->id), SLICE_FMT(rcpt->address));
	if (rcpt->original.n > 0)
		buf_putf(out, "orig_to=<%.*s>, ", SLICE_FMT(rcpt->original));
	buf_putf(out, "relay=%.*s, delay=", SLICE_FMT(relay));
	put_delay(out, job->arrived, t->ended);
	buf_puts(out, ", delays=");
	put_delay(out, job->arrived, job->queued);
	buf_putc(out, '/');
	put_delay(out, job->queued, t->began);
	buf_putc(out, '/');
	put_delay(out, t->began, connected);
	buf_putc(out, '/');
	put_delay(out, connected, t->ended);
	buf_putf(out, ", dsn=%.*s, status=%s (%.*s)", SLICE_FMT(r->dsn), status_words[r->outcome], SLICE_FMT(r->text));
}

void logline_attempt(const struct qjob *job, const struct qjob_rcpt *rcpt, struct slice relay, const struct attempt_times *t, const struct qresult *r)
{
	struct buf line;

	buf_init(&line, BUF_UNBOUNDED);
	logline_put(job, rcpt, relay, t, r, &line);
	log_info("%s", buf_str(&line));
	buf_done(&line);
}
