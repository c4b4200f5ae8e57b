/*
 * deliver/room_judge.c - who has room, user by user.
 *
 * A recipient is refused only where none of the users that it leads to has room: a list is not stopped by one member's full mailbox. RFC 3463 calls a full
 * mailbox a persistent transient failure, and its owner can mend it; so the refusal is 4.2.2 at first, and 5.2.2 once nothing was removed for
 * over_quota_grace. Whatever goes wrong here is room: deliver looks again, under the lock.
 */
#include "deliver/room_judge.h"

#include "base/clock.h"

static enum room_verdict of_limit(struct boxes *b, struct slice user, uint64_t octets)
{
	uint64_t limit, messages;

	boxes_limits(b, user, &limit, &messages);
	return limit != 0 && octets > limit ? ROOM_NEVER : ROOM_FOUND;
}

static enum room_verdict of_user(struct boxes *b, const struct settings *s, struct slice user, uint64_t octets, int64_t now_ms, struct err *trouble)
{
	struct box_room room = { .fits = true };
	struct err e = ERR_INIT;
	struct box *box;

	if (boxes_get(b, user, false, now_ms, &box, &e) != 0 && e.kind == ERR_NOTFOUND)
		return of_limit(b, user, octets);                     /* no mail yet */
	if (e.kind == ERR_NONE && box_room(box, octets, &room, &e) != 0)
		boxes_forget(b, user);
	if (e.kind != ERR_NONE) {
		(void)err_set(trouble, e.kind, 0, "room of %.*s: %s", SLICE_FMT(user), e.text);
		return ROOM_FOUND;
	}
	if (room.fits)
		return ROOM_FOUND;
	if (room.never)
		return ROOM_NEVER;
	return clock_wall_s() - room.full_since >= (int64_t)s->over_quota_grace ? ROOM_NONE : ROOM_NOT_NOW;
}

/* Room with one is room. Of refusals the one that a sender should hear: too large for all, or full for good with somebody, else not now. */
enum room_verdict room_judge(struct boxes *b, const struct settings *s, const struct room_ask *q, int64_t now_ms, struct err *trouble)
{
	enum room_verdict all = ROOM_NEVER, one;
	bool for_good = false;

	for (uint32_t i = 0; i < q->n; i++) {
		one = of_user(b, s, q->users[i], q->octets, now_ms, trouble);
		if (one == ROOM_FOUND)
			return ROOM_FOUND;
		for_good = for_good || one == ROOM_NONE;
		if (one != ROOM_NEVER)
			all = ROOM_NOT_NOW;
	}
	return for_good ? ROOM_NONE : all;
}
