#include "base/list.h"

#include <assert.h>

void list_init(struct list_node *head)
{
	head->prev = head->next = head;
}

bool list_is_empty(const struct list_node *head)
{
	return head->next == head;
}

bool list_is_linked(const struct list_node *node)
{
	return node->next != NULL;
}

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

void list_remove(struct list_node *node)
{
	if (!list_is_linked(node))
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->prev = node->next = NULL;
}

struct list_node *list_first(const struct list_node *head)
{
	return list_is_empty(head) ? NULL : head->next;
}
