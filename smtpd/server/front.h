/*
 * server/front.h - the front process of smtpd: the whole dialogue and policy.
 *
 * Runs as posthouse, sandboxed: sockets, maps (read), the journal (append) and spool/large; no exec, no other file. Strangers' octets are parsed here.
 * It never sees a mailbox, a password's hash or a key but the certificate's, which it reads before it confines itself.
 */
#ifndef SERVER_FRONT_H
#define SERVER_FRONT_H

#include "base/arena.h"
#include "serve/sandbox.h"
#include "serve/super.h"

unsigned smtpd_front_count(const struct settings *s);
void smtpd_front_run(struct proc *p);                                 /* body of the role "front"; talks to "auth" and "queue" */

/* What the front may still do once it is confined. In the arena; makes nothing. */
void smtpd_front_sandbox(const struct settings *s, struct arena *a, struct sandbox *out);

#endif
