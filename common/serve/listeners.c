/*
 * serve/listeners.c
 */
#include "serve/listeners.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "conf/conf.h"
#include "serve/systemd.h"

#define LISTENERS_BACKLOG 4096
#define LISTENERS_UNIX_MODE 0666                                      /* the directory decides who gets there */

int listeners_parse(struct slice word, struct listeners_addr *out, struct err *e)
{
	struct listeners_addr a = { .is_unix = slice_starts(word, SLICE("/")) };
	ptrdiff_t colon = slice_rchr(word, ':');
	uint32_t port;

	if (a.is_unix) {
		if (word.n >= sizeof(a.path) || memchr(word.p, '\0', word.n) != NULL)
			return err_set(e, ERR_SYNTAX, 0, "socket path \"%.*s\" is too long", SLICE_FMT(slice_head(word, 80)));
		memcpy(a.path, word.p, word.n);
		*out = a;
		return 0;
	}
	if (colon <= 0 || num_u32(slice_from(word, (size_t)colon + 1), UINT16_MAX, &port) < 0
	    || net_addr_parse(slice_head(word, (size_t)colon), &a.addr) < 0 || (a.addr.len == 16 && word.p[0] != '['))
		return err_set(e, ERR_SYNTAX, 0, "\"%.*s\" is no address to listen on: ADDRESS:PORT, [IPV6]:PORT or /PATH (all addresses: 0.0.0.0:PORT [::]:PORT)",
		    SLICE_FMT(slice_head(word, 80)));
	a.addr.port = (uint16_t)port;
	*out = a;
	return 0;
}

static void listeners_add(struct listeners *l, int fd, const struct super_listener *row, struct slice addr)
{
	l->v = mem_grow(l->v, (l->n + 1) * sizeof(*l->v));
	l->addrs = mem_grow(l->addrs, (l->n + 1) * sizeof(*l->addrs));
	l->v[l->n] = (struct proc_socket){ fd, row->kind & ~(SUPER_DGRAM | SUPER_SEQPACKET), row->name };
	memset(l->addrs[l->n], 0, sizeof(l->addrs[l->n]));
	memcpy(l->addrs[l->n], addr.p != NULL ? addr.p : "", addr.n < LISTENERS_ADDR_MAX ? addr.n : LISTENERS_ADDR_MAX - 1);
	l->n++;
}

static bool listeners_has_fd(const struct listeners *l, int fd)
{
	for (size_t i = 0; l != NULL && i < l->n; i++)
		if (l->v[i].fd == fd)
			return true;
	return false;
}

void listeners_close(struct listeners *l, const struct listeners *but)
{
	for (size_t i = 0; i < l->n; i++)
		if (!listeners_has_fd(but, l->v[i].fd))
			close(l->v[i].fd);
	free(l->v);
	free(l->addrs);
	*l = (struct listeners){ .n = 0 };
}

/* -1: not there. */
static int listeners_find(const struct listeners *l, const char *name, struct slice addr)
{
	for (size_t i = 0; l != NULL && i < l->n; i++)
		if (strcmp(l->v[i].name, name) == 0 && slice_eqs(addr, l->addrs[i]))
			return l->v[i].fd;
	return -1;
}

static int listeners_type(int kind)
{
	if (kind & SUPER_DGRAM)
		return SOCK_DGRAM;
	return kind & SUPER_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
}

static int listeners_bind(const struct super_listener *row, const struct listeners_addr *a, struct err *e)
{
	if (a->is_unix)
		return net_listen_unix(a->path, listeners_type(row->kind), LISTENERS_UNIX_MODE, e);
	if (row->kind & SUPER_DGRAM)
		return net_listen_udp(&a->addr, e);
	return net_listen(&a->addr, LISTENERS_BACKLOG, e);
}

static int listeners_open_word(struct listeners *l, const struct listeners *old, const struct super_listener *row, struct slice word, struct err *e)
{
	struct listeners_addr a;
	int fd = listeners_find(old, row->name, word);

	if (fd < 0) {
		if (listeners_parse(word, &a, e) < 0)
			return err_context(e, "listen_%s", row->name);
		fd = listeners_bind(row, &a, e);
		if (fd < 0 && e->sys == EAFNOSUPPORT && a.addr.len == 16) {
			log_warn("no IPv6 on this machine: not listening on %.*s", SLICE_FMT(word));
			return 0;
		}
		if (fd < 0)
			return err_context(e, "%s on %.*s", row->name, SLICE_FMT(word));
	}
	listeners_add(l, fd, row, word);
	return 0;
}

static int listeners_open_row(struct listeners *l, const struct listeners *old, const struct super_listener *row, const struct settings *s, struct err *e)
{
	struct slice rest = slice_of(row->addrs(s)), word;

	for (size_t i = 0; i < l->n; i++)                             /* systemd's, taken already */
		if (strcmp(l->v[i].name, row->name) == 0)
			return 0;
	while (conf_word(&rest, &word))
		if (listeners_open_word(l, old, row, word, e) < 0)
			return -1;
	return 0;
}

static const struct super_listener *listeners_row(const struct daemon_table *t, struct slice name)
{
	for (size_t i = 0; i < t->n_listeners; i++)
		if (slice_eqs(name, t->listeners[i].name))
			return &t->listeners[i];
	return NULL;
}

/* At the start what systemd passes; at a reload those again. */
static void listeners_take_given(struct listeners *l, const struct listeners *old, const struct daemon_table *t)
{
	struct systemd_socket given[SYSTEMD_SOCKETS_MAX];
	size_t n = old == NULL ? systemd_sockets(given) : 0;

	for (size_t i = 0; i < n; i++) {
		const struct super_listener *row = listeners_row(t, given[i].name);

		if (row != NULL) {
			listeners_add(l, given[i].fd, row, SLICE(""));
			continue;
		}
		log_warn("systemd passes a socket named \"%.*s\", which %s does not know: closed (FileDescriptorName= in the socket unit)",
		    SLICE_FMT(given[i].name), t->name);
		close(given[i].fd);
	}
	for (size_t i = 0; old != NULL && i < old->n; i++) {
		const struct super_listener *row = listeners_row(t, slice_of(old->v[i].name));

		if (row != NULL && old->addrs[i][0] == '\0')
			listeners_add(l, old->v[i].fd, row, SLICE(""));
	}
}

int listeners_open(struct listeners *out, const struct listeners *old, const struct daemon_table *t, const struct settings *s, struct err *e)
{
	struct listeners l = { .n = 0 };

	listeners_take_given(&l, old, t);
	for (size_t i = 0; i < t->n_listeners; i++)
		if (listeners_open_row(&l, old, &t->listeners[i], s, e) < 0) {
			listeners_close(&l, old);
			return -1;
		}
	*out = l;
	return 0;
}
