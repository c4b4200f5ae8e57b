/*
 * client/dest.h - destinations: what waits for each next hop, the connections to it, and what is known about it.
 *
 * Connections are used again for the next message of the same destination; up to client_destination_limit are opened while messages wait. A destination
 * that could not be reached answers for a short while at once, so that a thousand messages to a dead host cost one timeout and not a thousand.
 */
#ifndef CLIENT_DEST_H
#define CLIENT_DEST_H

#include "base/hash.h"
#include "base/list.h"
#include "client/dialogue.h"
#include "client/resolve.h"
#include "io/conn.h"
#include "queue/logline.h"
#include "queue/spool.h"

struct outward;                                                       /* the process: proc.c */
struct peer;

struct mail_out {                                                     /* one job */
	struct list_node node;
	struct arena *arena;
	struct qjob job;
	struct qjob_rcpt *job_rcpts;
	struct dialogue_mail mail;
	struct spool_message message;
	struct slice octets;                                          /* as sent, before dot-stuffing */
	struct attempt_times times;
};

struct dest {
	struct list_node node;
	struct outward *out;
	char *next_hop;
	struct hop hop;
	bool hop_is_bad;
	struct resolve *resolving;
	struct resolved *resolved;                                    /* NULL: not yet, or too old */
	int64_t resolved_at, dead_until, crowded_until, used_at;      /* ms */
	char dead_text[REPLY_TEXT_MAX + 512];
	char dead_dsn[REPLY_DSN_MAX];
	enum qoutcome dead_outcome;
	struct list_node waiting;                                     /* struct mail_out */
	size_t n_waiting, n_opening, n_peers;
	struct list_node peers;
	bool no_tls[RESOLVE_ADDRS];                                   /* TLS failed with that candidate: in the clear for a while, where that is allowed */
};

struct outward {
	struct loop *loop;
	const struct settings *settings;
	struct resolver resolver;
	struct tls_ctx *tls;                                          /* NULL: client_tls is none */
	bool tls_required;
	struct net_addr bind_address;                                 /* len 0: none */
	struct spool_reader *reader;
	struct chan *queue;
	struct qbatch results;
	struct loop_task flush;
	struct hmap *dests;
	size_t n_peers;
	struct loop_timer sweep;
	bool retiring;
};

struct dest *dest_get(struct outward *o, struct slice next_hop);
void dest_submit(struct dest *d, struct mail_out *m);
void dest_pump(struct dest *d);
void dest_sweep(struct outward *o);                                   /* forgets those that nobody used for some minutes */
void dest_drop_all(struct outward *o);                                /* the queue is gone: so is what it asked for */

/* From peers: */
void dest_put_back(struct dest *d, struct mail_out *m);               /* to be taken next, by another peer */
struct mail_out *dest_next(struct dest *d);                           /* takes what waits; NULL: nothing */
void dest_unreachable(struct dest *d, const char *dsn, const char *text);   /* every candidate was tried by a peer, the last one failed like this */
void dest_peer_opened(struct dest *d);                                /* a peer that was being opened is ready */
void dest_peer_gone(struct dest *d, bool was_opening);
/* Reads the message; false: it cannot or may not be sent, and is finished. */
bool mail_out_prepare(struct outward *o, struct mail_out *m);
void mail_out_finish(struct outward *o, struct mail_out *m, struct slice relay);        /* logs, tells the queue, frees; no relay: nobody was asked */
void mail_out_free(struct mail_out *m);

/* peer.c: one connection at a time, to the first candidate that takes it */
void peer_open(struct dest *d);
void peer_wake_one(struct dest *d);                                   /* an idle one takes what waits */
void peer_drop_all(struct dest *d);

#endif
