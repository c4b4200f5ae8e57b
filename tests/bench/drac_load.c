/*
 * tests/bench/drac_load.c - the load of tests/bench/drac: version 3 calls over dracd's local socket, as many in flight as told.
 *
 *	drac_load grant SOCKET FIRST COUNT FLIGHT TTL  grants for addresses FIRST, FIRST+1, ..., each with a user of its own: a second
 *	drac_load query SOCKET FIRST COUNT FLIGHT      questions for them: a second
 *	drac_load probe SOCKET FIRST COUNT             one question each millisecond until stdin ends: the slowest answer and that of which 1 in 1000
 *                                                is slower, in ms
 *	drac_load original FILE FIRST COUNT            the original's kind of work: one put and one sync of a btree a call: a second
 *
 * Prints one number (probe: two). An answer that is not OK ends the program with status 1.
 */
#include <db.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"
#include "drac/drac_msg.h"

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static struct net_addr address(uint32_t i)
{
	return (struct net_addr){ .octets = { 100, (uint8_t)(64 + (i >> 16)), (uint8_t)(i >> 8), (uint8_t)i }, .len = 4 };
}

static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) != 0)
		fail(path);
	return fd;
}

static void put_call(struct buf *b, enum drac_proc proc, uint32_t i, uint32_t ttl)
{
	size_t at = b->len;
	char user[40], session[24];

	xdr_put_u32(b, 0);
	drac_call_put(b, i, 3, proc);
	if (proc == DRAC3_QUERY) {
		struct drac_key k = { .addr = address(i) };
		drac_key_put(b, &k);
	} else {
		struct drac_grant_args g = { .addr = address(i), .ttl = ttl, .who = { .service = SLICE("imaps"), .host = SLICE("mail.office.example") } };
		g.who.user = slice_mem(user, (size_t)snprintf(user, sizeof(user), "user%u@office.example", i));
		g.who.session = slice_mem(session, (size_t)snprintf(session, sizeof(session), "%016x", i));
		drac_grant_args_put(b, &g);
	}
	xdr_set_u32(b, at, DRAC_RECORD_LAST | (uint32_t)(b->len - at - 4));
}

static void send_all(int fd, struct buf *b)
{
	for (size_t n = 0; n < b->len;) {
		ssize_t w = write(fd, b->p + n, b->len - n);
		if (w < 0)
			fail("write");
		n += (size_t)w;
	}
	buf_reset(b);
}

/* Takes whole answers off *in; each must be OK. Returns their number. */
static uint32_t take_answers(struct buf *in)
{
	struct slice rest = buf_view(in), result;
	struct drac_entry e;
	enum drac_status st;
	uint32_t xid, retry, n = 0;

	for (;;) {
		struct xdr x = { rest, false };
		uint32_t len = xdr_get_u32(&x) & ~DRAC_RECORD_LAST;
		if (x.broken || x.rest.n < len)
			break;
		if (drac_reply_read(slice_head(x.rest, len), &xid, &result) != 0 || drac_grant_res_read(result, &st, &e, &retry) != 0 || st != DRAC3_OK) {
			fprintf(stderr, "an answer is not OK\n");
			exit(1);
		}
		rest = slice_from(x.rest, len);
		n++;
	}
	buf_take(in, in->len - rest.n);
	return n;
}

static uint32_t receive(int fd, struct buf *in)
{
	char *room = buf_room(in, 65536);
	ssize_t n = room ? read(fd, room, 65536) : -1;

	if (n <= 0)
		fail("read");
	buf_filled(in, (size_t)n);
	return take_answers(in);
}

static void calls(enum drac_proc proc, const char *path, uint32_t first, uint32_t count, uint32_t flight, uint32_t ttl)
{
	int fd = connect_to(path);
	struct buf out, in;
	uint32_t sent = 0, got = 0;
	double began = seconds();

	buf_init(&out, BUF_UNBOUNDED);
	buf_init(&in, BUF_UNBOUNDED);
	while (got < count) {
		while (sent < count && sent - got < flight)
			put_call(&out, proc, first + sent++, ttl);
		send_all(fd, &out);
		got += receive(fd, &in);
	}
	printf("%.0f\n", count / (seconds() - began));
}

static int by_size(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return d < 0 ? -1 : d > 0;
}

static void probe(const char *path, uint32_t first, uint32_t count)
{
	enum { PROBES_MAX = 1 << 20 };
	static double took[PROBES_MAX];
	struct pollfd end = { .fd = 0, .events = POLLIN };
	int fd = connect_to(path);
	struct buf out, in;
	uint32_t n = 0;

	buf_init(&out, BUF_UNBOUNDED);
	buf_init(&in, BUF_UNBOUNDED);
	while (n < PROBES_MAX && poll(&end, 1, 1) == 0) {
		double began = seconds();
		put_call(&out, DRAC3_QUERY, first + n % count, 0);
		send_all(fd, &out);
		while (receive(fd, &in) == 0)
			;
		took[n++] = seconds() - began;
	}
	qsort(took, n, sizeof(took[0]), by_size);
	if (n != 0)
		printf("%.2f %.2f\n", took[n - 1] * 1000, took[n - 1 - n / 1000] * 1000);
}

static void original(const char *path, uint32_t first, uint32_t count)
{
	double began = seconds();
	DB *db;

	if (db_create(&db, NULL, 0) != 0 || db->set_pagesize(db, 512) != 0 || db->open(db, NULL, path, NULL, DB_BTREE, DB_CREATE, 0644) != 0)
		fail(path);
	for (uint32_t i = first; i < first + count; i++) {
		char key[NET_TEXT_MAX], value[24];
		struct net_addr a = address(i);
		DBT k, v;
		memset(&k, 0, sizeof(k));
		memset(&v, 0, sizeof(v));
		net_addr_text(&a, key);
		k.data = key;
		k.size = (u_int32_t)strlen(key);
		v.data = value;
		v.size = (u_int32_t)snprintf(value, sizeof(value), "%lld", (long long)time(NULL) + 1800);
		if (db->put(db, NULL, &k, &v, 0) != 0 || db->sync(db, 0) != 0)
			fail("put");
	}
	printf("%.0f\n", count / (seconds() - began));
	db->close(db, 0);
}

static uint32_t number(const char *text)
{
	uint32_t n = 0;

	if (num_u32(slice_of(text), UINT32_MAX, &n) != 0) {
		fprintf(stderr, "%s is not a number\n", text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	uint32_t first = number(argv[3]), count = number(argv[4]), flight = argc > 5 ? number(argv[5]) : 1, ttl = argc > 6 ? number(argv[6]) : 0;

	if (strcmp(argv[1], "grant") == 0)
		calls(DRAC3_GRANT, argv[2], first, count, flight, ttl);
	else if (strcmp(argv[1], "query") == 0)
		calls(DRAC3_QUERY, argv[2], first, count, flight, ttl);
	else if (strcmp(argv[1], "probe") == 0)
		probe(argv[2], first, count);
	else if (strcmp(argv[1], "original") == 0)
		original(argv[2], first, count);
	else
		return 2;
	return 0;
}
