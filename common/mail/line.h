/*
 * mail/line.h - the one line reader and the one dot-(un)stuffer of the product (RFC 5321 2.3.8, 4.5.2).
 */
#ifndef MAIL_LINE_H
#define MAIL_LINE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum parse { PARSE_OK, PARSE_MORE, PARSE_BAD };

/* One CRLF line. OK: *line_out is borrowed from `in`, without CRLF; *used_out octets are taken. BAD: a bare LF, or a bare CR or NUL inside;
   *used_out ends behind the LF then too, so that the session can say so and go on with the next line. */
enum parse line_take(struct slice in, struct slice *line_out, size_t *used_out);

/*
 * Unstuffer of DATA, fed as octets come. Strict: the end is CRLF "." CRLF alone; a bare CR, bare LF or NUL makes it bad for good, but it goes on
 * to the true end so that the session stays in step; bad_line tells where. A line over LIMIT_SMTP_BODY_LINE is bad too.
 */
enum dot_bad { DOT_FINE, DOT_BARE_CR, DOT_BARE_LF, DOT_NUL, DOT_LONG };

struct dot {
	unsigned state;
	uint64_t octets, lines;                                       /* of the message so far, as stored */
	uint64_t bad_line;                                            /* 0: none yet */
	enum dot_bad bad;                                             /* the first thing that was wrong */
	size_t line_len;
};
void dot_init(struct dot *d);
/* Takes octets from `in`; runs of message octets go to put(), but none any more once it is bad.
   OK: the end was seen, *used_out ends behind its CRLF. MORE: all taken. */
enum parse dot_unstuff(struct dot *d, struct slice in, size_t *used_out, void (*put)(void *ctx, struct slice octets), void *ctx);

/* Stuffs CRLF text for DATA, RETR and TOP; *bol carries "at the beginning of a line" from call to call (start with true). */
void dot_stuff(struct slice octets, bool *bol, struct buf *out);

#endif
