/*
 * tests/bench/load.c - the load of the benchmarks: the same octets to whichever server listens, over as many connections as told.
 *
 *	load smtp PORT CONNECTIONS MESSAGES SIZE USERS DOMAIN      messages a second until the last 250
 *	load pop3 PORT CONNECTIONS SESSIONS USERS DOMAIN           login, STAT, LIST, RETR all, QUIT: sessions a second
 *	load imap PORT CONNECTIONS SESSIONS USERS DOMAIN           LOGIN, SELECT, FETCH 1:* ENVELOPE, LOGOUT: sessions a second
 *	load idle PORT CONNECTIONS USERS DOMAIN                    TLS, LOGIN, SELECT, IDLE; prints "ready" and waits for the end of stdin
 *	load silent PORT CONNECTIONS                               connects and says nothing; then the time until a new client is greeted, in ms
 *
 * Prints one number. Any reply that is not the expected one ends the program with status 1 and says which.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_SIZE = 1 << 18, PATIENCE_MS = 20000 };

struct job {
	uint16_t port;
	unsigned connections, users;
	int total;
	size_t size;
	const char *domain;
	char *body;
	atomic_int next;
	void (*one)(struct job *j, int n, unsigned user);
	atomic_uint threads;
};

struct wire {
	int fd;
	SSL *ssl;
	size_t from, len;
	char in[IN_SIZE];
};

static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Connects from 127.0.x.y so that no server counts all of it as one client. */
static int connect_from(uint16_t port, unsigned n)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) }, from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(0x7f000001);
	from.sin_addr.s_addr = htonl(0x7f000100 + n % 40);
	if (fd < 0 || bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		fail("connect to port %d: %s", port, strerror(errno));
	return fd;
}

static struct wire *wire_open(uint16_t port, unsigned n, SSL_CTX *tls)
{
	struct wire *w = malloc(sizeof(*w));

	w->fd = connect_from(port, n);
	w->from = w->len = 0;
	w->ssl = NULL;
	if (tls != NULL) {
		w->ssl = SSL_new(tls);
		SSL_set_fd(w->ssl, w->fd);
		if (SSL_connect(w->ssl) != 1)
			fail("TLS handshake failed");
	}
	return w;
}

static void wire_close(struct wire *w)
{
	if (w->ssl != NULL)
		SSL_free(w->ssl);
	close(w->fd);
	free(w);
}

static void put(struct wire *w, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = w->ssl != NULL ? SSL_write(w->ssl, p, (int)n) : send(w->fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			fail("write: %s", strerror(errno));
		p += k;
		n -= (size_t)k;
	}
}

static void say(struct wire *w, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	put(w, line, (size_t)n);
}

/* The next line, NUL instead of its LF; valid until the next call. */
static char *line_of(struct wire *w)
{
	for (;;) {
		char *start = w->in + w->from, *lf = memchr(start, '\n', w->len - w->from);
		ssize_t k;

		if (lf != NULL) {
			*lf = '\0';
			w->from = (size_t)(lf - w->in) + 1;
			return start;
		}
		memmove(w->in, start, w->len - w->from);
		w->len -= w->from;
		w->from = 0;
		if (w->len == IN_SIZE)
			fail("a line over %d octets", IN_SIZE);
		k = w->ssl != NULL ? SSL_read(w->ssl, w->in + w->len, (int)(IN_SIZE - w->len)) : recv(w->fd, w->in + w->len, IN_SIZE - w->len, 0);
		if (k <= 0)
			fail("the server closed the connection");
		w->len += (size_t)k;
	}
}

static void want(struct wire *w, const char *code)
{
	char *line;

	do {
		line = line_of(w);
		if (strncmp(line, code, strlen(code)) != 0)
			fail("wanted %s, got: %s", code, line);
	} while (strlen(code) == 3 && line[3] == '-');
}

static void want_tagged(struct wire *w, const char *tag)
{
	char ok[16];
	char *line;

	snprintf(ok, sizeof(ok), "%s OK", tag);
	do
		line = line_of(w);
	while (strncmp(line, tag, strlen(tag)) != 0 || line[strlen(tag)] != ' ');
	if (strncmp(line, ok, strlen(ok)) != 0)
		fail("wanted %s, got: %s", ok, line);
}

static unsigned user_of(const struct job *j, int n)
{
	return 1 + (unsigned)n % j->users;
}

/*
 * ---- SMTP: one connection carries all of its messages, as sending servers do ----
 *
 * One thread over epoll, whatever the number of connections: what the load itself takes of the processors is missing in the number, on both sides alike.
 * A reply is looked at as far as needed: its code, and where its last line ends.
 */

enum step { GREETED, HELLO, ENVELOPE, BODY };

struct talk {
	int fd;
	enum step step;
	unsigned replies;                                             /* of ENVELOPE so far */
	size_t len;
	char in[4096];
};

static void send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			fail("write: %s", strerror(errno));
		p += k;
		n -= (size_t)k;
	}
}

/* False: nothing is left to send. */
static bool next_message(struct job *j, struct talk *t)
{
	char line[512];
	int n = atomic_fetch_add(&j->next, 1), len;

	if (n >= j->total) {
		send_all(t->fd, "QUIT\r\n", 6);
		close(t->fd);
		return false;
	}
	len = snprintf(line, sizeof(line), "MAIL FROM:<sender@elsewhere.example>\r\nRCPT TO:<u%u@%s>\r\nDATA\r\n", user_of(j, n), j->domain);
	send_all(t->fd, line, (size_t)len);
	t->step = ENVELOPE;
	t->replies = 0;
	return true;
}

/* The next whole reply, whatever its number of lines; its code must be `code`. False: it has not all come yet. */
static bool take_reply(struct talk *t, const char *code)
{
	for (size_t from = 0;;) {
		char *lf = memchr(t->in + from, '\n', t->len - from);
		bool last;

		if (lf == NULL)
			return false;
		if (memcmp(t->in + from, code, 3) != 0)
			fail("wanted %s, got: %.*s", code, (int)(lf - t->in - (ptrdiff_t)from), t->in + from);
		last = t->in[from + 3] == ' ';
		from = (size_t)(lf - t->in) + 1;
		if (!last)
			continue;
		t->len -= from;
		memmove(t->in, t->in + from, t->len);
		return true;
	}
}

/* False: this connection is done. */
static bool heed_replies(struct job *j, struct talk *t)
{
	static const char *const wanted[] = { [GREETED] = "220", [HELLO] = "250", [ENVELOPE] = "250", [BODY] = "250" };

	while (take_reply(t, t->step == ENVELOPE && t->replies == 2 ? "354" : wanted[t->step])) {
		switch (t->step) {
		case GREETED:
			send_all(t->fd, "EHLO load.test\r\n", 16);
			t->step = HELLO;
			break;
		case ENVELOPE:
			if (++t->replies == 3) {
				send_all(t->fd, j->body, j->size);
				t->step = BODY;
			}
			break;
		case HELLO:
		case BODY:
			if (!next_message(j, t))
				return false;
			break;
		}
	}
	return true;
}

static void smtp(struct job *j)
{
	struct talk *talks = calloc(j->connections, sizeof(*talks));
	struct epoll_event events[256];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned open = j->connections;
	double began = seconds();

	for (unsigned i = 0; i < open; i++) {
		talks[i].fd = connect_from(j->port, i);
		epoll_ctl(epoll, EPOLL_CTL_ADD, talks[i].fd, &(struct epoll_event){ .events = EPOLLIN, .data = { .ptr = &talks[i] } });
	}
	while (open > 0) {
		int n = epoll_wait(epoll, events, 256, PATIENCE_MS);

		if (n <= 0)
			fail("no reply within %d ms", PATIENCE_MS);
		for (int i = 0; i < n; i++) {
			struct talk *t = events[i].data.ptr;
			ssize_t k = recv(t->fd, t->in + t->len, sizeof(t->in) - t->len, 0);

			if (k <= 0)
				fail("the server closed the connection");
			t->len += (size_t)k;
			open -= !heed_replies(j, t);
		}
	}
	printf("%.1f\n", (double)j->total / (seconds() - began));
	free(talks);
}

static void pop3_session(struct job *j, int n, unsigned user)
{
	struct wire *w = wire_open(j->port, (unsigned)n, NULL);
	unsigned count = 0;

	want(w, "+OK");
	say(w, "USER u%u@%s\r\n", user, j->domain);
	want(w, "+OK");
	say(w, "PASS secret\r\n");
	want(w, "+OK");
	say(w, "STAT\r\n");
	if (sscanf(line_of(w), "+OK %u", &count) != 1)
		fail("STAT not understood");
	say(w, "LIST\r\n");
	while (strcmp(line_of(w), ".\r") != 0)
		;
	for (unsigned i = 1; i <= count; i++) {
		say(w, "RETR %u\r\n", i);
		want(w, "+OK");
		while (strcmp(line_of(w), ".\r") != 0)
			;
	}
	say(w, "QUIT\r\n");
	want(w, "+OK");
	wire_close(w);
}

static void imap_session(struct job *j, int n, unsigned user)
{
	struct wire *w = wire_open(j->port, (unsigned)n, NULL);

	want(w, "* OK");
	say(w, "a LOGIN u%u@%s secret\r\n", user, j->domain);
	want_tagged(w, "a");
	say(w, "b SELECT INBOX\r\n");
	want_tagged(w, "b");
	say(w, "c FETCH 1:* ENVELOPE\r\n");
	want_tagged(w, "c");
	say(w, "d LOGOUT\r\n");
	want_tagged(w, "d");
	wire_close(w);
}

/* A thread has users of its own: a POP3 mailbox is for one session at a time. */
static void *session_thread(void *arg)
{
	struct job *j = arg;
	unsigned mine = j->users / j->connections > 0 ? j->users / j->connections : 1;
	unsigned first = atomic_fetch_add(&j->threads, 1) * mine, turn = 0;
	int n;

	while ((n = atomic_fetch_add(&j->next, 1)) < j->total)
		j->one(j, n, 1 + (first + turn++ % mine) % j->users);
	return NULL;
}

static void run(struct job *j, void *(*thread)(void *))
{
	pthread_t *t = calloc(j->connections, sizeof(*t));
	double began = seconds();

	for (unsigned i = 0; i < j->connections; i++)
		pthread_create(&t[i], NULL, thread, j);
	for (unsigned i = 0; i < j->connections; i++)
		pthread_join(t[i], NULL);
	printf("%.1f\n", (double)j->total / (seconds() - began));
	free(t);
}

static char *message_of(size_t size)
{
	static const char head[] = "From: Load <sender@elsewhere.example>\r\nTo: You <you@office.example>\r\nSubject: a letter of some length\r\n"
	    "Date: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <load@elsewhere.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n";
	char *p = malloc(size + 8);
	size_t at = sizeof(head) - 1;

	memcpy(p, head, at);
	for (unsigned column = 0; at < size - 5; at++, column++) {
		bool eol = column % 72 == 70 && at + 2 < size - 5;

		p[at] = p[at - 1] == '\r' ? '\n' : eol ? '\r' : (char)('a' + column % 26);
	}
	memcpy(p + size - 5, "\r\n.\r\n", 5);
	return p;
}

static void idle(struct job *j)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	char octet;

	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	for (unsigned i = 0; i < j->connections; i++) {
		struct wire *w = wire_open(j->port, i, tls);

		want(w, "* OK");
		say(w, "a LOGIN u%u@%s secret\r\n", user_of(j, (int)i), j->domain);
		want_tagged(w, "a");
		say(w, "b SELECT INBOX\r\n");
		want_tagged(w, "b");
		say(w, "c IDLE\r\n");
		want(w, "+");
	}
	puts("ready");
	fflush(stdout);
	while (read(0, &octet, 1) > 0)
		;
}

static void silent(struct job *j)
{
	struct wire *w;
	double began;

	for (unsigned i = 0; i < j->connections; i++)
		(void)connect_from(j->port, i);
	usleep(300000);
	began = seconds();
	w = wire_open(j->port, 7, NULL);
	if (poll(&(struct pollfd){ .fd = w->fd, .events = POLLIN }, 1, PATIENCE_MS) == 1)
		line_of(w);                                           /* else: not greeted, and the patience is the number */
	printf("%.1f\n", (seconds() - began) * 1000);
}

int main(int argc, char **argv)
{
	struct job j = { .users = 1 };
	const char *what = argc > 3 ? argv[1] : "";

	if (argc < 4)
		fail("usage: see the top of load.c");
	j.port = (uint16_t)strtoul(argv[2], NULL, 10);
	j.connections = (unsigned)strtoul(argv[3], NULL, 10);
	if (strcmp(what, "smtp") == 0 && argc == 8) {
		j.total = (int)strtol(argv[4], NULL, 10);
		j.size = strtoul(argv[5], NULL, 10);
		j.users = (unsigned)strtoul(argv[6], NULL, 10);
		j.domain = argv[7];
		j.body = message_of(j.size);
		smtp(&j);
	} else if ((strcmp(what, "pop3") == 0 || strcmp(what, "imap") == 0) && argc == 7) {
		j.total = (int)strtol(argv[4], NULL, 10);
		j.users = (unsigned)strtoul(argv[5], NULL, 10);
		j.domain = argv[6];
		j.one = what[0] == 'p' ? pop3_session : imap_session;
		run(&j, session_thread);
	} else if (strcmp(what, "idle") == 0 && argc == 6) {
		j.users = (unsigned)strtoul(argv[4], NULL, 10);
		j.domain = argv[5];
		idle(&j);
	} else if (strcmp(what, "silent") == 0) {
		silent(&j);
	} else {
		fail("usage: see the top of load.c");
	}
	return 0;
}
