/*
 * io/conn.c - one step function, conn_turn(), entered by descriptor events, by the connection's own task and by nothing else.
 *
 * Output may hold one barrier: octets before it go first, then TLS starts or a file is sent, then the rest follows.
 * Memory: both buffers give theirs back when empty, reading goes through the loop's scratch, OpenSSL releases its own. An idle connection
 * costs this struct and, with TLS, what OpenSSL keeps for a session.
 */
#include "io/conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#define CONN_READ 65536                                               /* octets asked of a plain socket at once */
#define CONN_RECORD 16384                                             /* the most a TLS record holds */
#define CONN_TURNS 8                                                  /* reads or file pieces in one go, then others have their turn */
#define CONN_CLOSE_MS 10000
#define CONN_LINGER_MS 2000

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

static void conn_turn(struct conn *c, unsigned events);
static void conn_on_event(void *ctx, unsigned events);
static void conn_on_soon(void *ctx);
static void conn_on_timer(void *ctx);

static size_t conn_stream_len(const struct conn_stream *s)
{
	return s->b.len - s->at;
}

static void conn_stream_take(struct conn_stream *s, size_t n)
{
	assert(n <= conn_stream_len(s));
	s->at += n;
	if (s->at == s->b.len) {
		buf_reset(&s->b);
		buf_shrink(&s->b);
		s->at = 0;
	} else if (s->at >= CONN_RECORD && s->at >= s->b.len / 2) {
		buf_take(&s->b, s->at);
		s->at = 0;
	}
}

/* TLS is asked for and not there yet: nothing may be said in plain any more. */
static bool conn_is_before_tls(const struct conn *c)
{
	return c->tls != NULL && !c->handshake_done;
}

static void conn_soon(struct conn *c)
{
	loop_task_queue(c->loop, &c->soon, conn_on_soon, c);
}

/* Decides the end; it is told from the loop. The first reason counts. */
static void conn_end(struct conn *c, enum conn_end why, const struct err *e)
{
	if (c->ended)
		return;
	c->ended = true;
	if (!c->closing)                                              /* closing already has its reason */
		c->why = why;
	if (e != NULL)
		c->why_err = *e;
	loop_timer_stop(c->loop, &c->timer);
	loop_fd_del(c->loop, &c->watch);
	conn_soon(c);
}

static void conn_end_sys(struct conn *c, enum conn_end why, int sys, const char *what)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TEMP, sys, "%s", what);
	conn_end(c, why, &e);
}

/* Brackets around whatever may call the owner. Inside, conn_free() only undoes (and `ended` is true); the struct goes here. */
static void conn_enter(struct conn *c)
{
	assert(!c->busy);
	c->busy = true;
}

static void conn_leave(struct conn *c)
{
	c->busy = false;
	if (c->dead)
		free(c);
}

/*
 * Deadlines: one timer for all, moved only when it fires too early.
 */

static int64_t conn_next_deadline(const struct conn *c)
{
	int64_t at = INT64_MAX;

	if (c->closing)
		return c->close_at;
	if (c->idle_ms > 0)
		at = c->moved_at + c->idle_ms;
	if (c->deadline_at > 0 && c->deadline_at < at)
		at = c->deadline_at;
	return at;
}

static void conn_arm(struct conn *c)
{
	int64_t at = conn_next_deadline(c);

	if (c->ended || at == INT64_MAX)
		loop_timer_stop(c->loop, &c->timer);
	else if (!loop_timer_is_running(&c->timer) || c->timer.at_ms > at)
		loop_timer_start(c->loop, &c->timer, at - loop_now(c->loop), conn_on_timer, c);
}

static void conn_start_closing(struct conn *c, enum conn_end why)
{
	c->closing = true;
	c->why = why;
	c->close_at = loop_now(c->loop) + CONN_CLOSE_MS;
	conn_arm(c);
	conn_soon(c);
}

static void conn_time_is_over(struct conn *c, enum conn_end why)
{
	if (c->ops->on_timeout == NULL || c->connecting || conn_is_before_tls(c)) {
		conn_end(c, why, NULL);
		return;
	}
	c->ops->on_timeout(c->ctx, why);
	if (!c->ended)
		conn_start_closing(c, why);
}

static void conn_on_timer(void *ctx)
{
	struct conn *c = ctx;
	int64_t now = loop_now(c->loop);

	conn_enter(c);
	if (now < conn_next_deadline(c))
		conn_arm(c);
	else if (c->closing)
		conn_end(c, c->why, NULL);
	else if (c->deadline_at > 0 && now >= c->deadline_at)
		conn_time_is_over(c, CONN_DEADLINE);
	else
		conn_time_is_over(c, CONN_IDLE);
	conn_leave(c);
}

void conn_idle_ms(struct conn *c, int64_t ms)
{
	c->idle_ms = ms;
	conn_arm(c);
}

void conn_deadline_ms(struct conn *c, int64_t ms)
{
	c->deadline_at = ms > 0 ? loop_now(c->loop) + ms : 0;
	conn_arm(c);
}

/*
 * Output
 */

/* Octets that went, 0: the socket is full, -1: the connection is over. */
static ssize_t conn_send_tls(struct conn *c, const char *p, size_t n)
{
	struct err e = ERR_INIT;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_write(c->ssl, p, (int)(n < CONN_RECORD ? n : CONN_RECORD));
	if (rc > 0)
		return rc;
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	default:
		tls_why(c->ssl, "write", &e);
		conn_end(c, CONN_ERROR, &e);
		return -1;
	}
}

static ssize_t conn_send(struct conn *c, const char *p, size_t n)
{
	ssize_t sent;

	if (c->ssl != NULL)
		return conn_send_tls(c, p, n);
	do
		sent = send(c->fd, p, n, MSG_NOSIGNAL | (c->barrier == CONN_BEFORE_FILE && c->file_left > 0 ? MSG_MORE : 0));
	while (sent < 0 && errno == EINTR);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		return 0;
	conn_end_sys(c, CONN_ERROR, errno, "write");
	return -1;
}

static void conn_count_sent(struct conn *c, size_t sent)
{
	if (c->barrier != CONN_NO_BARRIER)
		c->barrier_left -= sent;
	if (sent > c->flushed)
		c->drain_due = true;                                  /* some went before their flush */
	c->flushed -= sent < c->flushed ? sent : c->flushed;
}

/* False: not all of it, for now or for ever. */
static bool conn_push_octets(struct conn *c)
{
	size_t n;

	while ((n = c->barrier != CONN_NO_BARRIER ? c->barrier_left : conn_stream_len(&c->out)) > 0) {
		ssize_t sent = conn_send(c, c->out.b.p + c->out.at, n);

		if (sent <= 0) {
			c->blocked = true;
			return false;
		}
		c->moved_at = loop_now(c->loop);
		conn_stream_take(&c->out, (size_t)sent);
		conn_count_sent(c, (size_t)sent);
	}
	return true;
}

/* TLS: the piece is read anew when OpenSSL wants the call repeated; files of mail do not change. */
static ssize_t conn_send_piece(struct conn *c)
{
	size_t n = c->file_left < CONN_RECORD ? c->file_left : CONN_RECORD;
	char *piece;
	ssize_t got;

	if (c->ssl == NULL)
		return sendfile(c->fd, c->file_fd, &(off_t){ c->file_at }, c->file_left);
	piece = loop_scratch(c->loop, CONN_READ);
	got = pread(c->file_fd, piece, n, c->file_at);
	if (got <= 0)
		return got;
	got = conn_send_tls(c, piece, (size_t)got);
	if (got == 0) {
		errno = EAGAIN;
		return -1;
	}
	return got;
}

static void conn_close_file(struct conn *c)
{
	if (c->file_fd >= 0)
		close(c->file_fd);
	c->file_fd = -1;
	c->file_left = 0;
}

static bool conn_push_file(struct conn *c)
{
	for (int turn = 0; c->file_left > 0; turn++) {
		ssize_t sent;

		if (turn == CONN_TURNS) {
			c->blocked = true;                            /* others first; the socket has room and wakes us */
			return false;
		}
		sent = conn_send_piece(c);
		if (c->ended)
			return false;
		if (sent == 0) {
			conn_end_sys(c, CONN_ERROR, 0, "a file was shorter than it was said to be");
			return false;
		}
		if (sent < 0) {
			if (errno == EAGAIN || errno == EINTR)
				c->blocked = true;
			else
				conn_end_sys(c, CONN_ERROR, errno, "sending a file");
			return false;
		}
		c->moved_at = loop_now(c->loop);
		c->file_at += sent;
		c->file_left -= (size_t)sent;
	}
	conn_close_file(c);
	return true;
}

static void conn_begin_handshake(struct conn *c)
{
	c->ssl = tls_new(c->tls, c->fd, c->peer_name);
	c->handshaking = true;
	c->barrier = CONN_NO_BARRIER;
}

static void conn_push(struct conn *c)
{
	c->blocked = false;
	while (!c->ended && !c->handshaking && conn_push_octets(c) && c->barrier != CONN_NO_BARRIER) {
		if (c->barrier == CONN_BEFORE_TLS)
			conn_begin_handshake(c);
		else if (conn_push_file(c))
			c->barrier = CONN_NO_BARRIER;
		else
			return;
	}
}

static bool conn_is_above_high(const struct conn *c)
{
	return c->lim.out_high > 0 && conn_unsent(c) > c->lim.out_high;
}

/*
 * Input
 */

static bool conn_may_read(const struct conn *c)
{
	return !c->ended && !c->closing && !c->connecting && !conn_is_before_tls(c) && !c->paused && !c->eof
	    && conn_stream_len(&c->in) < c->lim.in_max && !conn_is_above_high(c);
}

/* Octets, 0: nothing for now, -1: eof is set or the connection is over. */
static ssize_t conn_receive_tls(struct conn *c, char *p, size_t n)
{
	struct err e = ERR_INIT;
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_read(c->ssl, p, (int)n);
	if (rc > 0)
		return rc;
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		c->ssl_wants_write = true;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		c->eof = true;
		return -1;
	default:
		tls_why(c->ssl, "read", &e);
		conn_end(c, CONN_ERROR, &e);
		return -1;
	}
}

static ssize_t conn_receive(struct conn *c, char *p, size_t n)
{
	ssize_t got;

	if (c->ssl != NULL)
		return conn_receive_tls(c, p, n);
	do
		got = recv(c->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		return got;
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got == 0)
		c->eof = true;
	else
		conn_end_sys(c, CONN_ERROR, errno, "read");
	return -1;
}

static void conn_pull(struct conn *c)
{
	char *scratch = loop_scratch(c->loop, CONN_READ);

	c->ssl_wants_write = false;
	for (int turn = 0; turn < CONN_TURNS && conn_may_read(c); turn++) {
		size_t room = c->lim.in_max - conn_stream_len(&c->in);
		size_t ask = room < CONN_READ ? room : CONN_READ;
		ssize_t got = conn_receive(c, scratch, ask);

		if (got <= 0)
			return;
		c->moved_at = loop_now(c->loop);
		c->input_due = true;
		buf_put(&c->in.b, slice_mem(scratch, (size_t)got));
		if (c->ssl == NULL && (size_t)got < ask)
			return;
	}
}

static void conn_tell_input(struct conn *c)
{
	if (!c->input_due || c->ended || c->closing || c->paused || conn_stream_len(&c->in) == 0 || conn_is_above_high(c))
		return;
	c->input_due = false;
	c->ops->on_input(c->ctx);
	if (conn_stream_len(&c->in) > 0 && conn_is_above_high(c))
		c->input_due = true;                                  /* the owner stopped for the output's sake */
}

static void conn_tell_drained(struct conn *c)
{
	if (!c->drain_due || c->ended || c->closing || c->barrier != CONN_NO_BARRIER || conn_unsent(c) > c->lim.out_high / 2)
		return;
	c->drain_due = false;
	if (c->ops->on_drained != NULL)
		c->ops->on_drained(c->ctx);
}

/*
 * Beginnings: connect and the handshake. False: not done.
 */

static bool conn_finish_connect(struct conn *c, unsigned events)
{
	int sys = 0;
	socklen_t len = sizeof(sys);

	if (!c->connecting)
		return true;
	if ((events & (LOOP_WRITE | LOOP_HUP)) == 0)
		return false;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &sys, &len) < 0)
		sys = errno;
	if (sys != 0) {
		conn_end_sys(c, CONN_ERROR, sys, "connect");
		return false;
	}
	c->connecting = false;
	c->drain_due = true;
	c->moved_at = loop_now(c->loop);
	return true;
}

static bool conn_shake_hands(struct conn *c)
{
	struct err e = ERR_INIT;
	int rc;

	ERR_clear_error();
	errno = 0;
	c->ssl_wants_write = false;
	rc = SSL_do_handshake(c->ssl);
	if (rc == 1) {
		c->handshaking = false;
		c->handshake_done = true;
		c->moved_at = loop_now(c->loop);
		if (c->ops->on_tls != NULL)
			c->ops->on_tls(c->ctx);
		return true;
	}
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return false;
	case SSL_ERROR_WANT_WRITE:
		c->ssl_wants_write = true;
		return false;
	default:
		tls_why(c->ssl, "TLS handshake", &e);
		conn_end(c, CONN_TLS_FAILED, &e);
		return false;
	}
}

/*
 * Ends
 */

/* Throws away what came in. Unread octets at close(2) would make TCP send a reset, and the peer might never see our last reply. */
static void conn_linger(struct conn *c)
{
	char *scratch = loop_scratch(c->loop, CONN_READ);
	bool came = false;
	ssize_t n = 1;

	for (int turn = 0; turn < CONN_TURNS; turn++) {
		n = recv(c->fd, scratch, CONN_READ, MSG_DONTWAIT);
		if (n <= 0)
			break;
		came = true;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || (!came && !c->lingering)) {
		conn_end(c, c->why, NULL);
	} else if (!c->lingering) {
		c->lingering = true;
		if (c->close_at > loop_now(c->loop) + CONN_LINGER_MS)
			c->close_at = loop_now(c->loop) + CONN_LINGER_MS;
		conn_arm(c);
	}
}

static void conn_say_goodbye(struct conn *c)
{
	if (!c->lingering) {
		if (c->handshake_done) {
			ERR_clear_error();
			SSL_shutdown(c->ssl);
		}
		shutdown(c->fd, SHUT_WR);
	}
	if (c->eof)
		conn_end(c, c->why, NULL);
	else
		conn_linger(c);
}

static void conn_tell_close(struct conn *c)
{
	struct err e = c->why_err;                                    /* the owner may free c while it reads */

	close(c->fd);
	c->fd = -1;
	conn_close_file(c);
	c->ops->on_close(c->ctx, c->why, &e);
}

static unsigned conn_wants(const struct conn *c)
{
	unsigned want = 0;

	if (c->connecting)
		return LOOP_WRITE;
	if (c->handshaking)
		return c->ssl_wants_write ? LOOP_WRITE : LOOP_READ;
	if (c->lingering)
		return LOOP_READ;
	if (conn_may_read(c))
		want |= LOOP_READ;
	if (c->blocked || c->ssl_wants_write)
		want |= LOOP_WRITE;
	return want;
}

/*
 * HUP is told whether wanted or not; a connection that wants nothing (paused) would hear of it without end.
 * Octets that are not wanted just now: most are not even there before they are wanted again, so the kernel is asked to be quiet only once it was not.
 */
static void conn_watch(struct conn *c)
{
	unsigned want = conn_wants(c);

	if (c->watch.added && !c->hup && !c->eof && !c->nuisance)
		want |= c->watch.want & LOOP_READ;
	if (want == 0 && c->hup)
		loop_fd_del(c->loop, &c->watch);
	else if (!c->watch.added)
		loop_fd_add(c->loop, &c->watch, c->fd, want, conn_on_event, c);
	else
		loop_fd_want(c->loop, &c->watch, want);
}

static void conn_heed_eof(struct conn *c, bool out_is_out)
{
	if (c->ops->on_eof == NULL) {
		if (out_is_out)
			conn_end(c, CONN_EOF, NULL);
	} else if (!c->eof_told && !c->input_due && !conn_is_before_tls(c)) {
		c->eof_told = true;
		c->ops->on_eof(c->ctx);
	}
}

static void conn_settle(struct conn *c)
{
	bool out_is_out = conn_unsent(c) == 0 && c->barrier == CONN_NO_BARRIER;

	if (!c->ended && c->closing && out_is_out)
		conn_say_goodbye(c);
	if (!c->ended && !c->closing && c->eof && !c->paused)
		conn_heed_eof(c, out_is_out);
	if (c->ended)
		return;
	conn_watch(c);
	conn_arm(c);
	if (conn_may_read(c) && c->ssl != NULL && SSL_pending(c->ssl) > 0)
		conn_soon(c);                                         /* OpenSSL holds octets that epoll knows nothing of */
}

static void conn_turn(struct conn *c, unsigned events)
{
	if (events & LOOP_HUP)
		c->hup = true;
	c->nuisance = (events & LOOP_READ) != 0 && (conn_wants(c) & LOOP_READ) == 0;
	if (conn_finish_connect(c, events)) {
		conn_push(c);
		if (c->handshaking && conn_shake_hands(c) && !c->ended)
			conn_push(c);                                 /* what was written while the hands were shaken */
		conn_tell_drained(c);
		if (conn_may_read(c) && (events != 0 || (c->ssl != NULL && SSL_pending(c->ssl) > 0)))
			conn_pull(c);
		conn_tell_input(c);
	}
	conn_settle(c);
}

static void conn_on_event(void *ctx, unsigned events)
{
	struct conn *c = ctx;

	conn_enter(c);
	conn_turn(c, events);
	conn_leave(c);
}

static void conn_on_soon(void *ctx)
{
	struct conn *c = ctx;

	conn_enter(c);
	if (c->ended)
		conn_tell_close(c);
	else
		conn_turn(c, 0);
	conn_leave(c);
}

/*
 * The owner's side
 */

static void conn_tune(int fd)
{
	int on = 1;

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0)      /* we write whole replies; fails on AF_UNIX, and so it should */
		(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static struct conn *conn_make(struct loop *l, int fd, const struct conn_limits *lim, const struct conn_ops *ops, void *ctx)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->loop = l;
	c->ops = ops;
	c->ctx = ctx;
	c->lim = *lim;
	c->fd = fd;
	c->file_fd = -1;
	c->moved_at = loop_now(l);
	buf_init(&c->in.b, BUF_UNBOUNDED);                            /* conn_pull() reads no more than in_max allows */
	buf_init(&c->out.b, lim->out_max);
	conn_tune(fd);
	return c;
}

struct conn *conn_new(struct loop *l, int fd, const struct conn_limits *lim, const struct conn_ops *ops, void *ctx)
{
	struct conn *c = conn_make(l, fd, lim, ops, ctx);

	conn_watch(c);
	return c;
}

struct conn *conn_connect(struct loop *l, const struct sockaddr *sa, socklen_t sa_len, const struct sockaddr *local, socklen_t local_len,
    const struct conn_limits *lim, const struct conn_ops *ops, void *ctx, struct err *e)
{
	int saved, fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct conn *c;

	if (fd < 0) {
		err_set(e, ERR_TEMP, errno, "socket");
		return NULL;
	}
	if ((local != NULL && bind(fd, local, local_len) < 0) || (connect(fd, sa, sa_len) < 0 && errno != EINPROGRESS)) {
		saved = errno;
		close(fd);
		err_set(e, ERR_TEMP, saved, "connect");
		return NULL;
	}
	c = conn_make(l, fd, lim, ops, ctx);
	c->connecting = true;
	conn_watch(c);
	return c;
}

/* All but the watch, the descriptor and, inside a callback, the struct. */
static void conn_undo(struct conn *c)
{
	loop_task_cancel(&c->soon);
	loop_timer_stop(c->loop, &c->timer);
	SSL_free(c->ssl);
	c->ssl = NULL;
	tls_ctx_unref(&c->tls);
	free(c->peer_name);
	c->peer_name = NULL;
	conn_close_file(c);
	buf_done(&c->in.b);
	buf_done(&c->out.b);
	c->in.at = c->out.at = 0;
	c->ended = true;
	if (c->busy)
		c->dead = true;
	else
		free(c);
}

void conn_free(struct conn **cp)
{
	struct conn *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	loop_fd_del(c->loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	conn_undo(c);
}

int conn_release(struct conn **cp, struct buf *left)
{
	struct conn *c = *cp;
	int fd = c->fd;

	assert(c->tls == NULL && conn_unsent(c) == 0 && !c->ended && fd >= 0);
	buf_put(left, conn_input(c));
	*cp = NULL;
	loop_fd_del(c->loop, &c->watch);
	c->fd = -1;
	conn_undo(c);
	return fd;
}

struct slice conn_input(const struct conn *c)
{
	return slice_from(buf_view(&c->in.b), c->in.at);
}

void conn_take(struct conn *c, size_t n)
{
	bool was_full = conn_stream_len(&c->in) >= c->lim.in_max;

	conn_stream_take(&c->in, n);
	if (was_full && n > 0 && !c->ended)
		conn_soon(c);
}

void conn_set_in_max(struct conn *c, size_t in_max)
{
	c->lim.in_max = in_max;
	if (!c->ended)
		conn_soon(c);
}

void conn_pause(struct conn *c)
{
	c->paused = true;
	if (!c->ended)
		conn_watch(c);
}

void conn_resume(struct conn *c)
{
	c->paused = false;
	c->input_due = true;
	if (!c->ended)
		conn_soon(c);
}

struct buf *conn_out(struct conn *c)
{
	c->out.b.max = c->lim.out_max + c->out.at;
	return &c->out.b;
}

/* Of nothing new: not told as drained, or an owner who flushes whenever it is told would keep the loop spinning for ever. */
void conn_flush(struct conn *c)
{
	if (c->ended || c->flushed == conn_stream_len(&c->out))
		return;
	c->flushed = conn_stream_len(&c->out);
	c->drain_due = true;
	conn_soon(c);
}

void conn_write(struct conn *c, struct slice s)
{
	if (c->ended || c->closing || s.n == 0)
		return;
	if (buf_add(conn_out(c), s) < 0)
		conn_end(c, CONN_OVERFLOW, NULL);
	else
		conn_flush(c);
}

size_t conn_unsent(const struct conn *c)
{
	return conn_stream_len(&c->out) + c->file_left;
}

bool conn_sends_file(const struct conn *c)
{
	return c->barrier == CONN_BEFORE_FILE;
}

void conn_send_file(struct conn *c, int file_fd, off_t offset, size_t len)
{
	if (c->ended || c->closing) {
		close(file_fd);
		return;
	}
	assert(c->barrier == CONN_NO_BARRIER && !c->handshaking);
	c->barrier = CONN_BEFORE_FILE;
	c->barrier_left = conn_stream_len(&c->out);
	c->file_fd = file_fd;
	c->file_at = offset;
	c->file_left = len;
	c->flushed = c->barrier_left;
	c->drain_due = true;
	conn_soon(c);
}

void conn_start_tls(struct conn *c, struct tls_ctx *ctx, const char *peer_name, size_t *dropped_out)
{
	assert(c->tls == NULL && c->barrier == CONN_NO_BARRIER);
	if (dropped_out != NULL)
		*dropped_out = conn_stream_len(&c->in);
	conn_stream_take(&c->in, conn_stream_len(&c->in));
	c->input_due = false;
	c->tls = tls_ctx_ref(ctx);
	if (peer_name != NULL && (c->peer_name = strdup(peer_name)) == NULL)
		abort();
	c->barrier = CONN_BEFORE_TLS;
	c->barrier_left = conn_stream_len(&c->out);
	if (!c->ended)
		conn_soon(c);
}

SSL *conn_ssl(const struct conn *c)
{
	return c->handshake_done ? c->ssl : NULL;
}

int conn_fd(const struct conn *c)
{
	return c->fd;
}

bool conn_is_open(const struct conn *c)
{
	return !c->ended && !c->closing;
}

void conn_close(struct conn *c)
{
	if (c->ended || c->closing)
		return;
	if (c->connecting || conn_is_before_tls(c))
		conn_end(c, CONN_CLOSED, NULL);
	else
		conn_start_closing(c, CONN_CLOSED);
}

void conn_abort(struct conn *c)
{
	conn_end(c, CONN_CLOSED, NULL);
}
