/*
 * base/buf.h - the one growable byte buffer.
 *
 * Owns its octets, may hold NUL, and keeps a NUL one past the end for printing. `max` is the most it may ever hold:
 * every buffer that a peer can grow has one (RFC 5321 4.5.3.1). Out of memory aborts the process; over `max` is an answer.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
	char *p;
	size_t len, cap, max;
};

#define BUF_UNBOUNDED SIZE_MAX                                        /* only for octets that no peer controls */

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);                                         /* a zeroed or done buf is fine */
void buf_wipe(struct buf *b);                                         /* as buf_done, after zeroing: for secrets */
void buf_reset(struct buf *b);                                        /* empty, memory kept */
void buf_shrink(struct buf *b);                                       /* an empty buf gives its memory back */

int buf_add(struct buf *b, struct slice s) WARN_UNUSED;               /* -1: over max, b unchanged */
int buf_adds(struct buf *b, const char *str) WARN_UNUSED;
int buf_addc(struct buf *b, char c) WARN_UNUSED;
int buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) WARN_UNUSED;
int buf_vaddf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0) WARN_UNUSED;

/* For buffers without a peer's bound: over max aborts, so there is nothing to check. */
void buf_put(struct buf *b, struct slice s);
void buf_puts(struct buf *b, const char *str);
void buf_putf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline void buf_putc(struct buf *b, char c)
{
	if (b->len + 1 >= b->cap || b->len >= b->max) {
		buf_put(b, (struct slice){ &c, 1 });
		return;
	}
	b->p[b->len++] = c;
	b->p[b->len] = '\0';
}

/* Room for n more octets, to be filled by read(2) and then counted by buf_filled(). NULL: over max. */
char *buf_room(struct buf *b, size_t n) WARN_UNUSED;
void buf_filled(struct buf *b, size_t n);

void buf_take(struct buf *b, size_t n);                               /* drops the first n octets */
void buf_cut(struct buf *b, size_t len);                              /* keeps the first len octets */
struct slice buf_view(const struct buf *b);                           /* borrowed until the next buf_ call on b */
const char *buf_str(const struct buf *b);                             /* the same with its NUL; "" when empty */

#endif
