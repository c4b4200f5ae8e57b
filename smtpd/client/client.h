/*
 * client/client.h - the client process: SMTP and LMTP out.
 *
 * Runs as posthouse, reads the spool, opens connections to anywhere, sees what strange servers say; no mailboxes, no maps. One process: its loop
 * holds all connections (client_connection_limit), so that it knows every destination's state.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/arena.h"
#include "serve/sandbox.h"
#include "serve/super.h"

void smtpd_client_run(struct proc *p);                                /* body of the role "client"; exactly one process; talks to "queue" */

void smtpd_client_sandbox(const struct settings *s, struct arena *a, struct sandbox *out);    /* as smtpd_front_sandbox() */

#endif
