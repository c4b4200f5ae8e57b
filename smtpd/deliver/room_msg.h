/*
 * deliver/room_msg.h - what a front asks the room process: has one of these users room for a message? Packed and read here alone.
 */
#ifndef DELIVER_ROOM_MSG_H
#define DELIVER_ROOM_MSG_H

#include "io/chan.h"

#define ROOM_USERS_MAX 16                                             /* of one question */

enum room_msg { ROOM_ASK = 1, ROOM_SAID };

enum room_verdict {
	ROOM_FOUND,                                                   /* at least one user has room, or it could not be found out */
	ROOM_NOT_NOW,                                                 /* all are full, not for long yet */
	ROOM_NONE,                                                    /* all are full, one at least for over_quota_grace */
	ROOM_NEVER                                                    /* the message is larger than all that each of them may keep */
};

struct room_ask { uint64_t token, octets; uint32_t n; struct slice users[ROOM_USERS_MAX]; };      /* slices borrowed; octets 0: unknown */

void room_msg_ask(struct chan *c, const struct room_ask *q);
void room_msg_said(struct chan *c, uint64_t token, enum room_verdict v);
/* -1: not what we write: treat the peer as broken. */
int room_msg_read_ask(struct msg *m, struct room_ask *out) WARN_UNUSED;
int room_msg_read_said(struct msg *m, uint64_t *token_out, enum room_verdict *out) WARN_UNUSED;

#endif
