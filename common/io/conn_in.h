/*
 * io/conn_in.h - the inside of a connection, for conn.c (beginnings, ends, the step function), conn_recv.c, conn_send.c and conn_time.c alone.
 *
 * Everything but the owner's own calls happens inside conn_turn(), between conn_enter() and conn_leave(): an owner that frees the connection in a callback
 * only undoes it, the struct goes when the turn is over.
 */
#ifndef IO_CONN_IN_H
#define IO_CONN_IN_H

#include <assert.h>
#include <stdlib.h>

#include "io/conn.h"

#define CONN_READ 65536                                               /* octets asked of a plain socket at once */
#define CONN_RECORD 16384                                             /* the most a TLS record holds */
#define CONN_TURNS 8                                                  /* reads or file pieces in one go, then others have their turn */

/* A buffer that is taken from the front without moving the rest each time. */
struct conn_stream {
	struct buf b;
	size_t at;
};

enum conn_barrier { CONN_NO_BARRIER, CONN_BEFORE_TLS, CONN_BEFORE_FILE };

struct conn {
	struct loop *loop;
	const struct conn_ops *ops;
	void *ctx;
	struct conn_limits lim;
	struct loop_fd watch;
	struct loop_timer timer;
	struct loop_task soon;
	int fd, file_fd;
	struct conn_stream in, out;
	SSL *ssl;
	struct tls_ctx *tls;                                          /* held from conn_start_tls() on */
	char *peer_name;
	enum conn_barrier barrier;
	size_t barrier_left;                                          /* octets of out that go before it */
	size_t flushed;                                               /* octets of out that the owner has flushed already */
	off_t file_at;
	size_t file_left;
	int64_t moved_at, idle_ms, deadline_at, close_at;             /* 0: none */
	struct err why_err;
	enum conn_end why;
	bool connecting, handshaking, handshake_done;
	bool paused, eof, eof_told, hup, nuisance, input_due, drain_due, blocked, ssl_wants_write;
	bool closing, lingering, ended, busy, dead;
};

static inline size_t conn_stream_len(const struct conn_stream *s)
{
	return s->b.len - s->at;
}

/* TLS is asked for and not there yet: nothing may be said in plain any more. */
static inline bool conn_is_before_tls(const struct conn *c)
{
	return c->tls != NULL && !c->handshake_done;
}

/* Brackets around whatever may call the owner. Inside, conn_free() only undoes (and `ended` is true); the struct goes here. */
static inline void conn_enter(struct conn *c)
{
	assert(!c->busy);
	c->busy = true;
}

static inline void conn_leave(struct conn *c)
{
	c->busy = false;
	if (c->dead)
		free(c);
}

/* conn.c */
void conn_stream_take(struct conn_stream *s, size_t n);
void conn_soon(struct conn *c);                                       /* a turn, from the loop */
void conn_end(struct conn *c, enum conn_end why, const struct err *e);        /* decides the end; it is told from the loop. The first reason counts */
void conn_end_sys(struct conn *c, enum conn_end why, int sys, const char *what);
void conn_watch(struct conn *c);                                      /* what epoll is asked for, as things are now */

/* conn_recv.c */
bool conn_may_read(const struct conn *c);
void conn_pull(struct conn *c);                                       /* what the socket has, into `in` */
void conn_tell_input(struct conn *c);

/* conn_send.c */
void conn_push(struct conn *c);                                       /* what can go, goes: octets, then what stands behind the barrier */
void conn_close_file(struct conn *c);
bool conn_is_above_high(const struct conn *c);
void conn_tell_drained(struct conn *c);

/* conn_time.c */
void conn_arm(struct conn *c);
void conn_start_closing(struct conn *c, enum conn_end why);

#endif
