/*
 * serve/landlock.h - which paths, and whether TCP, by Landlock (landlock(7)). Part of sandbox_enter(); not for others.
 *
 * Works by system call with numbers and layouts of its own, because the headers of the oldest system we build on know less than the newest
 * kernel we run on.
 */
#ifndef SERVE_LANDLOCK_H
#define SERVE_LANDLOCK_H

#include "serve/sandbox.h"

/* ABI version of the kernel; 0: none, or switched off. */
int landlock_abi(void);

/* Confines the process. Needs no-new-privs. 0 also where the kernel lacks it: *told_out (may be NULL) says so in words then, else "". */
int landlock_enter(const struct sandbox *sb, const char **told_out, struct err *e) WARN_UNUSED;

#endif
