/*
 * queue/logline.c - see logline.h.
 */
#include "queue/logline.h"

#include "base/clock.h"
#include "base/log.h"

static const char *const status_words[] = { "sent", "deferred", "bounced" };

/* "0", "0.03", "1.2", "345": as few digits as still say something. Numbers by themselves: printf takes its time over a double, and this is each delivery. */
static void put_delay(struct buf *out, int64_t from_us, int64_t to_us)
{
	int64_t us = to_us > from_us ? to_us - from_us : 0;
	unsigned hundredths = (unsigned)((us + 5000) / 10000 % 100), tenths;

	if (us < 5000) {
		buf_putc(out, '0');
	} else if (us < 995000) {
		buf_puts(out, "0.");
		buf_putc(out, (char)('0' + hundredths / 10));
		buf_putc(out, (char)('0' + hundredths % 10));
	} else if (us < 99950000) {
		tenths = (unsigned)((us + 50000) / 100000);
		buf_putf(out, "%u.%u", tenths / 10, tenths % 10);
	} else {
		buf_putf(out, "%lld", (long long)((us + 500000) / 1000000));
	}
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
