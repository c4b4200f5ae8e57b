/*
 * server/params.h - what may follow the path in MAIL FROM and RCPT TO: "SIZE=1000 BODY=8BITMIME RET=HDRS ..." (RFC 5321 4.1.1.11).
 *
 * Pure: no settings, no session. Each parameter is a row.
 */
#ifndef SERVER_PARAMS_H
#define SERVER_PARAMS_H

#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct smtp_params {
	bool has_size, is_8bit, is_utf8, ret_full, ret_hdrs, has_auth;
	uint64_t size;                                                /* RFC 1870 */
	struct slice envid;                                           /* RFC 3461 4.4, still xtext, checked */
	struct slice auth;                                            /* RFC 4954 5: xtext or "<>"; not believed */
	unsigned notify;                                              /* NOTIFY_* of queue/envelope.h; 0: not given */
	struct slice orcpt;                                           /* "rfc822;joe@example.com", xtext, checked */
};

enum smtp_params_of { SMTP_PARAMS_MAIL = 1, SMTP_PARAMS_RCPT = 2 };

/* `in`: blanks and parameters to the end of the line. Slices of *out live in the arena.
   -1: *reply_out is the refusal, in the arena ("555 5.5.4 Unsupported parameter \"X\""). */
int smtp_params_parse(struct slice in, enum smtp_params_of which, struct arena *a, struct smtp_params *out, const char **reply_out) WARN_UNUSED;

#endif
