/*
 * io/conn.h - one stream connection: non-blocking socket, TLS that can start in the middle, buffers with high-water marks, deadlines.
 *
 * Input: on_input is called when octets have come; the owner looks at conn_input() and takes what it used with conn_take(). It is called
 * again when more comes, by conn_resume(), or when output that was above high water has drained while octets wait. Reading stops while `in`
 * is full, while output is above high water, or while paused.
 * Output: conn_write() queues (and tries at once at the end of the round); a buffer that is over its max closes the connection.
 * After each flush of something new, once no more than low water (half of out_high) is unsent, on_drained is called, once.
 * End of input: a client may close its half and still wait for replies. on_close(CONN_EOF) comes when the output is out and the connection
 * is not paused: an owner that will answer later pauses meanwhile. An owner with on_eof is told instead (once, when it has seen all input),
 * the connection stays, and the owner ends it: a shovel passes the half-close on.
 * Deadlines: idle (from the last octet that moved; a trickle does not help against the next) and absolute, both in ms.
 * on_close is called exactly once, last, never from inside another conn_ call of the owner; afterwards the owner frees by conn_free().
 * conn_free() and conn_release() are fine inside any callback.
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
	/* CONN_IDLE or CONN_DEADLINE: the last chance to write a good-bye; the conn then closes by itself as by conn_close() and on_close tells
	   `why`. NULL: closes at once. Not called before a handshake is done. */
	void (*on_timeout)(void *ctx, enum conn_end why);
	void (*on_eof)(void *ctx);                                    /* NULL: CONN_EOF ends it */
};

struct conn_limits {
	size_t in_max, out_max;                                       /* octets each buffer may hold */
	size_t out_high;                                              /* above it input stops; 0: never */
};

/* Takes over fd (sets it non-blocking and close-on-exec; TCP: keep-alive on, Nagle off). */
struct conn *conn_new(struct loop *l, int fd, const struct conn_limits *lim, const struct conn_ops *ops, void *ctx);
void conn_free(struct conn **c);                                      /* closes at once if still open; no on_close then */

/* Connects; that it is done is told by on_drained (once) - or on_close. local may be NULL. NULL: it failed at once. */
struct conn *conn_connect(struct loop *l, const struct sockaddr *sa, socklen_t sa_len, const struct sockaddr *local, socklen_t local_len,
    const struct conn_limits *lim, const struct conn_ops *ops, void *ctx, struct err *e);

struct slice conn_input(const struct conn *c);                        /* borrowed until the next conn_ call */
void conn_take(struct conn *c, size_t n);
void conn_set_in_max(struct conn *c, size_t in_max);                  /* after login lines may be longer */
void conn_pause(struct conn *c);                                      /* no on_input until conn_resume() */
void conn_resume(struct conn *c);                                     /* calls on_input from the loop if octets wait */

struct buf *conn_out(struct conn *c);                                 /* append here only (buf_add says when it is over max), then conn_flush() */
void conn_flush(struct conn *c);                                      /* sends at the end of this round */
void conn_write(struct conn *c, struct slice s);                      /* both in one */
size_t conn_unsent(const struct conn *c);                             /* with what is left of a file */

/* Sends len octets of file fd from offset after what is queued: sendfile where there is no TLS. Takes over file_fd (dup it to keep it).
   Only one file at a time, and none before a handshake is done; what is written afterwards goes behind it; on_drained tells that it is out. */
void conn_send_file(struct conn *c, int file_fd, off_t offset, size_t len);

/* Starts TLS once the output queued so far is out (the go-ahead goes in plain). Drops every octet that was buffered before (STARTTLS injection,
   CVE-2011-0411); *dropped_out (may be NULL) says how many: take the STARTTLS line itself first. peer_name: as in tls_new(). */
void conn_start_tls(struct conn *c, struct tls_ctx *ctx, const char *peer_name, size_t *dropped_out);
SSL *conn_ssl(const struct conn *c);                                  /* NULL: no TLS, or its handshake is not done */
int conn_fd(const struct conn *c);                                    /* to look (getpeername), not to touch */
bool conn_sends_file(const struct conn *c);                            /* until on_drained tells that it is out */
bool conn_is_open(const struct conn *c);                              /* neither closing nor over: conn_release() is possible */

void conn_idle_ms(struct conn *c, int64_t ms);                        /* 0: none */
void conn_deadline_ms(struct conn *c, int64_t ms);                    /* from now; 0: none */
void conn_close(struct conn *c);                                      /* after the output is out (10 s at most) */
void conn_abort(struct conn *c);                                      /* now; on_close comes from the loop */

/* The descriptor changes hands: only without TLS and with empty output. Input not yet taken is put into *left. c is freed, no on_close. */
int conn_release(struct conn **c, struct buf *left);

#endif
