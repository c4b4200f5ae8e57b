/*
 * client/dest.c - see dest.h.
 */
#include "client/dest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { RESOLVED_MS = 60000, DEAD_MS = 30000, CROWDED_MS = 10000, FORGET_MS = 300000, SWEEP_MS = 60000 };

/* ---- what waits ---- */

/* Of a message that moved on: not to a host behind one that nobody has tried for it. */
static bool may_take(const struct dest_place *at, const struct mail_out *m)
{
	return at->start <= m->from && m->from <= at->candidate;
}

bool dest_has_for(const struct dest *d, const struct dest_place *at)
{
	if (at->start == 0 && d->n_waiting > 0)
		return true;
	LIST_EACH(n, &d->moved) {
		if (may_take(at, LIST_OF(n, struct mail_out, node)))
			return true;
	}
	return false;
}

struct mail_out *dest_next(struct dest *d, const struct dest_place *at)
{
	struct list_node *n;

	LIST_EACH_SAFE(moved, &d->moved) {
		struct mail_out *m = LIST_OF(moved, struct mail_out, node);

		if (may_take(at, m)) {
			list_remove(moved);
			d->n_moved--;
			return m;
		}
	}
	if (at->start > 0 || (n = list_first(&d->waiting)) == NULL)
		return NULL;
	list_remove(n);
	d->n_waiting--;
	return LIST_OF(n, struct mail_out, node);
}

void dest_put_back(struct dest *d, struct mail_out *m)
{
	list_prepend(m->from > 0 ? &d->moved : &d->waiting, &m->node);
	*(m->from > 0 ? &d->n_moved : &d->n_waiting) += 1;
}

/* Nobody is left to ask for what moved to candidate start or one behind it: what the last server said stands. */
static void finish_moved(struct dest *d, size_t start)
{
	LIST_EACH_SAFE(n, &d->moved) {
		struct mail_out *m = LIST_OF(n, struct mail_out, node);

		if (m->from < start)
			continue;
		list_remove(n);
		d->n_moved--;
		mail_out_finish(d->out, m, m->heard_by);
	}
}

static void fail_waiting(struct dest *d, enum qoutcome outcome, const char *dsn, const char *text)
{
	const struct dest_place first = { 0, 0 };
	struct mail_out *m;

	finish_moved(d, 0);
	while ((m = dest_next(d, &first)) != NULL)
		mail_out_fail(d->out, m, outcome, dsn, text);
}

static void on_pump(void *ctx)
{
	dest_pump(ctx);
}

/* The first candidate behind this one that is another host. 0: none. */
static size_t next_host(const struct dest *d, size_t candidate)
{
	const struct candidate *list = d->resolved->list;

	for (size_t i = candidate + 1; i < d->resolved->n; i++) {
		if (strcmp(list[i].host, list[candidate].host) != 0)
			return i;
	}
	return 0;
}

void dest_done_with(struct dest *d, struct mail_out *m, size_t candidate, const char *relay)
{
	size_t next = d->hop.use_mx && !m->mail.may_be_in && m->n_heard + 1 < DEST_HOSTS_A_MAIL ? next_host(d, candidate) : 0;

	if (next == 0 || !mail_out_keep_deferred(d->out, m, slice_of(relay))) {
		mail_out_finish(d->out, m, slice_of(relay));
		return;
	}
	m->from = next;
	m->n_heard++;
	list_append(&d->moved, &m->node);
	d->n_moved++;
	loop_task_queue(d->out->loop, &d->pump, on_pump, d);
}

/* ---- a destination ---- */

static void on_resolved(void *ctx, const struct resolved *r)
{
	struct dest *d = ctx;

	d->resolving = NULL;
	finish_moved(d, 0);                                           /* they name candidates of another list */
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

static bool may_open(const struct dest *d)
{
	return d->n_peers < d->out->settings->client_destination_limit && d->out->n_peers < d->out->settings->client_connection_limit;
}

/* For what waits (start 0), or for what moved on to another candidate. */
static void open_peers(struct dest *d, const size_t *n_mails, const size_t *n_opening, bool moved)
{
	while (*n_mails > *n_opening && may_open(d)) {
		size_t before = d->n_peers;

		peer_open(d, moved ? LIST_OF(list_first(&d->moved), struct mail_out, node)->from : 0);
		if (d->n_peers == before)                             /* every candidate failed at once */
			return;
	}
}

void dest_pump(struct dest *d)
{
	struct outward *o = d->out;

	if (d->n_waiting + d->n_moved == 0)
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
	open_peers(d, &d->n_moved, &d->n_opening_moved, true);
	if (d->n_peers == 0 || d->used_at >= d->crowded_until)
		open_peers(d, &d->n_waiting, &d->n_opening, false);
}

void dest_unreachable(struct dest *d, size_t start, const char *dsn, const char *text)
{
	int64_t now = loop_now(d->out->loop), pause = (int64_t)d->out->settings->minimal_backoff_time * CLOCK_MS_PER_S / 2;

	if (start > 0) {
		finish_moved(d, start);
		return;
	}
	if (d->n_peers > d->n_opening + d->n_opening_moved) {                              /* others got through: this connection was one too many */
		d->crowded_until = now + CROWDED_MS;
		return;
	}
	d->dead_until = now + (pause < DEAD_MS ? pause : DEAD_MS);
	d->dead_outcome = QRESULT_DEFERRED;
	snprintf(d->dead_dsn, sizeof(d->dead_dsn), "%s", dsn[0] == '5' ? "4.4.1" : dsn);
	snprintf(d->dead_text, sizeof(d->dead_text), "%s", text);
	fail_waiting(d, d->dead_outcome, d->dead_dsn, d->dead_text);
}

void dest_peer_opened(struct dest *d, size_t start)
{
	*(start > 0 ? &d->n_opening_moved : &d->n_opening) -= 1;
	d->dead_until = 0;
}

void dest_peer_gone(struct dest *d, size_t start, bool was_opening)
{
	struct outward *o = d->out;
	struct slice key;
	void *value;

	d->n_peers--;
	*(start > 0 ? &d->n_opening_moved : &d->n_opening) -= was_opening;
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
	list_init(&d->moved);
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
	loop_task_cancel(&d->pump);
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

		if (d->n_waiting + d->n_moved == 0 && d->n_peers == 0 && d->resolving == NULL && now - d->used_at > FORGET_MS) {
			hmap_del(o->dests, key);
			dest_free(d);
		}
	}
	loop_timer_start(o->loop, &o->sweep, SWEEP_MS, on_sweep, o);
}

void dest_drop_all(struct outward *o)
{
	struct slice key;
	const struct dest_place any = { 0, RESOLVE_ADDRS };
	void *value;
	struct mail_out *m;

	for (size_t at = 0; hmap_next(o->dests, &at, &key, &value); ) {
		struct dest *d = value;

		while ((m = dest_next(d, &any)) != NULL)
			mail_out_free(m);
		peer_drop_all(d);
	}
}
