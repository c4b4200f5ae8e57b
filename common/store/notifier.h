/*
 * store/notifier.h - wake-ups: a directory with a datagram socket for each process that listens.
 */
#ifndef STORE_NOTIFIER_H
#define STORE_NOTIFIER_H

#include "base/err.h"

struct notifier { int dir, sock; };                                   /* a sender's descriptors, opened when first needed */

void notifier_init(struct notifier *n);
void notifier_close(struct notifier *n);
/* Sends to every socket in the directory `name` of dirfd, whose whole path is `path`; no directory: nobody listens. Removes sockets of dead processes. */
void notifier_send(struct notifier *n, int dirfd, const char *name, const char *path);
/* Makes directory and socket. The name is the process's and random. */
int notifier_bind(const char *path, int *fd_out, struct err *e) WARN_UNUSED;

#endif
