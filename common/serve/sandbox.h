/*
 * serve/sandbox.h - what a process may still do once it has its sockets and files: Landlock, seccomp, no-new-privs.
 *
 * Degrades by kernel: what the kernel lacks is logged once at debug level and left out. A process states what it needs; the rest is refused
 * with EPERM (seccomp kills only for execve, ptrace and the like, so that a library's odd probe does not take mail down).
 *
 * Always allowed: descriptors that are open already, accept, socketpair, reading /etc/localtime, /usr/share/zoneinfo and /dev/urandom.
 * Landlock rules a path by what it is now: a directory may be emptied and filled below, but not replaced by another of its name.
 * A child of a process with SANDBOX_FORK may enter a narrower sandbox of its own; it never gets more than its parent had.
 */
#ifndef SERVE_SANDBOX_H
#define SERVE_SANDBOX_H

#include <stdbool.h>

#include <sys/types.h>

#include "base/err.h"

enum sandbox_need {
	SANDBOX_NET_OUT  = 1,                                         /* socket(AF_INET/AF_INET6), connect, bind */
	SANDBOX_UNIX     = 2,                                         /* socket(AF_UNIX), connect: dracd, the queue's control, and what SANDBOX_DGRAM has */
	SANDBOX_FORK     = 4,                                         /* fork without exec: the spawner */
	SANDBOX_EXEC     = 8,                                         /* PAM modules with helpers, runas */
	SANDBOX_THREADS  = 16,                                        /* clone(CLONE_THREAD): the flusher, libunbound */
	SANDBOX_DGRAM    = 32                                         /* socket(AF_UNIX, SOCK_DGRAM), connect: syslog, notify; dracd's door is none of these */
};

struct sandbox {
	unsigned needs;
	const char *const *read_paths;                                /* NULL-terminated or NULL; files or directories, recursive; missing ones are fine */
	const char *const *write_paths;                               /* create, write, rename, remove below these; each must exist */
};

/* After it returns 0 the process is confined; -1 only where the kernel has the feature and refuses it, or a write path is missing.
   Call it before the first thread: what runs already is not confined. With SANDBOX_EXEC and as root, set-id helpers still work (PAM's
   unix_chkpwd) and only the deadly calls are refused; Landlock is left out there, as nobody knows what a PAM module reads. */
int sandbox_enter(const struct sandbox *sb, struct err *e) WARN_UNUSED;

/* For a process that forks many alike: the filter of their system calls, compiled before it enters its own sandbox (that takes a millisecond; to
   enter with it a tenth). *out NULL: this kernel has no seccomp. sb->needs must be those it was compiled for; calls may be NULL. */
struct sandbox_calls;
int sandbox_enter_compiled(const struct sandbox *sb, const struct sandbox_calls *calls, struct err *e) WARN_UNUSED;
int sandbox_compile(struct sandbox_calls **out, unsigned needs, struct err *e) WARN_UNUSED;
void sandbox_calls_free(struct sandbox_calls **c);

/* A build with sanitizers needs more: their run-time calls and files. Empty in an ordinary build. Used by sandbox_enter(). */
bool sandbox_build_is_sanitized(void);
const char *const *sandbox_build_paths(void);
const char *const *sandbox_build_calls(void);
bool sandbox_build_needs(const char *call);

/* Root only: become settings' user and group, with supplementary groups cleared; checks that there is no way back. No-op when not root.
   group "": the user's own. */
int sandbox_become(const char *user, const char *group, struct err *e) WARN_UNUSED;
/* The same with one supplementary group; 0: none. */
int sandbox_become_also(const char *user, const char *group, gid_t also, struct err *e) WARN_UNUSED;

#endif
