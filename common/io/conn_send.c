/*
 * io/conn_send.c - output: plain, TLS or a file, with its one barrier; high and low water.
 */
#include "io/conn_in.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

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

void conn_close_file(struct conn *c)
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

void conn_push(struct conn *c)
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

bool conn_is_above_high(const struct conn *c)
{
	return c->lim.out_high > 0 && conn_unsent(c) > c->lim.out_high;
}

void conn_tell_drained(struct conn *c)
{
	if (!c->drain_due || c->ended || c->closing || c->barrier != CONN_NO_BARRIER || conn_unsent(c) > c->lim.out_high / 2)
		return;
	c->drain_due = false;
	if (c->ops->on_drained != NULL)
		c->ops->on_drained(c->ctx);
}

/* ---- the owner's side ---- */

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
