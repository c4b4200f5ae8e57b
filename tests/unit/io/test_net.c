/*
 * Addresses and networks: text both ways, mapped addresses, sockets.
 */
#include "io/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void test_addresses(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "192.0.2.1", "192.0.2.1" }, { "2001:db8::1", "2001:db8::1" }, { "[2001:DB8:0::1]", "2001:db8::1" },
		{ "::ffff:192.0.2.7", "192.0.2.7" }, { "::", "::" }, { "", NULL }, { "192.0.2", NULL }, { "192.0.2.256", NULL },
		{ "mail.example", NULL }, { "[192.0.2.1]", NULL }, { "2001:db8::1%eth0", NULL }, { "192.0.2.1 ", NULL }, { "010.0.0.1", NULL },
		{ "[", NULL }, { "[]", NULL },
	};
	char text[NET_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_addr a = { .len = 99 };
		int rc = net_addr_parse(slice_of(cases[i].in), &a);

		assert_int_equal(rc, cases[i].out != NULL ? 0 : -1);
		if (rc == 0)
			assert_string_equal(net_addr_text(&a, text), cases[i].out);
		else
			assert_int_equal(a.len, 99);                  /* untouched */
	}
	assert_int_equal(net_addr_parse(slice_mem("192.0.2.1\0x", 11), &(struct net_addr){ .len = 0 }), -1);
}

static void test_sockaddr_round_trip(void **state)
{
	struct net_addr a, b;
	struct sockaddr_storage sa;

	(void)state;
	assert_int_equal(net_addr_parse(SLICE("2001:db8::25"), &a), 0);
	a.port = 25;
	assert_true(net_addr_to_sockaddr(&a, &sa) > 0);
	net_addr_from_sockaddr((struct sockaddr *)&sa, &b);
	assert_true(net_addr_eq(&a, &b));
	assert_int_equal(b.port, 25);
	sa.ss_family = AF_UNIX;
	net_addr_from_sockaddr((struct sockaddr *)&sa, &b);
	assert_int_equal(b.len, 0);
	assert_false(net_addr_is_loopback(&b));
}

static void test_loopback(void **state)
{
	struct net_addr a;

	(void)state;
	assert_int_equal(net_addr_parse(SLICE("127.9.9.9"), &a), 0);
	assert_true(net_addr_is_loopback(&a));
	assert_int_equal(net_addr_parse(SLICE("::1"), &a), 0);
	assert_true(net_addr_is_loopback(&a));
	assert_int_equal(net_addr_parse(SLICE("::ffff:127.0.0.1"), &a), 0);
	assert_true(net_addr_is_loopback(&a));
	assert_int_equal(net_addr_parse(SLICE("128.0.0.1"), &a), 0);
	assert_false(net_addr_is_loopback(&a));
}

static void test_networks(void **state)
{
	static const struct { const char *net, *addr; int has; } cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", 1 }, { "10.0.0.0/8", "11.0.0.1", 0 }, { "10.1.2.3", "10.1.2.3", 1 }, { "10.1.2.3", "10.1.2.2", 0 },
		{ "192.0.2.128/25", "192.0.2.129", 1 }, { "192.0.2.128/25", "192.0.2.127", 0 }, { "0.0.0.0/0", "203.0.113.9", 1 },
		{ "0.0.0.0/0", "2001:db8::1", 0 }, { "2001:db8::/32", "2001:db8:ffff::1", 1 }, { "[2001:db8::]/32", "2001:db9::1", 0 },
		{ "::ffff:10.0.0.0/104", "10.9.9.9", 1 }, { "::/0", "10.9.9.9", 0 }, { "10.1.2.3/8", NULL, 0 }, { "10.0.0.0/33", NULL, 0 },
		{ "10.0.0.0/", NULL, 0 }, { "10.0.0.0/-1", NULL, 0 }, { "10.0.0.0/8/8", NULL, 0 }, { "2001:db8::1/32", NULL, 0 }, { "/8", NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct net_prefix p;
		struct net_addr a;

		if (net_prefix_parse(slice_of(cases[i].net), &p) < 0) {
			assert_null(cases[i].addr);
			continue;
		}
		assert_non_null(cases[i].addr);
		assert_int_equal(net_addr_parse(slice_of(cases[i].addr), &a), 0);
		assert_int_equal(net_prefix_has(&p, &a), cases[i].has);
	}
}

static void test_listen_and_accept(void **state)
{
	struct net_addr a, peer;
	struct err e = ERR_INIT;
	struct sockaddr_storage sa;
	socklen_t len;
	int fd, client, got;

	(void)state;
	assert_int_equal(net_addr_parse(SLICE("127.0.0.1"), &a), 0);
	fd = net_listen(&a, 5, &e);
	assert_true(fd >= 0);
	assert_int_equal(net_accept(fd, &peer), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(net_local_addr(fd, &a), 0);
	assert_true(a.port > 0);
	len = net_addr_to_sockaddr(&a, &sa);
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&sa, len), 0);
	got = net_accept(fd, &peer);
	assert_true(got >= 0);
	assert_true(net_addr_is_loopback(&peer));
	assert_int_equal(net_listen(&a, 5, &e), -1);                  /* taken: told in words */
	assert_non_null(strstr(e.text, "127.0.0.1"));
	close(got), close(client), close(fd);
}

static void test_unix_names(void **state)
{
	char path[] = "/tmp/ph-net-XXXXXX", sock[64];
	struct err e = ERR_INIT;
	struct net_addr peer;
	struct stat st;
	int fd, again;

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(sock, sizeof(sock), "%s/s", path);
	fd = net_listen_unix(sock, SOCK_SEQPACKET, 0660, &e);
	assert_true(fd >= 0);
	assert_int_equal(stat(sock, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(net_listen_unix(sock, SOCK_SEQPACKET, 0660, &e), -1);   /* alive: not taken away */
	assert_int_equal(e.kind, ERR_EXISTS);
	assert_true((again = net_accept(fd, &peer)) >= 0);            /* the look whether it lives */
	assert_int_equal(peer.len, 0);
	close(again);
	close(fd);
	fd = net_listen_unix(sock, SOCK_SEQPACKET, 0600, &e);         /* stale: taken over */
	assert_true(fd >= 0);
	close(fd);
	unlink(sock);
	rmdir(path);
	memset(sock, 'x', sizeof(sock));
	assert_int_equal(net_listen_unix("", SOCK_STREAM, 0600, &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_sockaddr_round_trip), cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_networks), cmocka_unit_test(test_listen_and_accept), cmocka_unit_test(test_unix_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
