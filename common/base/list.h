/*
 * base/list.h - intrusive doubly linked lists. A struct that is listed holds a struct list_node; LIST_OF finds the struct again.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
	struct list_node *prev, *next;
};

#define LIST_OF(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))
#define LIST_EACH(node, head) for (struct list_node *node = (head)->next; node != (head); node = node->next)
/* The same where the body may take `node` off the list or free it. */
#define LIST_EACH_SAFE(node, head) \
	for (struct list_node *node = (head)->next, *node##_next = node->next; node != (head); node = node##_next, node##_next = node->next)

static inline void list_init(struct list_node *head)
{
	head->prev = head->next = head;
}

static inline bool list_is_empty(const struct list_node *head)
{
	return head->next == head;
}

/* False for a zeroed or removed node. */
static inline bool list_is_linked(const struct list_node *node)
{
	return node->next != NULL;
}

void list_append(struct list_node *head, struct list_node *node);
void list_prepend(struct list_node *head, struct list_node *node);

/* Fine for an unlinked node; leaves it zeroed. */
static inline void list_remove(struct list_node *node)
{
	if (!list_is_linked(node))
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
}

/* NULL when empty. */
static inline struct list_node *list_first(const struct list_node *head)
{
	return list_is_empty(head) ? NULL : head->next;
}

#endif
