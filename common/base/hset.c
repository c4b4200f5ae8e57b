/*
 * base/hset.c - chains from an array of buckets, which doubles when there are as many nodes as buckets.
 */
#include "base/hset.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define HSET_FIRST 16u

void hset_init(struct hset *s, struct slice (*key_of)(struct hset_node *node))
{
	*s = (struct hset){ .key_of = key_of };
}

void hset_done(struct hset *s)
{
	free(s->buckets);
	s->buckets = NULL;
	s->size = s->n = 0;
}

static struct hset_node **bucket_of(const struct hset *s, uint64_t hash)
{
	return &s->buckets[hash & (s->size - 1)];
}

struct hset_node *hset_get(const struct hset *s, struct slice key)
{
	uint64_t hash = hash_keyed(key);

	if (s->size == 0)
		return NULL;
	for (struct hset_node *n = *bucket_of(s, hash); n != NULL; n = n->next)
		if (n->hash == hash && slice_eq(s->key_of(n), key))
			return n;
	return NULL;
}

static void link_in(struct hset *s, struct hset_node *node)
{
	struct hset_node **b = bucket_of(s, node->hash);

	node->next = *b;
	*b = node;
}

static void grow(struct hset *s)
{
	struct hset old = *s;

	s->size = old.size ? old.size * 2 : HSET_FIRST;
	s->buckets = mem_array(s->size, sizeof(struct hset_node *));
	for (size_t i = 0; i < old.size; i++) {
		for (struct hset_node *n = old.buckets[i], *next; n != NULL; n = next) {
			next = n->next;
			link_in(s, n);
		}
	}
	free(old.buckets);
}

void hset_add(struct hset *s, struct hset_node *node)
{
	if (s->n == s->size)
		grow(s);
	node->hash = hash_keyed(s->key_of(node));
	link_in(s, node);
	s->n++;
}

void hset_del(struct hset *s, struct hset_node *node)
{
	struct hset_node **at = bucket_of(s, node->hash);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	node->next = NULL;
	s->n--;
}
