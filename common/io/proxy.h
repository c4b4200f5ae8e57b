/*
 * io/proxy.h - the PROXY protocol (versions 1 and 2): a proxy that carries connections to us says first whose they are.
 *
 * A header is believed of listed addresses alone, and of those it is demanded: who may be taken at their word must not also be taken without it.
 * It is read from the socket to its last octet and no further, so that TLS or a greeting begins behind it. Version 1 is a line of text, version 2 octets with a
 * length; in both a proxy may speak for itself (UNKNOWN, LOCAL: its own check whether we live), and then the address is its own.
 */
#ifndef IO_PROXY_H
#define IO_PROXY_H

#include "io/loop.h"
#include "io/net.h"

#define PROXY_WAIT_MS 5000                                                /* for the whole header */

enum proxy_parse { PROXY_OK, PROXY_MORE, PROXY_BAD };

struct proxy_header {
	bool local;                                                   /* the proxy speaks for itself, or does not know: no addresses */
	struct net_addr client;
};

/* Pure. OK: the header is the first *used_out octets. MORE: every octet of `in` belongs to it. */
enum proxy_parse proxy_header_take(struct slice in, struct proxy_header *out, size_t *used_out);
/* Octets of a client that begin like a header of either version. */
bool proxy_is_header(struct slice in);

struct proxy_set;

struct proxy_set_ops {
	/* The header has been read: fd is yours, peer is whom it names (the proxy itself where it speaks for itself). arg: as given to proxy_wait(). */
	void (*on_client)(void *ctx, int fd, const struct net_addr *peer, void *arg);
	void (*on_bad)(void *ctx, const struct net_addr *proxy, const char *why);        /* closed; why is for the log */
};

/* networks: blank-separated, as in a setting. */
int proxy_set_new(struct proxy_set **s_out, struct loop *l, const char *networks, const struct proxy_set_ops *ops, void *ctx, struct err *e) WARN_UNUSED;
void proxy_set_free(struct proxy_set **s);                            /* closes those that wait */
bool proxy_is_listed(const struct proxy_set *s, const struct net_addr *a);
void proxy_wait(struct proxy_set *s, int fd, const struct net_addr *proxy, void *arg);   /* takes over fd; never calls back at once */
size_t proxy_waiting(const struct proxy_set *s);

#endif
