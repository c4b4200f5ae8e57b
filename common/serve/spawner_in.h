/*
 * serve/spawner_in.h - what the files of the spawner share: spawner.c has processes and fronts, spawner_users.c who is there and who sleeps.
 */
#ifndef SERVE_SPAWNER_IN_H
#define SERVE_SPAWNER_IN_H

#include "base/hash.h"
#include "base/list.h"
#include "io/chan.h"
#include "serve/gate.h"
#include "serve/parked.h"
#include "serve/renew.h"
#include "serve/session.h"

struct spawner {
	struct proc *p;
	struct loop *l;
	const struct settings *s;
	const struct session_proto *proto;
	struct sandbox_calls *calls;                                  /* what a session process may call */
	struct hmap *users;                                           /* name -> suser */
	struct hmap *parked;                                          /* of serve/parked.h */
	struct gate *gate;
	struct mailspools *spools;                                    /* NULL: off */
	struct renew *renew;                                          /* NULL: no DRAC */
	struct users *accounts;                                       /* for quotas; NULL: could not be opened, the settings count */
	struct list_node fronts, workers;
	unsigned n_workers;
	uint32_t last_front;
	bool retiring;
};

struct suser {
	struct spawner *sp;
	struct worker *worker;                                        /* NULL: none runs, or it is leaving */
	struct list_node parked;                                      /* oldest first */
	unsigned n_parked;
	int notify_fd;                                                /* bound while n_parked > 0 */
	struct loop_fd notify;
	char *box_dir;
	struct slice name;                                            /* its text is box_dir's neighbour */
	char *text;
};

struct sfront {
	struct list_node node;
	struct spawner *sp;
	struct chan *c;
	uint32_t number;                                              /* of the link, ours: two fronts of two generations may have one index */
};

struct worker {                                                       /* a session process */
	struct list_node node;
	struct spawner *sp;
	struct suser *user;                                           /* NULL once it may leave */
	struct chan *c;
	struct list_node logins;                                      /* of serve/renew.h: the connections it has */
	pid_t pid;
	uint64_t starts;
	bool may_leave, chan_closed, reaped;
	char *name;
};

struct suser *suser_get(struct spawner *sp, struct slice name);       /* NULL: no mailbox can be called so */
void suser_drop_if_unused(struct suser *u);
void suser_wake_all(struct suser *u);                                 /* its sleepers: something changed in the mailboxes */
/* False: that front has such a one already; no session process of ours would say so. */
bool suser_park(struct suser *u, struct sfront *f, uint64_t id);
void suser_unpark(struct parked *pk);
void suser_evict_oldest(struct suser *u);                             /* over the limit of a user: the one parked longest makes room */

#endif
