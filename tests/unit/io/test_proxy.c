/*
 * The PROXY protocol: every form of header, an octet at a time, and what is none; and that of a socket not one octet too many is read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/proxy.h"

#define SIGN "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\x21\x11\0\x0c" "\xc0\x00\x02\x07" "\xc6\x33\x64\x01" "\x9c\x40\x00\x19"
#define V6 "\x21\x21\0\x24" "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07" "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01" "\x9c\x40\x00\x19"
#define V6_MAPPED "\x21\x21\0\x24" "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07" "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01" "\x9c\x40\x00\x19"
#define TLV "\x21\x11\0\x10" "\xc0\x00\x02\x07" "\xc6\x33\x64\x01" "\x9c\x40\x00\x19" "\x04\0\x01x"

static const struct { struct slice in; const char *client; uint16_t port; } good[] = {
	{ SLICE_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"), "192.0.2.7", 40000 },
	{ SLICE_INIT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), "255.255.255.255", 65535 },
	{ SLICE_INIT("PROXY TCP6 2001:db8::7 2001:db8::1 40000 25\r\n"), "2001:db8::7", 40000 },
	{ SLICE_INIT("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 1 2\r\n"), "192.0.2.7", 1 },
	{ SLICE_INIT("PROXY UNKNOWN\r\n"), NULL, 0 },
	{ SLICE_INIT("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), NULL, 0 },
	{ SLICE_INIT(SIGN V4), "192.0.2.7", 40000 },
	{ SLICE_INIT(SIGN V6), "2001:db8::7", 40000 },
	{ SLICE_INIT(SIGN V6_MAPPED), "192.0.2.7", 40000 },
	{ SLICE_INIT(SIGN TLV), "192.0.2.7", 40000 },
	{ SLICE_INIT(SIGN "\x20\x00\0\0"), NULL, 0 },                       /* LOCAL */
	{ SLICE_INIT(SIGN "\x20\x11\0\x0c" "\xc0\x00\x02\x07" "\xc6\x33\x64\x01" "\x9c\x40\x00\x19"), NULL, 0 },
	{ SLICE_INIT(SIGN "\x21\x00\0\x03" "abc"), NULL, 0 },               /* unspecified */
	{ SLICE_INIT(SIGN "\x21\x31\0\x02" "ab"), NULL, 0 },                /* AF_UNIX */
};

static const struct slice bad[] = {
	SLICE_INIT("EHLO x\r\n"), SLICE_INIT("\x16\x03\x01"), SLICE_INIT("\n"), SLICE_INIT("PROXIES\r\n"), SLICE_INIT("proxy TCP4 192.0.2.7 198.51.100.1 40000 25\r\n"),
	SLICE_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\n"), SLICE_INIT("PROXY \r\n"), SLICE_INIT("PROXY \n"), SLICE_INIT("PROXY TCP4\r\n"),
	SLICE_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 40000\r\n"), SLICE_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 \r\n"),
	SLICE_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 40000 25 1\r\n"), SLICE_INIT("PROXY TCP4  192.0.2.7 198.51.100.1 40000 25\r\n"),
	SLICE_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n"), SLICE_INIT("PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n"),
	SLICE_INIT("PROXY TCP4 192.0.2 198.51.100.1 1 25\r\n"), SLICE_INIT("PROXY TCP4 192.0.2.7 x 1 25\r\n"), SLICE_INIT("PROXY TCP4 2001:db8::7 2001:db8::1 1 25\r\n"),
	SLICE_INIT("PROXY TCP6 192.0.2.7 198.51.100.1 1 25\r\n"), SLICE_INIT("PROXY TCP6 [2001:db8::7] 2001:db8::1 1 25\r\n"),
	SLICE_INIT("PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n"), SLICE_INIT("PROXY TCP4 192.0.2.7\0 198.51.100.1 1 25\r\n"),
	SLICE_INIT("PROXY TCP4 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	SLICE_INIT("\r\n\r\n\r"), SLICE_INIT(SIGN "\x11\x11\0\x0c" "aaaabbbbccdd"), SLICE_INIT(SIGN "\x22\x11\0\x0c" "aaaabbbbccdd"),
	SLICE_INIT(SIGN "\x21\x11\0\x0b" "aaaabbbbccd"), SLICE_INIT(SIGN "\x21\x21\0\x0c" "aaaabbbbccdd"), SLICE_INIT(SIGN "\x21\x11\xff\xff"),
};

static void headers(void **state)
{
	char text[NET_TEXT_MAX], longer[256];
	struct proxy_header h;
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		for (size_t n = 0; n < good[i].in.n; n++)
			if (proxy_header_take(slice_head(good[i].in, n), &h, &used) != PROXY_MORE)
				fail_msg("case %zu: %zu octets are not the whole", i, n);
		memcpy(longer, good[i].in.p, good[i].in.n);
		memcpy(longer + good[i].in.n, "EHLO", 4);
		used = 0;
		assert_int_equal(proxy_header_take(slice_mem(longer, good[i].in.n + 4), &h, &used), PROXY_OK);
		assert_int_equal(used, good[i].in.n);
		assert_int_equal(h.local, good[i].client == NULL);
		if (h.local)
			continue;
		assert_string_equal(net_addr_text(&h.client, text), good[i].client);
		assert_int_equal(h.client.port, good[i].port);
		assert_true(proxy_is_header(good[i].in));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (proxy_header_take(bad[i], &h, &used) != PROXY_BAD)
			fail_msg("case %zu is not refused", i);
	assert_false(proxy_is_header(SLICE("PROXY")));
	assert_false(proxy_is_header(SLICE("EHLO proxy")));
}

struct told { int fd; char client[NET_TEXT_MAX], why[128]; void *arg; struct loop *l; };

static void on_client(void *ctx, int fd, const struct net_addr *peer, void *arg)
{
	struct told *t = ctx;

	t->fd = fd;
	t->arg = arg;
	net_addr_text(peer, t->client);
	loop_stop(t->l);
}

static void on_bad(void *ctx, const struct net_addr *proxy, const char *why)
{
	struct told *t = ctx;

	(void)proxy;
	snprintf(t->why, sizeof(t->why), "%s", why);
	loop_stop(t->l);
}

static const struct proxy_set_ops ops = { on_client, on_bad };

static struct proxy_set *set_of(struct told *t)
{
	struct proxy_set *s;

	*t = (struct told){ .fd = -1, .l = loop_new() };
	assert_int_equal(proxy_set_new(&s, t->l, "198.51.100.0/24 2001:db8::5", &ops, t, NULL), 0);
	return s;
}

static struct net_addr addr(const char *text)
{
	struct net_addr a;

	assert_int_equal(net_addr_parse(slice_of(text), &a), 0);
	return a;
}

static void who_is_listed(void **state)
{
	struct told t;
	struct proxy_set *s = set_of(&t), *none;
	struct err e = ERR_INIT;
	struct net_addr in = addr("198.51.100.9"), in6 = addr("2001:db8::5"), out = addr("198.51.101.9");

	(void)state;
	assert_true(proxy_is_listed(s, &in));
	assert_true(proxy_is_listed(s, &in6));
	assert_false(proxy_is_listed(s, &out));
	assert_int_equal(proxy_set_new(&none, t.l, "198.51.100.9/24", &ops, &t, &e), -1);
	assert_non_null(strstr(e.text, "198.51.100.9/24"));
	proxy_set_free(&s);
	loop_free(&t.l);
}

/* The header comes in two pieces, the second with a client's first octets behind it: they are still in the socket. */
static void nothing_behind_is_read(void **state)
{
	static const char first[] = "PROXY TCP4 192.0.2.7 198", second[] = ".51.100.1 40000 25\r\n\x16\x03\x01";
	struct net_addr proxy = addr("198.51.100.9");
	char rest[16];
	int pair[2], here = 0;
	struct told t;
	struct proxy_set *s = set_of(&t);

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	proxy_wait(s, pair[0], &proxy, &here);
	assert_int_equal(proxy_waiting(s), 1);
	assert_int_equal(write(pair[1], first, sizeof(first) - 1), sizeof(first) - 1);
	struct loop_timer timer = { .slot = 0 };
	loop_timer_start(t.l, &timer, 20, (void (*)(void *))loop_stop, t.l);
	loop_run(t.l);
	assert_int_equal(t.fd, -1);
	assert_int_equal(write(pair[1], second, sizeof(second) - 1), sizeof(second) - 1);
	loop_run(t.l);
	assert_int_equal(t.fd, pair[0]);
	assert_ptr_equal(t.arg, &here);
	assert_string_equal(t.client, "192.0.2.7");
	assert_int_equal(read(pair[0], rest, sizeof(rest)), 3);
	assert_int_equal(proxy_waiting(s), 0);
	close(pair[0]);
	close(pair[1]);
	proxy_set_free(&s);
	loop_free(&t.l);
}

static const char *fate(struct told *t, const char *octets, bool end)
{
	struct net_addr proxy = addr("198.51.100.9");
	struct proxy_set *s = set_of(t);
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	proxy_wait(s, pair[0], &proxy, NULL);
	assert_int_equal(write(pair[1], octets, strlen(octets)), strlen(octets));
	if (end)
		close(pair[1]);
	loop_run(t->l);
	if (!end)
		close(pair[1]);
	if (t->fd >= 0)
		close(t->fd);
	proxy_set_free(&s);
	loop_free(&t->l);
	return t->why;
}

static void what_is_no_header_is_closed(void **state)
{
	struct told t;

	(void)state;
	assert_non_null(strstr(fate(&t, "EHLO x\r\n", false), "no PROXY header"));
	assert_non_null(strstr(fate(&t, "PROXY TCP4 1", true), "ended before"));
	assert_string_equal(fate(&t, "PROXY UNKNOWN\r\n", false), "");
	assert_string_equal(t.client, "198.51.100.9");
}

/* The set may go while connections wait: they are closed (the sanitizers look for what is left). */
static void free_while_waiting(void **state)
{
	struct net_addr proxy = addr("198.51.100.9");
	struct told t;
	struct proxy_set *s = set_of(&t);
	int pair[2];
	char c;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	proxy_wait(s, pair[0], &proxy, NULL);
	proxy_set_free(&s);
	assert_int_equal(read(pair[1], &c, 1), 0);
	close(pair[1]);
	loop_free(&t.l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers), cmocka_unit_test(who_is_listed), cmocka_unit_test(nothing_behind_is_read), cmocka_unit_test(what_is_no_header_is_closed),
		cmocka_unit_test(free_while_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
