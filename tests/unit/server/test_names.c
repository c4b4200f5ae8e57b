/*
 * Names of clients and domains of senders, against a name server of our own in a child process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "server/names.h"

/* ---- the name server ---- */

/* name, type, and what is answered: a name (PTR, MX), an address (A, AAAA), "" no data, "refused" a failure; what is not here does not exist */
static const struct { const char *name; int type; const char *data; } zone[] = {
	{ "7.2.0.192.in-addr.arpa", 12, "pc.partner.test" }, { "pc.partner.test", 1, "192.0.2.7" },
	{ "8.2.0.192.in-addr.arpa", 12, "pc.partner.test" },
	{ "10.2.0.192.in-addr.arpa", 12, "refused" },
	{ "11.2.0.192.in-addr.arpa", 12, "slow.partner.test" }, { "slow.partner.test", 1, "refused" },
	{ "mx.test", 15, "mail.mx.test" }, { "null.test", 15, "." }, { "a.test", 15, "" }, { "a.test", 1, "192.0.2.1" },
	{ "empty.test", 15, "" }, { "empty.test", 1, "" }, { "empty.test", 28, "" }, { "broken.test", 15, "refused" },
};

static size_t put_name(uint8_t *out, const char *name)
{
	size_t n = 0;

	while (*name != '\0' && *name != '.') {
		size_t len = strcspn(name, ".");

		out[n++] = (uint8_t)len;
		memcpy(out + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	out[n++] = 0;
	return n;
}

static size_t get_name(const uint8_t *in, char out[256])
{
	size_t n = 0, at = 0;

	while (in[at] != 0) {
		for (uint8_t i = 1; i <= in[at]; i++)
			out[n++] = (char)(in[at + i] | (in[at + i] >= 'A' && in[at + i] <= 'Z' ? 0x20 : 0));
		out[n++] = '.';
		at += in[at] + 1u;
	}
	out[n > 0 ? n - 1 : 0] = '\0';
	return at + 1;
}

static size_t put_rdata(uint8_t *out, int type, const char *data)
{
	size_t n = 0;

	if (type == 1)
		return inet_pton(AF_INET, data, out) == 1 ? 4 : 0;
	if (type == 15)
		n = 2;
	return n + put_name(out + n, data);
}

static size_t answer(uint8_t *m)
{
	char name[256];
	size_t end = 12 + get_name(m + 12, name) + 4, n = end, rdata;
	int type = m[end - 4] << 8 | m[end - 3], rcode = 3;

	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++) {
		rcode = strcmp(zone[i].name, name) == 0 && rcode == 3 ? 0 : rcode;
		if (strcmp(zone[i].name, name) != 0 || zone[i].type != type)
			continue;
		rcode = strcmp(zone[i].data, "refused") == 0 ? 2 : 0;
		if (rcode != 0 || zone[i].data[0] == '\0')
			continue;
		memcpy(m + n, (uint8_t[]){ 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60, 0, 0 }, 12);
		memset(m + n + 12, 0, 2);
		rdata = put_rdata(m + n + 12, type, zone[i].data);
		m[n + 11] = (uint8_t)rdata;
		n += 12 + rdata;
	}
	m[2] = 0x85;
	m[3] = (uint8_t)(0x80 | rcode);
	m[7] = n > end;
	memset(m + 8, 0, 4);
	return n;
}

static pid_t serve(char server[64])
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } }, from;
	socklen_t len = sizeof(sa), from_len = sizeof(from);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint8_t m[1500];
	pid_t pid;

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	snprintf(server, 64, "127.0.0.1@%u", ntohs(sa.sin_port));
	pid = fork();
	if (pid != 0) {
		close(fd);
		return pid;
	}
	while (recvfrom(fd, m, 512, 0, (struct sockaddr *)&from, &from_len) > 12) {
		size_t n = answer(m);

		if (sendto(fd, m, n, 0, (struct sockaddr *)&from, from_len) < 0)
			break;
		from_len = sizeof(from);
	}
	_exit(0);
}

/* ---- the tests ---- */

static struct loop *loop;
static struct dns *dns;
static struct names *names;
static pid_t server_pid;
static int got_state;
static char got_name[256];
static bool waiting;

static void on_client(void *ctx, enum relay_name state, struct slice name)
{
	(void)ctx;
	got_state = (int)state;
	snprintf(got_name, sizeof(got_name), "%.*s", SLICE_FMT(name));
	if (waiting)
		loop_stop(loop);
}

static void on_domain(void *ctx, enum names_domain state)
{
	(void)ctx;
	got_state = (int)state;
	if (waiting)
		loop_stop(loop);
}

static bool wait_for(struct names_query *q)
{
	waiting = q != NULL;
	if (waiting)
		loop_run(loop);
	waiting = false;
	return q != NULL;
}

static bool ask_client(const char *addr)
{
	struct net_addr a;

	got_state = -1;
	assert_int_equal(net_addr_parse(slice_of(addr), &a), 0);
	return wait_for(names_client(names, &a, 3000, on_client, NULL));
}

static bool ask_domain(const char *domain)
{
	got_state = -1;
	return wait_for(names_domain(names, slice_of(domain), 3000, on_domain, NULL));
}

static void test_clients(void **state)
{
	static const struct { const char *addr; enum relay_name state; const char *name; } clients[] = {
		{ "192.0.2.7", RELAY_NAME_OK, "pc.partner.test" }, { "192.0.2.8", RELAY_NAME_FORGED, "pc.partner.test" }, { "192.0.2.9", RELAY_NAME_FAIL, "" },
		{ "192.0.2.10", RELAY_NAME_TEMP, "" }, { "192.0.2.11", RELAY_NAME_TEMP, "" }, { "192.0.2.200", RELAY_NAME_OK, "printer.office.test" },
		{ "2001:db8::5", RELAY_NAME_OK, "six.office.test" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		(void)ask_client(clients[i].addr);
		assert_int_equal(got_state, clients[i].state);
		assert_string_equal(got_name, clients[i].name);
		assert_false(ask_client(clients[i].addr));            /* from memory, at once */
		assert_int_equal(got_state, clients[i].state);
		assert_string_equal(got_name, clients[i].name);
	}
}

static void test_domains(void **state)
{
	static const struct { const char *domain; enum names_domain state; } domains[] = {
		{ "mx.test", NAMES_DOMAIN_FINE }, { "a.test", NAMES_DOMAIN_FINE }, { "null.test", NAMES_DOMAIN_NONE }, { "nothing.test", NAMES_DOMAIN_NONE },
		{ "empty.test", NAMES_DOMAIN_NONE }, { "broken.test", NAMES_DOMAIN_TEMP },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		assert_true(ask_domain(domains[i].domain));
		if (got_state != (int)domains[i].state)
			fail_msg("%s: %d", domains[i].domain, got_state);
		assert_false(ask_domain(domains[i].domain));
		assert_int_equal(got_state, domains[i].state);
	}
}

static void test_cancel(void **state)
{
	struct net_addr a;
	struct names_query *q;

	(void)state;
	assert_int_equal(net_addr_parse(SLICE("192.0.2.77"), &a), 0);
	got_state = -1;
	q = names_client(names, &a, 3000, on_client, NULL);
	assert_non_null(q);
	names_cancel(&q);
	assert_null(q);
	(void)ask_domain("never-asked.test");
	assert_int_equal(got_state, NAMES_DOMAIN_NONE);
	names_cancel(&q);
}

static int set_up(void **state)
{
	static char server[64], hosts[] = "/tmp/test_names.XXXXXX";
	struct err e = ERR_INIT;
	int fd = mkstemp(hosts);

	(void)state;
	server_pid = serve(server);
	if (fd < 0 || file_write_all(fd, SLICE("# hosts\n127.0.0.1 localhost\n192.0.2.200\tprinter.office.test printer # scans\n2001:db8::5 six.office.test\nnonsense x\n")) != 0)
		return -1;
	close(fd);
	loop = loop_new();
	if (dns_new(&dns, loop, "/dev/null", server, &e) != 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	names = names_new(loop, dns, hosts);
	return unlink(hosts);
}

static int tear_down(void **state)
{
	(void)state;
	names_free(&names);
	dns_free(&dns);
	loop_free(&loop);
	kill(server_pid, SIGKILL);
	return waitpid(server_pid, NULL, 0) == server_pid ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_clients), cmocka_unit_test(test_domains), cmocka_unit_test(test_cancel) };

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
