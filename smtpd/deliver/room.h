/*
 * deliver/room.h - the room process: says to the fronts, which may not see mailboxes, who has room for a message.
 */
#ifndef DELIVER_ROOM_H
#define DELIVER_ROOM_H

#include "serve/sandbox.h"
#include "serve/super.h"

void smtpd_room_run(struct proc *p);                                  /* body of the role "room"; hears "front" */

void smtpd_room_sandbox(const struct settings *s, struct arena *a, struct sandbox *out);      /* as smtpd_front_sandbox() */

#endif
