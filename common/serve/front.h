/*
 * serve/front.h - the inside of the front of pop3d and imapd, shared by login.c (accept, dialogue), login_auth.c (the password), login_pass.c (hand-over,
 * shovel, parking). Nobody else includes it.
 */
#ifndef SERVE_FRONT_H
#define SERVE_FRONT_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/list.h"
#include "io/conn.h"
#include "io/proxy.h"
#include "serve/crowd.h"
#include "serve/login.h"
#include "serve/session_msg.h"

enum {
	FRONT_OUT_HIGH = 32 << 10,                                    /* before login: a client that does not read is asked nothing more */
	FRONT_OUT_MAX = 256 << 10,
	FRONT_SHOVEL_IN = 64 << 10,
	FRONT_SHOVEL_HIGH = 256 << 10,
	FRONT_SHOVEL_MAX = 1 << 20
};

struct front_listener {
	struct loop_fd watch;
	struct front *f;
	int kind;
};

struct front_link {                                                  /* to a spawner */
	struct list_node node;
	struct front *f;
	struct chan *c;
	unsigned generation;
};

struct front {
	struct proc *p;
	struct loop *l;
	const struct settings *s;
	const struct login_proto *proto;
	struct auth_client *auth;
	struct tls_ctx *tls;                                          /* NULL: no certificate */
	struct proxy_set *proxies;                                    /* proxy_protocol_from, and connections whose header is awaited */
	struct list_node links;                                       /* to spawners; after a reload two: the older one still has sessions of ours */
	struct front_link *spawner;                                   /* the one for new work; NULL while it is being restarted */
	struct front_listener *listeners;
	size_t n_listeners;
	struct loop_timer dismiss;                                    /* orphans of a spawner that died go one after another */
	struct list_node conns;                                       /* before login, oldest first */
	struct list_node ready;                                       /* logged in, waiting for output to drain or for the spawner */
	struct list_node passed;                                      /* shovelled and parked */
	struct hmap *by_id;                                           /* those of `passed` */
	struct crowd *crowd;                                          /* how many an address has before login, over all fronts */
	unsigned n_conns;
	uint64_t next_id;
	struct loop_timer decide;
	bool retiring, decided;                                       /* told to retire; had the time to see whether that is a reload */
	bool next_generation;                                         /* it is one */
};

enum fconn_state {
	FC_HANDSHAKE,                                                 /* TLS begins */
	FC_DIALOGUE,                                                  /* octets go to the protocol */
	FC_AUTH,                                                      /* the auth process thinks */
	FC_READY,                                                     /* logged in, on its way to a session process */
	FC_SHOVEL,                                                    /* TLS: this process carries the octets */
	FC_PARKED,                                                    /* sleeps here */
	FC_CLOSING
};

struct fconn {
	struct list_node node;
	struct front *f;
	enum fconn_state state;
	struct conn *c;                                               /* the client; NULL: parked without TLS, see fd */
	struct arena *arena;                                          /* of the dialogue; gone once handed over */
	struct login_info info;                                       /* of the dialogue */
	void *s;                                                      /* the protocol's */
	struct auth_request *auth;
	bool is_last_word;                                            /* AUTH_OK came with server data: the client's empty answer completes the login */
	bool counted;                                                 /* in f->crowd and f->n_conns */
	bool heard;                                                   /* the client has said something */
	bool client_ended, half_ended;                                /* TLS: the client sends no more; the session was told */
	bool parking;                                                 /* TLS: only what the session said last is still to be carried */
	bool wake_due;                                                /* a change came meanwhile */
	struct front_link *link;                                      /* parked: the spawner that wakes it; NULL: it is gone */
	struct loop_timer timer;                                      /* login_timeout; parked: autologout */

	/* Once it is known who it is: one allocation, `texts`. */
	char *texts;
	struct session_card card;                                     /* user, method, ticket: in texts */
	unsigned generation;                                          /* of the spawner that knows the ticket */
	struct buf kept;                                              /* parked: the state */
	struct conn *pair;                                            /* shovel: the session's side */
	int fd;                                                       /* parked without TLS: the client's socket; else -1 */
	struct loop_fd watch;
	char session_id[16];
};

/* login.c */
void fconn_free(struct fconn *fc);                                    /* closes what is open, forgets everything */
void fconn_close(struct fconn *fc);                                   /* sends what waits, then closes */
void fconn_drive(struct fconn *fc);
void fconn_logged_in(struct fconn *fc);                               /* it no longer counts as a stranger */
void front_retire_if_empty(struct front *f);

/* login_auth.c: what the protocol wants of auth, and the answers. */
void fconn_auth_want(struct fconn *fc, enum login_want want, const struct login_ask *ask);

/* login_pass.c */
void fconn_hand_over(struct fconn *fc);                               /* now or when the spawner is there */
void front_spawner_link(struct front *f, unsigned generation, int fd);
void front_links_free(struct front *f);
void front_end_all(struct front *f);                                  /* the daemon stops: good-bye to those who sleep here, and sessions shall end */
void fconn_shovel_in(struct fconn *fc);                               /* state SHOVEL: octets of the client */
void fconn_shovel_out(struct fconn *fc);                              /* state SHOVEL: the client has read */
void fconn_shovel_end(struct fconn *fc);                              /* the client sends no more */
void fconn_unpark(struct fconn *fc);                                  /* state PARKED */

#endif
