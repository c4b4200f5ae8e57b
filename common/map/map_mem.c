/*
 * map/map_mem.c - a text map held in memory, each entry with its line. A text that turns bad leaves the last good content in place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/idn.h"
#include "map/map_impl.h"

struct entry {
	struct slice key, value;
	unsigned line;
	struct entry *next;
};

struct content {
	struct arena *arena;
	struct hmap *keys;
	struct entry *first, **last;
	char hint[200];
};

struct map_mem {
	struct map base;
	enum map_text kind;
	struct content *now;
	struct stat seen;
};

struct load {
	struct content *c;
	enum map_text kind;
	const char *path;
};

static struct map_mem *self(struct map *m)
{
	return (struct map_mem *)(void *)m;
}

static struct content *content_new(void)
{
	struct content *c = calloc(1, sizeof(*c));

	if (c == NULL)
		abort();
	c->arena = arena_new(0);
	c->keys = hmap_new();
	c->last = &c->first;
	return c;
}

static void content_free(struct content *c)
{
	if (c == NULL)
		return;
	hmap_free(&c->keys);
	arena_free(&c->arena);
	free(c);
}

static struct slice folded_key(struct load *l, unsigned line, struct slice key)
{
	if (key.n > 1 && key.p[key.n - 1] == '.') {
		if (l->c->hint[0] == '\0')
			snprintf(l->c->hint, sizeof(l->c->hint), "%.100s:%u: the trailing dot of '%.*s' is not wanted and was dropped",
			    map_impl_base(l->path), line, SLICE_FMT(slice_head(key, 60)));
	}
	return idn_fold_key(key, l->c->arena);
}

static int add(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct load *l = ctx;
	struct slice k = folded_key(l, line, key);
	const struct entry *old = hmap_get(l->c->keys, k);

	if (old != NULL && slice_eq(old->value, value))
		return 0;
	if (old != NULL)
		return err_set(e, ERR_EXISTS, 0, "%s:%u: '%.*s' is there already, in line %u, with another value", l->path, line,
		    SLICE_FMT(slice_head(key, 80)), old->line);
	struct entry *n = arena_alloc(l->c->arena, sizeof(*n));

	*n = (struct entry){ .key = k, .value = arena_dup(l->c->arena, value), .line = line };
	*l->c->last = n;
	l->c->last = &n->next;
	hmap_put(l->c->keys, k, n);
	return 0;
}

static int mem_load(struct map *m, bool exists, struct err *e)
{
	struct map_mem *mm = self(m);
	struct load l = { .c = content_new(), .kind = mm->kind, .path = m->path };

	if (exists && map_text_each(m->path, mm->kind, add, &l, e) != 0) {
		content_free(l.c);
		return -1;
	}
	content_free(mm->now);
	mm->now = l.c;
	memcpy(m->warning, l.c->hint, sizeof(l.c->hint));
	return 0;
}

static int mem_refresh(struct map *m, struct err *e)
{
	return map_impl_reload(m, &self(m)->seen, self(m)->now != NULL, mem_load, e);
}

static int mem_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e UNUSED)
{
	const struct entry *n = hmap_get(self(m)->now->keys, key);

	if (n == NULL)
		return 0;
	map_impl_where(m, m->path, n->line);
	*value_out = arena_dup(a, n->value);
	return 1;
}

static int mem_each(struct map *m, int (*fn)(void *ctx, struct slice key, struct slice value), void *ctx, struct err *e UNUSED)
{
	for (struct entry *n = self(m)->now->first; n != NULL; n = n->next) {
		int rc = fn(ctx, n->key, n->value);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static void mem_close(struct map *m)
{
	content_free(self(m)->now);
}

static const struct map_ops mem_ops = { .get = mem_get, .refresh = mem_refresh, .each = mem_each, .close = mem_close };

int map_mem_open(struct map **m_out, const char *path, enum map_text kind, struct err *e)
{
	struct map_mem *mm = map_impl_new(sizeof(*mm), &mem_ops, path);
	struct map *m = &mm->base;

	mm->kind = kind;
	if (mem_refresh(m, e) != 0) {
		map_close(&m);
		return -1;
	}
	*m_out = m;
	return 0;
}
