/*
 * client/dest.h - destinations: what waits for each next hop, the connections to it, and what is known about it.
 *
 * Connections are used again for the next message of the same destination; up to client_destination_limit are opened while messages wait. A destination
 * that could not be reached answers for a short while at once, so that a thousand messages to a dead host cost one timeout and not a thousand.
 *
 * Where an MX host answers a transaction with 4xx, or breaks off, the message moves on to the next MX host in the same attempt (RFC 5321 section 5.1), to
 * DEST_HOSTS_A_MAIL of them at most; each is asked by connections of its own, which take no other mail. What may be in is not moved: a connection that
 * breaks after the final dot defers.
 */
#ifndef CLIENT_DEST_H
#define CLIENT_DEST_H

#include "base/hash.h"
#include "base/list.h"
#include "client/mail_out.h"
#include "client/resolve.h"
#include "io/conn.h"

enum { DEST_HOSTS_A_MAIL = 3 };

struct peer;

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
	struct list_node waiting, moved;                              /* struct mail_out; moved: from another candidate than the first */
	size_t n_waiting, n_moved;
	size_t n_peers, n_opening, n_opening_moved;                   /* all; being opened for what waits, for what moved */
	struct loop_task pump;
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
/* What a peer is for: start 0 takes what waits; each takes what moved to its candidate, or one before that could not be reached. */
struct dest_place { size_t start, candidate; };
bool dest_has_for(const struct dest *d, const struct dest_place *at);
struct mail_out *dest_next(struct dest *d, const struct dest_place *at);    /* takes it; NULL: nothing */
/* A transaction is over: m is finished, or goes on to the next candidate. */
void dest_done_with(struct dest *d, struct mail_out *m, size_t candidate, const char *relay);
void dest_unreachable(struct dest *d, size_t start, const char *dsn, const char *text);      /* every candidate from start was tried by a peer, the last one failed like this */
void dest_peer_opened(struct dest *d, size_t start);                  /* a peer that was being opened is ready */
void dest_peer_gone(struct dest *d, size_t start, bool was_opening);
/* peer.c: one connection at a time, to the first candidate that takes it */
void peer_open(struct dest *d, size_t start);                         /* start: the first candidate that it tries */
void peer_wake_one(struct dest *d);                                   /* an idle one takes what waits */
void peer_drop_all(struct dest *d);

#endif
