/*
 * Connections in plain, over a socketpair or loopback.
 */
#include "tests/unit/io/conn_test.h"

#include <netinet/in.h>

#include "base/clock.h"
#include "io/net.h"

static void test_input_and_output(void **state)
{
	struct side s;
	char text[100];
	int fd = start_one(&s, &wide, &ops);

	(void)state;
	s.stop_on_input = true;
	put(fd, "EHLO x\r\n");
	loop_run(s.l);
	assert_string_equal(buf_str(&s.got), "EHLO x\r\n");
	conn_write(s.c, SLICE("250 "));
	conn_write(s.c, SLICE("ok\r\n"));
	assert_int_equal(conn_unsent(s.c), 8);
	s.stop_on_drain = true;
	loop_run(s.l);
	assert_int_equal(s.drains, 1);
	drain(fd, text, sizeof(text));
	assert_string_equal(text, "250 ok\r\n");
	finish(&s, fd);
}

/* An owner that goes on with its dialogue whenever it is told, and flushes at the end of that, once kept a processor busy for each silent client. */
static void test_flush_of_nothing_is_not_told(void **state)
{
	static const struct conn_limits roomy = { 1000, 8u << 20, 4u << 20 };
	struct side s;
	struct buf much;
	char text[100];
	int fd = start_one(&s, &roomy, &ops);

	(void)state;
	s.flush_on_drain = true;
	conn_flush(s.c);
	run_for(s.l, 20);
	assert_int_equal(s.drains, 0);
	conn_write(s.c, SLICE("220 hello\r\n"));
	run_for(s.l, 20);
	assert_int_equal(s.drains, 1);
	drain(fd, text, sizeof(text));
	buf_init(&much, BUF_UNBOUNDED);                               /* more than the socket takes, less than low water: told, then quiet */
	memset(buf_room(&much, 1u << 20), 'x', 1u << 20);
	buf_filled(&much, 1u << 20);
	conn_write(s.c, buf_view(&much));
	run_for(s.l, 20);
	assert_true(conn_unsent(s.c) > 0);
	assert_int_equal(s.drains, 2);
	buf_done(&much);
	finish(&s, fd);
}

static void test_input_stops_when_full_and_while_paused(void **state)
{
	static const struct conn_limits small = { 8, 100, 0 };
	struct side s;
	int fd = start_one(&s, &small, &ops);

	(void)state;
	s.leave_input = true;
	put(fd, "0123456789abcdef");
	run_for(s.l, 20);
	assert_int_equal(s.inputs, 1);
	assert_int_equal(conn_input(s.c).n, 8);
	s.leave_input = false;
	s.pause_on_input = true;
	conn_take(s.c, 5);
	run_for(s.l, 20);
	assert_int_equal(s.inputs, 2);
	assert_string_equal(buf_str(&s.got), "56789abc");
	run_for(s.l, 20);                                             /* paused: "def" waits */
	assert_int_equal(s.inputs, 2);
	s.pause_on_input = false;
	conn_resume(s.c);
	run_for(s.l, 20);
	assert_string_equal(buf_str(&s.got), "56789abcdef");
	finish(&s, fd);
}

static void test_end_of_input_waits_for_replies(void **state)
{
	struct side s;
	char text[100];
	int fd = start_one(&s, &wide, &ops);

	(void)state;
	s.pause_on_input = true;                                      /* an owner that answers later */
	put(fd, "QUIT\r\n");
	shutdown(fd, SHUT_WR);
	run_for(s.l, 20);
	assert_int_equal(s.inputs, 1);
	assert_int_equal(s.closes, 0);
	conn_write(s.c, SLICE("221 bye\r\n"));
	conn_resume(s.c);
	run_for(s.l, 20);
	assert_int_equal(s.closes, 1);
	assert_int_equal(s.why, CONN_EOF);
	drain(fd, text, sizeof(text));
	assert_string_equal(text, "221 bye\r\n");
	finish(&s, fd);
}

static void test_peer_gone_while_paused_does_not_spin(void **state)
{
	struct side s;
	int fd = start_one(&s, &wide, &ops);

	(void)state;
	s.pause_on_input = true;
	put(fd, "last words");
	run_for(s.l, 5);
	put(fd, "!");
	close(fd);
	run_for(s.l, 20);
	assert_int_equal(s.closes, 0);
	s.pause_on_input = false;
	conn_resume(s.c);
	run_for(s.l, 50);
	assert_string_equal(buf_str(&s.got), "last words!");
	assert_int_equal(s.why, CONN_EOF);
	assert_int_equal(s.closes, 1);
	finish(&s, -1);
}

static void test_write_to_a_closed_peer(void **state)
{
	struct side s;
	int fd = start_one(&s, &wide, &ops);

	(void)state;
	conn_pause(s.c);
	close(fd);
	conn_write(s.c, SLICE("250 ok\r\n"));
	loop_run(s.l);
	assert_int_equal(s.why, CONN_ERROR);
	assert_non_null(strstr(s.err.text, "write"));
	finish(&s, -1);
}

static void test_reset(void **state)
{
	struct linger rude = { 1, 0 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct net_addr a, peer;
	struct sockaddr_storage sa;
	struct side s;
	int lfd, fd, conn;
	socklen_t len;

	(void)state;
	net_addr_from_sockaddr((struct sockaddr *)&in, &a);
	lfd = net_listen(&a, 1, NULL);
	assert_int_equal(net_local_addr(lfd, &a), 0);
	len = net_addr_to_sockaddr(&a, &sa);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, len), 0);
	conn = net_accept(lfd, &peer);
	setup(&s, loop_new());
	s.c = conn_new(s.l, conn, &wide, &ops, &s);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &rude, sizeof(rude));
	close(fd);
	loop_run(s.l);
	assert_int_equal(s.why, CONN_ERROR);
	assert_non_null(strstr(s.err.text, "reset"));
	close(lfd);
	finish(&s, -1);
}

static void test_connect(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct net_addr a, peer;
	struct sockaddr_storage sa;
	struct side s;
	struct err e = ERR_INIT;
	int lfd, fd;
	socklen_t len;

	(void)state;
	net_addr_from_sockaddr((struct sockaddr *)&in, &a);
	lfd = net_listen(&a, 1, NULL);
	assert_int_equal(net_local_addr(lfd, &a), 0);
	len = net_addr_to_sockaddr(&a, &sa);
	setup(&s, loop_new());
	s.c = conn_connect(s.l, (struct sockaddr *)&sa, len, (struct sockaddr *)&in, sizeof(in), &wide, &ops, &s, &e);
	assert_non_null(s.c);
	s.stop_on_drain = true;
	loop_run(s.l);
	assert_int_equal(s.drains, 1);
	fd = net_accept(lfd, &peer);
	assert_true(fd >= 0);
	close(fd);
	loop_run(s.l);
	assert_int_equal(s.why, CONN_EOF);
	close(lfd);
	s.closes = 0;                                                 /* nobody there now */
	s.c = conn_connect(s.l, (struct sockaddr *)&sa, len, NULL, 0, &wide, &ops, &s, &e);
	if (s.c != NULL) {
		loop_run(s.l);
		assert_int_equal(s.why, CONN_ERROR);
		assert_non_null(strstr(s.err.text, "refused"));
	} else {
		assert_non_null(strstr(e.text, "refused"));
	}
	finish(&s, -1);
}

static void test_overflow_closes(void **state)
{
	static const struct conn_limits tight = { 100, 1000, 500 };
	static char big[1001];
	struct side s;
	int fd = start_one(&s, &tight, &ops);

	(void)state;
	conn_write(s.c, slice_mem(big, 1000));
	assert_int_equal(buf_addc(conn_out(s.c), 'x'), -1);
	conn_write(s.c, slice_mem(big, 1));
	assert_int_equal(s.closes, 0);                                /* told from the loop */
	loop_run(s.l);
	assert_int_equal(s.why, CONN_OVERFLOW);
	finish(&s, fd);
}

static void test_high_water_stops_input(void **state)
{
	static const struct conn_limits lim = { 100, 8u << 20, 1u << 19 };
	static char big[4 << 20];
	struct side s;
	int fd = start_one(&s, &lim, &ops);
	size_t n, total = 0;

	(void)state;
	conn_write(s.c, slice_mem(big, sizeof(big)));
	put(fd, "more?");
	run_for(s.l, 10);
	assert_int_equal(s.inputs, 0);
	assert_int_equal(s.drains, 0);
	assert_true(conn_unsent(s.c) > lim.out_high);
	while (total < sizeof(big)) {
		while ((n = drain(fd, big, sizeof(big))) > 0)
			total += n;
		run_for(s.l, 1);
	}
	run_for(s.l, 5);
	assert_int_equal(total, sizeof(big));
	assert_int_equal(s.drains, 1);
	assert_string_equal(buf_str(&s.got), "more?");
	finish(&s, fd);
}

static void test_trickle_meets_the_deadline(void **state)
{
	struct side s;
	char text[64];
	int fd = start_one(&s, &wide, &polite_ops);

	(void)state;
	conn_idle_ms(s.c, 40);
	conn_deadline_ms(s.c, 100);
	for (int i = 0; i < 50 && s.closes == 0; i++) {
		(void)!write(fd, "x", 1);
		run_for(s.l, 10);
	}
	assert_int_equal(s.why, CONN_DEADLINE);
	assert_int_equal(s.timeouts, 1);
	assert_in_range(s.got.len, 5, 14);
	drain(fd, text, sizeof(text));
	assert_string_equal(text, "* BYE too slow\r\n");
	finish(&s, fd);
}

/* An octet after 60 of 100 ms starts the time anew. False: the machine was too busy to tell. */
static bool idle_time_starts_anew(void)
{
	struct side s;
	int fd = start_one(&s, &wide, &ops);
	int64_t began = clock_mono_ms();
	bool in_time;

	conn_idle_ms(s.c, 100);
	conn_deadline_ms(s.c, 60000);
	run_for(s.l, 60);
	put(fd, "x");
	run_for(s.l, 60);
	in_time = clock_mono_ms() - began < 155;                      /* so neither half can have had 100 */
	if (in_time) {
		assert_int_equal(s.closes, 0);
		for (int i = 0; i < 1000 && s.closes == 0; i++)
			run_for(s.l, 10);
		assert_int_equal(s.closes, 1);
		assert_int_equal(s.why, CONN_IDLE);
	}
	finish(&s, fd);
	return in_time;
}

static void test_silence_meets_the_idle_time(void **state)
{
	int tries = 50;

	(void)state;
	while (!idle_time_starts_anew())
		assert_true(--tries > 0);
}

static void test_close_sends_what_is_queued(void **state)
{
	static char big[1 << 20], back[1 << 20];
	struct side s;
	int fd = start_one(&s, &wide, &ops);
	size_t total = 0, n;

	(void)state;
	memset(big, 'b', sizeof(big));
	conn_write(s.c, slice_mem(big, sizeof(big)));
	conn_close(s.c);
	conn_write(s.c, SLICE("too late"));
	for (int i = 0; i < 500 && s.closes == 0; i++) {
		run_for(s.l, 1);
		while ((n = drain(fd, back, sizeof(back))) > 0)
			total += n;
	}
	assert_int_equal(total, sizeof(big));
	assert_int_equal(s.why, CONN_CLOSED);
	finish(&s, fd);
}

static void test_free_inside_input(void **state)
{
	struct side s;
	int fd = start_one(&s, &wide, &ops);

	(void)state;
	s.free_on_input = true;
	put(fd, "x");
	loop_run(s.l);
	assert_null(s.c);
	assert_int_equal(s.closes, 0);
	finish(&s, fd);
}

static void test_release(void **state)
{
	struct side s;
	struct buf left;
	char text[16];
	int mine, fd = start_one(&s, &wide, &ops);

	(void)state;
	s.leave_input = s.stop_on_input = true;
	put(fd, "A1 SELECT");
	loop_run(s.l);
	buf_init(&left, BUF_UNBOUNDED);
	mine = conn_release(&s.c, &left);
	assert_null(s.c);
	assert_string_equal(buf_str(&left), "A1 SELECT");
	put(mine, "hi");
	drain(fd, text, sizeof(text));
	assert_string_equal(text, "hi");
	close(mine);
	buf_done(&left);
	finish(&s, fd);
}

static void test_send_file(void **state)
{
	static const size_t sizes[] = { 0, 1, 1000, 3000000 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct side a, b;

		start_two(&a, &b, &wide);
		send_file_reply(&a, &b, sizes[i]);
		finish_two(&a, &b);
	}
}

static void test_short_file_is_an_error(void **state)
{
	struct side a, b;

	(void)state;
	start_two(&a, &b, &wide);
	conn_send_file(a.c, make_file(10), 0, 20);
	run_for(a.l, 50);
	assert_int_equal(a.why, CONN_ERROR);
	assert_non_null(strstr(a.err.text, "shorter"));
	finish_two(&a, &b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_input_and_output), cmocka_unit_test(test_flush_of_nothing_is_not_told),
		cmocka_unit_test(test_input_stops_when_full_and_while_paused), cmocka_unit_test(test_end_of_input_waits_for_replies),
		cmocka_unit_test(test_peer_gone_while_paused_does_not_spin), cmocka_unit_test(test_write_to_a_closed_peer),
		cmocka_unit_test(test_reset), cmocka_unit_test(test_connect), cmocka_unit_test(test_overflow_closes),
		cmocka_unit_test(test_high_water_stops_input), cmocka_unit_test(test_trickle_meets_the_deadline),
		cmocka_unit_test(test_silence_meets_the_idle_time), cmocka_unit_test(test_close_sends_what_is_queued),
		cmocka_unit_test(test_free_inside_input), cmocka_unit_test(test_release), cmocka_unit_test(test_send_file),
		cmocka_unit_test(test_short_file_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
