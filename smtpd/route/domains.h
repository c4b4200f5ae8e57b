/*
 * route/domains.h - a list of domains and networks from a setting and a file, as local-host-names and relay-domains are.
 */
#ifndef ROUTE_DOMAINS_H
#define ROUTE_DOMAINS_H

#include "base/err.h"
#include "base/slice.h"
#include "io/net.h"

struct domains;

/* setting: the words of a CONF_LIST, setting_name for messages; path: a list file or NULL, missing is empty. */
int domains_new(struct domains **d_out, const char *setting_name, const char *words, const char *path, struct err *e) WARN_UNUSED;
void domains_free(struct domains **d);

/* Where it is listed ("local-host-names:3"), or NULL. Names are compared without case; the list's trailing dots are dropped. */
const char *domains_find(const struct domains *d, struct slice name);
const char *domains_find_parents(const struct domains *d, struct slice name);      /* the name, or a parent domain */
/* IPv4 also by octets: "192.168.0". */
const char *domains_find_addr(const struct domains *d, const struct net_addr *addr);
bool domains_has_names(const struct domains *d);

/* Walks all: *at starts as 0. addr is NULL for a name. */
bool domains_next(const struct domains *d, size_t *at, struct slice *name_out, const struct net_prefix **prefix_out, const char **where_out);

#endif
