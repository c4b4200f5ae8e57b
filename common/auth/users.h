/*
 * auth/users.h - users.db: accounts without passwords. One record a user, key "local@domain" in lower case, replaced whole by rename.
 *
 * Its hashes and verifiers are for the auth process alone. Whoever only asks which accounts exist (routers, quotas) opens accounts.db, the same
 * records without hash and verifier, made from users.db in the same locked change. It gets its name first: a new account is never refused, a deleted
 * one gets no mail; the change is done when users.db has its name too. What a crash in between leaves, users_accounts_mend() puts right.
 */
#ifndef AUTH_USERS_H
#define AUTH_USERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct users;                                                         /* the open table */

enum { USER_DISABLED = 1, USER_NO_RELAY = 2 };
#define USER_QUOTA_NONE UINT64_MAX

struct user {
	struct slice name;                                            /* local@domain */
	struct slice hash;                                            /* crypt(3) text, yescrypt */
	struct slice scram;                                           /* SCRAM-SHA-256 verifier: "iterations:salt:StoredKey:ServerKey", base64 */
	uint64_t quota_storage, quota_messages;                       /* 0: the setting's default; USER_QUOTA_NONE: no limit */
	unsigned flags;
};

/* Readers of either table: hash and scram are empty in accounts.db. Opens again when the file was replaced; a missing file is an empty table. */
int users_open(struct users **u_out, const char *db_path, struct err *e) WARN_UNUSED;
void users_close(struct users **u);
/* 1 found, 0 no such user, -1 error. Everything in *out lives in the arena. */
int users_get(struct users *u, struct slice name, struct arena *a, struct user *out, struct err *e) WARN_UNUSED;
int users_each(struct users *u, int (*fn)(void *ctx, const struct user *user), void *ctx, struct err *e);

unsigned users_generation(const struct users *u);                     /* another number: the file was replaced; call after users_get() */
/* Key for what is told about users that do not exist (auth/password.h): of the file, or of this process where there is none. Borrowed. */
struct slice users_secret(struct users *u);

/* The command's side: change under a lock file, all by rename. accounts_db NULL: none is kept. Missing directories are made (0700 and 0755). */
int users_set(const char *db_path, const char *accounts_db, const struct user *user, struct err *e) WARN_UNUSED;
int users_delete(const char *db_path, const char *accounts_db, struct slice name, struct err *e) WARN_UNUSED;
/* Makes accounts.db what users.db says, if it is not that yet. Where neither is there nothing is made. */
int users_accounts_mend(const char *db_path, const char *accounts_db, struct err *e) WARN_UNUSED;

/* Many changes in one new file: the lock is held from begin to commit or drop. A name that is there already is replaced. */
struct users_edit;
int users_edit_begin(struct users_edit **x_out, const char *db_path, const char *accounts_db, struct err *e) WARN_UNUSED;
int users_edit_get(struct users_edit *x, struct slice name, struct arena *a, struct user *out, struct err *e) WARN_UNUSED;  /* as users_get */
int users_edit_put(struct users_edit *x, const struct user *user, struct err *e) WARN_UNUSED;
int users_edit_delete(struct users_edit *x, struct slice name, struct err *e) WARN_UNUSED;                                  /* ERR_NOTFOUND */
int users_edit_commit(struct users_edit **x, struct err *e) WARN_UNUSED;
void users_edit_drop(struct users_edit **x);

/* password: at most LIMIT_PASSWORD octets, prepared by SASLprep where it is UTF-8. */
int users_hash_password(struct slice password, struct arena *a, struct user *user, struct err *e) WARN_UNUSED;   /* fills hash and scram */

/* "u1" -> "u1@default_domain", lower case, checked: one @, no '/', no control octets, not "..". -1: not a user name. */
int users_canonical(struct slice login, const char *default_domain, struct arena *a, struct slice *name_out) WARN_UNUSED;

#endif
