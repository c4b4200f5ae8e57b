#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void *mem_new(size_t n)
{
	return mem_array(1, n);
}

void *mem_array(size_t count, size_t size)
{
	void *p = calloc(count > 0 ? count : 1, size > 0 ? size : 1);

	if (p == NULL)
		abort();
	return p;
}

void *mem_grow(void *p, size_t n)
{
	void *q = realloc(p, n > 0 ? n : 1);

	if (q == NULL)
		abort();
	return q;
}

char *mem_str(const char *str)
{
	size_t n = strlen(str) + 1;

	return memcpy(mem_new(n), str, n);
}
