/*
 * auth/auth.h - login, seen from a front: an asynchronous dialogue with an auth process over a link. The front never sees users.db.
 *
 * The messages of the link are packed and unpacked in auth/auth_msg.c alone; the process itself is auth/auth_proc.c (row in each daemon's table).
 */
#ifndef AUTH_AUTH_H
#define AUTH_AUTH_H

#include "base/slice.h"
#include "conf/settings.h"
#include "io/chan.h"
#include "io/net.h"
#include "io/tls.h"

#define AUTH_TICKET_SIZE 16u                                          /* octets */

struct auth_client;                                                   /* a front's side: spreads requests over its links */
struct auth_request;

struct auth_peer {                                                    /* what the auth process must know of the connection */
	const char *service;                                          /* "smtp", "pop3", "imap" */
	struct net_addr addr;
	bool tls;
	const char *session;                                          /* log id */
	bool grant;                                                   /* tell dracd after success */
	struct slice cb_type, cb_data;                                /* channel binding, empty where there is none: auth_peer_bind() */
	struct slice cb_end_point;                                    /* the same by tls-server-end-point, for clients that know no other */
};

/* The bindings for SCRAM -PLUS that this connection has (RFC 9266, RFC 5929), into `room`, which the peer borrows. ssl NULL: none. */
void auth_peer_bind(struct auth_peer *peer, SSL *ssl, struct buf *room);

enum auth_result { AUTH_MORE, AUTH_OK, AUTH_DENIED, AUTH_CANCELLED, AUTH_TEMP, AUTH_SYNTAX };

struct auth_answer {
	enum auth_result result;
	struct slice challenge;                                       /* MORE, or OK with server data: raw octets, not base64 */
	struct slice user;                                            /* OK: canonical local@domain */
	struct slice method;                                          /* "SCRAM-SHA-256", "PLAIN" ... for the log */
	struct slice ticket;                                          /* OK of pop3, imap: proof for the spawner, AUTH_TICKET_SIZE; else empty */
	unsigned generation;                                          /* of the spawner that knows the ticket: proc_generation() */
	const char *text;                                             /* TEMP, DENIED: for the log, never for the peer beyond the fixed words */
};

struct auth_client *auth_client_new(struct loop *l, const struct settings *s);
void auth_client_link(struct auth_client *c, unsigned index, int fd); /* from proc_events.on_link */
void auth_client_free(struct auth_client **c);

/* fn is called for each answer, from the loop; after any but AUTH_MORE the request is gone. The delay after failures happens in here. */
struct auth_request *auth_start(struct auth_client *c, struct slice mechanism, const struct slice *initial_response,
    const struct auth_peer *peer, void (*fn)(void *ctx, const struct auth_answer *a), void *ctx);
void auth_continue(struct auth_request *r, struct slice response);
void auth_cancel(struct auth_request *r);                             /* '*', or the connection is gone: no further call */
/* USER/PASS, LOGIN: same answers without AUTH_MORE. */
struct auth_request *auth_login(struct auth_client *c, struct slice user, struct slice password,
    const struct auth_peer *peer, void (*fn)(void *ctx, const struct auth_answer *a), void *ctx);

/* Mechanisms to offer on this connection, blank-separated, "" when none: PLAIN and LOGIN only with TLS or from plaintext_login_from; -PLUS only with TLS. */
const char *auth_mechanisms(const struct settings *s, bool tls, const struct net_addr *peer, struct arena *a);
bool auth_plaintext_ok(const struct settings *s, bool tls, const struct net_addr *peer);

struct proc;
/* Process bodies for the tables of smtpd, pop3d, imapd (serve/auth_proc.c): rows `auth` (talks to `pam`) and `pam` (as root where that is to be had). */
void auth_proc_run(struct proc *p);
void auth_pam_run(struct proc *p);
unsigned auth_pam_count(const struct settings *s);                    /* 1 with passdb = ... pam, else 0 */

#endif
