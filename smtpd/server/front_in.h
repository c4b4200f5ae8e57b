/*
 * server/front_in.h - the inside of smtpd's front, shared by front.c (process, accept, limits), front_conn.c (a connection and its dialogue), front_auth.c
 * (logins), front_rcpt.c (verdicts) and front_body.c (the message). Nobody else includes it.
 */
#ifndef SERVER_FRONT_IN_H
#define SERVER_FRONT_IN_H

#include "auth/auth.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/list.h"
#include "io/conn.h"
#include "io/proxy.h"
#include "queue/entry.h"
#include "serve/crowd.h"
#include "serve/super.h"
#include "server/names.h"
#include "server/policy.h"
#include "server/room_client.h"
#include "server/session.h"

enum {
	FRONT_SMTP_IN = 64 << 10,                                     /* what a connection may hold unread */
	FRONT_SMTP_OUT_HIGH = 64 << 10,
	FRONT_SMTP_OUT_MAX = 512 << 10,
	FRONT_SMTP_NAME_MS = 1000,                                    /* the greeting waits for the client's name so long at most */
	FRONT_SMTP_PAUSE_MS = 20,                                     /* strangers on 25: who talks now is an early talker */
	FRONT_SMTP_DOMAIN_MS = 5000,
	FRONT_SMTP_DRAC_MS = 100,
	FRONT_SMTP_ROOM_MS = 500,
	FRONT_SMTP_RETIRE_MS = 8000,
	FRONT_SMTP_READY_LOOK_MS = 10,
	FRONT_SMTP_READY_MS = 5000                                    /* a start waits so long at most for the first journal segment */
};

struct smtp_front {
	struct proc *p;
	struct loop *l;
	const struct settings *s;
	struct policy *policy;
	struct auth_client *auth;
	struct drac_client *drac;                                     /* NULL: the setting is off */
	struct proxy_set *proxies;                                    /* proxy_protocol_from, and connections whose header is awaited */
	struct entry *entry;
	struct room_client *room;
	struct dns *dns;
	struct names *names;
	struct tls_ctx *tls;                                          /* NULL: no certificate */
	struct smtp_door { struct loop_fd watch; struct smtp_front *f; const struct smtp_listener *listener; } *doors;
	size_t n_doors;
	struct list_node conns;
	struct crowd *crowd;                                          /* how many connections an address has, over all fronts */
	unsigned n_conns;
	struct buf warned;                                            /* about maps, as logged last */
	char closed[320];                                             /* why everybody is refused; "" */
	unsigned judged;                                              /* policy_generation() that `closed` speaks of */
	bool retiring;
	struct loop_timer retire;
	struct loop_timer ready;
	unsigned ready_looks;
};

enum smtp_conn_state {
	SC_NAMING,                                                    /* the client's name is looked up, the greeting waits */
	SC_HANDSHAKE,
	SC_DIALOGUE,
	SC_WAITING,                                                   /* auth, DNS, dracd or the disk is asked; the session wants that answer */
	SC_CLOSING
};

struct smtp_conn {
	struct list_node node;
	struct smtp_front *f;
	const struct smtp_listener *listener;
	struct conn *c;
	enum smtp_conn_state state;
	struct smtp_session *session;                                 /* NULL before the greeting */
	struct arena *arena, *verdicts;                               /* of the connection; of the transaction */
	struct net_addr peer;
	char peer_text[NET_TEXT_MAX];
	int64_t greet_at_ms;
	struct loop_timer timer;                                      /* greeting */
	bool counted, greeted, paused, heard;
	size_t progress;                                              /* octets since the deadline was moved */

	struct policy_client client;
	struct policy_sender sender;
	enum relay_drac drac;                                         /* for the present sender */
	enum policy_dns rcpt_dns;                                     /* for the present recipient */
	int64_t drac_until;                                           /* seconds since 1970: then dracd is asked again */
	struct slice drac_user;                                       /* who vouches */
	bool logged_client;                                           /* the transaction's client= line is written, with this rule */
	enum relay_rule logged_rule;

	struct auth_request *auth;
	struct names_query *query;
	struct room_query *room;
	struct policy_verdict room_verdict;                           /* what policy said of the recipient whose room is asked for */
	bool drac_asked, submitted;
	bool in_heed;
	int large_fd;                                                 /* -1: the message is in memory */
	char large_id[QUEUE_ID_MAX];
};

/* front.c */
void smtp_front_dismiss(struct smtp_conn *sc);                        /* no longer counted */
void smtp_front_retire_if_empty(struct smtp_front *f);
int smtp_front_refresh(struct smtp_front *f, struct err *e) WARN_UNUSED;       /* the maps, once a session; says in the log what is wrong with them */

/* front_conn.c */
void smtp_conn_start(struct smtp_front *f, int fd, const struct net_addr *peer, const struct smtp_listener *listener, bool counted);
void smtp_conn_answer(struct smtp_conn *sc, const struct smtp_answer *a);     /* the session's want is answered; goes on with the dialogue */
void smtp_conn_wait(struct smtp_conn *sc);                            /* an answer will come later */
void smtp_conn_end(struct smtp_conn *sc, const char *why);            /* 421, from outside */
void smtp_conn_drop_large(struct smtp_conn *sc);
/* "name[addr]" */
#define SC_WHO "%.*s[%s]"
#define SC_WHO_ARGS(sc) SLICE_FMT((sc)->client.name.n > 0 ? (sc)->client.name : SLICE("unknown")), (sc)->peer_text

/* The wants. Each answers now or later. */
void smtp_front_want_auth(struct smtp_conn *sc, enum smtp_want want);
void smtp_front_want_mail(struct smtp_conn *sc);
void smtp_front_want_rcpt(struct smtp_conn *sc);
void smtp_front_want_spill(struct smtp_conn *sc);
void smtp_front_want_queue(struct smtp_conn *sc);
void smtp_front_log_reject(const struct smtp_conn *sc, const char *id, const char *stage, struct slice reply, const struct path *rcpt);

#endif
