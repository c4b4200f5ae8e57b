/*
 * tests/unit/io/conn_test.h - what the tests of connections share: one side is a conn, the other a second conn or a bare descriptor.
 */
#ifndef CONN_TEST_H
#define CONN_TEST_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/conn.h"

static const struct conn_limits wide = { 1u << 20, 8u << 20, 0 };

struct side {
	struct loop *l;
	struct conn *c;
	struct buf got;
	unsigned inputs, tls, drains, closes, timeouts;
	enum conn_end why;
	struct err err;
	bool leave_input, stop_on_input, stop_on_tls, stop_on_drain, flush_on_drain, pause_on_input, close_on_input, free_on_input, echo;
	size_t stop_at;
	struct tls_ctx *tls_on_starttls;
	size_t dropped;
};

static inline void on_input(void *ctx)
{
	struct side *s = ctx;
	struct slice in = conn_input(s->c);

	s->inputs++;
	if (s->free_on_input) {
		conn_free(&s->c);
		loop_stop(s->l);
		return;
	}
	if (s->tls_on_starttls != NULL && conn_ssl(s->c) == NULL) {
		assert_true(slice_starts(in, SLICE("STARTTLS\r\n")));
		conn_take(s->c, 10);
		conn_write(s->c, SLICE("220 go\r\n"));
		conn_start_tls(s->c, s->tls_on_starttls, NULL, &s->dropped);
		return;
	}
	if (s->echo)
		conn_write(s->c, in);
	if (!s->leave_input) {
		buf_put(&s->got, in);
		conn_take(s->c, in.n);
	}
	if (s->pause_on_input)
		conn_pause(s->c);
	if (s->close_on_input)
		conn_close(s->c);
	if (s->stop_on_input || (s->stop_at > 0 && s->got.len >= s->stop_at))
		loop_stop(s->l);
}

static inline void on_tls(void *ctx)
{
	struct side *s = ctx;

	s->tls++;
	if (s->stop_on_tls)
		loop_stop(s->l);
}

static inline void on_drained(void *ctx)
{
	struct side *s = ctx;

	s->drains++;
	if (s->flush_on_drain)
		conn_flush(s->c);
	if (s->stop_on_drain)
		loop_stop(s->l);
}

static inline void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct side *s = ctx;

	s->closes++;
	s->why = why;
	s->err = *e;
	conn_free(&s->c);
	loop_stop(s->l);
}

static inline void on_timeout(void *ctx, enum conn_end why)
{
	struct side *s = ctx;

	(void)why;
	s->timeouts++;
	conn_write(s->c, SLICE("* BYE too slow\r\n"));
}

static const struct conn_ops ops = { on_input, on_tls, on_drained, on_close, NULL, NULL };
static const struct conn_ops polite_ops = { on_input, on_tls, on_drained, on_close, on_timeout, NULL };

static inline void on_alarm(void *ctx)
{
	loop_stop(ctx);
}

static inline void run_for(struct loop *l, int64_t ms)
{
	struct loop_timer t = { .slot = 0 };

	loop_timer_start(l, &t, ms, on_alarm, l);
	loop_run(l);
	loop_timer_stop(l, &t);
}

static inline void setup(struct side *s, struct loop *l)
{
	memset(s, 0, sizeof(*s));
	s->l = l;
	buf_init(&s->got, BUF_UNBOUNDED);
}

/* One conn, and the bare other end. */
static inline int start_one(struct side *s, const struct conn_limits *lim, const struct conn_ops *o)
{
	int fds[2];

	setup(s, loop_new());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	s->c = conn_new(s->l, fds[0], lim, o, s);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	return fds[1];
}

static inline void start_two(struct side *a, struct side *b, const struct conn_limits *lim)
{
	int fds[2];

	setup(a, loop_new());
	setup(b, a->l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a->c = conn_new(a->l, fds[0], lim, &ops, a);
	b->c = conn_new(b->l, fds[1], lim, &ops, b);
}

static inline void finish(struct side *s, int fd)
{
	conn_free(&s->c);
	buf_done(&s->got);
	loop_free(&s->l);
	if (fd >= 0)
		close(fd);
}

static inline void finish_two(struct side *a, struct side *b)
{
	conn_free(&b->c);
	buf_done(&b->got);
	finish(a, -1);
}

static inline void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static inline size_t drain(int fd, char *into, size_t size)
{
	ssize_t n = read(fd, into, size - 1);

	into[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

/* A file of n octets i % 251, unlinked. */
static inline int make_file(size_t n)
{
	char path[] = "/tmp/ph-conn-XXXXXX", *octets = malloc(n);
	int fd = mkstemp(path);

	assert_true(fd >= 0 && octets != NULL);
	for (size_t i = 0; i < n; i++)
		octets[i] = (char)(i % 251);
	assert_int_equal(write(fd, octets, n), (ssize_t)n);
	unlink(path);
	free(octets);
	return fd;
}

static inline void check_file_reply(const struct side *b, size_t n)
{
	assert_int_equal(b->got.len, n + 10);
	assert_memory_equal(b->got.p, "+OK\r\n", 5);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)b->got.p[5 + i] != (i + 3) % 251)
			fail_msg("octet %zu is wrong", i);
	assert_memory_equal(b->got.p + 5 + n, "\r\n.\r\n", 5);
}

static inline void send_file_reply(struct side *a, struct side *b, size_t n)
{
	b->stop_at = n + 10;
	conn_write(a->c, SLICE("+OK\r\n"));
	conn_send_file(a->c, make_file(n + 3), 3, n);
	conn_write(a->c, SLICE("\r\n.\r\n"));
	loop_run(a->l);
	run_for(a->l, 2);
	check_file_reply(b, n);
	assert_int_equal(a->drains, 1);
	assert_int_equal(conn_unsent(a->c), 0);
}

#endif
