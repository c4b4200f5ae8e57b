/*
 * deliver/deliver.h - the deliver process: puts messages into mailboxes, nothing else.
 *
 * Runs as posthouse, reads the spool and accounts.db, writes the mail directory, hears of work only from the queue. Settings deliver_processes says how many.
 */
#ifndef DELIVER_DELIVER_H
#define DELIVER_DELIVER_H

#include "base/arena.h"
#include "serve/sandbox.h"
#include "serve/super.h"

void smtpd_deliver_run(struct proc *p);                               /* body of the role "deliver"; talks to "queue" */

void smtpd_deliver_sandbox(const struct settings *s, struct arena *a, struct sandbox *out);   /* as smtpd_front_sandbox() */

#endif
