/*
 * io/net.h - addresses: one type for IPv4 and IPv6, its text, networks, listening sockets.
 *
 * An IPv4-mapped IPv6 address (::ffff:a.b.c.d) is turned into IPv4 at the door, so that one client has one name in every table.
 */
#ifndef IO_NET_H
#define IO_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"

#define NET_TEXT_MAX 64

struct net_addr {
	uint8_t octets[16];                                           /* network order; IPv4 uses the first four */
	uint8_t len;                                                  /* 4, 16, or 0: none (a local socket) */
	uint16_t port;                                                /* host order */
};

int net_addr_parse(struct slice s, struct net_addr *out) WARN_UNUSED; /* "192.0.2.1", "2001:db8::1", "[2001:db8::1]"; no names */
void net_addr_from_sockaddr(const struct sockaddr *sa, struct net_addr *out);
socklen_t net_addr_to_sockaddr(const struct net_addr *a, struct sockaddr_storage *out);
const char *net_addr_text(const struct net_addr *a, char out[NET_TEXT_MAX]);     /* "192.0.2.1", "2001:db8::1", "local" */
bool net_addr_eq(const struct net_addr *a, const struct net_addr *b);            /* ports aside */
bool net_addr_is_loopback(const struct net_addr *a);

struct net_prefix {
	struct net_addr addr;
	uint8_t bits;
};
int net_prefix_parse(struct slice s, struct net_prefix *out) WARN_UNUSED;        /* "10.0.0.0/8", "10.1.2.3", "2001:db8::/32"; host bits must be 0 */
/* 10/8, 127/8, fc00::/7 and fe80::/10, or a part of them: these may be whole. */
bool net_prefix_is_private(const struct net_prefix *p);
/* Wider than these is not one's own network any more: strangers are in it. Registries hold IPv6 networks of /12 to /19 at most. */
#define NET_WIDEST_V4 8
#define NET_WIDEST_V6 19
bool net_prefix_is_world(const struct net_prefix *p);
bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a);

/* Listening TCP socket, non-blocking, SO_REUSEADDR, IPV6_V6ONLY. Returns the descriptor. */
int net_listen(const struct net_addr *a, int backlog, struct err *e) WARN_UNUSED;
int net_listen_udp(const struct net_addr *a, struct err *e) WARN_UNUSED;         /* bound, non-blocking */
/* Listening AF_UNIX socket of `type` (SOCK_STREAM, SOCK_SEQPACKET; SOCK_DGRAM: bound). A stale name is removed first; where a process still
   listens there it is an error. */
struct sockaddr_un;
int net_unix_addr(const char *path, struct sockaddr_un *out, struct err *e) WARN_UNUSED;
int net_listen_unix(const char *path, int type, mode_t mode, struct err *e) WARN_UNUSED;
/* accept4 with the peer's address; -1 with errno EAGAIN when there is none. EMFILE, ENFILE, ENOBUFS, ENOMEM: take the watch off for a
   while (100 ms), the connection waits in the backlog and would wake the loop without end. */
int net_accept(int fd, struct net_addr *peer_out) WARN_UNUSED;
int net_local_addr(int fd, struct net_addr *out) WARN_UNUSED;

#endif
