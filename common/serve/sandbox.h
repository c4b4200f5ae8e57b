/*
 * serve/sandbox.h - what a process may still do once it has its sockets and files: Landlock, seccomp, no-new-privs.
 *
 * Degrades by kernel: what the kernel lacks is logged once at debug level and left out. A process states what it needs; the rest is refused
 * with EPERM (seccomp kills only for execve, ptrace and the like, so that a library's odd probe does not take mail down).
 */
#ifndef SERVE_SANDBOX_H
#define SERVE_SANDBOX_H

#include "base/err.h"

enum sandbox_need {
	SANDBOX_NET_OUT  = 1,                                         /* socket(AF_INET/AF_INET6), connect, bind */
	SANDBOX_UNIX     = 2,                                         /* socket(AF_UNIX), connect: dracd, syslog, notify */
	SANDBOX_FORK     = 4,                                         /* fork without exec: the spawner */
	SANDBOX_EXEC     = 8,                                         /* PAM modules with helpers, runas */
	SANDBOX_THREADS  = 16                                         /* clone(CLONE_THREAD): the flusher, libunbound */
};

struct sandbox {
	unsigned needs;
	const char *const *read_paths;                                /* NULL-terminated; files or directories, recursive */
	const char *const *write_paths;                               /* create, write, rename, remove below these */
};

/* After it returns 0 the process is confined; -1 only where the kernel has the feature and refuses it. */
int sandbox_enter(const struct sandbox *sb, struct err *e) WARN_UNUSED;

/* Root only: become settings' user and group, with supplementary groups cleared; checks that there is no way back. No-op when not root. */
int sandbox_become(const char *user, const char *group, struct err *e) WARN_UNUSED;

#endif
