/*
 * deliver/room_judge.h - the answer to a question of deliver/room_msg.h, from the mailboxes themselves. The room process and `posthouse explain` ask it.
 */
#ifndef DELIVER_ROOM_JUDGE_H
#define DELIVER_ROOM_JUDGE_H

#include "deliver/boxes.h"
#include "deliver/room_msg.h"

/* Where a mailbox can't be looked at, the answer is ROOM_FOUND and *trouble says which one and why; otherwise *trouble is untouched. q->token is not read. */
enum room_verdict room_judge(struct boxes *b, const struct settings *s, const struct room_ask *q, int64_t now_ms, struct err *trouble);

#endif
