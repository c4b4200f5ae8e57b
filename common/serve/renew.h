/*
 * serve/renew.h - the spawner's list of who is logged in from where, and dracd told anew of those that are in use.
 *
 * User and address are the auth process's word, from the ticket (serve/gate.h). That a session is in use is the session process's: its client has sent
 * a command, or waits in IDLE. A renewal makes no grant: it prolongs the one of the login, for drac_max_age after it at most, and what was revoked stays
 * so. A connection that sleeps at a front counts while it sleeps in IDLE; then the spawner renews by itself.
 *
 * Every function is fine with NULL, which renew_new() gives where drac = no.
 */
#ifndef SERVE_RENEW_H
#define SERVE_RENEW_H

#include "base/list.h"
#include "conf/settings.h"
#include "io/loop.h"
#include "io/net.h"

struct renew;

struct renew *renew_new(struct loop *l, const struct settings *s, const char *service);
void renew_free(struct renew **r);

/* A session in use is told of after this many ms, a third of drac_lifetime; 0: never (drac = no). */
int64_t renew_every_ms(const struct settings *s);

struct renew_login {                                                  /* borrowed for the call */
	uint32_t front;                                               /* with id: which connection */
	uint64_t id;
	struct slice user, session;
	struct net_addr addr;
	bool tls;
};
/* owner: the list of the session process that has the connection; when that process ends, renew_end_all(). */
void renew_begin(struct renew *r, const struct renew_login *login, struct list_node *owner);
/* In use since it was last said. The user must be the login's: a session process speaks for its own. */
void renew_used(struct renew *r, uint32_t front, uint64_t id, struct slice user);
void renew_sleep(struct renew *r, uint32_t front, uint64_t id, struct slice user, uint32_t new_front, bool counts);   /* new_front: it may sleep at another one */
void renew_wake(struct renew *r, uint32_t front, uint64_t id, struct list_node *owner);
void renew_end(struct renew *r, uint32_t front, uint64_t id, struct slice user);
void renew_end_all(struct renew *r, struct list_node *owner);

#endif
