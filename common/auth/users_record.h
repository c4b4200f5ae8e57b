/*
 * auth/users_record.h - the value of one account in users.db: "name value" lines, so that db5.3_dump -p shows it. Unknown lines are kept out.
 */
#ifndef AUTH_USERS_RECORD_H
#define AUTH_USERS_RECORD_H

#include "auth/users.h"
#include "base/buf.h"

#define USERS_SECRET_KEY "!secret"                                        /* no user name, it has no '@' */
#define USERS_SECRET_OCTETS 32

void users_record_write(const struct user *u, struct buf *out);
int users_record_read(struct slice record, struct user *u) WARN_UNUSED;   /* slices borrow from record; name untouched; -1: damaged */

#endif
