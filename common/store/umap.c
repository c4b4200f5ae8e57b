/*
 * store/umap.c - see umap.h. Open addressing, at most half full, Fibonacci hashing.
 */
#include "store/umap.h"

#include <stdlib.h>

#include "base/mem.h"

static size_t place(const struct umap *m, uint32_t key)
{
	size_t i = (size_t)(((uint64_t)key * 0x9e3779b97f4a7c15u) >> 32) & (m->cap - 1);

	while (m->values[i] != NULL && m->keys[i] != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

void *umap_get(const struct umap *m, uint32_t key)
{
	return m->count == 0 ? NULL : m->values[place(m, key)];
}

static void grow(struct umap *m)
{
	struct umap bigger = { .cap = m->cap == 0 ? 64 : m->cap * 2 };

	bigger.keys = mem_array(bigger.cap, sizeof *bigger.keys);
	bigger.values = mem_array(bigger.cap, sizeof *bigger.values);
	for (size_t i = 0; i < m->cap; i++)
		if (m->values[i] != NULL)
			umap_put(&bigger, m->keys[i], m->values[i]);
	umap_done(m);
	*m = bigger;
}

void umap_put(struct umap *m, uint32_t key, void *value)
{
	size_t i;

	if (m->count * 2 >= m->cap)
		grow(m);
	i = place(m, key);
	m->count += m->values[i] == NULL;
	m->keys[i] = key;
	m->values[i] = value;
}

void umap_done(struct umap *m)
{
	free(m->keys);
	free(m->values);
	*m = (struct umap){ 0 };
}
