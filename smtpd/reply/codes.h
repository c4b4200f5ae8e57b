/*
 * reply/codes.h - every no of smtpd, a row each.
 *
 * A reply is STATUS TEXT [PH-CODE]: "550 5.7.1 <a@b>... Relaying denied: ... [PH-R01]". Status and code come from the row, so that neither can differ
 * from what `posthouse explain PH-R01` says; the words between are the site's. The code stands at the end, where log summaries and people don't mind it, and
 * keeps its meaning for ever: a row that goes leaves its number unused.
 */
#ifndef REPLY_CODES_H
#define REPLY_CODES_H

#include <stdarg.h>

#include "base/arena.h"
#include "base/buf.h"

/* The letter of a code: R relaying, A access map, S sender, U recipient (user), L login and TLS, M message, P protocol, C connection, T trouble here. */
enum code {
	CODE_NONE,                                                    /* no refusal, or one that is made already */
	CODE_RELAY_DENIED, CODE_RELAY_FORGED, CODE_RELAY_NAMELESS, CODE_RELAY_NOT_OWNER, CODE_MUST_LOGIN, CODE_RELAY_BARRED, CODE_LMTP_ONLY_OURS,
	CODE_RELAY_NO_DRAC, CODE_RELAY_NO_DNS,
	CODE_ACCESS_DENIED, CODE_ACCESS_RCPT, CODE_ACCESS_WORDS, CODE_ACCESS_DEFER, CODE_ACCESS_BROKEN,
	CODE_SENDER_SYNTAX, CODE_SENDER_NO_DOMAIN, CODE_NEEDS_UTF8, CODE_SENDER_NOWHERE, CODE_SENDER_DNS, CODE_SENDER_NOT_YOURS, CODE_FROM_NOT_YOURS,
	CODE_NO_USER, CODE_RCPT_SYNTAX, CODE_RCPT_NOWHERE, CODE_ALIAS_NO_ADDRESS, CODE_USER_MOVED, CODE_USER_DISABLED, CODE_ALIAS_LOOP, CODE_MAP_ENTRY_BROKEN, CODE_MAP_WORDS,
	CODE_LIST_PROGRAM, CODE_LIST_UNREADABLE, CODE_TOO_MANY_RCPTS, CODE_FULL_NOW, CODE_FULL, CODE_FULL_ALWAYS, CODE_ALIAS_PROGRAM,
	CODE_LOGIN_WRONG, CODE_LOGIN_NOT_NOW, CODE_LOGIN_NEEDS_TLS, CODE_LOGIN_NOT_HERE, CODE_LOGIN_CANCELLED, CODE_LOGIN_GARBLED, CODE_LOGIN_MECHANISM,
	CODE_LOGIN_TOO_MANY, CODE_NO_TLS,
	CODE_TOO_LARGE, CODE_LINE_ENDS, CODE_LINE_TOO_LONG, CODE_TOO_MANY_HOPS,
	CODE_UNKNOWN_COMMAND, CODE_UNREADABLE_LINE, CODE_WRONG_ORDER, CODE_SYNTAX, CODE_ARGUMENT, CODE_UNKNOWN_PARAMETER, CODE_BINARYMIME, CODE_HELO,
	CODE_COMMAND_OFF,
	CODE_OPEN_RELAY, CODE_TOO_MANY_CONNECTIONS, CODE_TOO_MANY_YOURS, CODE_CLOSING, CODE_TIMEOUT, CODE_TOO_MANY_ERRORS, CODE_TOO_MANY_REFUSED,
	CODE_ENDLESS_LINE, CODE_EARLY_TALKER, CODE_OUT_OF_STEP, CODE_TLS_TOO_EARLY, CODE_BROWSER, CODE_AFTER_STARTTLS, CODE_FALSE_PROXY,
	CODE_NO_SPACE, CODE_NOT_STORED, CODE_QUEUE_NOT_READY, CODE_DISK_FAILS, CODE_MAPS_UNREADABLE, CODE_NO_MEMORY,
	CODES
};

#define CODE_PREFIX "PH-"

struct code_row {
	const char *name;                                             /* "R01" */
	const char *status;                                           /* "550 5.7.1": usual; an admin's entry may have its own */
	const char *title;
	const char *meaning;                                          /* sentences, mdoc-safe */
	const char *cure;                                             /* what to do: the sender first, then the admin */
};
const struct code_row *code_row(enum code c);                         /* of CODE_NONE: NULL */
enum code code_find(struct slice name);                               /* "PH-R01", "[PH-R01]", "r01", or a reply that ends in one; CODE_NONE: there is none */

/* The whole reply, without CRLF. */
const char *code_reply(struct arena *a, enum code c, const char *fmt, ...) PRINTF_LIKE(3, 4);
const char *code_reply_v(struct arena *a, enum code c, const char *fmt, va_list ap) PRINTF_LIKE(3, 0);
/* The same with a status that an admin chose ("450 4.7.1"). */
const char *code_reply_as(struct arena *a, const char *status, enum code c, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The same at the end of a buffer; CODE_NONE: the text alone, as it is. -1: over its max, unchanged. */
int code_add(struct buf *out, enum code c, const char *fmt, va_list ap) PRINTF_LIKE(3, 0) WARN_UNUSED;

#endif
