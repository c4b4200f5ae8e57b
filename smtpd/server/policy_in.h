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
	struct map *drac_table;                                       /* NULL where drac_match_sender */
};

/* Steps of the reasoning, for explain; does nothing without a buffer. */
void policy_step(const struct policy_ask *ask, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct policy_verdict policy_no(struct slice reply, const char *rule, const char *where);
/* "550 5.7.1 <joe@x>... Access denied [PH-A01]"; status: the row's where NULL; who: NULL for nobody.
   CODE_NONE: neither status nor code are added. */
struct slice policy_reply(struct arena *a, const char *status, enum code c, const struct path *who, struct slice text);

#endif
