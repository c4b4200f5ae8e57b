/*
 * serve/accounts.h - where the accounts lie: users.db and the key in a directory of mail_owner's alone, accounts.db in one that confined processes read.
 */
#ifndef SERVE_ACCOUNTS_H
#define SERVE_ACCOUNTS_H

#include "auth/users.h"
#include "base/arena.h"
#include "base/err.h"
#include "conf/settings.h"

const char *accounts_directory(const struct settings *s, struct arena *a);   /* of accounts_db */

/* Makes the directories of users_db (0700) and accounts_db (0755) where they are missing; as root they become mail_owner's. */
int accounts_make_directories(const struct settings *s, struct err *e) WARN_UNUSED;

/* Makes accounts_db what users_db says (users_accounts_mend()), as mail_owner: where we are root a child does it. Without the right to read users_db
   nothing is done. For a supervisor before it starts anything. */
int accounts_mend(const struct settings *s, struct err *e) WARN_UNUSED;

/* For a command that changes accounts: makes the directories, then stays mail_owner for good, so that no file becomes root's. */
int accounts_become_owner(const struct settings *s, struct err *e) WARN_UNUSED;

/* How much mail a user may keep; 0: any amount. Of the account where it says so, else of the settings. u NULL, users NULL, no such account: the settings. */
void accounts_limits(const struct settings *s, const struct user *u, uint64_t *octets_out, uint64_t *messages_out);
void accounts_limits_of(const struct settings *s, struct users *users, struct slice name, uint64_t *octets_out, uint64_t *messages_out);

#endif
