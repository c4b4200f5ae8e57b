/* serve/parked.c - see the header. */
#include "serve/parked.h"

#include <stdlib.h>

#include "base/mem.h"

static struct slice key_of(const uint64_t key[2])
{
	return slice_mem(key, 2 * sizeof(key[0]));
}

struct parked *parked_get(const struct hmap *map, uint32_t front, uint64_t id)
{
	const uint64_t key[2] = { front, id };

	return hmap_get(map, key_of(key));
}

struct parked *parked_new(struct hmap *map, uint32_t front, uint64_t id, struct slice name)
{
	struct parked *pk;

	if (parked_get(map, front, id) != NULL)
		return NULL;
	pk = mem_new(sizeof(*pk));
	pk->key[0] = front;
	pk->key[1] = id;
	pk->name = name;
	(void)hmap_put(map, key_of(pk->key), pk);
	return pk;
}

struct parked *parked_returns(const struct hmap *map, uint32_t front, uint64_t id, struct slice name)
{
	struct parked *pk = parked_get(map, front, id);

	return pk != NULL && slice_eq(pk->name, name) ? pk : NULL;
}

void parked_free(struct hmap *map, struct parked *pk)
{
	(void)hmap_del(map, key_of(pk->key));
	list_remove(&pk->node);
	free(pk);
}
