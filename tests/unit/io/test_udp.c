/*
 * Datagrams over a wildcard socket: the answer comes from the address that was asked, which a connected client insists on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/net.h"
#include "io/udp.h"

static int wildcard(int family, struct net_addr *out)
{
	struct net_addr any = { .len = family == AF_INET6 ? 16 : 4 };
	struct err e = ERR_INIT;
	int fd = net_listen_udp(&any, &e);

	if (fd >= 0) {
		assert_int_equal(net_local_addr(fd, out), 0);
		udp_prepare(fd);
	}
	return fd;
}

static void ask(int server, const char *addr, uint16_t port, bool prepared)
{
	struct timeval tv = { .tv_sec = prepared ? 5 : 0, .tv_usec = 100000 };
	struct sockaddr_storage ss;
	struct net_addr a;
	struct udp_way way;
	char octets[16];

	assert_int_equal(net_addr_parse(slice_of(addr), &a), 0);
	a.port = port;
	socklen_t n = net_addr_to_sockaddr(&a, &ss);
	int c = socket(ss.ss_family, SOCK_DGRAM, 0);
	assert_int_equal(connect(c, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	assert_int_equal(send(c, "ping", 4, 0), 4);
	ssize_t got = -1;
	for (int i = 0; i < 500 && (got = udp_receive(server, octets, sizeof(octets), &way)) < 0; i++)
		usleep(1000);
	assert_int_equal(got, 4);
	if (prepared)
		assert_true(way.own_family == ss.ss_family);
	else
		way.own_family = 0;
	udp_send(&way, SLICE("pong"));
	assert_int_equal(recv(c, octets, sizeof(octets), 0), prepared ? 4 : -1);
	close(c);
}

static void the_answer_comes_from_the_address_asked(void **state)
{
	struct net_addr own;
	int fd = wildcard(AF_INET, &own);

	(void)state;
	assert_true(fd >= 0);
	ask(fd, "127.0.0.1", own.port, true);
	ask(fd, "127.0.0.5", own.port, true);
	ask(fd, "127.0.0.5", own.port, false);                            /* so it would be without: lost */
	close(fd);
}

static void ipv6_too(void **state)
{
	struct net_addr own;
	int fd = wildcard(AF_INET6, &own);

	(void)state;
	if (fd < 0)
		skip();
	ask(fd, "::1", own.port, true);
	close(fd);
}

static void nothing_there(void **state)
{
	struct net_addr own;
	struct udp_way way;
	char octets[4];
	int fd = wildcard(AF_INET, &own);

	(void)state;
	assert_int_equal(udp_receive(fd, octets, sizeof(octets), &way), -1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_answer_comes_from_the_address_asked),
		cmocka_unit_test(ipv6_too),
		cmocka_unit_test(nothing_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
