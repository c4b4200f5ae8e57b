/*
 * serve/mailspool_lock.h - the two locks that programs around a spool mbox (/var/mail/USER) respect: a file USER.lock beside it (procmail, lockfile,
 * dotlockfile, mutt) and fcntl on the file itself (Postfix, mail(1)). Blocks until a deadline.
 */
#ifndef SERVE_MAILSPOOL_LOCK_H
#define SERVE_MAILSPOOL_LOCK_H

#include <stdint.h>

#include "base/err.h"

/* Opens and locks. 0: *fd_out, to be given back with mailspool_unlock() by the same process; 1: there is no such file, or it is empty; -1: *e,
   ERR_TEMP where another program holds a lock beyond the deadline. */
int mailspool_lock(const char *path, int64_t timeout_ms, int *fd_out, struct err *e) WARN_UNUSED;
void mailspool_lock_touch(const char *path);                          /* the lock is still in use: at least every few minutes */
void mailspool_unlock(const char *path, int *fd);

#endif
