/*
 * The asynchronous client against dracd's own doors in one loop: answers, deadlines, restarts, half-sent records, many idle connections.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "conf/conf.h"
#include "drac/drac.h"
#include "dracd/doors.h"

struct fix {
	char dir[64], path[96];
	struct settings *s;
	struct loop *loop;
	struct core *core;
	struct doors *doors;
	struct drac_client *client;
	int listen_fd, tcp_fd, udp_fd;
	struct net_addr tcp;
	int answers, verdict;
	size_t n_users;
	char user[64];
	int64_t expires_at;
};

static void open_doors(struct fix *f)
{
	struct net_addr any = { .octets = { 127, 0, 0, 1 }, .len = 4 };
	struct err e = ERR_INIT;

	if (f->core == NULL)
		assert_int_equal(core_new_volatile(&f->core, f->s, &e), 0);
	f->doors = doors_new(f->loop, f->core, NULL);
	f->listen_fd = net_listen_unix(f->path, SOCK_STREAM, 0600, &e);
	f->tcp_fd = net_listen(&any, 128, &e);
	f->udp_fd = net_listen_udp(&any, &e);
	assert_true(f->listen_fd >= 0 && f->tcp_fd >= 0 && f->udp_fd >= 0);
	assert_int_equal(net_local_addr(f->tcp_fd, &f->tcp), 0);
	doors_listen(f->doors, f->listen_fd, DOOR_LOCAL);
	doors_listen(f->doors, f->tcp_fd, DOOR_TCP);
	doors_udp(f->doors, f->udp_fd);
}

static void close_doors(struct fix *f)
{
	doors_free(&f->doors);
	close(f->listen_fd);
	close(f->tcp_fd);
	close(f->udp_fd);
}

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	const char *const o[] = { "drac_allow=/nonexistent/x", NULL };
	struct buf w;

	snprintf(f->dir, sizeof(f->dir), "/tmp/test_dracc.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/dracd.sock", f->dir);
	buf_init(&w, BUF_UNBOUNDED);
	assert_int_equal(conf_load(&f->s, NULL, o, &w, NULL), 0);
	buf_done(&w);
	f->loop = loop_new();
	f->client = drac_client_new(f->loop, f->path);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;
	char cmd[128];

	drac_client_free(&f->client);
	if (f->doors != NULL)
		close_doors(f);
	core_free(&f->core);
	loop_free(&f->loop);
	conf_free(&f->s);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	assert_int_equal(system(cmd), 0);
	free(f);
	return 0;
}

static void on_answer(void *ctx, const struct drac_grant *g)
{
	struct fix *f = ctx;

	f->answers++;
	f->verdict = (int)g->verdict;
	f->n_users = g->n_users;
	f->expires_at = g->expires_at;
	assert_non_null(g->text);
	snprintf(f->user, sizeof(f->user), "%.*s", g->n_users ? (int)g->users[0].n : 0, g->n_users ? g->users[0].p : "");
	loop_stop(f->loop);
}

static void stop(void *ctx)
{
	loop_stop(ctx);
}

static void run_for(struct fix *f, int64_t ms)
{
	struct loop_timer t = { 0 };

	loop_timer_start(f->loop, &t, ms, stop, f->loop);
	loop_run(f->loop);
	loop_timer_stop(f->loop, &t);
}

static struct net_addr addr_of(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

static void told_and_asked(void **state)
{
	struct fix *f = *state;
	struct net_addr a = addr_of("192.0.2.7"), b = addr_of("192.0.2.8"), never = addr_of("224.0.0.1");

	open_doors(f);
	drac_query(f->client, &a, 1000, on_answer, f);
	run_for(f, 2000);
	assert_int_equal(f->verdict, DRAC_NO_GRANT);
	drac_send_grant(f->client, &a, SLICE("u1@x"), "imap", "mx", SLICE("s1"), 1, 1000, on_answer, f);
	run_for(f, 2000);
	assert_int_equal(f->verdict, DRAC_LIVE);
	drac_query(f->client, &a, 1000, on_answer, f);
	run_for(f, 2000);
	assert_true(f->verdict == DRAC_LIVE && f->n_users == 1 && strcmp(f->user, "u1@x") == 0);
	assert_true(f->expires_at > loop_wall_us(f->loop) / 1000000 + 1700);
	drac_query(f->client, &b, 1000, on_answer, f);
	run_for(f, 2000);
	assert_int_equal(f->verdict, DRAC_NO_GRANT);
	drac_send_grant(f->client, &never, SLICE("u1@x"), "imap", "mx", SLICE("s1"), 1, 1000, on_answer, f);
	run_for(f, 2000);
	assert_int_equal(f->verdict, DRAC_REFUSED);
	drac_used(f->client, &a, SLICE("u1@x"), 3);
	run_for(f, 50);
	assert_int_equal(core_stats(f->core)[STAT_USED], 1);
	f->answers = 0;
	for (int i = 0; i < 500; i++)
		drac_query(f->client, &a, 2000, on_answer, f);
	while (f->answers < 500)
		run_for(f, 2000);
	assert_int_equal(f->answers, 500);
}

static void absent_hung_and_restarted(void **state)
{
	struct fix *f = *state;
	struct net_addr a = addr_of("192.0.2.7");
	struct err e;

	drac_query(f->client, &a, 100, on_answer, f);
	assert_int_equal(f->answers, 0);                                  /* from the loop, never from inside the call */
	run_for(f, 1000);
	assert_true(f->answers == 1 && f->verdict == DRAC_UNREACHABLE);
	int fd = net_listen_unix(f->path, SOCK_STREAM, 0600, &e);         /* accepts nobody, as a stopped dracd does */
	int64_t t0 = loop_now(f->loop);
	drac_query(f->client, &a, 100, on_answer, f);
	run_for(f, 1000);
	assert_true(f->answers == 2 && f->verdict == DRAC_UNREACHABLE && loop_now(f->loop) - t0 < 400);
	close(fd);
	unlink(f->path);
	run_for(f, 20);
	open_doors(f);
	drac_send_grant(f->client, &a, SLICE("u1@x"), "imap", "mx", SLICE("s1"), 1, 1000, on_answer, f);
	run_for(f, 1000);
	assert_int_equal(f->verdict, DRAC_LIVE);
	close_doors(f);
	open_doors(f);
	run_for(f, 20);
	drac_query(f->client, &a, 1000, on_answer, f);
	run_for(f, 1000);
	assert_int_equal(f->verdict, DRAC_LIVE);
	f->answers = 0;
	drac_query(f->client, &a, 1000, on_answer, f);
	drac_forget(f->client, f);
	run_for(f, 100);
	assert_int_equal(f->answers, 0);
}

static const char call1[] = "\x80\0\0\x2c" "\1\2\3\4" "\0\0\0\0" "\0\0\0\2" "\0\x0d\xbc\5" "\0\0\0\1" "\0\0\0\1" "\0\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\xc0\0\2\x4d";

static int tcp_to(struct fix *f)
{
	struct sockaddr_storage ss;
	socklen_t n = net_addr_to_sockaddr(&f->tcp, &ss);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&ss, n), 0);
	return fd;
}

static void half_a_record_delays_nobody(void **state)
{
	struct fix *f = *state;
	char reply[64];

	open_doors(f);
	int slow = tcp_to(f), quick = tcp_to(f);
	assert_int_equal(write(slow, call1, 17), 17);
	run_for(f, 20);
	assert_int_equal(write(quick, call1, sizeof(call1) - 1), (ssize_t)sizeof(call1) - 1);
	run_for(f, 50);
	assert_int_equal(recv(quick, reply, sizeof(reply), MSG_DONTWAIT), 32);
	assert_memory_equal(reply, "\x80\0\0\x1c\1\2\3\4\0\0\0\1", 12);
	for (size_t i = 17; i < sizeof(call1) - 1; i++) {                 /* an octet at a time */
		assert_int_equal(write(slow, call1 + i, 1), 1);
		run_for(f, 1);
	}
	run_for(f, 20);
	assert_int_equal(recv(slow, reply, sizeof(reply), MSG_DONTWAIT), 32);
	assert_int_equal(write(slow, "\x80\xff\xff\xff", 4), 4);          /* a record of 16 MB is announced */
	run_for(f, 50);
	assert_int_equal(recv(slow, reply, sizeof(reply), MSG_DONTWAIT), 0);
	close(slow);
	close(quick);
}

static void idle_connections_give_way(void **state)
{
	enum { N = DOORS_STREAMS_MAX + 40 };
	struct fix *f = *state;
	int fds[N];
	char reply[64];

	open_doors(f);
	for (int i = 0; i < N; i++) {
		fds[i] = tcp_to(f);
		run_for(f, 0);
	}
	run_for(f, 20);
	assert_int_equal(write(fds[N - 1], call1, sizeof(call1) - 1), (ssize_t)sizeof(call1) - 1);
	run_for(f, 50);
	assert_int_equal(recv(fds[N - 1], reply, sizeof(reply), MSG_DONTWAIT), 32);
	assert_int_equal(recv(fds[0], reply, sizeof(reply), MSG_DONTWAIT), 0);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	run_for(f, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(told_and_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(absent_hung_and_restarted, setup, teardown),
		cmocka_unit_test_setup_teardown(half_a_record_delays_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(idle_connections_give_way, setup, teardown),
	};

	if (log_open("/dev/null", LOG_L_ERROR, NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
