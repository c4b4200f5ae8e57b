/*
 * auth/auth_server.h - the auth process without its process: requests of fronts in, verdicts out.
 *
 * A password that the cache knows is answered at once. Every other one waits in a line for its slow hash; one hash is computed a round of the loop,
 * so that messages that came meanwhile - cached logins, SCRAM - wait for one hash at most. PAM is asked last, in a process of its own.
 */
#ifndef AUTH_AUTH_SERVER_H
#define AUTH_AUTH_SERVER_H

#include "auth/auth_msg.h"

#define AUTH_SLOW_QUEUE 2000u                                             /* hashes that may wait; more are told to come again */

struct auth_server;
struct auth_ticket;                                                   /* a good login that waits for its grant */

struct auth_login_fact {                                              /* borrowed for the call */
	struct net_addr addr;
	struct slice user, service, session;
	bool tls;
};

struct auth_server_hooks {
	/* Tell dracd; call auth_server_granted(t) when that is done or is not to be waited for any more. NULL: no DRAC. */
	void (*grant)(void *ctx, struct auth_ticket *t, const struct auth_login_fact *f);
	/* Before OK is answered: a ticket for the session process's door, if that service needs one (ticket_out) and which generation knows it. 1: drawn;
	   0: none needed; -1: not to be had now, the login fails for the time being. NULL: none needed. */
	int (*vouch)(void *ctx, const struct auth_login_fact *f, uint8_t ticket_out[AUTH_TICKET_SIZE], uint32_t *generation_out);
	void (*forget)(void *ctx, struct auth_ticket *t);             /* the client is gone: t is no more */
	/* Milliseconds to hold a refusal back, from the failures of this address and user so far; counts this one. NULL: auth_failure_delay. */
	uint32_t (*failed)(void *ctx, const struct auth_login_fact *f, int64_t wall_us);
	void (*succeeded)(void *ctx, const struct auth_login_fact *f, int64_t wall_us);
	/* May this address try for this user now? false: refuse unheard. NULL: yes. */
	bool (*may_try)(void *ctx, const struct auth_login_fact *f, int64_t wall_us);
};

int auth_server_new(struct auth_server **s_out, struct loop *l, const struct settings *s, const struct auth_server_hooks *hooks, void *ctx, struct err *e) WARN_UNUSED;
void auth_server_free(struct auth_server **s);
void auth_server_front(struct auth_server *s, int fd);                /* a link to a front */
void auth_server_pam(struct auth_server *s, int fd);                  /* the link to the PAM process */
void auth_server_granted(struct auth_ticket *t);
const struct auth_login_fact *auth_server_fact(const struct auth_ticket *t, void **hooks_ctx_out);       /* borrowed while t waits for its grant */
size_t auth_server_busy(const struct auth_server *s);                 /* logins under way, for a quiet retirement */

const char *auth_default_domain(const struct settings *s, struct arena *a);

#endif
