/*
 * io/proxy.c - see the header. The format is that of HAProxy's proxy-protocol.txt, sections 2.1 and 2.2.
 */
#include "io/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

#define V1_MAX 107u                                                       /* with CRLF (section 2.1) */
#define V2_FIXED 16u

static const char v2_sign[12] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };
static const struct slice v1_sign = SLICE_INIT("PROXY ");

/* ---- the grammar ---- */

static bool could_be(struct slice in, struct slice sign)
{
	size_t n = in.n < sign.n ? in.n : sign.n;

	return memcmp(in.p, sign.p, n) == 0;
}

static int v1_port(struct slice word, uint16_t *out)
{
	uint32_t n;

	if (num_u32(word, UINT16_MAX, &n) != 0)
		return -1;
	*out = (uint16_t)n;
	return 0;
}

/* "TCP4 192.0.2.7 198.51.100.1 40000 25"; what stands behind UNKNOWN does not count. Blanks are single. */
static int v1_line(struct slice line, struct proxy_header *out)
{
	struct slice word[5];
	struct net_addr here;
	bool is_v6;

	for (size_t i = 0; i < 5; i++) {
		if (!slice_next(&line, ' ', &word[i]) || word[i].n == 0)
			return -1;
		if (i == 0 && slice_eqs(word[0], "UNKNOWN")) {
			*out = (struct proxy_header){ .local = true };
			return 0;
		}
	}
	is_v6 = slice_eqs(word[0], "TCP6");
	if ((!is_v6 && !slice_eqs(word[0], "TCP4")) || line.p != NULL)
		return -1;
	if ((slice_chr(word[1], ':') >= 0) != is_v6 || (slice_chr(word[2], ':') >= 0) != is_v6 || word[1].p[0] == '[')
		return -1;
	*out = (struct proxy_header){ .local = false };
	if (net_addr_parse(word[1], &out->client) != 0 || net_addr_parse(word[2], &here) != 0)
		return -1;
	return v1_port(word[3], &out->client.port) != 0 || v1_port(word[4], &here.port) != 0 ? -1 : 0;
}

static enum proxy_parse v1_take(struct slice in, struct proxy_header *out, size_t *used_out)
{
	struct slice head = slice_head(in, V1_MAX);
	ptrdiff_t lf = slice_chr(head, '\n');

	if (lf < 0)
		return head.n < V1_MAX ? PROXY_MORE : PROXY_BAD;
	if (head.p[lf - 1] != '\r' || v1_line(slice_mem(head.p + v1_sign.n, (size_t)lf - 1 - v1_sign.n), out) != 0)
		return PROXY_BAD;
	*used_out = (size_t)lf + 1;
	return PROXY_OK;
}

static uint16_t be16(const char *p)
{
	return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

/* The address block: both addresses, then both ports. 1 is IPv4, 2 IPv6; 1 in the other half is a stream. */
static int v2_addresses(unsigned family, struct slice block, struct proxy_header *out)
{
	size_t n = family == 0x11 ? 4 : 16;
	char text[NET_TEXT_MAX];
	struct net_addr a = { .len = (uint8_t)n };

	if (family != 0x11 && family != 0x21) {
		*out = (struct proxy_header){ .local = true };            /* a local socket or nothing: no address that we could use */
		return 0;
	}
	if (block.n < 2 * n + 4)
		return -1;
	memcpy(a.octets, block.p, n);
	*out = (struct proxy_header){ .local = false };
	if (net_addr_parse(slice_of(net_addr_text(&a, text)), &out->client) != 0)         /* an IPv4-mapped address becomes IPv4, as everywhere */
		return -1;
	out->client.port = be16(block.p + 2 * n);
	return 0;
}

static enum proxy_parse v2_take(struct slice in, struct proxy_header *out, size_t *used_out)
{
	size_t len;
	unsigned command;

	if (in.n < V2_FIXED)
		return PROXY_MORE;
	command = (unsigned char)in.p[12];
	len = V2_FIXED + be16(in.p + 14);
	if ((command != 0x20 && command != 0x21) || len > LIMIT_PROXY_HEADER)
		return PROXY_BAD;
	if (in.n < len)
		return PROXY_MORE;
	if (command == 0x20)
		*out = (struct proxy_header){ .local = true };
	else if (v2_addresses((unsigned char)in.p[13], slice_mem(in.p + V2_FIXED, len - V2_FIXED), out) != 0)
		return PROXY_BAD;
	*used_out = len;
	return PROXY_OK;
}

enum proxy_parse proxy_header_take(struct slice in, struct proxy_header *out, size_t *used_out)
{
	struct slice v2 = slice_mem(v2_sign, sizeof(v2_sign));

	if (in.n == 0)
		return PROXY_MORE;
	if (could_be(in, v2))
		return v2_take(in, out, used_out);
	if (!could_be(in, v1_sign))
		return PROXY_BAD;
	return in.n < v1_sign.n ? PROXY_MORE : v1_take(in, out, used_out);
}

bool proxy_is_header(struct slice in)
{
	return slice_starts(in, SLICE("PROXY TCP")) || slice_starts(in, SLICE("PROXY UNKNOWN")) || slice_starts(in, slice_mem(v2_sign, sizeof(v2_sign)));
}

/* ---- connections that wait for their header ---- */

struct proxy_set {
	struct loop *loop;
	const struct proxy_set_ops *ops;
	void *ctx;
	struct net_prefix *networks;
	size_t n_networks, n_waiting;
	struct list_node waiting;
};

struct waiter {
	struct list_node node;
	struct proxy_set *s;
	struct loop_fd watch;
	struct loop_timer timer;
	struct net_addr proxy;
	void *arg;
	struct buf got;
};

static int read_networks(struct proxy_set *s, const char *networks, struct err *e)
{
	struct slice rest = slice_of(networks), word;

	s->networks = mem_array(strlen(networks) / 2 + 1, sizeof(*s->networks));
	while (slice_word(&rest, &word))
		if (net_prefix_parse(word, &s->networks[s->n_networks++]) != 0)
			return err_set(e, ERR_SYNTAX, 0, "\"%.*s\" is not a network like 192.0.2.0/24 (host bits must be 0)", SLICE_FMT(word));
	return 0;
}

int proxy_set_new(struct proxy_set **s_out, struct loop *l, const char *networks, const struct proxy_set_ops *ops, void *ctx, struct err *e)
{
	struct proxy_set *s = mem_new(sizeof(*s));

	s->loop = l;
	s->ops = ops;
	s->ctx = ctx;
	list_init(&s->waiting);
	if (read_networks(s, networks, e) != 0) {
		proxy_set_free(&s);
		return -1;
	}
	*s_out = s;
	return 0;
}

/* The descriptor is whoever's: not closed here. */
static void waiter_free(struct waiter *w)
{
	w->s->n_waiting--;
	loop_fd_del(w->s->loop, &w->watch);
	loop_timer_stop(w->s->loop, &w->timer);
	list_remove(&w->node);
	buf_done(&w->got);
	free(w);
}

void proxy_set_free(struct proxy_set **sp)
{
	struct proxy_set *s = sp ? *sp : NULL;

	if (s == NULL)
		return;
	LIST_EACH_SAFE(n, &s->waiting) {
		int fd = LIST_OF(n, struct waiter, node)->watch.fd;

		waiter_free(LIST_OF(n, struct waiter, node));
		close(fd);
	}
	free(s->networks);
	free(s);
	*sp = NULL;
}

bool proxy_is_listed(const struct proxy_set *s, const struct net_addr *a)
{
	for (size_t i = 0; i < s->n_networks; i++)
		if (net_prefix_has(&s->networks[i], a))
			return true;
	return false;
}

size_t proxy_waiting(const struct proxy_set *s)
{
	return s->n_waiting;
}

static void give_up(struct waiter *w, const char *why)
{
	struct proxy_set *s = w->s;
	struct net_addr proxy = w->proxy;
	int fd = w->watch.fd;

	waiter_free(w);
	close(fd);
	s->ops->on_bad(s->ctx, &proxy, why);
}

static void on_late(void *ctx)
{
	struct waiter *w = ctx;

	if (w->s->n_waiting > LIMIT_PROXY_WAITING)
		give_up(w, "too many connections wait for their PROXY header");
	else
		give_up(w, w->got.len == 0 ? "no PROXY header came" : "the PROXY header did not end");
}

static void hand_on(struct waiter *w, const struct proxy_header *h)
{
	struct proxy_set *s = w->s;
	struct net_addr peer = h->local ? w->proxy : h->client;
	int fd = w->watch.fd;
	void *arg = w->arg;

	waiter_free(w);
	s->ops->on_client(s->ctx, fd, &peer, arg);
}

/* Looks first, and then takes what is the header's: nothing behind it. */
static void on_readable(void *ctx, unsigned events)
{
	struct waiter *w = ctx;
	size_t before = w->got.len, used = 0, room = LIMIT_PROXY_HEADER - before;
	char *octets = loop_scratch(w->s->loop, LIMIT_PROXY_HEADER);
	ssize_t n = recv(w->watch.fd, octets, room, MSG_PEEK | MSG_DONTWAIT);
	struct proxy_header h;
	enum proxy_parse p;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		give_up(w, "the connection ended before a PROXY header");
		return;
	}
	buf_put(&w->got, slice_mem(octets, (size_t)n));
	p = proxy_header_take(buf_view(&w->got), &h, &used);
	if (p == PROXY_BAD || (p == PROXY_MORE && w->got.len >= LIMIT_PROXY_HEADER)) {
		give_up(w, "what came first is no PROXY header");
		return;
	}
	if (recv(w->watch.fd, octets, p == PROXY_OK ? used - before : (size_t)n, MSG_DONTWAIT) < 0) {
		give_up(w, strerror(errno));
		return;
	}
	if (p == PROXY_OK)
		hand_on(w, &h);
}

void proxy_wait(struct proxy_set *s, int fd, const struct net_addr *proxy, void *arg)
{
	struct waiter *w = mem_new(sizeof(*w));

	w->s = s;
	w->proxy = *proxy;
	w->arg = arg;
	buf_init(&w->got, LIMIT_PROXY_HEADER);
	list_append(&s->waiting, &w->node);
	s->n_waiting++;
	loop_fd_add(s->loop, &w->watch, fd, LOOP_READ, on_readable, w);
	loop_timer_start(s->loop, &w->timer, s->n_waiting > LIMIT_PROXY_WAITING ? 0 : PROXY_WAIT_MS, on_late, w);
}
