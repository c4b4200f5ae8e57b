/*
 * server/session.h - one SMTP, submission or LMTP dialogue, without a socket (RFC 5321, 6409, 2033, 3207, 4954, 3030).
 *
 * Feed it octets; it writes replies into `out` and says what only the daemon can do for it. While a want other than SMTP_INPUT is open,
 * smtp_session_input() takes nothing; the daemon does what is wanted - now or later - and calls the function that the want names, which
 * returns the next want. Nothing in here reads a clock, a map, a disk or the network, so the same code runs in the server, in a unit test and under
 * the fuzzer.
 *
 *	SMTP_INPUT    more octets, please
 *	SMTP_TLS      `out` holds the go-ahead: send it, start TLS, then smtp_session_tls_started()
 *	SMTP_AUTH     ask.mechanism, ask.initial: smtp_session_answer() with .auth
 *	SMTP_RESPONSE ask.response: the same
 *	SMTP_CANCEL   forget the login that is under way (the reply is in out); then smtp_session_answer() with .ok
 *	SMTP_MAIL     a sender was given: answer() with the verdict and the queue id
 *	SMTP_RCPT     a recipient was given: answer() with the verdict
 *	SMTP_SPILL    the message is longer than memory should hold: write smtp_session_pieces() to a file, then answer() .ok
 *	SMTP_QUEUE    the message is complete and fine: make envelope and pieces durable, then answer()
 *	SMTP_CLOSE    `out` holds the good-bye: send it, close
 */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "auth/auth.h"
#include "base/buf.h"
#include "conf/settings.h"
#include "io/net.h"
#include "mail/path.h"
#include "queue/envelope.h"
#include "server/listener.h"

enum smtp_want { SMTP_INPUT, SMTP_TLS, SMTP_AUTH, SMTP_RESPONSE, SMTP_CANCEL, SMTP_MAIL, SMTP_RCPT, SMTP_SPILL, SMTP_QUEUE, SMTP_CLOSE };

/* What a session may know of its connection. Copied; the texts are borrowed for its whole life. */
struct smtp_env {
	const struct settings *s;
	const struct smtp_listener *listener;
	struct net_addr peer;
	struct slice peer_name;                                       /* by reverse DNS; "unknown" where there is none */
	bool peer_forged;                                             /* its forward lookup says otherwise */
	bool peer_trusted;                                            /* in mynetworks: may type by hand, without HELO */
	bool starttls_ok;                                             /* a certificate is configured */
	struct slice default_domain;                                  /* what an address without a domain gets */
	const char *mechanisms, *mechanisms_tls;                      /* auth_mechanisms() now and under TLS; "" where AUTH is not offered */
};

struct smtp_session;
struct smtp_session *smtp_session_new(const struct smtp_env *env);
void smtp_session_free(struct smtp_session **s);

/* The greeting. Octets that came before it are refused (an early talker): call smtp_session_input() first if there are any. */
void smtp_session_greet(struct smtp_session *s, struct buf *out);
enum smtp_want smtp_session_input(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out);
enum smtp_want smtp_session_want(const struct smtp_session *s);
void smtp_session_set_time(struct smtp_session *s, int64_t wall_us);  /* before input, whenever time has passed: for Received and Date */

/* TLS is on: everything said before it is forgotten (RFC 3207 4.2). At once after new() on a port with TLS at once. Texts are borrowed. */
enum smtp_want smtp_session_tls_started(struct smtp_session *s, const char *version, const char *cipher, int bits);

struct smtp_ask {                                                     /* borrowed until the answer */
	struct slice mechanism, initial, response;
	bool has_initial;
	const struct path *path;                                      /* MAIL, RCPT */
};
const struct smtp_ask *smtp_session_ask(const struct smtp_session *s);

struct smtp_answer {
	bool ok;
	struct slice reply;                                           /* "550 5.7.1 text" without CRLF; empty: the usual words. With close: 421 or 521 */
	bool close;                                                   /* say it and hang up */
	bool discard;                                                 /* MAIL, RCPT: say yes, drop the message (access map DISCARD) */
	bool hold;                                                    /* accept, but the queue shall not send it yet (HOLD) */
	const char *id;                                               /* MAIL, ok: the queue id */
	struct slice voucher;                                         /* RCPT, ok by DRAC: whose login vouches, "" where that is not known; else p is NULL */
	const struct auth_answer *auth;                               /* AUTH, RESPONSE */
};
enum smtp_want smtp_session_answer(struct smtp_session *s, const struct smtp_answer *a, struct buf *out);

/* The transaction, while one is open. The envelope's id, sender, recipients and flags are final at SMTP_QUEUE. */
const struct envelope *smtp_session_envelope(const struct smtp_session *s);
const struct path *smtp_session_sender(const struct smtp_session *s);
bool smtp_session_is_discard(const struct smtp_session *s);
uint64_t smtp_session_size(const struct smtp_session *s);             /* SIZE= of MAIL; 0: not said */
/* SPILL, QUEUE: what is to be stored, in order, without what earlier SPILLs gave. */
size_t smtp_session_pieces(const struct smtp_session *s, const struct slice **pieces_out);
bool smtp_session_has_spilled(const struct smtp_session *s);
struct slice smtp_session_header(const struct smtp_session *s);       /* QUEUE: the header as it came */

struct slice smtp_session_helo(const struct smtp_session *s);         /* "" before HELO */
struct slice smtp_session_user(const struct smtp_session *s);         /* "" before a login */
struct slice smtp_session_method(const struct smtp_session *s);
const char *smtp_session_proto(const struct smtp_session *s);         /* RFC 3848: "ESMTPSA", "LMTP" ... */
bool smtp_session_is_tls(const struct smtp_session *s);

bool smtp_session_is_between(const struct smtp_session *s);           /* no transaction, no login under way: a good moment to end */
const char *smtp_session_last_command(const struct smtp_session *s);  /* "RCPT", "CONNECT" before the first: for the log */

/* Something ended the dialogue from outside: the protocol's good-bye. */
void smtp_session_refuse(struct smtp_session *s, const char *why, struct buf *out);      /* "421 4.3.2 host why" */
void smtp_session_timeout(struct smtp_session *s, struct buf *out);

/* " ehlo=1 mail=2/3 quit=1 commands=4/5": good ones of all, as Postfix writes them, for the disconnect line. */
void smtp_session_summary(const struct smtp_session *s, struct buf *out);

#endif
