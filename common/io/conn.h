/*
 * io/conn.h - one stream connection: non-blocking socket, TLS that can start in the middle, buffers with high-water marks, deadlines.
 *
 * Input: on_input is called when octets have come; the owner looks at conn_input() and takes what it used with conn_take(). It is called
 * again when more comes, or by conn_resume(). Reading stops while `in` is full, while output is above high water, or while paused.
 * Output: conn_write() queues (and tries at once at the end of the round); a buffer that is over its max closes the connection.
 * Deadlines: idle (from the last octet received; a trickle does not help against the next) and absolute, both in ms.
 * on_close is called exactly once, last, never from inside another conn_ call of the owner; afterwards the owner frees by conn_free().
 */
#ifndef IO_CONN_H
#define IO_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "io/loop.h"
#include "io/tls.h"

struct conn;

enum conn_end { CONN_EOF, CONN_CLOSED, CONN_IDLE, CONN_DEADLINE, CONN_ERROR, CONN_TLS_FAILED, CONN_OVERFLOW };

struct conn_ops {
	void (*on_input)(void *ctx);
	void (*on_tls)(void *ctx);                                    /* handshake done; NULL where no TLS */
	void (*on_drained)(void *ctx);                                /* output fell below low water; NULL: not wanted */
	void (*on_close)(void *ctx, enum conn_end why, const struct err *e);
};

struct conn_limits {
	size_t in_max, out_max;                                       /* octets each buffer may hold */
	size_t out_high;                                              /* above it input stops; 0: never */
};

/* Takes over fd (sets it non-blocking and close-on-exec). */
struct conn *conn_new(struct loop *l, int fd, const struct conn_limits *lim, const struct conn_ops *ops, void *ctx);
void conn_free(struct conn **c);                                      /* closes at once if still open; no on_close then */

/* Connects; on_connect... arrives as on_drained(once) - or on_close. local may be NULL. Caller owns nothing. */
struct conn *conn_connect(struct loop *l, const struct sockaddr *sa, socklen_t sa_len, const struct sockaddr *local, socklen_t local_len,
    const struct conn_limits *lim, const struct conn_ops *ops, void *ctx, struct err *e);

struct slice conn_input(const struct conn *c);                        /* borrowed until the next conn_ call */
void conn_take(struct conn *c, size_t n);
void conn_set_in_max(struct conn *c, size_t in_max);                  /* after login lines may be longer */
void conn_pause(struct conn *c);                                      /* no on_input until conn_resume() */
void conn_resume(struct conn *c);                                     /* calls on_input from the loop if octets wait */

struct buf *conn_out(struct conn *c);                                 /* append here, then conn_flush() */
void conn_flush(struct conn *c);                                      /* sends at the end of this round */
void conn_write(struct conn *c, struct slice s);                      /* both in one */
size_t conn_unsent(const struct conn *c);

/* Sends len octets of file fd from offset after what is queued: sendfile where there is no TLS. Takes over file_fd (dup it to keep it).
   Only one file at a time; on_drained tells that it is out. */
void conn_send_file(struct conn *c, int file_fd, off_t offset, size_t len);

/* Starts TLS. Drops every octet that was buffered before (STARTTLS injection, CVE-2011-0411); *dropped_out says how many. */
void conn_start_tls(struct conn *c, struct tls_ctx *ctx, const char *peer_name, size_t *dropped_out);
SSL *conn_ssl(const struct conn *c);                                  /* NULL: no TLS */

void conn_idle_ms(struct conn *c, int64_t ms);                        /* 0: none */
void conn_deadline_ms(struct conn *c, int64_t ms);                    /* from now; 0: none */
void conn_close(struct conn *c);                                      /* after the output is out (10 s at most) */
void conn_abort(struct conn *c);                                      /* now; on_close comes from the loop */

/* The descriptor changes hands: only without TLS and with empty output. Input not yet taken is put into *left. c is freed, no on_close. */
int conn_release(struct conn **c, struct buf *left);

#endif
