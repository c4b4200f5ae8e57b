#include "base/list.h"

#include <assert.h>

static void insert(struct list_node *node, struct list_node *prev, struct list_node *next)
{
	assert(!list_is_linked(node));
	node->prev = prev;
	node->next = next;
	prev->next = next->prev = node;
}

void list_append(struct list_node *head, struct list_node *node)
{
	insert(node, head->prev, head);
}

void list_prepend(struct list_node *head, struct list_node *node)
{
	insert(node, head, head->next);
}
