/*
 * client/resolve.h - from a next hop to the addresses to be tried, best first (RFC 5321 5.1, RFC 7505).
 */
#ifndef CLIENT_RESOLVE_H
#define CLIENT_RESOLVE_H

#include "client/hop.h"
#include "conf/settings.h"
#include "io/dns.h"
#include "queue/queue_msg.h"

enum { RESOLVE_HOSTS = 5, RESOLVE_ADDRS = 16 };                       /* MX hosts looked at; addresses in all */

struct candidate { char host[256]; struct net_addr addr; };           /* addr.len 0: the path of a local socket */

struct resolved {
	enum qoutcome outcome;                                        /* SENT: there are candidates */
	const char *dsn;
	char text[512];
	struct candidate list[RESOLVE_ADDRS];
	size_t n;
};

enum { RESOLVER_OWN = 64 };
struct resolver {                                                     /* what every resolution needs; make it before the sandbox closes */
	struct loop *loop;
	const struct settings *settings;
	struct dns *dns;
	struct net_addr own[RESOLVER_OWN];                            /* addresses of this machine */
	size_t n_own;
};
int resolver_init(struct resolver *rv, struct loop *l, const struct settings *s, struct err *e) WARN_UNUSED;
void resolver_done(struct resolver *rv);

struct resolve;
typedef void resolve_fn(void *ctx, const struct resolved *r);         /* r is borrowed */
struct resolve *resolve_start(struct resolver *rv, const struct hop *hop, resolve_fn *fn, void *ctx);
void resolve_cancel(struct resolve **r);

#endif
