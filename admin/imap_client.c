/*
 * admin/imap_client.c - see the header.
 */
#include "admin/imap_client.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "io/dns.h"
#include "io/tls.h"

enum { WAIT_S = 60, LINE_MAX_OCTETS = 1 << 20, CHUNK = 64 << 10, ADDRS_MOST = 16 };

struct imap_client {
	const struct imap_source *src;
	int fd;
	struct tls_ctx *ctx;
	SSL *ssl;                                                     /* NULL: in the clear */
	unsigned tag;
	struct buf in, response, capabilities;
	size_t used;                                                  /* of in */
	struct arena *a;
};

/* ---- octets ---- */

static int broken(struct imap_client *c, const char *what, struct err *e)
{
	if (c->ssl != NULL && errno != EAGAIN && errno != EWOULDBLOCK)
		return tls_why(c->ssl, what, e);
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return err_set(e, ERR_TEMP, 0, "%s: %s: nothing for %d s", c->src->host, what, WAIT_S);
	return err_set(e, ERR_TEMP, errno, "%s: %s", c->src->host, what);
}

static int fill(struct imap_client *c, struct err *e)
{
	char octets[CHUNK];
	ssize_t n;

	if (c->used == c->in.len) {
		buf_reset(&c->in);
		c->used = 0;
	}
	errno = 0;
	do
		n = c->ssl != NULL ? SSL_read(c->ssl, octets, (int)sizeof octets) : read(c->fd, octets, sizeof octets);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno == 0))
		return err_set(e, ERR_TEMP, 0, "%s: the server has closed the connection", c->src->host);
	if (n < 0)
		return broken(c, "reading", e);
	buf_put(&c->in, slice_mem(octets, (size_t)n));
	return 0;
}

static int put_octets(struct imap_client *c, struct slice s, struct err *e)
{
	if (c->ssl == NULL)
		return file_write_all(c->fd, s) == 0 ? 0 : broken(c, "writing", e);
	return SSL_write(c->ssl, s.p, (int)s.n) == (int)s.n ? 0 : broken(c, "writing", e);
}

static int take(struct imap_client *c, size_t n, struct err *e)
{
	while (n > 0) {
		size_t have = c->in.len - c->used;

		if (have == 0 && fill(c, e) != 0)
			return -1;
		have = c->in.len - c->used;
		have = have < n ? have : n;
		buf_put(&c->response, slice_mem(c->in.p + c->used, have));
		c->used += have;
		n -= have;
	}
	return 0;
}

/* A line goes behind what is in c->response, with its CRLF. */
static int take_line(struct imap_client *c, struct err *e)
{
	size_t looked = 0;

	for (;;) {
		struct slice have = slice_mem(c->in.p + c->used, c->in.len - c->used);
		ptrdiff_t lf = have.n == looked ? -1 : slice_chr(slice_from(have, looked), '\n');

		if (lf >= 0)
			return take(c, looked + (size_t)lf + 1, e);
		looked = have.n;
		if (looked > LINE_MAX_OCTETS)
			return err_set(e, ERR_SYNTAX, 0, "%s: a line of over %d octets", c->src->host, LINE_MAX_OCTETS);
		if (c->used > 0) {
			struct slice rest = arena_dup(c->a, have);

			buf_reset(&c->in);
			buf_put(&c->in, rest);
			c->used = 0;
		}
		if (fill(c, e) != 0)
			return -1;
	}
}

/* "... {123}" CRLF at its end: so many octets follow. */
static bool ends_in_literal(struct slice response, uint64_t *n_out)
{
	struct slice number;
	ptrdiff_t open;

	if (!slice_ends(response, SLICE("}\r\n")) || (open = slice_rchr(response, '{')) < 0)
		return false;
	number = slice_mem(response.p + open + 1, response.n - (size_t)open - 4);
	return num_u64(number, UINT64_MAX, n_out) == 0;
}

static int read_response(struct imap_client *c, struct err *e)
{
	uint64_t n;

	buf_reset(&c->response);
	arena_reset(c->a);
	if (take_line(c, e) != 0)
		return -1;
	while (ends_in_literal(buf_view(&c->response), &n)) {
		if (n > LIMIT_IMPORT_MESSAGE || c->response.len > LIMIT_IMPORT_MESSAGE)
			return err_set(e, ERR_SYNTAX, 0, "%s: a message of over %u octets", c->src->host, LIMIT_IMPORT_MESSAGE);
		if (take(c, (size_t)n, e) != 0 || take_line(c, e) != 0)
			return -1;
	}
	return 0;
}

/* ---- pieces ---- */

static struct imap_piece quoted(struct slice *rest, struct arena *a)
{
	char *text = arena_alloc(a, rest->n + 1);
	size_t n = 0, i = 1;

	for (; i < rest->n && rest->p[i] != '"' && rest->p[i] != '\n'; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->n)
			i++;
		text[n++] = rest->p[i];
	}
	*rest = slice_from(*rest, i + 1);
	return (struct imap_piece){ IMAP_PIECE_STRING, slice_mem(text, n) };
}

static struct imap_piece literal(struct slice *rest)
{
	ptrdiff_t lf = slice_chr(*rest, '\n');
	struct imap_piece piece = { .kind = IMAP_PIECE_END };
	uint64_t n;

	if (lf < 4 || !ends_in_literal(slice_head(*rest, (size_t)lf + 1), &n) || n > rest->n - (size_t)lf - 1)
		return piece;
	piece = (struct imap_piece){ IMAP_PIECE_STRING, slice_mem(rest->p + lf + 1, (size_t)n) };
	*rest = slice_from(*rest, (size_t)lf + 1 + (size_t)n);
	return piece;
}

/* "BODY[HEADER.FIELDS (A B)]" is one atom. */
static struct imap_piece atom(struct slice *rest)
{
	struct imap_piece piece = { IMAP_PIECE_ATOM, *rest };
	unsigned depth = 0;
	size_t n = 0;

	for (; n < rest->n; n++) {
		char ch = rest->p[n];

		depth += ch == '[';
		depth -= ch == ']' && depth > 0;
		if (ch == '\r' || ch == '\n' || (depth == 0 && (ch == ' ' || ch == '(' || ch == ')')))
			break;
	}
	piece.text = slice_head(*rest, n);
	*rest = slice_from(*rest, n);
	return piece;
}

struct imap_piece imap_piece_next(struct slice *rest, struct arena *a)
{
	while (rest->n > 0 && rest->p[0] == ' ')
		*rest = slice_from(*rest, 1);
	if (rest->n == 0 || rest->p[0] == '\r' || rest->p[0] == '\n')
		return (struct imap_piece){ .kind = IMAP_PIECE_END };
	if (rest->p[0] == '(' || rest->p[0] == ')') {
		struct imap_piece piece = { rest->p[0] == '(' ? IMAP_PIECE_OPEN : IMAP_PIECE_CLOSE, SLICE_NONE };

		*rest = slice_from(*rest, 1);
		return piece;
	}
	return rest->p[0] == '"' ? quoted(rest, a) : rest->p[0] == '{' ? literal(rest) : atom(rest);
}

void imap_client_quote(struct slice text, struct buf *out)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			buf_putc(out, '\\');
		buf_putc(out, text.p[i]);
	}
	buf_putc(out, '"');
}

/* ---- commands ---- */

static void note_capabilities(struct imap_client *c, struct slice response)
{
	ptrdiff_t at = slice_starts(response, SLICE("CAPABILITY ")) ? 0 : slice_find(response, SLICE("[CAPABILITY "));
	ptrdiff_t end;

	if (at < 0)
		return;
	response = slice_from(response, (size_t)at);
	end = slice_chr(response, ']');
	buf_reset(&c->capabilities);
	buf_puts(&c->capabilities, " ");
	buf_put(&c->capabilities, slice_trim(end < 0 ? response : slice_head(response, (size_t)end)));
	buf_puts(&c->capabilities, " ");
}

bool imap_client_has(const struct imap_client *c, const char *capability)
{
	char word[64];

	snprintf(word, sizeof word, " %s ", capability);
	return slice_ifind(buf_view(&c->capabilities), slice_of(word)) >= 0;
}

/* 0: the tagged OK. A continuation is 1 where one is awaited. */
static int await(struct imap_client *c, bool wants_more, imap_client_fn *fn, void *ctx, struct err *e)
{
	for (;;) {
		struct slice line, tag;

		if (read_response(c, e) != 0)
			return -1;
		line = buf_view(&c->response);
		if (slice_starts(line, SLICE("* "))) {
			note_capabilities(c, slice_from(line, 2));
			if (fn != NULL && fn(ctx, slice_from(line, 2), c->a, e) != 0)
				return -1;
			continue;
		}
		if (slice_starts(line, SLICE("+")) && wants_more)
			return 1;
		slice_word(&line, &tag);
		line = slice_trim(line);
		note_capabilities(c, line);
		if (slice_istarts(line, SLICE("OK")))
			return 0;
		return err_set(e, slice_istarts(line, SLICE("NO")) ? ERR_DENIED : ERR_SYNTAX, 0, "%s says: %.*s", c->src->host, SLICE_FMT(slice_head(line, 200)));
	}
}

int imap_client_do(struct imap_client *c, imap_client_fn *fn, void *ctx, struct err *e, const char *fmt, ...)
{
	struct buf command;
	va_list ap;
	int rc;

	buf_init(&command, BUF_UNBOUNDED);
	buf_putf(&command, "P%u ", ++c->tag);
	va_start(ap, fmt);
	if (buf_vaddf(&command, fmt, ap) != 0)
		abort();
	va_end(ap);
	buf_puts(&command, "\r\n");
	rc = put_octets(c, buf_view(&command), e);
	buf_done(&command);
	return rc != 0 ? -1 : await(c, false, fn, ctx, e);
}

/* ---- the beginning ---- */

struct lookup { struct loop *l; struct net_addr v[ADDRS_MOST]; size_t n; unsigned open; bool temporary; };

static void on_addrs(void *ctx, const struct dns_answer *answer)
{
	struct lookup *k = ctx;

	for (size_t i = 0; i < answer->n && k->n < ADDRS_MOST; i++)
		k->n += dns_get_addr(answer->data[i], &k->v[k->n]) == 0;
	k->temporary = k->temporary || answer->status == DNS_FAILED || answer->status == DNS_TIMEOUT;
	if (--k->open == 0)
		loop_stop(k->l);
}

static int look_up(const struct imap_source *src, struct lookup *k, struct err *e)
{
	struct dns *dns = NULL;
	int rc;

	*k = (struct lookup){ .open = 2 };
	if (net_addr_parse(slice_of(src->host), &k->v[0]) == 0) {
		k->n = 1;
		return 0;
	}
	k->l = loop_new();
	rc = dns_new(&dns, k->l, src->resolv_conf, src->dns_server, e);
	if (rc == 0) {
		(void)dns_ask(dns, slice_of(src->host), DNS_AAAA, WAIT_S * 1000 / 2, on_addrs, k);
		(void)dns_ask(dns, slice_of(src->host), DNS_A, WAIT_S * 1000 / 2, on_addrs, k);
		loop_run(k->l);
		dns_free(&dns);
	}
	loop_free(&k->l);
	if (rc != 0)
		return -1;
	return k->n > 0 ? 0 : err_set(e, k->temporary ? ERR_TEMP : ERR_NOTFOUND, 0, "%s: %s", src->host, k->temporary ? "DNS does not answer" : "no such host in DNS");
}

static int connect_one(const struct net_addr *a)
{
	struct timeval wait = { .tv_sec = WAIT_S };
	struct sockaddr_storage sa;
	socklen_t len = net_addr_to_sockaddr(a, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 &&
	    connect(fd, (const struct sockaddr *)&sa, len) == 0)
		return fd;
	file_close(&fd);
	return -1;
}

static int connect_to(struct imap_client *c, struct err *e)
{
	const struct imap_source *src = c->src;
	uint16_t port = src->port != 0 ? src->port : src->starttls || src->no_tls ? 143 : 993;
	struct lookup k;
	int why = 0;

	if (look_up(src, &k, e) != 0)
		return -1;
	for (size_t i = 0; i < k.n && c->fd < 0; i++) {
		k.v[i].port = port;
		c->fd = connect_one(&k.v[i]);
		why = errno;
	}
	return c->fd >= 0 ? 0 : err_set(e, ERR_TEMP, why, "%s port %u", src->host, port);
}

static int begin_tls(struct imap_client *c, struct err *e)
{
	if (tls_client_ctx(&c->ctx, !c->src->no_verify, c->src->ca_file, e) != 0)
		return -1;
	c->ssl = tls_new(c->ctx, c->fd, c->src->host);
	SSL_set_connect_state(c->ssl);
	errno = 0;
	if (SSL_connect(c->ssl) == 1)
		return 0;
	(void)broken(c, "TLS", e);
	return err_context(e, "%s", c->src->host);
}

static int upgrade(struct imap_client *c, struct err *e)
{
	if (imap_client_do(c, NULL, NULL, e, "STARTTLS") != 0)
		return -1;
	if (c->used != c->in.len)
		return err_set(e, ERR_DENIED, 0, "%s: octets behind STARTTLS: somebody is in between", c->src->host);
	buf_reset(&c->capabilities);
	return begin_tls(c, e);
}

/* RFC 4616. */
static int log_in_plain(struct imap_client *c, struct err *e)
{
	struct buf text, line;
	int rc;

	buf_init(&text, 8192);
	buf_init(&line, 16384);
	buf_putc(&text, '\0');
	buf_puts(&text, c->src->login);
	buf_putc(&text, '\0');
	buf_puts(&text, c->src->password);
	rc = text_base64(buf_view(&text), &line);
	buf_puts(&line, "\r\n");
	if (rc == 0) {
		char start[64];

		snprintf(start, sizeof start, "P%u AUTHENTICATE PLAIN\r\n", ++c->tag);
		rc = put_octets(c, slice_of(start), e) != 0 ? -1 : await(c, true, NULL, NULL, e);
	}
	if (rc == 1)
		rc = put_octets(c, buf_view(&line), e) != 0 ? -1 : await(c, false, NULL, NULL, e);
	OPENSSL_cleanse(text.p, text.cap);
	OPENSSL_cleanse(line.p, line.cap);
	buf_done(&text);
	buf_done(&line);
	return rc;
}

static int log_in(struct imap_client *c, struct err *e)
{
	struct buf login, password;
	int rc;

	if (imap_client_has(c, "AUTH=PLAIN"))
		return log_in_plain(c, e);
	buf_init(&login, 8192);
	buf_init(&password, 8192);
	imap_client_quote(slice_of(c->src->login), &login);
	imap_client_quote(slice_of(c->src->password), &password);
	rc = imap_client_do(c, NULL, NULL, e, "LOGIN %s %s", buf_str(&login), buf_str(&password));
	OPENSSL_cleanse(password.p, password.cap);
	buf_done(&login);
	buf_done(&password);
	return rc;
}

static int begin(struct imap_client *c, struct err *e)
{
	const struct imap_source *src = c->src;

	if (connect_to(c, e) != 0 || (!src->starttls && !src->no_tls && begin_tls(c, e) != 0) || read_response(c, e) != 0)
		return -1;
	if (!slice_starts(buf_view(&c->response), SLICE("* OK")) && !slice_starts(buf_view(&c->response), SLICE("* PREAUTH")))
		return err_set(e, ERR_TEMP, 0, "%s does not greet as an IMAP server: %.*s", src->host, SLICE_FMT(slice_head(slice_trim(buf_view(&c->response)), 200)));
	if (src->starttls && upgrade(c, e) != 0)
		return -1;
	if (imap_client_do(c, NULL, NULL, e, "CAPABILITY") != 0)
		return -1;
	if (log_in(c, e) != 0)
		return err_context(e, "logging in as %s", src->login);
	return imap_client_do(c, NULL, NULL, e, "CAPABILITY");
}

int imap_client_open(struct imap_client **c_out, const struct imap_source *src, struct err *e)
{
	struct imap_client *c = mem_new(sizeof *c);

	c->src = src;
	c->fd = -1;
	c->a = arena_new(0);
	buf_init(&c->in, BUF_UNBOUNDED);
	buf_init(&c->response, BUF_UNBOUNDED);
	buf_init(&c->capabilities, BUF_UNBOUNDED);
	if (begin(c, e) != 0) {
		imap_client_close(&c);
		return -1;
	}
	*c_out = c;
	return 0;
}

void imap_client_close(struct imap_client **cp)
{
	struct imap_client *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	if (c->ssl != NULL)
		SSL_free(c->ssl);
	tls_ctx_unref(&c->ctx);
	file_close(&c->fd);
	buf_done(&c->in);
	buf_done(&c->response);
	buf_done(&c->capabilities);
	arena_free(&c->a);
	free(c);
}
