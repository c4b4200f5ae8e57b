/*
 * queue/queue.h - the queue process: takes over accepted messages, finds their final recipients, hands them to deliver and client, retries, bounces.
 *
 * Runs as posthouse, opens the spool and the maps, binds the control socket queue.sock. Talks to every front, deliver and client process by the links
 * that the supervisor hands out. It never sees a password or a connection from outside.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "base/arena.h"
#include "serve/sandbox.h"
#include "serve/super.h"

void smtpd_queue_run(struct proc *p);                                 /* body of the role "queue"; exactly one process */

void smtpd_queue_sandbox(const struct settings *s, struct arena *a, struct sandbox *out);     /* as smtpd_front_sandbox() */

#endif
