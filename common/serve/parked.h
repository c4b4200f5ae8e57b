/*
 * serve/parked.h - the spawner's list of the connections that sleep at a front: made of what session processes said, never of what a front says.
 *
 * So a sleeper needs no ticket when it comes back. It comes back to the user, and over the front, that it was parked for, and once.
 */
#ifndef SERVE_PARKED_H
#define SERVE_PARKED_H

#include "base/hash.h"
#include "base/list.h"

struct parked {
	struct list_node node;                                        /* the owner's */
	uint64_t key[2];                                              /* number of the front, id of the connection */
	void *user, *front;                                           /* the owner's */
	struct slice name;                                            /* of the user; the owner's text */
};

/* NULL: that front has such a connection already. */
struct parked *parked_new(struct hmap *map, uint32_t front, uint64_t id, struct slice name);
struct parked *parked_get(const struct hmap *map, uint32_t front, uint64_t id);
struct parked *parked_returns(const struct hmap *map, uint32_t front, uint64_t id, struct slice name);   /* NULL: not that user's, or not there: turn away */
void parked_free(struct hmap *map, struct parked *pk);

#endif
