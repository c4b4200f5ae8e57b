/*
 * base/hset.h - a set of structs that the caller owns, found by octets that stand in them. A struct that is in one holds a struct hset_node; HSET_OF finds
 * the struct again. For tables whose entries are many and small: struct hmap (base/hash.h) keeps copies of its keys, this keeps nothing.
 *
 * Keyed hash: no peer can aim at one bucket. The octets may not change while the struct is in the set.
 */
#ifndef BASE_HSET_H
#define BASE_HSET_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct hset_node {
	struct hset_node *next;
	uint64_t hash;
};

struct hset {
	struct hset_node **buckets;
	size_t size, n;                                               /* size: power of two, or 0 */
	struct slice (*key_of)(struct hset_node *node);
};

#define HSET_OF(node, type, member) ((type *)(void *)((char *)(node) - offsetof(type, member)))

void hset_init(struct hset *s, struct slice (*key_of)(struct hset_node *node));
void hset_done(struct hset *s);                                       /* the nodes stay whose they are */
struct hset_node *hset_get(const struct hset *s, struct slice key);   /* NULL: not there */
void hset_add(struct hset *s, struct hset_node *node);                /* its key must not be in the set */
void hset_del(struct hset *s, struct hset_node *node);                /* must be in the set */

#endif
