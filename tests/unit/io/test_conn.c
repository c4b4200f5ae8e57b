/*
 * Connections: plain and TLS, over a socketpair or loopback. One side is a conn, the other a second conn or a bare descriptor.
 */
#include "io/conn.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/net.h"

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

static void on_input(void *ctx)
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

static void on_tls(void *ctx)
{
	struct side *s = ctx;

	s->tls++;
	if (s->stop_on_tls)
		loop_stop(s->l);
}

static void on_drained(void *ctx)
{
	struct side *s = ctx;

	s->drains++;
	if (s->flush_on_drain)
		conn_flush(s->c);
	if (s->stop_on_drain)
		loop_stop(s->l);
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct side *s = ctx;

	s->closes++;
	s->why = why;
	s->err = *e;
	conn_free(&s->c);
	loop_stop(s->l);
}

static void on_timeout(void *ctx, enum conn_end why)
{
	struct side *s = ctx;

	(void)why;
	s->timeouts++;
	conn_write(s->c, SLICE("* BYE too slow\r\n"));
}

static const struct conn_ops ops = { on_input, on_tls, on_drained, on_close, NULL, NULL };
static const struct conn_ops polite_ops = { on_input, on_tls, on_drained, on_close, on_timeout, NULL };

static void on_alarm(void *ctx)
{
	loop_stop(ctx);
}

static void run_for(struct loop *l, int64_t ms)
{
	struct loop_timer t = { .slot = 0 };

	loop_timer_start(l, &t, ms, on_alarm, l);
	loop_run(l);
	loop_timer_stop(l, &t);
}

static void setup(struct side *s, struct loop *l)
{
	memset(s, 0, sizeof(*s));
	s->l = l;
	buf_init(&s->got, BUF_UNBOUNDED);
}

/* One conn, and the bare other end. */
static int start_one(struct side *s, const struct conn_limits *lim, const struct conn_ops *o)
{
	int fds[2];

	setup(s, loop_new());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	s->c = conn_new(s->l, fds[0], lim, o, s);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	return fds[1];
}

static void start_two(struct side *a, struct side *b, const struct conn_limits *lim)
{
	int fds[2];

	setup(a, loop_new());
	setup(b, a->l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	a->c = conn_new(a->l, fds[0], lim, &ops, a);
	b->c = conn_new(b->l, fds[1], lim, &ops, b);
}

static void finish(struct side *s, int fd)
{
	conn_free(&s->c);
	buf_done(&s->got);
	loop_free(&s->l);
	if (fd >= 0)
		close(fd);
}

static void finish_two(struct side *a, struct side *b)
{
	conn_free(&b->c);
	buf_done(&b->got);
	finish(a, -1);
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static size_t drain(int fd, char *into, size_t size)
{
	ssize_t n = read(fd, into, size - 1);

	into[n > 0 ? n : 0] = '\0';
	return n > 0 ? (size_t)n : 0;
}

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

/* A file of n octets i % 251, unlinked. */
static int make_file(size_t n)
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

static void check_file_reply(const struct side *b, size_t n)
{
	assert_int_equal(b->got.len, n + 10);
	assert_memory_equal(b->got.p, "+OK\r\n", 5);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)b->got.p[5 + i] != (i + 3) % 251)
			fail_msg("octet %zu is wrong", i);
	assert_memory_equal(b->got.p + 5 + n, "\r\n.\r\n", 5);
}

static void send_file_reply(struct side *a, struct side *b, size_t n)
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

/*
 * TLS
 */

struct pair { char cert[64], key[64]; };

static void make_pair(struct pair *p, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *subject = X509_get_subject_name(x);
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(x, subject);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	snprintf(p->cert, sizeof(p->cert), "/tmp/ph-%d-%s.pem", (int)getpid(), name);
	snprintf(p->key, sizeof(p->key), "/tmp/ph-%d-%s.key", (int)getpid(), name);
	assert_non_null(f = fopen(p->cert, "w"));
	PEM_write_X509(f, x);
	fclose(f);
	assert_non_null(f = fopen(p->key, "w"));
	PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static struct pair pair, other;
static struct tls_ctx *server, *client;

static int make_contexts(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	make_pair(&pair, "mail.test");
	make_pair(&other, "other.test");
	if (tls_server_ctx(&server, pair.cert, pair.key, "smtp", &e) < 0 || tls_client_ctx(&client, false, NULL, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		return -1;
	}
	return 0;
}

static int drop_contexts(void **state)
{
	(void)state;
	tls_ctx_unref(&server);
	tls_ctx_unref(&client);
	unlink(pair.cert), unlink(pair.key), unlink(other.cert), unlink(other.key);
	return 0;
}

static void start_tls(struct side *a, struct side *b, struct tls_ctx *s, struct tls_ctx *c, const char *name)
{
	start_two(a, b, &wide);
	conn_start_tls(a->c, s, NULL, NULL);
	conn_start_tls(b->c, c, name, NULL);
	b->stop_on_tls = true;
	loop_run(a->l);
	run_for(a->l, 2);
}

static void test_tls_both_ways(void **state)
{
	struct side a, b;
	struct buf x, y;

	(void)state;
	start_tls(&a, &b, server, client, "mail.test");
	assert_int_equal(a.tls, 1);
	assert_int_equal(b.tls, 1);
	assert_string_equal(tls_describe(conn_ssl(a.c)).version, "TLSv1.3");
	assert_true(tls_describe(conn_ssl(a.c)).bits >= 128);
	buf_init(&x, 1000);
	buf_init(&y, 1000);
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-exporter", &x), 0);
	assert_int_equal(tls_channel_binding(conn_ssl(b.c), "tls-exporter", &y), 0);
	assert_int_equal(x.len, 32);
	assert_true(slice_eq(buf_view(&x), buf_view(&y)));
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-server-end-point", &x), 0);
	assert_int_equal(tls_channel_binding(conn_ssl(b.c), "tls-server-end-point", &y), 0);
	assert_int_equal(x.len, 64);
	assert_true(slice_eq(buf_view(&x), buf_view(&y)));
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-unique", &x), -1);
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "nonsense", &x), -1);
	buf_done(&x), buf_done(&y);
	a.stop_at = 5;
	conn_write(b.c, SLICE("hello"));
	loop_run(a.l);
	assert_string_equal(buf_str(&a.got), "hello");
	conn_close(b.c);
	loop_run(a.l);
	run_for(a.l, 5);
	assert_int_equal(a.why, CONN_EOF);
	assert_int_equal(b.why, CONN_CLOSED);
	finish_two(&a, &b);
}

static void test_tls12_unique(void **state)
{
	struct side a, b;
	struct buf x, y;
	struct tls_ctx *old;

	(void)state;
	assert_int_equal(tls_client_ctx(&old, false, NULL, NULL), 0);
	start_two(&a, &b, &wide);
	conn_start_tls(a.c, server, NULL, NULL);
	conn_start_tls(b.c, old, NULL, NULL);
	/* The conn makes its SSL on the first turn; an old client is a context with a ceiling, which only this test needs. */
	tls_ctx_cap_version(old, TLS1_2_VERSION);
	b.stop_on_tls = true;
	loop_run(a.l);
	run_for(a.l, 2);
	assert_string_equal(tls_describe(conn_ssl(a.c)).version, "TLSv1.2");
	buf_init(&x, 1000);
	buf_init(&y, 1000);
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-unique", &x), 0);
	assert_int_equal(tls_channel_binding(conn_ssl(b.c), "tls-unique", &y), 0);
	assert_int_equal(x.len, 12);
	assert_true(slice_eq(buf_view(&x), buf_view(&y)));
	assert_int_equal(tls_channel_binding(conn_ssl(a.c), "tls-exporter", &x), -1);
	buf_done(&x), buf_done(&y);
	tls_ctx_unref(&old);
	finish_two(&a, &b);
}

static void test_large_data_over_tls(void **state)
{
	static const struct conn_limits lim = { 70000, 8u << 20, 100000 };
	static char big[2000000];
	struct side a, b;

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 31 >> 3);
	start_tls(&a, &b, server, client, NULL);
	conn_set_in_max(a.c, lim.in_max);
	a.stop_at = sizeof(big);
	conn_write(b.c, slice_mem(big, sizeof(big)));
	loop_run(a.l);
	assert_int_equal(a.got.len, sizeof(big));
	assert_memory_equal(a.got.p, big, sizeof(big));
	finish_two(&a, &b);
}

/* 16 kB records against a buffer of 1000: what OpenSSL has read and we have not must wake us without the socket's help. */
static void test_small_buffer_over_tls(void **state)
{
	static char big[100000];
	struct side a, b;

	(void)state;
	start_tls(&a, &b, server, client, NULL);
	conn_set_in_max(a.c, 1000);
	a.stop_at = sizeof(big);
	conn_write(b.c, slice_mem(big, sizeof(big)));
	loop_run(a.l);
	assert_int_equal(a.got.len, sizeof(big));
	assert_true(a.inputs >= 100);
	finish_two(&a, &b);
}

static void test_send_file_over_tls(void **state)
{
	struct side a, b;

	(void)state;
	start_tls(&a, &b, server, client, NULL);
	a.drains = 0;
	send_file_reply(&a, &b, 3000000);
	finish_two(&a, &b);
}

/* CVE-2011-0411: commands sent in the packet of STARTTLS must not be run inside TLS. */
static void test_starttls_injection_is_dropped(void **state)
{
	struct side a, b;

	(void)state;
	start_two(&a, &b, &wide);
	a.tls_on_starttls = server;
	conn_write(b.c, SLICE("STARTTLS\r\nRSET\r\nMAIL FROM:<evil@x>\r\n"));
	b.stop_at = 8;
	loop_run(a.l);
	assert_string_equal(buf_str(&b.got), "220 go\r\n");           /* in plain */
	assert_int_equal(a.dropped, 26);
	conn_start_tls(b.c, client, NULL, NULL);
	b.stop_on_tls = true;
	loop_run(a.l);
	conn_write(b.c, SLICE("EHLO x\r\n"));
	a.stop_at = 8;
	loop_run(a.l);
	assert_string_equal(buf_str(&a.got), "EHLO x\r\n");
	finish_two(&a, &b);
}

static void test_plain_text_after_starttls_fails_the_handshake(void **state)
{
	struct side a;
	int fd = start_one(&a, &wide, &ops);

	(void)state;
	a.tls_on_starttls = server;
	put(fd, "STARTTLS\r\n");
	run_for(a.l, 10);
	put(fd, "MAIL FROM:<evil@x>\r\n");
	loop_run(a.l);
	assert_int_equal(a.why, CONN_TLS_FAILED);
	assert_int_equal(a.inputs, 1);
	assert_non_null(strstr(a.err.text, "TLS handshake"));
	finish(&a, fd);
}

static void try_alpn(const unsigned char *offer, unsigned len, bool ok)
{
	struct side a;
	int fd = start_one(&a, &wide, &ops);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	int rc = -1;

	a.stop_on_tls = true;
	SSL_set_fd(ssl, fd);
	SSL_set_alpn_protos(ssl, offer, len);
	conn_start_tls(a.c, server, NULL, NULL);
	for (int i = 0; i < 20 && rc != 1 && a.closes == 0; i++) {
		rc = SSL_connect(ssl);
		run_for(a.l, 2);
	}
	assert_int_equal(a.tls, ok);
	assert_int_equal(a.closes, !ok);
	if (!ok)
		assert_int_equal(a.why, CONN_TLS_FAILED);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	finish(&a, fd);
}

/* ALPACA, CVE-2021-3618: a browser that was led here must not get an answer. */
static void test_alpn(void **state)
{
	(void)state;
	try_alpn((const unsigned char *)"\x08http/1.1", 9, false);
	try_alpn((const unsigned char *)"\x02h2\x08http/1.1", 12, false);
	try_alpn((const unsigned char *)"\x04smtq", 5, false);
	try_alpn((const unsigned char *)"\x08http/1.1\x04smtp", 14, true);
	try_alpn(NULL, 0, true);
}

static void test_client_checks_the_name(void **state)
{
	struct tls_ctx *strict, *stranger;
	struct side a, b;

	(void)state;
	assert_int_equal(tls_client_ctx(&strict, true, pair.cert, NULL), 0);
	start_tls(&a, &b, server, strict, "mail.test");
	assert_int_equal(b.tls, 1);
	finish_two(&a, &b);
	start_tls(&a, &b, server, strict, "evil.test");
	assert_int_equal(b.tls, 0);
	assert_int_equal(b.why, CONN_TLS_FAILED);
	assert_non_null(strstr(b.err.text, "certificate"));
	finish_two(&a, &b);
	assert_int_equal(tls_client_ctx(&stranger, true, other.cert, NULL), 0);
	start_tls(&a, &b, server, stranger, "mail.test");
	assert_int_equal(b.tls, 0);
	finish_two(&a, &b);
	tls_ctx_unref(&strict);
	tls_ctx_unref(&stranger);
}

static void test_context_errors_say_what_is_wrong(void **state)
{
	struct tls_ctx *x = NULL;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(tls_server_ctx(&x, pair.cert, other.key, "smtp", &e), -1);
	assert_non_null(strstr(e.text, "key"));
	assert_int_equal(tls_server_ctx(&x, "/nonexistent.pem", pair.key, "smtp", &e), -1);
	assert_non_null(strstr(e.text, "/nonexistent.pem"));
	assert_int_equal(tls_client_ctx(&x, true, "/nonexistent.pem", &e), -1);
	assert_null(x);
}

static void test_handshake_deadline(void **state)
{
	struct side a;
	int fd = start_one(&a, &wide, &polite_ops);

	(void)state;
	conn_start_tls(a.c, server, NULL, NULL);
	conn_deadline_ms(a.c, 20);
	loop_run(a.l);
	assert_int_equal(a.why, CONN_DEADLINE);
	assert_int_equal(a.timeouts, 0);                              /* nothing may be said in plain */
	finish(&a, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_input_and_output), cmocka_unit_test(test_flush_of_nothing_is_not_told),
		cmocka_unit_test(test_input_stops_when_full_and_while_paused),
		cmocka_unit_test(test_end_of_input_waits_for_replies), cmocka_unit_test(test_peer_gone_while_paused_does_not_spin),
		cmocka_unit_test(test_write_to_a_closed_peer), cmocka_unit_test(test_reset), cmocka_unit_test(test_connect),
		cmocka_unit_test(test_overflow_closes), cmocka_unit_test(test_high_water_stops_input),
		cmocka_unit_test(test_trickle_meets_the_deadline), cmocka_unit_test(test_silence_meets_the_idle_time),
		cmocka_unit_test(test_close_sends_what_is_queued), cmocka_unit_test(test_free_inside_input), cmocka_unit_test(test_release),
		cmocka_unit_test(test_send_file), cmocka_unit_test(test_short_file_is_an_error), cmocka_unit_test(test_tls_both_ways),
		cmocka_unit_test(test_tls12_unique), cmocka_unit_test(test_large_data_over_tls), cmocka_unit_test(test_small_buffer_over_tls),
		cmocka_unit_test(test_send_file_over_tls), cmocka_unit_test(test_starttls_injection_is_dropped),
		cmocka_unit_test(test_plain_text_after_starttls_fails_the_handshake), cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_client_checks_the_name), cmocka_unit_test(test_context_errors_say_what_is_wrong),
		cmocka_unit_test(test_handshake_deadline),
	};

	return cmocka_run_group_tests(tests, make_contexts, drop_contexts);
}
