/*
 * dracd/graves.h - what was revoked lately: a grant that is older, told late by another host, stays out.
 *
 * A grave is needed for as long as a login from before it could still be renewed, drac_max_age; when there are too many the oldest go first.
 */
#ifndef DRACD_GRAVES_H
#define DRACD_GRAVES_H

#include "io/net.h"

#define GRAVES_MAX 4096u

struct graves;

struct graves *graves_new(int64_t keep_s);
void graves_free(struct graves **g);

/* As in a REVOKE: addr with len 0 is every address, an empty user every user; both: a FLUSH. origin: who said so, core_origin(), 0 for us. */
void graves_add(struct graves *g, const struct net_addr *addr, struct slice user, uint32_t origin, int64_t at_s, int64_t now_s);
/* Was a login of that time (0: not known), told by origin, revoked since? In the same second it counts as later only where origin revoked it: the order of what
   one host says is known, of two hosts the revocation prevails. */
bool graves_hold(const struct graves *g, const struct net_addr *addr, struct slice user, uint32_t origin, int64_t login_s);
size_t graves_count(const struct graves *g);

#endif
