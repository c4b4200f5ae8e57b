/*
 * auth/auth_sasl.h - the dialogue of one AUTH, run by Cyrus SASL. Only PLAIN, LOGIN and SCRAM-SHA-256 (with or without channel binding) are loaded,
 * no configuration file and no sasldb is read: every option is answered here.
 *
 * The library never decides about a password. SCRAM proves itself against the verifier of users.db (AUTH_STEP_PROVED); PLAIN and LOGIN end as a
 * claim (AUTH_STEP_CLAIMED: user and password), which the caller must check before it says yes.
 */
#ifndef AUTH_AUTH_SASL_H
#define AUTH_AUTH_SASL_H

#include "auth/users.h"
#include "base/err.h"
#include "base/slice.h"

struct auth_sasl;                                                     /* the library, once a process */
struct auth_dialogue;

int auth_sasl_init(struct auth_sasl **lib_out, struct users *users, const char *default_domain, struct err *e) WARN_UNUSED;
void auth_sasl_done(struct auth_sasl **lib);

struct auth_dialogue_spec {
	struct slice mechanism;                                       /* as the client wrote it; case does not count */
	struct slice cb_type, cb_data, cb_end_point;                  /* as in struct auth_peer; empty: none to be had */
	bool plus_offered;                                            /* SCRAM-SHA-256-PLUS was in the list that the client saw */
	bool tls;
};

enum auth_step { AUTH_STEP_MORE, AUTH_STEP_PROVED, AUTH_STEP_CLAIMED, AUTH_STEP_DENIED, AUTH_STEP_SYNTAX, AUTH_STEP_TEMP };

/* NULL: not a mechanism of ours. */
struct auth_dialogue *auth_dialogue_new(struct auth_sasl *lib, const struct auth_dialogue_spec *spec);
/* initial: NULL where the client sent none. The challenge (raw) is borrowed until the next call; it may hold data with PROVED too. */
enum auth_step auth_dialogue_start(struct auth_dialogue *d, const struct slice *initial, struct slice *challenge_out);
enum auth_step auth_dialogue_step(struct auth_dialogue *d, struct slice response, struct slice *challenge_out);
struct slice auth_dialogue_user(const struct auth_dialogue *d);       /* canonical; empty while unknown */
struct slice auth_dialogue_password(const struct auth_dialogue *d);   /* of a claim */
const char *auth_dialogue_method(const struct auth_dialogue *d);      /* "SCRAM-SHA-256-PLUS" */
const char *auth_dialogue_why(const struct auth_dialogue *d);         /* for the log, after DENIED, SYNTAX, TEMP */
void auth_dialogue_free(struct auth_dialogue **d);

#endif
