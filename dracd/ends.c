/*
 * dracd/ends.c - see the header.
 */
#include "dracd/ends.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

static void set(struct ends *h, size_t i, struct ends_node *node)
{
	h->heap[i] = node;
	node->slot = i;
}

static bool before(const struct ends_node *a, const struct ends_node *b)
{
	return a->due_mono < b->due_mono;
}

static void up(struct ends *h, size_t i)
{
	struct ends_node *node = h->heap[i];

	while (i > 0 && before(node, h->heap[(i - 1) / 2])) {
		set(h, i, h->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	set(h, i, node);
}

static void down(struct ends *h, size_t i)
{
	struct ends_node *node = h->heap[i];

	for (;;) {
		size_t kid = 2 * i + 1;
		if (kid + 1 < h->n && before(h->heap[kid + 1], h->heap[kid]))
			kid++;
		if (kid >= h->n || !before(h->heap[kid], node))
			break;
		set(h, i, h->heap[kid]);
		i = kid;
	}
	set(h, i, node);
}

void ends_done(struct ends *h)
{
	free(h->heap);
	*h = (struct ends){ .n = 0 };
}

void ends_add(struct ends *h, struct ends_node *node)
{
	if (h->n == h->room) {
		h->room = h->room ? h->room * 2 : 64;
		h->heap = mem_grow(h->heap, h->room * sizeof(struct ends_node *));
	}
	set(h, h->n, node);
	h->n++;
	up(h, node->slot);
}

void ends_del(struct ends *h, struct ends_node *node)
{
	size_t i = node->slot;
	struct ends_node *last = h->heap[--h->n];

	if (last == node)
		return;
	set(h, i, last);
	up(h, i);
	down(h, last->slot);
}

void ends_moved(struct ends *h, struct ends_node *node, int64_t due_mono)
{
	node->due_mono = due_mono;
	up(h, node->slot);
	down(h, node->slot);
}
