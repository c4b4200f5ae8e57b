/*
 * admin/explain_room.c - the last step at RCPT, as the front and its room process do it: have the mailboxes room? They are read here, by the room process's
 * own code and as the owner of the mail, so that the answer is the same whether the daemons run or not.
 */
#include "admin/explain.h"
#include "base/clock.h"
#include "base/num.h"
#include "deliver/room_judge.h"
#include "serve/accounts.h"
#include "server/policy_room.h"

static void step_user(const struct explain_case *c, struct boxes *b, const struct room_ask *all, uint32_t i, struct buf *steps)
{
	static const char *const words[] = {
		[ROOM_FOUND] = "has room", [ROOM_NOT_NOW] = "full", [ROOM_NONE] = "full, and nothing was removed for over_quota_grace", [ROOM_NEVER] = "the message is larger than the quota",
	};
	const struct room_ask one = { .octets = all->octets, .n = 1, .users = { all->users[i] } };
	struct err trouble = ERR_INIT;
	uint64_t octets, messages;
	enum room_verdict v = room_judge(b, c->s, &one, clock_mono_ms(), &trouble);

	boxes_limits(b, all->users[i], &octets, &messages);
	buf_putf(steps, "  %.*s, quota", SLICE_FMT(all->users[i]));
	if (octets != 0) {
		buf_puts(steps, " ");
		num_put_size(steps, octets);
	}
	if (messages != 0)
		buf_putf(steps, "%s %llu messages", octets != 0 ? "," : "", (unsigned long long)messages);
	if (trouble.kind != ERR_NONE)
		buf_putf(steps, ": can't be told (%s); it is accepted, and delivery looks again\n", trouble.text);
	else
		buf_putf(steps, ": %s\n", words[v]);
}

void explain_room(const struct explain_case *c, struct policy_verdict *v, struct buf *steps, struct arena *a)
{
	struct err trouble = ERR_INIT;
	struct room_ask ask;
	struct boxes *b;

	if (v->answer != POLICY_YES || !policy_room_asks(v, c->from, c->size, a, &ask)) {
		if (v->answer == POLICY_YES)
			buf_puts(steps, "room in the mailboxes: not asked, as not every place that takes it is a mailbox with a quota\n");
		return;
	}
	if (accounts_become_owner(c->s, &trouble) != 0) {
		buf_putf(steps, "room in the mailboxes: can't be told (%s)\n", trouble.text);
		return;
	}
	buf_putf(steps, "room in the mailboxes: one with room is enough%s\n", c->size > 0 ? "" : " (for any message; --size OCTETS asks for one of that size)");
	b = boxes_new(c->s, false);
	for (uint32_t i = 0; i < ask.n; i++)
		step_user(c, b, &ask, i, steps);
	policy_room_answer(v, room_judge(b, c->s, &ask, clock_mono_ms(), &trouble), c->to, a);
	boxes_free(&b);
}
