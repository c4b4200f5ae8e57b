/*
 * The envelope's text: what is put is read back, whatever octets it holds; what is cut short or odd is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "queue/envelope.h"

static struct envelope example(struct rcpt rcpts[2])
{
	memset(rcpts, 0, 2 * sizeof(*rcpts));
	rcpts[0] = (struct rcpt){ .address = SLICE("b@example.net"), .orcpt = SLICE("rfc822;b+40example.net"), .notify = NOTIFY_SUCCESS | NOTIFY_DELAY,
		.attempts = 3, .next_try = 1795312999, .last_reply = SLICE("mx[192.0.2.1] said: 451 4.2.0 bad\r\nid: FAKE \\x0a \xff"),
		.original = SLICE("list@example.org"), .next_hop = SLICE("[mx]:25"), .owner = SLICE("owner-list@example.org") };
	rcpts[1] = (struct rcpt){ .address = SLICE("\"odd\tname\"@example.org"), .state = RCPT_FAILED, .user = SLICE("odd@example.org"),
		.folder = SLICE("M\xc3\xbcll: x") };

	struct envelope env = { .id = "0ABC123", .arrived = 1795312087123456, .sender = SLICE("a@example.org"), .envid = SLICE("QQ+2B1"),
		.flags = ENV_8BITMIME | ENV_RET_HDRS | ENV_HELD, .client = SLICE("host[192.0.2.7]"), .user = SLICE("a"), .size = 4711, .rcpts = rcpts, .n_rcpts = 2 };
	return env;
}

static void assert_slice(struct slice got, struct slice want)
{
	assert_int_equal(got.n, want.n);
	if (want.n > 0)
		assert_memory_equal(got.p, want.p, want.n);
}

static void test_round_trip(void **state)
{
	struct arena *a = arena_new(0);
	struct rcpt rcpts[2];
	struct envelope env = example(rcpts), got;
	struct err e = ERR_INIT;
	struct buf b, again;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	buf_init(&again, BUF_UNBOUNDED);
	envelope_put(&env, &b);
	assert_int_equal(envelope_parse(buf_view(&b), a, &got, &e), 0);
	assert_string_equal(got.id, env.id);
	assert_true(got.arrived == env.arrived && got.size == env.size && got.flags == env.flags && got.n_rcpts == 2);
	assert_slice(got.sender, env.sender);
	assert_slice(got.client, env.client);
	assert_slice(got.rcpts[0].last_reply, rcpts[0].last_reply);
	assert_slice(got.rcpts[0].orcpt, rcpts[0].orcpt);
	assert_slice(got.rcpts[0].original, rcpts[0].original);
	assert_slice(got.rcpts[0].owner, rcpts[0].owner);
	assert_slice(envelope_sender_for(&got, &got.rcpts[0]), rcpts[0].owner);
	assert_slice(envelope_sender_for(&got, &got.rcpts[1]), env.sender);
	got.sender.n = 0;
	assert_int_equal(envelope_sender_for(&got, &got.rcpts[0]).n, 0);
	got.sender = env.sender;
	assert_slice(got.rcpts[1].address, rcpts[1].address);
	assert_slice(got.rcpts[1].folder, rcpts[1].folder);
	assert_true(got.rcpts[1].state == RCPT_FAILED && got.rcpts[0].notify == rcpts[0].notify && got.rcpts[0].next_try == rcpts[0].next_try);
	envelope_put(&got, &again);
	assert_slice(buf_view(&again), buf_view(&b));
	buf_done(&b);
	buf_done(&again);
	arena_free(&a);
}

/* A file that ends anywhere but at its end is either refused or has fewer recipients; it never gains one. */
static void test_cut_at_every_octet(void **state)
{
	struct arena *a = arena_new(0);
	struct rcpt rcpts[2];
	struct envelope env = example(rcpts), got;
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	envelope_put(&env, &b);
	for (size_t n = 0; n < b.len; n++) {
		if (b.p[n == 0 ? 0 : n - 1] != '\n' || n == 0)
			assert_int_equal(envelope_parse(slice_head(buf_view(&b), n), a, &got, NULL), -1);
		else if (envelope_parse(slice_head(buf_view(&b), n), a, &got, NULL) == 0)
			assert_true(got.n_rcpts <= 2);
	}
	buf_done(&b);
	arena_free(&a);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"", "\n", "posthouse-envelope: 1\n", "posthouse-envelope: 2\nid: A\narrived: 1\n",
		"posthouse-envelope: 1\nid: A/../b\narrived: 1\n", "posthouse-envelope: 1\nid: A\narrived: soon\n",
		"posthouse-envelope: 1\nid: A\narrived: 1\n\tattempts: 1\n", "posthouse-envelope: 1\nid: A\narrived: 1\nsender: \\x4\n",
		"posthouse-envelope: 1\nid: A\narrived: 1\nto: x\n\tstate: flying\n", "posthouse-envelope: 1\nid: A\narrived: 1\nnonsense\n",
		"posthouse-envelope: 1\nid: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\narrived: 1\n",
	};
	struct arena *a = arena_new(0);
	struct envelope got;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(envelope_parse(slice_of(bad[i]), a, &got, NULL), -1);
	arena_free(&a);
}

static void test_unknown_names_are_skipped(void **state)
{
	struct arena *a = arena_new(0);
	struct envelope got;

	(void)state;
	assert_int_equal(envelope_parse(SLICE("posthouse-envelope: 1\nid: A\narrived: 1\nmood: good\nto: x@y\n\tcolour: blue\nto : z@y\n"), a, &got, NULL), 0);
	assert_int_equal(got.n_rcpts, 1);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut_at_every_octet),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unknown_names_are_skipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
