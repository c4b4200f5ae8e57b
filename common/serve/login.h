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

enum login_port { LOGIN_PORT_STARTTLS, LOGIN_PORT_TLS };               /* super_listener.kind: TLS on request, TLS from the first octet */

/* Bodies of the front and spawner rows of a daemon's process table. */
struct session_proto;
void login_front_run(struct proc *p, const struct login_proto *proto);
void session_spawner_run(struct proc *p, const struct session_proto *proto);

/* The process table that pop3d and imapd share. The two functions call the two above. */
unsigned login_front_count(const struct settings *s);
unsigned login_auth_count(const struct settings *s);
unsigned login_one(const struct settings *s);
#define LOGIN_PROC_ROWS(log, front_fn, spawner_fn) \
	{ .role = "front", .log_name = log, .count = login_front_count, .listens = true, .talks_to = "auth spawner", .run = (front_fn) }, \
	{ .role = "auth", .log_name = "auth", .count = login_auth_count, .talks_to = "pam spawner", .run = auth_proc_run }, \
	{ .role = "pam", .log_name = "pam", .count = auth_pam_count, .user = PROC_AS_ROOT, .run = auth_pam_run }, \
	{ .role = "spawner", .log_name = log, .count = login_one, .user = PROC_IN_SPOOL_GROUP, .run = (spawner_fn) }

#endif
