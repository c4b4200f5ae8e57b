/*
 * io/conn_recv.c - input: through the loop's scratch into `in`, as long as there is room and nobody asked for a pause.
 */
#include "io/conn_in.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

bool conn_may_read(const struct conn *c)
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

void conn_pull(struct conn *c)
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

void conn_tell_input(struct conn *c)
{
	if (!c->input_due || c->ended || c->closing || c->paused || conn_stream_len(&c->in) == 0 || conn_is_above_high(c))
		return;
	c->input_due = false;
	c->ops->on_input(c->ctx);
	if (conn_stream_len(&c->in) > 0 && conn_is_above_high(c))
		c->input_due = true;                                  /* the owner stopped for the output's sake */
}

/* ---- the owner's side ---- */

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
