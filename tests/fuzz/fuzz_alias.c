/*
 * Right sides of aliases: whatever comes out lies inside what went in, or in the arena, and is never empty.
 */
#include <stdint.h>
#include <stdlib.h>

#include "route/alias.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct alias_target *targets = NULL;
	struct err e = ERR_INIT;
	size_t n = 0;

	if (alias_parse(slice_mem(data, size), a, &targets, &n, &e) == 0)
		for (size_t i = 0; i < n; i++)
			if (targets[i].text.n == 0 || targets[i].text.p == NULL)
				abort();
	arena_free(&a);
	return 0;
}
