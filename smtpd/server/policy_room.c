/* server/policy_room.c - see the header. */
#include "server/policy_room.h"

#include <assert.h>

#include "server/policy_in.h"

enum { ROOM_TRACE = 200 };                                            /* about what Received and Return-Path will add to the message */

static_assert(ROOM_USERS_MAX < ROUTE_CHECK_GOODS, "route_check() must find one more than a question holds");

bool policy_room_asks(const struct policy_verdict *v, const struct path *sender, uint64_t size, struct arena *a, struct room_ask *out)
{
	struct room_ask ask = { .octets = size };

	if (v->discard)
		return false;
	ask.n = (uint32_t)route_with_quota(v->finals, v->n_finals, ROOM_USERS_MAX, ask.users);
	if (ask.n == 0)
		return false;
	if (size > 0)
		ask.octets += sender->is_null ? ROOM_TRACE : ROOM_TRACE + path_text(sender, a).n;
	*out = ask;
	return true;
}

void policy_room_answer(struct policy_verdict *v, enum room_verdict verdict, const struct path *rcpt, struct arena *a)
{
	static const struct { enum code code; const char *text; } no[] = {
		[ROOM_FOUND] = { CODE_NONE, "" },
		[ROOM_NOT_NOW] = { CODE_FULL_NOW, "mailbox is full: try again later, its owner may make room" },
		[ROOM_NONE] = { CODE_FULL, "mailbox is full" },
		[ROOM_NEVER] = { CODE_FULL_ALWAYS, "message is larger than all the room of this mailbox" },
	};

	if (verdict == ROOM_FOUND)
		return;
	*v = policy_no(no[verdict].code, slice_of(code_reply(a, no[verdict].code, "<%.*s>: %s", SLICE_FMT(path_text(rcpt, a)), no[verdict].text)), "room", "");
}
