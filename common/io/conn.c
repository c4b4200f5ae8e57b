/*
 * io/conn.c - one step function, conn_turn(), entered by descriptor events, by the connection's own task and by nothing else; beginnings and ends.
 *
 * Output may hold one barrier: octets before it go first, then TLS starts or a file is sent, then the rest follows.
 * Memory: both buffers give theirs back when empty, reading goes through the loop's scratch, OpenSSL releases its own. An idle connection
 * costs this struct and, with TLS, what OpenSSL keeps for a session.
 */
#include "io/conn_in.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <unistd.h>

#define CONN_LINGER_MS 2000

static void conn_on_event(void *ctx, unsigned events);
static void conn_on_soon(void *ctx);

void conn_stream_take(struct conn_stream *s, size_t n)
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

void conn_soon(struct conn *c)
{
	loop_task_queue(c->loop, &c->soon, conn_on_soon, c);
}

/* Decides the end; it is told from the loop. The first reason counts. */
void conn_end(struct conn *c, enum conn_end why, const struct err *e)
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

void conn_end_sys(struct conn *c, enum conn_end why, int sys, const char *what)
{
	struct err e = ERR_INIT;

	err_set(&e, ERR_TEMP, sys, "%s", what);
	conn_end(c, why, &e);
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
void conn_watch(struct conn *c)
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
