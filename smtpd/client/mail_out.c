/*
 * client/mail_out.c - see mail_out.h.
 */
#include "client/mail_out.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "client/dest.h"
#include "mail/header.h"

static void flush_results(void *ctx)
{
	struct outward *o = ctx;

	qbatch_flush(&o->results);
}

void mail_out_free(struct mail_out *m)
{
	struct arena *a = m->arena;                                   /* m itself lies in it */

	spool_message_done(&m->message);
	list_remove(&m->node);
	arena_free(&a);
}

/* One recipient's outcome, to the log and to the queue. */
static void report(struct outward *o, const struct mail_out *m, const struct dialogue_rcpt *r, struct slice relay)
{
	struct qresult res = { m->job.token, r->rcpt->index, r->outcome, m->mail.dsn_passed_on && r->outcome == QRESULT_SENT,
		slice_of(r->dsn), relay, slice_of(r->text) };

	logline_attempt(&m->job, r->rcpt, relay.n > 0 ? relay : SLICE("none"), &m->times, &res);
	qmsg_put_result(&o->results, &res);
	loop_task_queue(o->loop, &o->flush, flush_results, o);
}

void mail_out_finish(struct outward *o, struct mail_out *m, struct slice relay)
{
	m->times.ended = clock_wall_us();
	for (size_t i = 0; i < m->mail.n_rcpts; i++)
		report(o, m, &m->mail.rcpts[i], relay);
	mail_out_free(m);
}

bool mail_out_keep_deferred(struct outward *o, struct mail_out *m, struct slice relay)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->mail.n_rcpts; i++)
		kept += m->mail.rcpts[i].outcome == QRESULT_DEFERRED;
	if (kept == 0)
		return false;
	m->times.ended = clock_wall_us();
	kept = 0;
	for (size_t i = 0; i < m->mail.n_rcpts; i++) {
		const struct dialogue_rcpt *r = &m->mail.rcpts[i];

		if (r->outcome != QRESULT_DEFERRED) {
			report(o, m, r, relay);
			continue;
		}
		log_info("%.*s: to=<%.*s>: %s; the next server is tried", SLICE_FMT(m->job.id), SLICE_FMT(r->rcpt->address), r->text);
		m->mail.rcpts[kept++] = *r;
	}
	m->mail.n_rcpts = kept;
	m->heard_by = arena_dup(m->arena, relay);
	return true;
}

void mail_out_fail(struct outward *o, struct mail_out *m, enum qoutcome outcome, const char *dsn, const char *text)
{
	dialogue_settle(&m->mail, outcome, dsn, "%s", text);
	mail_out_finish(o, m, SLICE_NONE);                            /* no server said that: we did */
}

static bool has_bare_ends(struct slice s)
{
	for (ptrdiff_t at; (at = slice_chr(s, '\n')) >= 0; s = slice_from(s, (size_t)at + 1)) {
		if (at == 0 || s.p[at - 1] != '\r' || slice_chr(slice_head(s, (size_t)at - 1), '\r') >= 0)
			return true;
	}
	return slice_chr(s, '\r') >= 0;
}

/* What we accepted has CRLF alone; files that an admin edited may not. Smuggling ends here (CVE-2026-33604). */
static struct slice with_crlf(struct slice s, struct arena *a)
{
	char *p;
	size_t n = 0;

	if (!has_bare_ends(s))
		return s;
	p = arena_alloc(a, 2 * s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n')
			continue;
		if (s.p[i] == '\r' || s.p[i] == '\n') {
			p[n++] = '\r';
			p[n++] = '\n';
		} else {
			p[n++] = s.p[i];
		}
	}
	return slice_mem(p, n);
}

bool mail_out_prepare(struct outward *o, struct mail_out *m)
{
	struct err e = ERR_INIT;
	struct slice body;
	bool has_end;
	size_t hops;
	char text[100];

	if (m->octets.p != NULL)                                      /* it was put back */
		return true;
	if (spool_message_get(o->reader, arena_str(m->arena, m->job.id), &m->job.place, (m->job.flags & QJOB_IN_LARGE) != 0, m->arena, &m->message, &e) < 0) {
		mail_out_fail(o, m, QRESULT_DEFERRED, "4.3.0", e.text);
		return false;
	}
	m->octets = with_crlf(m->message.octets, m->arena);
	hops = header_count(header_split(m->octets, &body, &has_end), SLICE("Received"));
	if (hops > LIMIT_RECEIVED_LINES) {
		snprintf(text, sizeof(text), "mail loop: %zu Received lines", hops);
		mail_out_fail(o, m, QRESULT_FAILED, "5.4.6", text);
		return false;
	}
	return true;
}
