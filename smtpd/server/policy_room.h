/*
 * server/policy_room.h - the last question about a recipient that may be taken: have the mailboxes that it leads to room? Pure; who is asked is the asker's.
 */
#ifndef SERVER_POLICY_ROOM_H
#define SERVER_POLICY_ROOM_H

#include "deliver/room_msg.h"
#include "server/policy.h"

/* Must it be asked at all? Then *out is the question, without its token. size: what MAIL said, 0: nothing. */
bool policy_room_asks(const struct policy_verdict *v, const struct path *sender, uint64_t size, struct arena *a, struct room_ask *out);
/* Turns the verdict into a refusal where the answer is one. */
void policy_room_answer(struct policy_verdict *v, enum room_verdict verdict, const struct path *rcpt, struct arena *a);

#endif
