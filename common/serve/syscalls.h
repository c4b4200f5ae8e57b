/*
 * serve/syscalls.h - which system calls, by libseccomp. Part of sandbox_enter(); not for others.
 */
#ifndef SERVE_SYSCALLS_H
#define SERVE_SYSCALLS_H

#include "serve/sandbox.h"

/* Needs no-new-privs or root. 0 also where the kernel lacks it: *told_out says so in words then, else "". */
int syscalls_enter(unsigned needs, const char **told_out, struct err *e) WARN_UNUSED;
int syscalls_enter_compiled(const struct sandbox_calls *c, struct err *e) WARN_UNUSED;

#endif
