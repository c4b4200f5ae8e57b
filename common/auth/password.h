/*
 * auth/password.h - checking a password against its slow hash, and SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677). users_hash_password() makes both.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define PASSWORD_SCRAM_ITERATIONS 4096                                    /* RFC 7677 section 4's least; the client pays it at every login */

/* 1: it is the password; 0: it is not; -1: the hash is of no kind that this machine knows, or damaged. Takes some ten milliseconds. */
int password_check(struct slice hash, struct slice password, struct err *e) WARN_UNUSED;

/* Spends the time of a check: for users that do not exist. */
void password_check_nobody(struct slice password);

/* Verifier "iterations:salt:StoredKey:ServerKey" of a prepared password; salt is 16 octets. */
struct slice password_scram(struct slice prepared, struct slice salt, unsigned iterations, struct arena *a);

/* A verifier that no password fits, always the same for one name under one key: what a SCRAM client is shown of a user who does not exist. */
struct slice password_scram_nobody(struct slice name, struct slice key, struct arena *a);

/* The verifier as libsasl's property "authPassword" has it (RFC 5803): "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey". Empty: malformed. */
struct slice password_scram_property(struct slice verifier, struct arena *a);

#endif
