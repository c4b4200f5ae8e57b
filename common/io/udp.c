/*
 * io/udp.c - see the header (ip(7) IP_PKTINFO, RFC 3542 section 6).
 */
#include "io/udp.h"

#include <string.h>

union control {
	struct cmsghdr align;
	char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
	char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

void udp_prepare(int fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	int on = 1;

	if (getsockname(fd, (struct sockaddr *)&ss, &n) != 0)
		return;
	if (ss.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

static void read_own(struct msghdr *m, struct udp_way *way)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(&way->own.v4, CMSG_DATA(c), sizeof(way->own.v4));
			way->own.v4.ipi_ifindex = 0;                      /* the address decides, the route may differ */
			way->own_family = AF_INET;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&way->own.v6, CMSG_DATA(c), sizeof(way->own.v6));
			if (!IN6_IS_ADDR_LINKLOCAL(&way->own.v6.ipi6_addr))
				way->own.v6.ipi6_ifindex = 0;
			way->own_family = AF_INET6;
		}
	}
}

ssize_t udp_receive(int fd, void *p, size_t max, struct udp_way *way_out)
{
	union control control;
	struct udp_way way = { .fd = fd };
	struct iovec iov = { p, max };
	struct msghdr m = { .msg_name = &way.peer, .msg_namelen = sizeof(way.peer), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);

	if (n < 0)
		return -1;
	way.peer_len = m.msg_namelen;
	read_own(&m, &way);
	*way_out = way;
	return n;
}

static void write_own(const struct udp_way *way, struct msghdr *m, union control *control)
{
	struct cmsghdr *c;
	size_t n = way->own_family == AF_INET6 ? sizeof(way->own.v6) : sizeof(way->own.v4);

	memset(control, 0, sizeof(*control));
	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(n);
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = way->own_family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	c->cmsg_type = way->own_family == AF_INET6 ? IPV6_PKTINFO : IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(c), &way->own, n);
}

void udp_send(const struct udp_way *way, struct slice s)
{
	union control control;
	union { const struct sockaddr_storage *in; void *out; } peer = { .in = &way->peer };     /* sendmsg(2) only reads, msghdr can't say so */
	union { const char *in; void *out; } octets = { .in = s.p };
	struct iovec iov = { octets.out, s.n };
	struct msghdr m = { .msg_name = peer.out, .msg_namelen = way->peer_len, .msg_iov = &iov, .msg_iovlen = 1 };

	if (way->own_family != 0)
		write_own(way, &m, &control);
	if (sendmsg(way->fd, &m, MSG_DONTWAIT) < 0 && way->own_family != 0) {
		m.msg_control = NULL;                                     /* a broadcast, or an address that is gone */
		m.msg_controllen = 0;
		(void)!sendmsg(way->fd, &m, MSG_DONTWAIT);
	}
}
