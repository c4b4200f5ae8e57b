/*
 * queue/intake.c - accepted records become messages; their recipients are expanded to mailboxes of ours and addresses elsewhere, once.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/state.h"

enum { ROUTER_LOOK_MS = 1000, EXPAND_AGAIN_S = 60 };

/* ---- messages in memory ---- */

struct qmessage *queue_message_new(struct queue *q, struct slice envelope_text, struct err *e)
{
	struct arena *a = arena_new(2048);
	struct qmessage *m = arena_alloc(a, sizeof(*m));

	m->arena = a;
	if (envelope_parse(envelope_text, a, &m->env, e) < 0) {
		arena_free(&a);
		return NULL;
	}
	m->run = arena_array(a, m->env.n_rcpts + 1, sizeof(*m->run));
	m->token = ++q->last_token;
	m->queued = loop_wall_us(q->loop);
	hmap_put(q->by_id, slice_of(m->env.id), m);
	hmap_put(q->by_token, slice_mem(&m->token, sizeof(m->token)), m);
	return m;
}

void queue_message_free(struct queue *q, struct qmessage *m)
{
	struct arena *a = m->arena;

	if (hmap_get(q->by_id, slice_of(m->env.id)) == m)
		hmap_del(q->by_id, slice_of(m->env.id));
	hmap_del(q->by_token, slice_mem(&m->token, sizeof(m->token)));
	list_remove(&m->node_local);
	list_remove(&m->node_remote);
	list_remove(&m->node_dirty);
	loop_timer_stop(q->loop, &m->due);
	arena_free(&a);
}

/* ---- expansion ---- */

/* What the author of a message to a list asked for ends at the list (RFC 3461 section 5.2.7.3): its owner hears of failures. */
static void give_owner(struct qmessage *m, struct rcpt *r, struct slice owner)
{
	if (owner.n == 0 || m->env.sender.n == 0)
		return;
	r->owner = arena_dup(m->arena, owner);
	r->notify = 0;
	r->orcpt = SLICE("");
}

static void take_finals(struct queue *q, struct qmessage *m, const struct final *finals, size_t n)
{
	struct rcpt *from = m->env.rcpts;

	m->env.rcpts = arena_array(m->arena, n + 1, sizeof(*m->env.rcpts));
	m->run = arena_array(m->arena, n + 1, sizeof(*m->run));
	m->env.n_rcpts = n;
	for (size_t i = 0; i < n; i++) {
		struct rcpt *r = &m->env.rcpts[i];
		const struct final *f = &finals[i];

		*r = from[f->from];
		if (!slice_ieq(r->address, f->address) && r->original.n == 0)
			r->original = r->address;
		r->address = arena_dup(m->arena, f->address);
		r->user = f->kind == FINAL_MAILBOX ? arena_dup(m->arena, f->user) : SLICE("");
		r->folder = f->kind == FINAL_MAILBOX ? arena_dup(m->arena, f->folder) : SLICE("");
		r->next_hop = f->kind == FINAL_REMOTE ? arena_dup(m->arena, f->next_hop) : SLICE("");
		give_owner(m, r, f->owner);
		if (q->story != NULL && qlog_story_rcpt(q->story, m->env.id, r->address)) {
			r->state = RCPT_DONE;
			m->run[i].noted = true;
		} else if (f->kind == FINAL_DISCARD) {
			log_info("%s: to=<%.*s>, relay=none, delay=0, dsn=2.0.0, status=sent (discarded)", m->env.id, SLICE_FMT(r->address));
			r->state = RCPT_DONE;
		} else if (f->kind != FINAL_MAILBOX && f->kind != FINAL_REMOTE) {
			queue_fail_rcpt(q, m, i, "5.1.1", f->text);
		}
	}
}

static int expand(struct queue *q, struct qmessage *m, struct err *e)
{
	struct slice *addresses = arena_array(m->arena, m->env.n_rcpts + 1, sizeof(*addresses));
	struct final *finals;
	size_t n;

	if (loop_now(q->loop) - q->router_checked_ms >= ROUTER_LOOK_MS) {
		q->router_checked_ms = loop_now(q->loop);
		if (router_refresh(q->router, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < m->env.n_rcpts; i++)
		addresses[i] = m->env.rcpts[i].address;
	if (route_expand(q->router, addresses, m->env.n_rcpts, m->arena, &finals, &n, e) < 0)
		return -1;
	take_finals(q, m, finals, n);
	m->expanded = true;
	return 0;
}

/* A mailertable may say something new since the last attempt; an address elsewhere stays one address. */
static void route_again(struct queue *q, struct qmessage *m, struct rcpt *r)
{
	struct final *finals;
	size_t n;

	if (route_expand(q->router, &r->address, 1, m->arena, &finals, &n, NULL) < 0 || n != 1)
		return;
	if (finals[0].kind == FINAL_REMOTE) {
		if (!slice_eq(r->next_hop, finals[0].next_hop))
			r->next_hop = arena_dup(m->arena, finals[0].next_hop);
	} else if (finals[0].kind == FINAL_MAILBOX) {
		r->user = arena_dup(m->arena, finals[0].user);
		r->folder = arena_dup(m->arena, finals[0].folder);
		r->next_hop = SLICE("");
	}
}

/* ---- what is due ---- */

void queue_message_go(struct queue *q, struct qmessage *m)
{
	int64_t now = loop_wall_us(q->loop) / CLOCK_US_PER_S;
	struct err e = ERR_INIT;

	if ((m->env.flags & ENV_HELD) || m->n_out > 0 || m->reporting || queue_must_wait(q, m))
		return;
	if (!m->expanded && expand(q, m, &e) < 0) {
		log_error("%s: cannot find out where it goes: %s; it is tried again in %d s", m->env.id, e.text, EXPAND_AGAIN_S);
		for (size_t i = 0; i < m->env.n_rcpts; i++) {
			m->env.rcpts[i].next_try = now + EXPAND_AGAIN_S;
			m->env.rcpts[i].last_reply = arena_dup(m->arena, slice_of(e.text));
		}
	} else {
		for (size_t i = 0; i < m->env.n_rcpts; i++) {
			struct rcpt *r = &m->env.rcpts[i];

			if (r->state == RCPT_WAITING && r->next_hop.n > 0 && r->attempts > 0 && r->next_try <= now)
				route_again(q, m, r);
		}
	}
	queue_ready(q, m);
	if (!list_is_linked(&m->node_local) && !list_is_linked(&m->node_remote))
		queue_round_over(q, m);                               /* nothing is due: all failed at once, or it waits */
}

/* ---- records ---- */

void queue_take(struct queue *q, struct seg *seg, const struct journal_place *place, struct slice envelope_text, bool maybe_again)
{
	struct arena *scratch = NULL;
	struct err e = ERR_INIT;
	struct slice message;
	struct qmessage *m;
	int fd;

	seg->live++;
	if (envelope_text.n == 0) {                                   /* too long to ride along */
		scratch = arena_new(0);
		fd = spool_reader_segment(q->reader, place->segment, &e);
		if (fd < 0 || journal_read(fd, place, scratch, &envelope_text, &message, &e) < 0) {
			log_error("%s; the segment is kept", e.text);
			arena_free(&scratch);
			return;
		}
	}
	m = queue_message_new(q, envelope_text, &e);
	if (m == NULL) {
		log_error("journal segment %llu, record at %llu: %s; the segment is kept",
		    (unsigned long long)place->segment, (unsigned long long)place->offset, e.text);
		arena_free(&scratch);
		return;
	}
	m->seg = seg;
	m->place = *place;
	m->in_large = place->length == RECORD_HEAD + envelope_text.n && m->env.size > 0;      /* the record holds no message */
	m->maybe_again = maybe_again;
	m->unclean = maybe_again && q->story != NULL && qlog_story_is_unclean(q->story);
	q->changed = true;
	log_info("%s: from=<%.*s>, size=%llu, nrcpt=%zu (queue active)", m->env.id, SLICE_FMT(m->env.sender), (unsigned long long)m->env.size, m->env.n_rcpts);
	arena_free(&scratch);
	queue_message_go(q, m);
}

struct scan_ctx { struct queue *queue; struct seg *seg; bool maybe_again; };

static void on_record(void *ctx, const struct record *r)
{
	struct scan_ctx *sc = ctx;
	struct queue *q = sc->queue;
	struct journal_place place = { sc->seg->number, sc->seg->generation, r->offset, r->length };

	if (q->story != NULL && (qlog_story_done(q->story, r->id) || qlog_story_moved(q->story, r->id))) {
		sc->seg->live++;
		seg_settle(sc->seg, r->id, qlog_story_moved(q->story, r->id));
		return;
	}
	if (hmap_get(q->by_id, slice_of(r->id)) != NULL)
		return;
	queue_take(q, sc->seg, &place, r->envelope_text, sc->maybe_again);
}

void queue_scan_segment(struct queue *q, struct seg *seg, bool maybe_again)
{
	struct scan_ctx ctx = { q, seg, maybe_again };
	struct record_scan scan;
	struct err e = ERR_INIT;

	if (segs_scan(q->segs, seg, on_record, &ctx, &scan, &e) < 0) {
		log_error("%s", e.text);
		seg->live++;                                          /* never let go of what we could not read */
	} else if (scan.damaged > 0) {
		log_error("journal segment %llu has %u damaged records among good ones: the disk lies; the file is kept", (unsigned long long)seg->number, scan.damaged);
		seg->suspect = true;
	}
}
