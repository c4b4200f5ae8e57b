/*
 * serve/crowd.h - how many connections an address has, over all fronts of a daemon. IPv6 counts by /64, which is what one customer gets.
 *
 * Each front counts its own exactly, and what the others have it reads from memory that the supervisor made before it forked them. There an address is a place in
 * a row of numbers, so two may share one place (one in CROWD_PLACES, by a key that nobody outside knows); the row of a front that died is taken over,
 * emptied, by the one that replaces it. A front that was broken into can lie about numbers, and about nothing else.
 */
#ifndef SERVE_CROWD_H
#define SERVE_CROWD_H

#include "io/net.h"

#define CROWD_PLACES 4096u
#define CROWD_ROWS 512u                                                   /* fronts that live at the same time; more count themselves only */
#define CROWD_OCTETS (64u + CROWD_ROWS * (4u + 2u * CROWD_PLACES))         /* of the memory; what is not used is never touched */

struct crowd;

/* shared: CROWD_OCTETS, common to all fronts, as proc_shared() has it: zeros behind 16 octets of chance; NULL: this front counts alone. generation and index as in serve/super.h. */
struct crowd *crowd_new(void *shared, unsigned generation, unsigned index);
void crowd_free(struct crowd **c);                                    /* and its row */

/* One connection more, unless the address has `limit` of them (0: no limit). */
bool crowd_admit(struct crowd *c, const struct net_addr *a, unsigned limit) WARN_UNUSED;
void crowd_leave(struct crowd *c, const struct net_addr *a);          /* of one that was admitted */

#endif
