/*
 * dracd/ends.h - which entry ends next: a heap by the monotonic clock. The nodes are part of the entries.
 */
#ifndef DRACD_ENDS_H
#define DRACD_ENDS_H

#include <stddef.h>
#include <stdint.h>

struct ends_node {
	int64_t due_mono;                                             /* change it by ends_moved() only */
	size_t slot;
};

struct ends {
	struct ends_node **heap;                                      /* heap[0] ends first */
	size_t n, room;
};

void ends_done(struct ends *h);
void ends_add(struct ends *h, struct ends_node *node);
void ends_del(struct ends *h, struct ends_node *node);
void ends_moved(struct ends *h, struct ends_node *node, int64_t due_mono);

#endif
