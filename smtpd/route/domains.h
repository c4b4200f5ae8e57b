/*
 * route/domains.h - a list of domains and networks from a setting and a file, as local-host-names and relay-domains are.
 */
#ifndef ROUTE_DOMAINS_H
#define ROUTE_DOMAINS_H

#include "base/err.h"
#include "base/slice.h"
#include "io/net.h"

struct domains;

/* words: of a CONF_LIST, where: what domains_find() says of them; path: a list file or NULL, missing is empty. */
int domains_new(struct domains **d_out, const char *where, const char *words, const char *path, struct err *e) WARN_UNUSED;
void domains_free(struct domains **d);

/* Where it is listed ("local-host-names:3"), or NULL. Names are compared without case; the list's trailing dots are dropped. */
const char *domains_find(const struct domains *d, struct slice name);
const char *domains_find_parents(const struct domains *d, struct slice name);      /* the name, or a parent domain */
const char *domains_find_addr(const struct domains *d, const struct net_addr *addr);
/* A network as the lists and the access map write it: "192.0.2.0/24", "2001:db8::/32", and as sendmail does, by whole octets or hextets: "192.168.0",
   "10", "IPv6:2001:db8". */
bool domains_read_net(struct slice text, struct net_prefix *out);
bool domains_has_names(const struct domains *d);

/* Walks all: *at starts as 0. addr is NULL for a name. */
bool domains_next(const struct domains *d, size_t *at, struct slice *name_out, const struct net_prefix **prefix_out, const char **where_out);

#endif
