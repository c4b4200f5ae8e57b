/*
 * client/dest.c - see dest.h.
 */
#include "client/dest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/header.h"

enum { RESOLVED_MS = 60000, DEAD_MS = 30000, CROWDED_MS = 10000, FORGET_MS = 300000, SWEEP_MS = 60000 };

/* ---- a message ---- */

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

void mail_out_finish(struct outward *o, struct mail_out *m, struct slice relay)
{
	m->times.ended = clock_wall_us();
	for (size_t i = 0; i < m->mail.n_rcpts; i++) {
		const struct dialogue_rcpt *r = &m->mail.rcpts[i];
		struct qresult res = { m->job.token, r->rcpt->index, r->outcome, m->mail.dsn_passed_on && r->outcome == QRESULT_SENT,
			slice_of(r->dsn), relay, slice_of(r->text) };

		logline_attempt(&m->job, r->rcpt, relay.n > 0 ? relay : SLICE("none"), &m->times, &res);
		qmsg_put_result(&o->results, &res);
	}
	loop_task_queue(o->loop, &o->flush, flush_results, o);
	mail_out_free(m);
}

static void fail_mail(struct outward *o, struct mail_out *m, enum qoutcome outcome, const char *dsn, const char *text)
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
		fail_mail(o, m, QRESULT_DEFERRED, "4.3.0", e.text);
		return false;
	}
	m->octets = with_crlf(m->message.octets, m->arena);
	hops = header_count(header_split(m->octets, &body, &has_end), SLICE("Received"));
	if (hops > LIMIT_RECEIVED_LINES) {
		snprintf(text, sizeof(text), "mail loop: %zu Received lines", hops);
		fail_mail(o, m, QRESULT_FAILED, "5.4.6", text);
		return false;
	}
	return true;
}

struct mail_out *dest_next(struct dest *d)
{
	struct list_node *n = list_first(&d->waiting);

	if (n == NULL)
		return NULL;
	list_remove(n);
	d->n_waiting--;
	return LIST_OF(n, struct mail_out, node);
}

void dest_put_back(struct dest *d, struct mail_out *m)
{
	list_prepend(&d->waiting, &m->node);
	d->n_waiting++;
}

static void fail_waiting(struct dest *d, enum qoutcome outcome, const char *dsn, const char *text)
{
	struct mail_out *m;

	while ((m = dest_next(d)) != NULL)
		fail_mail(d->out, m, outcome, dsn, text);
}

/* ---- a destination ---- */

static void on_resolved(void *ctx, const struct resolved *r)
{
	struct dest *d = ctx;

	d->resolving = NULL;
	if (r->outcome != QRESULT_SENT) {
		fail_waiting(d, r->outcome, r->dsn, r->text);
		return;
	}
	if (d->resolved == NULL)
		d->resolved = mem_new(sizeof(*d->resolved));
	*d->resolved = *r;
	d->resolved_at = loop_now(d->out->loop);
	memset(d->no_tls, 0, sizeof(d->no_tls));
	dest_pump(d);
}

static bool is_known(const struct dest *d)
{
	if (d->resolved == NULL)
		return false;
	return d->n_peers > 0 || loop_now(d->out->loop) - d->resolved_at < RESOLVED_MS;     /* peers hold an index into it */
}

void dest_pump(struct dest *d)
{
	struct outward *o = d->out;

	if (d->n_waiting == 0)
		return;
	d->used_at = loop_now(o->loop);
	if (d->hop_is_bad) {
		fail_waiting(d, QRESULT_FAILED, "5.4.4", "the next hop that the maps name is not understood");
		return;
	}
	if (d->used_at < d->dead_until) {
		fail_waiting(d, d->dead_outcome, d->dead_dsn, d->dead_text);
		return;
	}
	if (!is_known(d)) {
		if (d->resolving == NULL)
			d->resolving = resolve_start(&o->resolver, &d->hop, on_resolved, d);
		return;
	}
	peer_wake_one(d);
	if (d->n_peers > 0 && d->used_at < d->crowded_until)
		return;
	while (d->n_waiting > d->n_opening && d->n_peers < o->settings->client_destination_limit && o->n_peers < o->settings->client_connection_limit) {
		size_t before = d->n_peers;

		peer_open(d);
		if (d->n_peers == before)                             /* every candidate failed at once */
			return;
	}
}

void dest_unreachable(struct dest *d, const char *dsn, const char *text)
{
	int64_t now = loop_now(d->out->loop), pause = (int64_t)d->out->settings->minimal_backoff_time * CLOCK_MS_PER_S / 2;

	if (d->n_peers > d->n_opening) {                              /* others got through: this connection was one too many */
		d->crowded_until = now + CROWDED_MS;
		return;
	}
	d->dead_until = now + (pause < DEAD_MS ? pause : DEAD_MS);
	d->dead_outcome = QRESULT_DEFERRED;
	snprintf(d->dead_dsn, sizeof(d->dead_dsn), "%s", dsn[0] == '5' ? "4.4.1" : dsn);
	snprintf(d->dead_text, sizeof(d->dead_text), "%s", text);
	fail_waiting(d, d->dead_outcome, d->dead_dsn, d->dead_text);
}

void dest_peer_opened(struct dest *d)
{
	d->n_opening--;
	d->dead_until = 0;
}

void dest_peer_gone(struct dest *d, bool was_opening)
{
	struct outward *o = d->out;
	struct slice key;
	void *value;

	d->n_peers--;
	d->n_opening -= was_opening;
	if (o->n_peers-- < o->settings->client_connection_limit) {
		dest_pump(d);
		return;
	}
	for (size_t at = 0; hmap_next(o->dests, &at, &key, &value); )
		dest_pump(value);                                     /* somebody may have waited for a place */
}

struct dest *dest_get(struct outward *o, struct slice next_hop)
{
	struct dest *d = hmap_get(o->dests, next_hop);

	if (d != NULL)
		return d;
	d = mem_new(sizeof(*d));
	d->out = o;
	d->next_hop = mem_new(next_hop.n + 1);
	memcpy(d->next_hop, next_hop.p, next_hop.n);
	d->hop_is_bad = hop_parse(next_hop, &d->hop) < 0;
	list_init(&d->waiting);
	list_init(&d->peers);
	hmap_put(o->dests, next_hop, d);
	return d;
}

void dest_submit(struct dest *d, struct mail_out *m)
{
	list_append(&d->waiting, &m->node);
	d->n_waiting++;
	m->times.began = clock_wall_us();
	dest_pump(d);
}

/* ---- all of them ---- */

static void dest_free(struct dest *d)
{
	resolve_cancel(&d->resolving);
	free(d->resolved);
	free(d->next_hop);
	free(d);
}

static void on_sweep(void *ctx)
{
	dest_sweep(ctx);
}

void dest_sweep(struct outward *o)
{
	int64_t now = loop_now(o->loop);
	struct slice key;
	void *value;

	for (size_t at = 0; hmap_next(o->dests, &at, &key, &value); ) {
		struct dest *d = value;

		if (d->n_waiting == 0 && d->n_peers == 0 && d->resolving == NULL && now - d->used_at > FORGET_MS) {
			hmap_del(o->dests, key);
			dest_free(d);
		}
	}
	loop_timer_start(o->loop, &o->sweep, SWEEP_MS, on_sweep, o);
}

void dest_drop_all(struct outward *o)
{
	struct slice key;
	void *value;
	struct mail_out *m;

	for (size_t at = 0; hmap_next(o->dests, &at, &key, &value); ) {
		struct dest *d = value;

		while ((m = dest_next(d)) != NULL)
			mail_out_free(m);
		peer_drop_all(d);
	}
}
