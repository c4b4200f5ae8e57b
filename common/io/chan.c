/*
 * io/chan.c - a message is one SEQPACKET datagram: le32 type, then the fields. u32 and u64 little-endian, octets behind a u32 length.
 */
#include "io/chan.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/num.h"

#define CHAN_HEAD 4
#define CHAN_TURN 32                                                  /* messages read in one go, then others have their turn */

struct chan_waiting {
	struct list_node node;
	struct msg m;
};

struct chan {
	struct loop *loop;
	struct loop_fd watch;
	struct loop_task closing;
	const struct chan_ops *ops;
	void *ctx;
	int fd;
	struct list_node backlog;
	size_t backlog_octets;
	bool was_full;
	bool deaf;                                                    /* the peer takes no more; what it sent is still read */
	bool ended;                                                   /* on_close is queued or told */
	bool busy, dead;                                              /* inside a callback; freed meanwhile */
};

/*
 * Messages
 */

void msg_init(struct msg *m, uint32_t type)
{
	*m = (struct msg){ .type = type, .fd = -1 };
	buf_init(&m->body, BUF_UNBOUNDED);
}

void msg_free(struct msg *m)
{
	buf_done(&m->body);
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
	m->rest = SLICE_NONE;
}

void msg_put_u32(struct msg *m, uint32_t v)
{
	char le[4];

	num_put_le32(le, v);
	buf_put(&m->body, slice_mem(le, sizeof(le)));
}

void msg_put_u64(struct msg *m, uint64_t v)
{
	char le[8];

	num_put_le64(le, v);
	buf_put(&m->body, slice_mem(le, sizeof(le)));
}

void msg_put_slice(struct msg *m, struct slice s)
{
	assert(s.n <= UINT32_MAX);
	msg_put_u32(m, (uint32_t)s.n);
	if (s.n > 0)
		buf_put(&m->body, s);
}

void msg_put_str(struct msg *m, const char *s)
{
	msg_put_slice(m, slice_of(s));
}

/* The next n octets, or NULL and broken. */
static const char *msg_get(struct msg *m, size_t n)
{
	const char *p = m->rest.p;

	if (m->broken || m->rest.n < n) {
		m->broken = true;
		return NULL;
	}
	m->rest = slice_mem(p + n, m->rest.n - n);
	return p;
}

uint32_t msg_get_u32(struct msg *m)
{
	const char *p = msg_get(m, 4);

	return p != NULL ? num_get_le32(p) : 0;
}

uint64_t msg_get_u64(struct msg *m)
{
	const char *p = msg_get(m, 8);

	return p != NULL ? num_get_le64(p) : 0;
}

struct slice msg_get_slice(struct msg *m, size_t max)
{
	size_t n = msg_get_u32(m);
	const char *p;

	if (n > max)
		m->broken = true;
	if (m->broken)
		return SLICE_NONE;
	p = msg_get(m, n);
	return p != NULL ? slice_mem(p, n) : SLICE_NONE;
}

bool msg_done(const struct msg *m)
{
	return !m->broken && m->rest.n == 0;
}

int msg_take_fd(struct msg *m)
{
	int fd = m->fd;

	m->fd = -1;
	return fd;
}

/*
 * One datagram out, one in
 */

union chan_control {
	struct cmsghdr align;
	char octets[CMSG_SPACE(sizeof(int))];
};

/* As sendmsg(2): -1 with errno. */
static int chan_put(int fd, const struct msg *m)
{
	char head[CHAN_HEAD];
	struct iovec iov[2] = { { .iov_base = head, .iov_len = sizeof(head) }, { .iov_base = m->body.p, .iov_len = m->body.len } };
	union chan_control control;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n;

	num_put_le32(head, m->type);
	if (m->fd >= 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.octets;
		mh.msg_controllen = sizeof(control.octets);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &m->fd, sizeof(int));
	}
	do
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -1 : 0;
}

/* The descriptor that came along, -1: none. Should a broken peer send several, all but the first are closed by the kernel (no room). */
static int chan_fd_of(struct msghdr *mh)
{
	int fd = -1;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c != NULL; c = CMSG_NXTHDR(mh, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(sizeof(int)))
			memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

/* Octets received into `into`, 0: the peer is gone, -1: errno; EBADMSG: no message of ours. *m's slices point into `into`. */
static ssize_t chan_get(int fd, char *into, size_t size, struct msg *m)
{
	struct iovec iov = { .iov_base = into, .iov_len = size };
	union chan_control control;
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.octets, .msg_controllen = sizeof(control.octets) };
	ssize_t n;

	do
		n = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n;
	*m = (struct msg){ .fd = chan_fd_of(&mh) };
	if (n < CHAN_HEAD || (mh.msg_flags & MSG_TRUNC)) {
		msg_free(m);
		errno = EBADMSG;
		return -1;
	}
	m->type = num_get_le32(into);
	m->rest = slice_mem(into + CHAN_HEAD, (size_t)n - CHAN_HEAD);
	return n;
}

/*
 * Channels
 */

int chan_pair(int fds[2], struct err *e)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return err_set(e, err_kind_of(errno), errno, "socketpair");
	return 0;
}

static void chan_on_event(void *ctx, unsigned events);

struct chan *chan_new(struct loop *l, int fd, const struct chan_ops *ops, void *ctx)
{
	struct chan *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->loop = l;
	c->ops = ops;
	c->ctx = ctx;
	c->fd = fd;
	list_init(&c->backlog);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	loop_fd_add(l, &c->watch, fd, LOOP_READ, chan_on_event, c);
	return c;
}

static void chan_drop_backlog(struct chan *c)
{
	LIST_EACH_SAFE(node, &c->backlog) {
		struct chan_waiting *w = LIST_OF(node, struct chan_waiting, node);

		list_remove(node);
		msg_free(&w->m);
		free(w);
	}
	c->backlog_octets = 0;
}

void chan_free(struct chan **cp)
{
	struct chan *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	c->ended = true;
	loop_task_cancel(&c->closing);
	loop_fd_del(c->loop, &c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	chan_drop_backlog(c);
	if (c->busy)
		c->dead = true;
	else
		free(c);
}

bool chan_is_full(const struct chan *c)
{
	return c->backlog_octets >= LIMIT_CHAN_BACKLOG / 2;
}

/* Brackets around a callback: false when it freed the channel. */
static void chan_enter(struct chan *c)
{
	assert(!c->busy);
	c->busy = true;
}

static bool chan_leave(struct chan *c)
{
	c->busy = false;
	if (!c->dead)
		return true;
	free(c);
	return false;
}

static void chan_tell_close(void *ctx)
{
	struct chan *c = ctx;

	if (c->busy) {                                                /* only where a callback runs a loop of its own */
		loop_task_queue(c->loop, &c->closing, chan_tell_close, c);
		return;
	}
	chan_enter(c);
	c->ops->on_close(c->ctx);
	chan_leave(c);
}

static void chan_end(struct chan *c)
{
	if (c->ended)
		return;
	c->ended = true;
	loop_fd_del(c->loop, &c->watch);
	chan_drop_backlog(c);
	loop_task_queue(c->loop, &c->closing, chan_tell_close, c);
}

static void chan_watch(struct chan *c)
{
	if (c->watch.added)
		loop_fd_want(c->loop, &c->watch, list_is_empty(&c->backlog) ? LOOP_READ : LOOP_READ | LOOP_WRITE);
}

/* True when it is done with, sent or not; false: the socket is full. */
static bool chan_try(struct chan *c, struct msg *m)
{
	if (chan_put(c->fd, m) < 0) {
		if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS)
			return false;
		c->deaf = true;
	}
	msg_free(m);
	return true;
}

static void chan_keep(struct chan *c, struct msg *m)
{
	struct chan_waiting *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->m = *m;
	c->backlog_octets += m->body.len + sizeof(*w);
	list_append(&c->backlog, &w->node);
	c->was_full = c->was_full || chan_is_full(c);
}

void chan_send(struct chan *c, struct msg *m)
{
	if (c->ended || c->deaf) {
		msg_free(m);
		return;
	}
	if (m->body.len > LIMIT_CHAN_MESSAGE || c->backlog_octets + m->body.len > LIMIT_CHAN_BACKLOG) {
		msg_free(m);
		chan_end(c);
		return;
	}
	if (!list_is_empty(&c->backlog) || !chan_try(c, m))
		chan_keep(c, m);
	chan_watch(c);
}

static void chan_send_backlog(struct chan *c)
{
	struct list_node *node;

	while (!c->deaf && (node = list_first(&c->backlog)) != NULL) {
		struct chan_waiting *w = LIST_OF(node, struct chan_waiting, node);
		size_t octets = w->m.body.len + sizeof(*w);

		if (!chan_try(c, &w->m))
			break;
		list_remove(node);
		free(w);
		c->backlog_octets -= octets;
	}
	if (c->deaf)
		chan_drop_backlog(c);
	chan_watch(c);
}

/* False: the channel is freed, ended or empty. */
static bool chan_read_one(struct chan *c)
{
	size_t size = LIMIT_CHAN_MESSAGE + CHAN_HEAD;
	struct msg m;
	ssize_t n = chan_get(c->fd, loop_scratch(c->loop, size), size, &m);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n < 0 && errno == ECONNRESET)                             /* told once: the peer left without reading all; its messages follow */
		return true;
	if (n <= 0) {
		chan_end(c);
		return false;
	}
	chan_enter(c);
	c->ops->on_msg(c->ctx, &m);
	msg_free(&m);
	return chan_leave(c) && !c->ended;
}

void chan_drain(struct chan *c)
{
	while (!c->ended && !c->busy && chan_read_one(c))
		continue;
}

static void chan_on_event(void *ctx, unsigned events)
{
	struct chan *c = ctx;

	if (events & LOOP_WRITE)
		chan_send_backlog(c);
	if (c->was_full && list_is_empty(&c->backlog)) {
		c->was_full = false;
		chan_enter(c);
		if (c->ops->on_space != NULL)
			c->ops->on_space(c->ctx);
		if (!chan_leave(c) || c->ended)
			return;
	}
	if (events & (LOOP_READ | LOOP_HUP))
		for (int turn = 0; turn < CHAN_TURN; turn++)
			if (!chan_read_one(c))
				return;
}

/*
 * Synchronous
 */

/* 0: ready, -1: the time is over or poll failed (errno). */
static int chan_wait(int fd, short events, int64_t until_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;
	int n;

	do {
		left = until_ms - clock_mono_ms();
		n = left < 0 ? 0 : poll(&p, 1, (int)left);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0 ? 0 : -1;
}

static int chan_call_send(int fd, const struct msg *m, int64_t until_ms)
{
	int rc;

	while ((rc = chan_put(fd, m)) < 0 && errno == EAGAIN)
		if (chan_wait(fd, POLLOUT, until_ms) < 0)
			return -1;
	return rc;
}

static int chan_call_receive(int fd, struct msg *reply_out, int64_t until_ms)
{
	struct buf body;
	struct msg m;
	size_t size = LIMIT_CHAN_MESSAGE + CHAN_HEAD;
	ssize_t n;

	buf_init(&body, BUF_UNBOUNDED);
	while ((n = chan_get(fd, buf_room(&body, size), size, &m)) < 0 && errno == EAGAIN)
		if (chan_wait(fd, POLLIN, until_ms) < 0)
			break;
	if (n <= 0) {
		if (n == 0)
			errno = ECONNRESET;
		buf_done(&body);
		return -1;
	}
	buf_filled(&body, (size_t)n);
	m.body = body;
	m.rest = slice_from(buf_view(&body), CHAN_HEAD);
	*reply_out = m;
	return 0;
}

int chan_call_fd(int fd, struct msg *m, struct msg *reply_out, int timeout_ms, struct err *e)
{
	int64_t until_ms = clock_mono_ms() + timeout_ms;
	int rc = chan_call_send(fd, m, until_ms), saved = errno;

	msg_free(m);
	if (rc < 0)
		return err_set(e, ERR_TEMP, saved, "cannot send a request");
	if (chan_call_receive(fd, reply_out, until_ms) < 0)
		return err_set(e, ERR_TEMP, errno, "no answer");
	return 0;
}
