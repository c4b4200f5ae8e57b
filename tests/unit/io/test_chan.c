/*
 * Channels: fields both ways, descriptors, backlog, ends, hostile messages, the synchronous call.
 */
#include "io/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct side {
	struct loop *l;
	struct chan *c;
	unsigned msgs, closes, spaces, stop_at;
	uint64_t sum;
	int fd;
	bool broken, free_in_msg;
};

static void on_msg(void *ctx, struct msg *m)
{
	struct side *s = ctx;
	struct slice text;

	s->msgs++;
	s->sum += msg_get_u32(m);
	assert_int_equal(m->type, 7);
	text = msg_get_slice(m, LIMIT_CHAN_MESSAGE);
	s->broken = !msg_done(m);
	if (!s->broken && text.n == 5)
		assert_memory_equal(text.p, "hello", 5);
	if (m->fd >= 0)
		s->fd = msg_take_fd(m);
	if (s->free_in_msg)
		chan_free(&s->c);
	if (s->msgs == s->stop_at)
		loop_stop(s->l);
}

static void on_close(void *ctx)
{
	struct side *s = ctx;

	s->closes++;
	chan_free(&s->c);
	loop_stop(s->l);
}

static void on_space(void *ctx)
{
	struct side *s = ctx;

	s->spaces++;
}

static const struct chan_ops ops = { on_msg, on_close, on_space };

static void start(struct side *a, struct side *b)
{
	struct loop *l = loop_new();
	int fds[2];

	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	a->l = b->l = l;
	a->fd = b->fd = -1;
	assert_int_equal(chan_pair(fds, NULL), 0);
	a->c = chan_new(l, fds[0], &ops, a);
	b->c = chan_new(l, fds[1], &ops, b);
}

static void finish(struct side *a, struct side *b)
{
	chan_free(&a->c);
	chan_free(&b->c);
	loop_free(&a->l);
}

static void say(struct chan *c, uint32_t number, struct slice text, int fd)
{
	struct msg m;

	msg_init(&m, 7);
	msg_put_u32(&m, number);
	msg_put_slice(&m, text);
	m.fd = fd;
	chan_send(c, &m);
}

static void test_fields_round_trip(void **state)
{
	struct msg m;

	(void)state;
	msg_init(&m, 1);
	msg_put_u32(&m, 0xfffffffe);
	msg_put_u64(&m, UINT64_MAX - 1);
	msg_put_str(&m, "");
	msg_put_slice(&m, slice_mem("a\0b", 3));
	m.rest = buf_view(&m.body);
	assert_int_equal(msg_get_u32(&m), 0xfffffffe);
	assert_true(msg_get_u64(&m) == UINT64_MAX - 1);
	assert_int_equal(msg_get_slice(&m, 10).n, 0);
	assert_false(msg_done(&m));
	assert_int_equal(msg_get_slice(&m, 3).n, 3);
	assert_true(msg_done(&m));
	assert_int_equal(msg_get_u32(&m), 0);                         /* past the end */
	assert_false(msg_done(&m));
	m.broken = false;
	for (size_t n = 0; n < m.body.len; n++) {                     /* cut anywhere: broken, never a read past the end */
		m.rest = slice_head(buf_view(&m.body), n);
		m.broken = false;
		msg_get_u32(&m), msg_get_u64(&m), msg_get_slice(&m, 10), msg_get_slice(&m, 10);
		assert_false(msg_done(&m));
	}
	m.rest = slice_from(buf_view(&m.body), 12);
	m.broken = false;
	msg_get_slice(&m, 10);
	msg_get_slice(&m, 2);                                         /* over the cap */
	assert_false(msg_done(&m));
	msg_free(&m);
}

static void test_messages_with_descriptor(void **state)
{
	struct side a, b;
	int p[2];
	char c;

	(void)state;
	start(&a, &b);
	assert_int_equal(pipe(p), 0);
	b.stop_at = 2;
	say(a.c, 40, SLICE("hello"), -1);
	say(a.c, 2, SLICE(""), p[1]);                                 /* p[1] is the channel's now */
	loop_run(a.l);
	assert_int_equal(b.sum, 42);
	assert_false(b.broken);
	assert_true(b.fd >= 0);
	assert_int_equal(fcntl(b.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(b.fd, "x", 1), 1);
	close(b.fd);
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(read(p[0], &c, 1), 0);                       /* no other end is left open */
	close(p[0]);
	finish(&a, &b);
}

static void test_backlog_then_space(void **state)
{
	struct side a, b;
	static char big[100000];
	unsigned sent = 0;

	(void)state;
	start(&a, &b);
	while (!chan_is_full(a.c) && sent < 1000)
		say(a.c, ++sent, slice_mem(big, sizeof(big)), -1);
	assert_true(sent > 40 && sent < 100);
	b.stop_at = sent;
	loop_run(a.l);
	assert_int_equal(b.sum, sent * (sent + 1) / 2);
	assert_int_equal(a.spaces, 1);
	assert_false(chan_is_full(a.c));
	finish(&a, &b);
}

static void test_over_the_backlog_it_closes(void **state)
{
	struct side a, b;
	static char big[LIMIT_CHAN_MESSAGE];

	(void)state;
	start(&a, &b);
	for (int i = 0; i < 200; i++)
		say(a.c, 1, slice_mem(big, 100000), -1);
	assert_int_equal(a.closes, 0);                                /* not from inside chan_send */
	loop_run(a.l);
	assert_int_equal(a.closes, 1);
	finish(&a, &b);
	start(&a, &b);
	say(a.c, 1, slice_mem(big, sizeof(big)), -1);                 /* with its fields over LIMIT_CHAN_MESSAGE */
	loop_run(a.l);
	assert_int_equal(a.closes, 1);
	finish(&a, &b);
}

static void test_last_words_before_close(void **state)
{
	struct side a, b;

	(void)state;
	start(&a, &b);
	say(b.c, 9, SLICE("unread"), -1);                             /* a never reads it: a reset for b, which must not cost messages */
	say(a.c, 1, SLICE("hello"), -1);
	say(a.c, 2, SLICE("hello"), -1);
	chan_free(&a.c);
	say(b.c, 9, SLICE("to nobody"), -1);
	loop_run(b.l);
	assert_int_equal(b.msgs, 2);
	assert_int_equal(b.sum, 3);
	assert_int_equal(b.closes, 1);
	finish(&a, &b);
}

static void test_free_inside_a_callback(void **state)
{
	struct side a, b;

	(void)state;
	start(&a, &b);
	b.free_in_msg = true;
	say(a.c, 1, SLICE("hello"), -1);
	say(a.c, 2, SLICE("hello"), -1);
	loop_run(a.l);                                                /* a sees the end and stops the loop */
	assert_int_equal(b.msgs, 1);
	assert_int_equal(a.closes, 1);
	finish(&a, &b);
}

static void test_strange_datagrams_close(void **state)
{
	static char big[LIMIT_CHAN_MESSAGE + 100];
	static const size_t sizes[] = { 1, 3, sizeof(big) };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct side b = { .l = loop_new(), .fd = -1 };
		int fds[2];

		assert_int_equal(chan_pair(fds, NULL), 0);
		b.c = chan_new(b.l, fds[1], &ops, &b);
		assert_int_equal(send(fds[0], big, sizes[i], 0), (ssize_t)sizes[i]);
		loop_run(b.l);
		assert_int_equal(b.msgs, 0);
		assert_int_equal(b.closes, 1);
		close(fds[0]);
		loop_free(&b.l);
	}
}

static void test_call(void **state)
{
	struct msg m, reply = { .fd = -1 };
	struct err e = ERR_INIT;
	int fds[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(chan_pair(fds, NULL), 0);
	pid = fork();
	if (pid == 0) {
		struct msg in;

		close(fds[0]);
		msg_init(&m, 8);
		msg_put_u32(&m, 0);
		_exit(chan_call_fd(fds[1], &m, &in, 5000, &e) == 0 && in.type == 7 && msg_get_u32(&in) == 5 ? 0 : 1);
	}
	close(fds[1]);
	msg_init(&m, 7);
	msg_put_u32(&m, 5);
	assert_int_equal(chan_call_fd(fds[0], &m, &reply, 5000, &e), 0);
	assert_int_equal(reply.type, 8);
	assert_int_equal(msg_get_u32(&reply), 0);
	assert_true(msg_done(&reply));
	msg_free(&reply);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	msg_init(&m, 7);
	assert_int_equal(chan_call_fd(fds[0], &m, &reply, 50, &e), -1);          /* peer gone */
	close(fds[0]);
	assert_int_equal(chan_pair(fds, NULL), 0);
	msg_init(&m, 7);
	assert_int_equal(chan_call_fd(fds[0], &m, &reply, 30, &e), -1);          /* peer silent */
	assert_non_null(strstr(e.text, "timed out"));
	close(fds[0]), close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_round_trip), cmocka_unit_test(test_messages_with_descriptor),
		cmocka_unit_test(test_backlog_then_space), cmocka_unit_test(test_over_the_backlog_it_closes),
		cmocka_unit_test(test_last_words_before_close), cmocka_unit_test(test_free_inside_a_callback),
		cmocka_unit_test(test_strange_datagrams_close), cmocka_unit_test(test_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
