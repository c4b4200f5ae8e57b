/*
 * serve/session.h - the session process of pop3d and imapd: one a user, all of that user's connections, confined to that user's mail.
 *
 * The process (serve/session.c) owns sockets and loop; the protocol part has no socket. It is called with octets, when others changed a mailbox, and to go on
 * with a long command; each call does a bounded amount of work and output, then returns what it wants.
 */
#ifndef SERVE_SESSION_H
#define SERVE_SESSION_H

#include "conf/settings.h"
#include "io/net.h"
#include "store/mbox.h"

struct session_start {                                                /* from the front; borrowed for open() */
	struct slice user;                                            /* local@domain */
	struct slice session_id;
	struct slice method;                                          /* for the log: "SCRAM-SHA-256" */
	struct slice state;                                           /* login_proto.hand_over()'s, or park()'s when parked is true */
	struct net_addr peer;
	bool tls, parked;
};

struct session_env {                                                  /* lives as long as the process */
	const struct settings *s;
	struct box *box;                                              /* the user's mailboxes, open */
	int64_t (*wall_s)(void);                                      /* time is a parameter */
	void **shared;                                                /* the protocol's own, for all connections of this process; *shared starts NULL */
};

enum session_want {
	SESSION_INPUT,                                                /* waiting for the client */
	SESSION_MORE,                                                 /* call step() when output has drained below high water */
	SESSION_FILE,                                                 /* behind what is in out go the octets of file(); when they are gone call step() */
	SESSION_CLOSE                                                 /* good-bye is in out */
};

struct session_file { int fd; uint64_t at, n; };                      /* borrowed; the octets do not change */

struct session_proto {
	const char *name;                                             /* "pop3" */
	size_t line_max;                                              /* conn's in_max after login */
	void *(*open)(const struct session_env *env, const struct session_start *st, struct buf *out);   /* the reply to the login is in out; NULL: refused, out says why */
	enum session_want (*input)(void *s, struct slice in, size_t *used_out, struct buf *out);
	enum session_want (*step)(void *s, struct buf *out);
	void (*file)(void *s, struct session_file *out);              /* after SESSION_FILE, once; NULL where that is never said */
	enum session_want (*changed)(void *s, struct buf *out);       /* somebody changed a mailbox of this user: tell if now is the time (IDLE) */
	bool (*in_use)(const void *s);                                /* the client is there although it says nothing (IDLE); NULL: never */
	bool (*park)(void *s, struct buf *state_out);                 /* true: state holds everything (IDLE or quiet IMAP); the session is closed by the caller */
	void (*timeout)(void *s, struct buf *out);                    /* autologout: the protocol's good-bye */
	void (*bye)(void *s, const char *why, struct buf *out);       /* the server ends it: "* BYE why"; NULL: timeout() is said instead */
	void (*close)(void *s, const char *why);                      /* free; logs one line: user, session, octets, what was done */
	uint32_t (*idle_s)(const void *s);                            /* autologout time now */
	void (*shared_free)(void *shared);                            /* last call before the process ends; NULL where *shared is not used */
};

#endif
