/*
 * serve/crowd.c - see the header. No lock: a row has one writer, and a number is one word.
 */
#include "serve/crowd.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define OLD_GENERATIONS 3u                                                /* a row that is older belongs to nobody any more */

struct shared {
	uint64_t key[2];                                              /* drawn by the supervisor */
	char unused[48];
	_Atomic uint32_t owner[CROWD_ROWS];                           /* 0: nobody; else tag_of() */
	_Atomic uint16_t n[CROWD_ROWS][CROWD_PLACES];
};

_Static_assert(sizeof(struct shared) == CROWD_OCTETS, "CROWD_OCTETS");

struct crowd {
	struct hmap *own;                                             /* address -> how many here */
	struct shared *mem;                                           /* NULL: alone */
	unsigned row;                                                 /* ours */
};

static struct slice addr_key(const struct net_addr *a)
{
	return slice_mem(a->octets, a->len == 16 ? 8 : a->len);
}

static uint32_t tag_of(unsigned generation, unsigned index)
{
	return (generation & 0xffff) << 16 | ((index + 1) & 0xffff);
}

static size_t place_of(const struct crowd *c, const struct net_addr *a)
{
	return hash_siphash(c->mem->key, addr_key(a)) % CROWD_PLACES;
}

static void empty_row(struct shared *m, unsigned row)
{
	for (size_t i = 0; i < CROWD_PLACES; i++)
		atomic_store_explicit(&m->n[row][i], 0, memory_order_relaxed);
}

/* Our predecessor's row, if it died; else a free one, or one that was left behind by a generation long gone. */
static bool take_row(struct crowd *c, unsigned generation, uint32_t tag)
{
	for (int again = 0; again < 2; again++)
		for (unsigned row = 0; row < CROWD_ROWS; row++) {
			uint32_t owner = atomic_load(&c->mem->owner[row]);
			bool ours = owner == tag, left = owner == 0 || (uint16_t)((generation & 0xffff) - (owner >> 16)) > OLD_GENERATIONS;

			if ((again == 0 ? ours : left) && atomic_compare_exchange_strong(&c->mem->owner[row], &owner, tag)) {
				empty_row(c->mem, row);
				c->row = row;
				return true;
			}
		}
	return false;
}

struct crowd *crowd_new(void *shared, unsigned generation, unsigned index)
{
	struct crowd *c = mem_new(sizeof(*c));

	c->own = hmap_new();
	c->mem = shared;
	if (c->mem == NULL)
		return c;
	if (!take_row(c, generation, tag_of(generation, index)))
		c->mem = NULL;
	return c;
}

void crowd_free(struct crowd **cp)
{
	struct crowd *c = cp ? *cp : NULL;

	if (c == NULL)
		return;
	if (c->mem != NULL) {
		empty_row(c->mem, c->row);
		atomic_store(&c->mem->owner[c->row], 0);
	}
	hmap_free(&c->own);
	free(c);
	*cp = NULL;
}

static unsigned elsewhere(const struct crowd *c, const struct net_addr *a)
{
	unsigned n = 0;
	size_t place;

	if (c->mem == NULL)
		return 0;
	place = place_of(c, a);
	for (unsigned row = 0; row < CROWD_ROWS; row++)
		if (row != c->row && atomic_load_explicit(&c->mem->owner[row], memory_order_relaxed) != 0)
			n += atomic_load_explicit(&c->mem->n[row][place], memory_order_relaxed);
	return n;
}

/* Places are shared, so the number there is a sum over addresses; it can not fall below what is known of one of them. */
static void tell_others(struct crowd *c, const struct net_addr *a, int change)
{
	size_t place;
	uint16_t now;

	if (c->mem == NULL)
		return;
	place = place_of(c, a);
	now = atomic_load_explicit(&c->mem->n[c->row][place], memory_order_relaxed);
	if ((change > 0 && now < UINT16_MAX) || (change < 0 && now > 0))
		atomic_store_explicit(&c->mem->n[c->row][place], (uint16_t)(now + change), memory_order_relaxed);
}

bool crowd_admit(struct crowd *c, const struct net_addr *a, unsigned limit)
{
	uintptr_t here = (uintptr_t)hmap_get(c->own, addr_key(a));

	if (limit > 0 && (here >= limit || here + elsewhere(c, a) >= limit))
		return false;
	(void)hmap_put(c->own, addr_key(a), (void *)(here + 1));
	tell_others(c, a, 1);
	return true;
}

void crowd_leave(struct crowd *c, const struct net_addr *a)
{
	uintptr_t here = (uintptr_t)hmap_get(c->own, addr_key(a));

	if (here > 1)
		(void)hmap_put(c->own, addr_key(a), (void *)(here - 1));
	else
		(void)hmap_del(c->own, addr_key(a));
	tell_others(c, a, -1);
}
