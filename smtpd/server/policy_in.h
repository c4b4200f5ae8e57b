/*
 * server/policy_in.h - the inside of struct policy, for policy*.c and enumerate.c.
 */
#ifndef SERVER_POLICY_IN_H
#define SERVER_POLICY_IN_H

#include "server/policy.h"

struct map;

struct policy {
	const struct settings *s;
	struct router *router;
	struct access *access;
	char *access_path;
	struct net_prefix *networks;
	size_t n_networks;
	struct arena *arena;                                          /* of the policy's life */
	const char *networks_where;                                   /* "posthouse.conf:12" */
	struct map *drac_table;                                       /* NULL where drac_match_sender */
};

/* Steps of the reasoning, for explain (policy_explain.c); each does nothing without a buffer. */
void policy_step(const struct policy_ask *ask, const char *fmt, ...) PRINTF_LIKE(2, 3);
void policy_explain_start(struct policy *p, const struct policy_ask *ask, enum route_class class);
void policy_explain_block(const struct policy_ask *ask, const struct access_hit *hit, struct arena *a);
void policy_explain_relay(struct policy *p, const struct policy_ask *ask, const struct relay_facts *f, const struct access_hit *to, const struct relay_verdict *v);
void policy_explain_exists(struct policy *p, const struct policy_ask *ask, const struct route_verdict *v);
void policy_explain_kept(const struct policy_ask *ask, const struct policy_verdict *kept, const char *whom);

struct policy_verdict policy_no(enum code c, struct slice reply, const char *rule, const char *where);
struct policy_verdict policy_by_access(const struct access_hit *hit, const char *tag, const struct path *who, struct arena *a);
/* "550 5.7.1 <joe@x>... Access denied [PH-A01]"; status: the row's where NULL; who: NULL for nobody.
   CODE_NONE: neither status nor code are added. */
struct slice policy_reply(struct arena *a, const char *status, enum code c, const struct path *who, struct slice text);

#endif
