#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/*
 * A list of blocks, the newest first; the last one is the first block, which a reset keeps. A block that is full is never looked at again.
 */
#define ARENA_ALIGN _Alignof(max_align_t)
#define ARENA_FIRST 1024
#define ARENA_BLOCK_MAX (64u << 10)

struct block {
	struct block *older;
	size_t used, size;
	_Alignas(max_align_t) char octets[];
};

struct cleanup {
	struct cleanup *earlier;
	void (*fn)(void *ctx);
	void *ctx;
};

struct arena {
	struct block *newest;
	struct cleanup *latest;
	size_t used;
	bool secret;
};

static struct block *block_new(size_t size, struct block *older)
{
	struct block *b = mem_grow(NULL, sizeof(*b) + size);

	*b = (struct block){ .older = older, .size = size };
	return b;
}

static void block_wipe(struct block *b)
{
	explicit_bzero(b->octets, b->used);
}

static struct arena *make(size_t first_block, bool secret)
{
	struct arena *a = mem_new(sizeof(*a));

	a->newest = block_new(first_block > 0 ? first_block : ARENA_FIRST, NULL);
	a->secret = secret;
	return a;
}

struct arena *arena_new(size_t first_block)
{
	return make(first_block, false);
}

struct arena *arena_new_secret(size_t first_block)
{
	return make(first_block, true);
}

void arena_reset(struct arena *a)
{
	struct block *b = a->newest;

	while (a->latest != NULL) {
		struct cleanup *c = a->latest;

		a->latest = c->earlier;
		c->fn(c->ctx);
	}
	for (;;) {
		struct block *older = b->older;

		if (a->secret)
			block_wipe(b);
		if (older == NULL)
			break;
		free(b);
		b = older;
	}
	b->used = 0;
	a->newest = b;
	a->used = 0;
}

void arena_free(struct arena **a)
{
	if (a == NULL || *a == NULL)
		return;
	arena_reset(*a);
	free((*a)->newest);
	free(*a);
	*a = NULL;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *b = a->newest;
	size_t size;
	void *p;

	if (n > SIZE_MAX / 4)
		abort();
	n = (n + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
	if (n > b->size - b->used) {
		size = b->size < ARENA_BLOCK_MAX / 2 ? b->size * 2 : ARENA_BLOCK_MAX;
		b = a->newest = block_new(n > size ? n : size, b);
	}
	p = b->octets + b->used;
	b->used += n;
	a->used += n;
	return memset(p, 0, n);
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	if (size > 0 && count > SIZE_MAX / 4 / size)
		abort();
	return arena_alloc(a, count * size);
}

char *arena_str(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
	return (struct slice){ arena_str(a, s), s.n };
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	if ((size_t)n < sizeof(text)) {
		p = arena_str(a, slice_mem(text, (size_t)n));
		if (a->secret)
			explicit_bzero(text, sizeof(text));
		return p;
	}
	p = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

void arena_on_reset(struct arena *a, void (*fn)(void *ctx), void *ctx)
{
	struct cleanup *c = arena_alloc(a, sizeof(*c));

	*c = (struct cleanup){ .earlier = a->latest, .fn = fn, .ctx = ctx };
	a->latest = c;
}
