/*
 * queue/front.c - the fronts, seen from the queue: they get segments and tell what they accepted.
 *
 * A front that dies leaves its segments behind: what they hold beyond what was told is scanned. A front that we have no link to (an old generation
 * that finishes its sessions, or one that outlived an earlier queue process) is seen by the flock of its segment, and its records are scanned each second.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "queue/state.h"

static void give_segment(struct front *f)
{
	struct queue *q = f->queue;
	struct err e = ERR_INIT;
	struct seg *seg;
	int fd;

	if (q->disk_failed || q->space_keep > 0)
		return;
	if (segs_take(q->segs, &seg, &fd, &e) < 0) {
		if (e.kind == ERR_LIMIT)
			log_warn("%s", e.text);
		else if (e.kind != ERR_NOTFOUND)
			log_error("%s", e.text);
		return;
	}
	seg->owner = f;
	f->wants_segment = false;
	qmsg_send_segment(f->chan, seg->number, fd);
}

static void segments_ready(void *ctx)
{
	queue_front_serve(ctx);
}

void queue_front_serve(struct queue *q)
{
	size_t n = 0;

	LIST_EACH(node, &q->fronts) {
		struct front *f = LIST_OF(node, struct front, node);

		n++;
		if (f->wants_segment)
			give_segment(f);
	}
	if (!q->disk_failed && q->space_keep == 0)
		segs_prepare(q->segs, n + 1, segments_ready, q);
}

/* ---- what fronts say ---- */

static void on_hold(struct front *f, struct msg *m)
{
	struct queue *q = f->queue;

	while (m->rest.n > 0 && !m->broken) {
		struct seg *seg = segs_find(q->segs, msg_get_u64(m));

		if (seg == NULL || m->broken)
			continue;
		seg->owner = f;
		seg->state = SEG_GIVEN;
		if (!seg->unscanned)
			queue_scan_segment(q, seg, true);             /* what it told to the queue process before us, or nobody while there was none */
	}
}

static void close_segment(struct queue *q, struct seg *seg)
{
	seg->owner = NULL;
	if (!q->recovered)
		return;                                               /* it will be scanned; the orphan check closes it */
	queue_scan_segment(q, seg, true);
	seg->state = SEG_CLOSED;
	queue_checkpoint(q);
}

static void on_released(struct front *f, struct msg *m, bool suspect)
{
	struct seg *seg = segs_find(f->queue->segs, msg_get_u64(m));
	struct err e = ERR_INIT;

	if (seg == NULL || seg->owner != f)
		return;
	if (suspect && segs_mark_suspect(f->queue->segs, seg, msg_get_u64(m), &e) < 0)
		log_error("%s: journal segment %llu is suspect, and only this process knows: killed before the next checkpoint, its successor may deliver "
		    "what was refused with 451", e.text, (unsigned long long)seg->number);
	close_segment(f->queue, seg);
}

static void on_accepted(struct front *f, struct msg *m)
{
	struct queue *q = f->queue;
	struct journal_place place;
	struct slice text;

	while (qmsg_get_accepted(m, &place, &text)) {
		struct seg *seg = segs_find(q->segs, place.segment);

		if (seg == NULL || seg->generation != place.generation) {
			log_error("a front accepted into journal segment %llu, which is not in use", (unsigned long long)place.segment);
			continue;
		}
		if (seg->unscanned)
			continue;                                     /* recovery will find it */
		if (place.offset < seg->seen_to)
			continue;                                     /* a scan was faster */
		seg->seen_to = place.offset + record_padded(place.length);
		queue_take(q, seg, &place, text, false);
	}
}

static void on_msg(void *ctx, struct msg *m)
{
	struct front *f = ctx;

	switch (m->type) {
	case QMSG_NEED_SEGMENT:
		f->wants_segment = true;
		queue_front_serve(f->queue);
		break;
	case QMSG_HOLD:
		on_hold(f, m);
		break;
	case QMSG_RELEASED:
	case QMSG_SUSPECT:
		on_released(f, m, m->type == QMSG_SUSPECT);
		break;
	case QMSG_ACCEPTED:
		on_accepted(f, m);
		break;
	default:
		log_warn("unknown message %u from a front", m->type);
	}
}

static void on_close(void *ctx)
{
	struct front *f = ctx;
	struct queue *q = f->queue;

	LIST_EACH(n, segs_all(q->segs)) {
		struct seg *seg = LIST_OF(n, struct seg, node);

		if (seg->owner == f)
			seg->owner = NULL;                            /* the orphan check sees to it, now or when its lock goes */
	}
	list_remove(&f->node);
	chan_free(&f->chan);
	free(f);
	queue_front_orphans(q);
}

static const struct chan_ops chan_ops = { on_msg, on_close, NULL };

void queue_front_link(struct queue *q, int fd)
{
	struct front *f = mem_new(sizeof(*f));

	f->queue = q;
	list_append(&q->fronts, &f->node);
	f->chan = chan_new(q->loop, fd, &chan_ops, f);
	if (q->space_keep > 0)
		qmsg_send_space(f->chan, q->space_have, q->space_keep);
}

void queue_front_tell_space(struct queue *q)
{
	LIST_EACH(n, &q->fronts)
		qmsg_send_space(LIST_OF(n, struct front, node)->chan, q->space_have, q->space_keep);
}

void queue_front_orphans(struct queue *q)
{
	bool closed = false;

	if (!q->recovered)
		return;
	LIST_EACH(n, segs_all(q->segs)) {
		struct seg *seg = LIST_OF(n, struct seg, node);
		bool open;

		if (seg->state != SEG_GIVEN || seg->owner != NULL)
			continue;
		open = segs_is_open_elsewhere(q->segs, seg);
		queue_scan_segment(q, seg, true);
		if (!open) {
			seg->state = SEG_CLOSED;
			closed = true;
		}
	}
	if (closed)
		queue_checkpoint(q);
}
