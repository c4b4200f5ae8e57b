/*
 * route/route_in.h - the inside of the router, for route.c, expand.c, virtual.c, transport.c and lint.c.
 */
#ifndef ROUTE_ROUTE_IN_H
#define ROUTE_ROUTE_IN_H

#include "base/hash.h"
#include "map/map.h"
#include "reply/codes.h"
#include "route/alias.h"
#include "route/domains.h"
#include "route/route.h"

struct router {
	const struct settings *s;
	struct arena *arena;                                          /* of the router's life */
	struct users *users;
	struct map *aliases, *virt, *transport, *generics;
	struct map *local_file, *relay_file;                          /* read through domains; kept for their generation */
	struct domains *local, *relay;
	struct hmap *virtual_domains;                                 /* domain to itself */
	unsigned virtual_seen, local_seen, relay_seen;                /* generations */
	struct slice default_domain;
	char *alias_path, *virtual_path, *local_path, *relay_path;
};

struct expansion {
	struct router *r;
	struct arena *a;
	struct final *finals;
	size_t n, cap;
	size_t from;
	struct hmap *seen;                                            /* finals of this recipient, so that each is there once */
	struct slice stack[ROUTE_DEPTH_MAX + 2];                      /* what is being expanded: a repetition is a loop */
	size_t depth;
	struct slice owner;
	struct slice detail;                                          /* of user+detail, where the alias was found without it: goes along to the user's own mailbox */
	bool looped, may_read;                                        /* may_read: :include: files are opened */
	size_t goods, enough;                                         /* places that take it; the front: stop at so many, 0: at none */
	struct buf *steps;                                            /* explain; NULL */
	struct err *e;
};

/* One recipient; 0, or -1 where a map can't be read. */
int expand_recipient(struct expansion *x, struct slice text);
void expand_final(struct expansion *x, struct final f);
void expand_step(struct expansion *x, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct final expand_error(struct arena *a, enum code c, struct slice address, const char *fmt, ...) PRINTF_LIKE(4, 5);

struct slice route_lower(struct arena *a, struct slice s);
/* user and detail by recipient_delimiter; detail.p is NULL where there is none. */
void route_split(const struct router *r, struct slice local, struct slice *user_out, struct slice *detail_out);

/* virtusertable: 1 found: value with %1 %2 %3 filled in, and where. */
int virtual_find(struct router *r, const struct path *p, struct arena *a, struct slice *value_out, const char **where_out, struct err *e);
struct slice virtual_fill(struct slice value, struct slice user, struct slice detail, struct arena *a);

/* mailertable, relayhost, MX: always gives a final (REMOTE, MAILBOX of local:user has only address, DISCARD, ERROR). */
int transport_find(struct router *r, struct slice address, struct slice domain, struct arena *a, struct final *out, const char **where_out, struct err *e);
struct final transport_parse(struct slice value, struct slice address, struct slice domain, struct slice wildcard, struct arena *a);

#endif
