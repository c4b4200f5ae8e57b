/*
 * dracd/graves.c - see the header. One grave for each pair of address and user; four lookups answer a question.
 */
#include "dracd/graves.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mem.h"

struct grave {
	struct list_node node;                                        /* oldest first */
	int64_t at_s;
	uint32_t origin;
	size_t key_n;
	char key[];
};

struct graves {
	struct hmap *by_key;
	struct list_node all;
	int64_t keep_s;
	size_t n;
};

struct graves *graves_new(int64_t keep_s)
{
	struct graves *g = mem_new(sizeof(*g));

	g->by_key = hmap_new();
	g->keep_s = keep_s;
	list_init(&g->all);
	return g;
}

static void grave_free(struct graves *g, struct grave *v)
{
	hmap_del(g->by_key, slice_mem(v->key, v->key_n));
	list_remove(&v->node);
	g->n--;
	free(v);
}

void graves_free(struct graves **gp)
{
	struct graves *g = gp ? *gp : NULL;
	struct list_node *n;

	if (g == NULL)
		return;
	while ((n = list_first(&g->all)) != NULL)
		grave_free(g, LIST_OF(n, struct grave, node));
	hmap_free(&g->by_key);
	free(g);
	*gp = NULL;
}

size_t graves_count(const struct graves *g)
{
	return g->n;
}

struct key { char octets[1 + 16 + 256]; size_t n; };

static struct slice key_of(struct key *k, const struct net_addr *addr, struct slice user)
{
	user = slice_head(user, 255);
	k->octets[0] = (char)addr->len;
	memcpy(k->octets + 1, addr->octets, addr->len);
	if (user.n != 0)
		memcpy(k->octets + 1 + addr->len, user.p, user.n);
	return slice_mem(k->octets, 1 + addr->len + user.n);
}

static void make_room(struct graves *g, int64_t now_s)
{
	struct list_node *n;

	while ((n = list_first(&g->all)) != NULL) {
		struct grave *v = LIST_OF(n, struct grave, node);
		if (g->n < GRAVES_MAX && v->at_s + g->keep_s >= now_s)
			return;
		grave_free(g, v);
	}
}

void graves_add(struct graves *g, const struct net_addr *addr, struct slice user, uint32_t origin, int64_t at_s, int64_t now_s)
{
	struct key k;
	struct slice key = key_of(&k, addr, user);
	struct grave *v = hmap_get(g->by_key, key);

	if (v != NULL && v->at_s >= at_s)
		return;
	if (v != NULL)
		grave_free(g, v);
	make_room(g, now_s);
	v = mem_new(sizeof(*v) + key.n);
	v->at_s = at_s;
	v->origin = origin;
	v->key_n = key.n;
	memcpy(v->key, key.p, key.n);
	list_append(&g->all, &v->node);
	hmap_put(g->by_key, key, v);
	g->n++;
}

static bool holds(const struct graves *g, const struct net_addr *addr, struct slice user, uint32_t origin, int64_t login_s)
{
	struct key k;
	const struct grave *v = hmap_get(g->by_key, key_of(&k, addr, user));

	return v != NULL && (login_s < v->at_s || (login_s == v->at_s && origin != v->origin));
}

bool graves_hold(const struct graves *g, const struct net_addr *addr, struct slice user, uint32_t origin, int64_t login_s)
{
	static const struct net_addr every = { .len = 0 };

	return holds(g, addr, user, origin, login_s) || holds(g, addr, SLICE_NONE, origin, login_s) || holds(g, &every, user, origin, login_s) ||
	       holds(g, &every, SLICE_NONE, origin, login_s);
}
