/*
 * io/net.c - addresses and the sockets that have them.
 */
#include "io/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"

#define NET_V4 4
#define NET_V6 16

static const uint8_t net_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static void net_set_v4(struct net_addr *a, const void *octets, uint16_t port)
{
	*a = (struct net_addr){ .len = NET_V4, .port = port };
	memcpy(a->octets, octets, NET_V4);
}

static void net_set_v6(struct net_addr *a, const uint8_t octets[NET_V6], uint16_t port)
{
	if (memcmp(octets, net_mapped, sizeof(net_mapped)) == 0) {
		net_set_v4(a, octets + sizeof(net_mapped), port);
		return;
	}
	*a = (struct net_addr){ .len = NET_V6, .port = port };
	memcpy(a->octets, octets, NET_V6);
}

/* How many octets the text itself names: 4, 16, or 0 where it is no address. The octets are as written, mapped ones included. */
static size_t net_pton(struct slice s, uint8_t octets[NET_V6])
{
	char text[NET_TEXT_MAX];
	bool bracketed = s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';

	if (bracketed)
		s = slice_mem(s.p + 1, s.n - 2);
	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n) != NULL)
		return 0;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (!bracketed && inet_pton(AF_INET, text, octets) == 1)
		return NET_V4;
	return inet_pton(AF_INET6, text, octets) == 1 ? NET_V6 : 0;
}

int net_addr_parse(struct slice s, struct net_addr *out)
{
	uint8_t octets[NET_V6];

	switch (net_pton(s, octets)) {
	case NET_V4:
		net_set_v4(out, octets, 0);
		return 0;
	case NET_V6:
		net_set_v6(out, octets, 0);
		return 0;
	default:
		return -1;
	}
}

void net_addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *out)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	*out = (struct net_addr){ .len = 0 };
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		net_set_v4(out, &in.sin_addr, ntohs(in.sin_port));
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		net_set_v6(out, in6.sin6_addr.s6_addr, ntohs(in6.sin6_port));
	}
}

socklen_t net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

	memset(out, 0, sizeof(*out));
	if (a->len == NET_V4) {
		memcpy(&in.sin_addr, a->octets, NET_V4);
		memcpy(out, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->len == NET_V6) {
		memcpy(in6.sin6_addr.s6_addr, a->octets, NET_V6);
		memcpy(out, &in6, sizeof(in6));
		return sizeof(in6);
	}
	out->ss_family = AF_UNIX;
	return sizeof(sa_family_t);
}

const char *net_addr_text(const struct net_addr *a, char out[NET_TEXT_MAX])
{
	if (a->len == 0 || inet_ntop(a->len == NET_V4 ? AF_INET : AF_INET6, a->octets, out, NET_TEXT_MAX) == NULL)
		snprintf(out, NET_TEXT_MAX, "local");
	return out;
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	return a->len == b->len && memcmp(a->octets, b->octets, a->len) == 0;
}

bool net_addr_is_loopback(const struct net_addr *a)
{
	static const uint8_t one[NET_V6] = { [15] = 1 };

	if (a->len == NET_V4)
		return a->octets[0] == 127;
	return a->len == NET_V6 && memcmp(a->octets, one, NET_V6) == 0;
}

/*
 * Networks
 */

static bool net_same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] >> (8 - rest)) == (b[whole] >> (8 - rest));
}

static bool net_host_is_zero(const struct net_prefix *p)
{
	for (unsigned bit = p->bits; bit < p->addr.len * 8u; bit++)
		if (p->addr.octets[bit / 8] & (0x80u >> (bit % 8)))
			return false;
	return true;
}

int net_prefix_parse(struct slice s, struct net_prefix *out)
{
	ptrdiff_t slash = slice_chr(s, '/');
	uint8_t octets[NET_V6];
	struct net_prefix p;
	uint32_t bits;
	size_t written = net_pton(slash < 0 ? s : slice_head(s, (size_t)slash), octets);

	if (written == 0)
		return -1;
	if (written == NET_V4)
		net_set_v4(&p.addr, octets, 0);
	else
		net_set_v6(&p.addr, octets, 0);
	bits = (uint32_t)written * 8;
	if (slash >= 0 && num_u32(slice_from(s, (size_t)slash + 1), bits, &bits) < 0)
		return -1;
	if (p.addr.len != written) {                                  /* ::ffff:10.0.0.0/104 is 10.0.0.0/8 */
		if (bits < 96)
			return -1;
		bits -= 96;
	}
	p.bits = (uint8_t)bits;
	if (!net_host_is_zero(&p))
		return -1;
	*out = p;
	return 0;
}

bool net_prefix_is_private(const struct net_prefix *p)
{
	const uint8_t *o = p->addr.octets;

	if (p->addr.len == NET_V4)
		return p->bits >= 8 && (o[0] == 10 || o[0] == 127);
	return p->addr.len == NET_V6 && ((p->bits >= 7 && (o[0] & 0xfe) == 0xfc) || (p->bits >= 10 && o[0] == 0xfe && (o[1] & 0xc0) == 0x80));
}

bool net_prefix_is_world(const struct net_prefix *p)
{
	return !net_prefix_is_private(p) && p->bits < (p->addr.len == NET_V4 ? NET_WIDEST_V4 : NET_WIDEST_V6);
}

bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a)
{
	return p->addr.len != 0 && p->addr.len == a->len && net_same_bits(p->addr.octets, a->octets, p->bits);
}

/*
 * Sockets
 */

static int net_bound(const struct net_addr *a, int type, struct err *e)
{
	struct sockaddr_storage sa;
	socklen_t len = net_addr_to_sockaddr(a, &sa);
	char text[NET_TEXT_MAX];
	int on = 1, saved, fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "socket for %s port %u", net_addr_text(a, text), a->port);
	if ((type == SOCK_DGRAM || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0)
	    && (a->len != NET_V6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0)
	    && bind(fd, (const struct sockaddr *)&sa, len) == 0)
		return fd;
	saved = errno;
	close(fd);
	return err_set(e, err_kind_of(saved), saved, "cannot bind %s port %u", net_addr_text(a, text), a->port);
}

int net_listen(const struct net_addr *a, int backlog, struct err *e)
{
	char text[NET_TEXT_MAX];
	int saved, fd = net_bound(a, SOCK_STREAM, e);

	if (fd < 0 || listen(fd, backlog) == 0)
		return fd;
	saved = errno;
	close(fd);
	return err_set(e, err_kind_of(saved), saved, "cannot listen on %s port %u", net_addr_text(a, text), a->port);
}

int net_listen_udp(const struct net_addr *a, struct err *e)
{
	return net_bound(a, SOCK_DGRAM, e);
}

/* A name that nobody listens on is left over from a crash; one that answers belongs to a living process and stays. */
static int net_remove_stale(const struct sockaddr_un *un, int type, struct err *e)
{
	struct stat st;
	int fd, rc;

	if (lstat(un->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return 0;                                             /* bind will say what is wrong, if anything */
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "socket for %s", un->sun_path);
	rc = connect(fd, (const struct sockaddr *)un, sizeof(*un));
	if (rc == 0 || errno == EAGAIN || errno == EINPROGRESS) {
		close(fd);
		return err_set(e, ERR_EXISTS, EADDRINUSE, "another process listens on %s", un->sun_path);
	}
	close(fd);
	if (unlink(un->sun_path) < 0 && errno != ENOENT)
		return err_set(e, err_kind_of(errno), errno, "cannot remove the stale socket %s", un->sun_path);
	return 0;
}

int net_unix_addr(const char *path, struct sockaddr_un *out, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(un.sun_path))
		return err_set(e, ERR_SYNTAX, 0, "socket path \"%s\" must have 1 to %zu octets", path, sizeof(un.sun_path) - 1);
	memcpy(un.sun_path, path, n);
	*out = un;
	return 0;
}

int net_listen_unix(const char *path, int type, mode_t mode, struct err *e)
{
	struct sockaddr_un un;
	mode_t old;
	int fd, rc, saved;

	if (net_unix_addr(path, &un, e) < 0 || net_remove_stale(&un, type, e) < 0)
		return -1;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "socket for %s", path);
	old = umask(~mode & 0777);                                    /* the mode is right from the first instant */
	rc = bind(fd, (const struct sockaddr *)&un, sizeof(un));
	saved = errno;
	umask(old);
	if (rc == 0 && type != SOCK_DGRAM && listen(fd, SOMAXCONN) < 0) {
		rc = -1;
		saved = errno;
	}
	if (rc == 0)
		return fd;
	close(fd);
	return err_set(e, err_kind_of(saved), saved, "cannot listen on %s", path);
}

/* accept(2) hands out errors of connections that died while they waited; the next one may be fine. */
static bool net_accept_again(int sys)
{
	switch (sys) {
	case EINTR:
	case ECONNABORTED:
	case ENETDOWN:
	case EPROTO:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

int net_accept(int fd, struct net_addr *peer_out)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(sa);
	int conn;

	do
		conn = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (conn < 0 && net_accept_again(errno));
	if (conn >= 0)
		net_addr_from_sockaddr((const struct sockaddr *)&sa, peer_out);
	return conn;
}

int net_local_addr(int fd, struct net_addr *out)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -1;
	net_addr_from_sockaddr((const struct sockaddr *)&sa, out);
	return 0;
}
