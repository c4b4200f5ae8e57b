/*
 * serve/session_proc.h - the body of a session process, between the spawner that forks it and the protocol that runs in it.
 */
#ifndef SERVE_SESSION_PROC_H
#define SERVE_SESSION_PROC_H

#include "base/attr.h"
#include "serve/sandbox.h"
#include "serve/session.h"

#define SESSION_NEEDS SANDBOX_DGRAM                                   /* notify datagrams, syslog */

struct session_boot {
	const struct settings *s;
	const struct session_proto *proto;
	struct slice user;                                            /* local@domain, checked by boxdir_of() */
	const char *box_dir;
	int fd;                                                       /* our end of the channel to the spawner */
	const struct sandbox_calls *calls;                            /* SESSION_NEEDS, compiled; NULL: no seccomp here */
	int parent_pid;                                               /* the spawner: we end with it */
};

/* First call in the forked child: drops what it inherited, opens the mailboxes, confines itself, serves, exits. */
NORETURN void session_proc_run(const struct session_boot *boot);

/* The first step for other children of the spawner, too: closes all but fd (-1: nothing) and the log, and resets signals. */
void session_proc_drop_inherited(int fd);

#endif
