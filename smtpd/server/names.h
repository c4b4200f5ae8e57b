/*
 * server/names.h - what DNS says of a client's address and of a sender's domain, with a small memory.
 *
 * A client's name is believed only when it leads back to the address; the hosts file goes first, and is believed as it is.
 */
#ifndef SERVER_NAMES_H
#define SERVER_NAMES_H

#include "io/dns.h"
#include "server/relay.h"

#define NAMES_MEMORY 10000                                            /* answers kept; then all are forgotten */

struct names;
struct names_query;

/* hosts_path is read now. d may be NULL: then only hosts are known, and all else is TEMP. Both outlive it. */
struct names *names_new(struct loop *l, struct dns *d, const char *hosts_path);
void names_free(struct names **n);

/* fn: once, from the loop or at once from within; name is "" unless OK or FORGED. NULL when fn was called already. */
typedef void names_client_fn(void *ctx, enum relay_name state, struct slice name);
struct names_query *names_client(struct names *n, const struct net_addr *addr, int timeout_ms, names_client_fn *fn, void *ctx);

/* Does the domain exist for mail: MX, or an address (RFC 5321 5.1; a null MX is none, RFC 7505)? */
enum names_domain { NAMES_DOMAIN_FINE, NAMES_DOMAIN_NONE, NAMES_DOMAIN_TEMP };
typedef void names_domain_fn(void *ctx, enum names_domain state);
struct names_query *names_domain(struct names *n, struct slice domain, int timeout_ms, names_domain_fn *fn, void *ctx);

void names_cancel(struct names_query **q);                            /* fn is not called; NULL is fine */

#endif
