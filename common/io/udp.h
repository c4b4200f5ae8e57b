/*
 * io/udp.h - datagrams whose answer leaves from the address that was asked. A socket on the wildcard address of a host with several would otherwise
 * answer from the one that the route prefers, and the client, who asked another, throws the answer away.
 */
#ifndef IO_UDP_H
#define IO_UDP_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/slice.h"

struct udp_way {                                                      /* of one datagram: where it came from, which of our addresses it was sent to */
	int fd;
	struct sockaddr_storage peer;
	socklen_t peer_len;
	union { struct in_pktinfo v4; struct in6_pktinfo v6; } own;
	int own_family;                                               /* AF_INET, AF_INET6; 0: the kernel did not say */
};

void udp_prepare(int fd);                                             /* once for each bound socket */
/* Never waits. -1 with errno EAGAIN: none there. Longer ones are cut to max, so let max be one more than is wanted. */
ssize_t udp_receive(int fd, void *p, size_t max, struct udp_way *way_out);
void udp_send(const struct udp_way *way, struct slice s);             /* lost where the socket is full: the client asks again, that is how UDP works */

#endif
