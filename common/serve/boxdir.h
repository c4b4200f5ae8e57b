/*
 * serve/boxdir.h - where a user's mail lies: mail_directory/DOMAIN/LOCALPART. One place for all who open a mailbox.
 */
#ifndef SERVE_BOXDIR_H
#define SERVE_BOXDIR_H

#include "base/buf.h"
#include "conf/settings.h"

/* user: local@domain, as users_canonical() makes it. Appends the path. -1: not such a name, or one that would leave the directory; out unchanged. */
int boxdir_of(const struct settings *s, struct slice user, struct buf *out) WARN_UNUSED;

#endif
