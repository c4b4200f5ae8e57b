/*
 * client/reply.h - what another server says: replies of SMTP and LMTP (RFC 5321 4.2, RFC 2034). Pure.
 *
 * Strict where a hostile server could gain by it: CRLF lines of bounded length and number, one code throughout. Everything else is "not understood",
 * which defers a message and never bounces it.
 */
#ifndef CLIENT_REPLY_H
#define CLIENT_REPLY_H

#include "base/buf.h"
#include "mail/line.h"

enum { REPLY_TEXT_MAX = 1000, REPLY_KEEP_MAX = 4096, REPLY_DSN_MAX = 12 };      /* the first one is for words about it */

struct reply {
	unsigned code;                                                /* 200 to 599 */
	char dsn[REPLY_DSN_MAX];                                      /* "5.1.1"; "" where the server gave none of the code's class */
	struct buf text;                                              /* all lines, joined by blanks, without codes; EHLO: lines end in \n */
	unsigned lines;
};

void reply_init(struct reply *r);
void reply_done(struct reply *r);
void reply_reset(struct reply *r);

/* Takes what it can of `in`. OK: the reply is whole, *used_out ends behind it. MORE: all whole lines were taken, call again. BAD: *why_out. */
enum parse reply_take(struct reply *r, struct slice in, bool keep_lines, size_t *used_out, const char **why_out);

/* The server's enhanced code, or "2.0.0", "4.0.0", "5.0.0" by class. */
const char *reply_dsn(const struct reply *r);

#endif
