/*
 * serve/session_in.h - what the files of a session process share: session.c has connections and turns, session_idle.c what time does to them.
 */
#ifndef SERVE_SESSION_IN_H
#define SERVE_SESSION_IN_H

#include "base/list.h"
#include "io/conn.h"
#include "serve/session.h"
#include "serve/session_msg.h"

struct sess {
	struct loop *l;
	const struct settings *s;
	const struct session_proto *proto;
	struct session_env env;
	void *shared;
	struct err box_err;                                           /* why env.box is NULL */
	const char *box_dir;
	struct slice user;
	struct chan *up;                                              /* the spawner */
	int notify_fd;
	struct loop_fd notify;
	struct list_node conns;
	unsigned n_conns;
	uint64_t starts;                                              /* STARTs seen: what EXIT is about */
	uint32_t linger_ms;
	bool has_parked, ending;
	const char *end_why;
	int64_t active_at;                                            /* mono ms of the last thing a client sent */
	struct loop_timer linger, look;
};

struct sconn {
	struct list_node node;
	struct sess *ss;
	struct arena *arena;                                          /* this struct and its texts */
	struct conn *c;
	void *s;                                                      /* the protocol's; NULL once it was closed */
	struct session_card card;
	struct buf left;                                              /* came along behind the login; goes in before what the socket has */
	struct loop_task turn;
	int64_t active_at;
	int64_t used_told_at;                                         /* that it was in use until then, to the spawner (serve/renew.h) */
	bool more;                                                    /* the protocol wants step() */
	bool is_parked;                                               /* just now: the rest of it goes */
};

void sconn_close_proto(struct sconn *sc, const char *why);            /* the protocol's part ends now */
void sconn_finish(struct sconn *sc, const char *why);                 /* that, and the connection when what was said is out */
void sconn_free(struct sconn *sc);

/* session_idle.c */
void session_idle_start(struct sess *ss);
void session_idle_ended(const struct sconn *sc);                      /* tells the spawner; not after it was parked */

#endif
