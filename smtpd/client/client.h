/*
 * client/client.h - the client process: SMTP and LMTP out.
 *
 * Runs as posthouse, reads the spool, opens connections to anywhere, sees what strange servers say; no mailboxes, no maps. One process: its loop
 * holds all connections (client_connection_limit), so that it knows every destination's state.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "serve/super.h"

void smtpd_client_run(struct proc *p);                                /* body of the role "client"; exactly one process; talks to "queue" */

#endif
