/*
 * serve/login.h - the front of pop3d and imapd: accept, TLS, the dialogue up to the login, then the connection goes to the user's session process.
 *
 * The front never sees a mailbox. The protocol part is a session without a socket: it eats octets, writes replies, and says what only the front can do.
 * After AUTH_OK the front passes the descriptor itself (no TLS) or one end of a socketpair that it shovels (TLS) to the spawner, with a session_start;
 * the reply that reports success is the session process's (it has opened the mailbox by then).
 */
#ifndef SERVE_LOGIN_H
#define SERVE_LOGIN_H

#include "auth/auth.h"
#include "serve/super.h"

enum login_want {
	LOGIN_INPUT,                                                  /* feed me more */
	LOGIN_STARTTLS,                                               /* my go-ahead reply is in out: send it, start TLS, call tls_started() */
	LOGIN_AUTH,                                                   /* ask holds mechanism and perhaps an initial response */
	LOGIN_RESPONSE,                                               /* ask holds the client's response (raw) */
	LOGIN_CANCEL,                                                 /* the client sent "*" or nonsense: auth_cancel(); out has the reply */
	LOGIN_PASSWORD,                                               /* ask holds user and password */
	LOGIN_CLOSE                                                   /* reply is in out: send, then close */
};

struct login_ask {                                                    /* slices borrowed until the next call */
	struct slice mechanism, initial, response, user, password;
	bool has_initial;
};

struct login_info {                                                   /* what the protocol may know of the connection; owned by the front */
	const struct settings *s;
	struct net_addr peer;
	const char *session_id;
	bool tls;                                                     /* changes at STARTTLS */
	bool starttls_ok;                                             /* a certificate is configured and TLS is not on yet */
	const char *mechanisms;                                       /* auth_mechanisms() for the present state */
	bool plaintext_ok;
};

struct login_proto {
	const char *name;                                             /* "pop3", "imap": service for auth, ALPN */
	size_t line_max;                                              /* conn's in_max before login */
	void *(*open)(struct arena *a, const struct login_info *info, struct buf *out);              /* writes the greeting */
	enum login_want (*input)(void *s, struct slice in, size_t *used_out, struct buf *out, struct login_ask *ask_out);
	void (*tls_started)(void *s);                                 /* forget everything that came before */
	enum login_want (*answer)(void *s, const struct auth_answer *a, struct buf *out);            /* AUTH_MORE: the challenge; failures: the reply. Not called for OK */
	void (*refuse)(const char *why, struct buf *out);             /* shutting down, too many connections: "* BYE why", "-ERR [SYS/TEMP] why" */
	void (*timeout)(void *s, struct buf *out);                    /* login_timeout is over: the protocol's good-bye */
	void (*hand_over)(void *s, struct buf *state_out);            /* what the session must know: IMAP tag, ID seen ... opaque to the front */
};

/* Bodies of the front and spawner rows of a daemon's process table. */
struct session_proto;
void login_front_run(struct proc *p, const struct login_proto *proto);
void session_spawner_run(struct proc *p, const struct session_proto *proto);

#endif
