/*
 * auth/auth_msg.h - the messages between fronts and auth processes, and between these and the PAM process: packed and read here alone.
 *
 *   front to auth:   START or LOGIN, then CONTINUE for each client response, CANCEL when the client or the connection went away
 *   auth to front:   ANSWER; any result but AUTH_MORE ends the dialogue
 *   auth to PAM:     PAM_CHECK;  PAM to auth: PAM_ANSWER
 *   auth to spawner: VOUCH, before the ANSWER that carries the same ticket
 *
 * Slices of what was read borrow from the message. -1 from a reader: the sender is broken, close the channel.
 */
#ifndef AUTH_AUTH_MSG_H
#define AUTH_AUTH_MSG_H

#include "auth/auth.h"

enum auth_msg_type { AUTH_MSG_START = 1, AUTH_MSG_LOGIN, AUTH_MSG_CONTINUE, AUTH_MSG_CANCEL, AUTH_MSG_ANSWER, AUTH_MSG_PAM_CHECK, AUTH_MSG_PAM_ANSWER, AUTH_MSG_VOUCH };

struct auth_msg_call {                                                /* START, LOGIN, CONTINUE, CANCEL */
	uint64_t id;
	struct slice mechanism;                                       /* START */
	bool has_initial;
	struct slice initial;                                         /* START: initial response; CONTINUE: the response */
	struct slice user, password;                                  /* LOGIN */
	struct slice service, session;                                /* of the peer: START, LOGIN */
	struct net_addr addr;
	bool tls, grant;
	struct slice cb_type, cb_data, cb_end_point;
};

struct auth_msg_answer {
	uint64_t id;
	enum auth_result result;
	struct slice challenge, user, method, text;
	struct slice ticket;                                          /* AUTH_TICKET_SIZE or none */
	uint32_t generation;
	uint32_t delay_ms;                                            /* before a refusal is said */
};

struct auth_msg_pam {                                                 /* PAM_CHECK, PAM_ANSWER */
	uint64_t id;
	struct slice user, password, service;
	struct net_addr addr;
	enum auth_result result;                                      /* OK, DENIED, TEMP */
	uint32_t delay_ms;                                            /* what PAM wanted to wait */
	struct slice text;
};

struct auth_msg_vouch {
	struct slice ticket, user;                                    /* AUTH_TICKET_SIZE; who has logged in */
	struct net_addr addr;                                         /* from where, as dracd was told */
	uint32_t ttl_ms;
};

void auth_msg_put_call(struct msg *m, enum auth_msg_type type, const struct auth_msg_call *c);   /* initialises m */
int auth_msg_get_call(struct msg *m, struct auth_msg_call *out) WARN_UNUSED;
void auth_msg_put_answer(struct msg *m, const struct auth_msg_answer *a);
int auth_msg_get_answer(struct msg *m, struct auth_msg_answer *out) WARN_UNUSED;
void auth_msg_put_pam(struct msg *m, enum auth_msg_type type, const struct auth_msg_pam *p);
int auth_msg_get_pam(struct msg *m, struct auth_msg_pam *out) WARN_UNUSED;
void auth_msg_put_vouch(struct msg *m, const struct auth_msg_vouch *v);
int auth_msg_get_vouch(struct msg *m, struct auth_msg_vouch *out) WARN_UNUSED;

#endif
