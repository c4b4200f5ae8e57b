/*
 * queue/envelope.h - the envelope of one message: who sent it, to whom, and how far each recipient has come.
 *
 * Its text form, readable "name: value" lines, is the one form it has on disk: in the journal record and in spool/deferred/xx/ID.env.
 */
#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define QUEUE_ID_MAX 24

enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };          /* RFC 3461 4.1; 0: default */
enum rcpt_state { RCPT_WAITING, RCPT_DONE, RCPT_FAILED };

struct rcpt {
	struct slice address;                                         /* local@domain, as accepted or as expanded */
	struct slice orcpt;                                           /* RFC 3461 4.2, still xtext; empty */
	unsigned notify;
	enum rcpt_state state;
	unsigned attempts;
	int64_t next_try;                                             /* seconds since 1970 */
	struct slice last_reply;                                      /* "host[addr] said: 451 4.2.0 ..." */
	/* Set once by the queue, when the recipient was expanded (an accepted one has them empty): */
	struct slice original;                                        /* the accepted recipient that this one came from, where it differs */
	struct slice user, folder;                                    /* a mailbox of ours */
	struct slice next_hop;                                        /* elsewhere; user and next_hop both empty: not yet expanded */
	struct slice owner;                                           /* of the list (owner-LIST) that it came from: who hears of failures. Empty: the sender */
};

enum { ENV_SMTPUTF8 = 1, ENV_8BITMIME = 2, ENV_RET_HDRS = 4, ENV_RET_FULL = 8, ENV_HELD = 16, ENV_DELAY_TOLD = 32, ENV_REQUIRETLS = 64 };

struct envelope {
	char id[QUEUE_ID_MAX];
	int64_t arrived;                                              /* microseconds since 1970 */
	struct slice sender;                                          /* "" for <> */
	struct slice envid;                                           /* xtext */
	unsigned flags;
	struct slice client;                                          /* "name[addr]", for reports */
	struct slice user;                                            /* login, or who vouched by DRAC; "" */
	uint64_t size;                                                /* octets of the message as stored */
	struct rcpt *rcpts;
	size_t n_rcpts;
};

/* The reverse-path for this recipient: a list's mail comes from its owner (RFC 5321 section 3.9.2); a notification keeps <>, so that none can loop. */
struct slice envelope_sender_for(const struct envelope *env, const struct rcpt *r);

void envelope_put(const struct envelope *env, struct buf *out);
/* Whole lines only; unknown names are skipped, so that an older version reads a newer one's files. Everything lives in the arena. */
int envelope_parse(struct slice text, struct arena *a, struct envelope *out, struct err *e) WARN_UNUSED;

#endif
