/*
 * client/dialogue.h - the client's half of SMTP and LMTP, without a socket (RFC 5321, 2033, 2920, 3207, 1870, 6152, 6531, 3461).
 *
 * The owner feeds octets and does what dialogue_input() says; replies are judged here and the outcome of each recipient is kept with it.
 */
#ifndef CLIENT_DIALOGUE_H
#define CLIENT_DIALOGUE_H

#include "client/reply.h"
#include "queue/queue_msg.h"

enum dialogue_feature {
	FEATURE_PIPELINING = 1, FEATURE_SIZE = 2, FEATURE_8BITMIME = 4, FEATURE_STARTTLS = 8, FEATURE_SMTPUTF8 = 16, FEATURE_DSN = 32,
	FEATURE_ENHANCED = 64, FEATURE_CHUNKING = 128, FEATURE_REQUIRETLS = 256
};

struct dialogue_rcpt {
	const struct qjob_rcpt *rcpt;
	bool accepted, settled;
	enum qoutcome outcome;
	char dsn[REPLY_DSN_MAX];
	char text[REPLY_TEXT_MAX + 512];                              /* "HOST said: 550 5.1.1 ... (in reply to RCPT TO command)" */
};

struct dialogue_mail {                                                /* one transaction */
	const struct qjob *job;
	struct dialogue_rcpt *rcpts;
	size_t n_rcpts;
	bool dsn_passed_on;                                           /* the server offers DSN */
	bool may_be_in;                                               /* the server had all of it and no reply was understood */
};

enum dialogue_want {
	DIALOGUE_INPUT,                                               /* more octets */
	DIALOGUE_TLS,                                                 /* start TLS now; then dialogue_tls_done() */
	DIALOGUE_READY,                                               /* for a (first or next) transaction: dialogue_begin(), or dialogue_quit() */
	DIALOGUE_BODY,                                                /* send the message, stuffed, then dialogue_body_sent() */
	DIALOGUE_CLOSE                                                /* over: dialogue_trouble() says why; an open transaction has its outcomes */
};

enum dialogue_state { DS_GREETING, DS_EHLO, DS_HELO, DS_STARTTLS, DS_TLS, DS_READY, DS_MAIL, DS_RCPT, DS_DATA, DS_BODY, DS_FINAL, DS_RSET, DS_QUIT, DS_CLOSED };

struct dialogue {
	enum dialogue_state state;
	const char *helo;                                             /* our name */
	bool lmtp, may_tls, must_tls, tls;
	char peer[320];                                               /* "mx.example.net[192.0.2.1]:25" */
	unsigned features;
	uint64_t size_max;                                            /* of SIZE; 0: not said */
	struct reply reply;
	struct dialogue_mail *mail;
	size_t sent, answered;                                        /* RCPT commands; then final replies of LMTP */
	unsigned n_done;                                              /* transactions on this connection */
	char trouble[REPLY_TEXT_MAX + 512];                           /* why it closed before or between transactions */
	char trouble_dsn[REPLY_DSN_MAX];
	bool unheard;                                                 /* 421 to MAIL: it ended the connection before it heard of this transaction */
	bool tls_trouble;                                             /* STARTTLS went wrong: where TLS is optional, again without it */
};

void dialogue_init(struct dialogue *d, const char *helo, const char *peer, bool lmtp, bool may_tls, bool must_tls);
void dialogue_done(struct dialogue *d);
enum dialogue_want dialogue_input(struct dialogue *d, struct slice in, size_t *used_out, struct buf *out);
enum dialogue_want dialogue_tls_done(struct dialogue *d, struct buf *out);
/* Outcomes of an earlier server are forgotten. What the server cannot take (size, SMTPUTF8) is settled at once without a command: then READY. */
enum dialogue_want dialogue_begin(struct dialogue *d, struct dialogue_mail *mail, struct buf *out);
enum dialogue_want dialogue_body_sent(struct dialogue *d);
void dialogue_quit(struct dialogue *d, struct buf *out);
/* The connection broke, or time ran out: what is open is deferred with these words. */
void dialogue_lost(struct dialogue *d, const char *dsn, const char *why);
const char *dialogue_phase(const struct dialogue *d);                 /* "the greeting", "MAIL FROM", "end of DATA": for words about a timeout */

/* Settles every open recipient of a transaction. */
void dialogue_settle(struct dialogue_mail *m, enum qoutcome outcome, const char *dsn, const char *fmt, ...) PRINTF_LIKE(4, 5);

#endif
