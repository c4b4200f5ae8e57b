/*
 * The reader of text maps: the first octet chooses the kind, the rest is the file.
 */
#include <stdlib.h>

#include "map/map_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct map_text_reader r;
	struct slice k, v;
	struct err e;

	if (n == 0)
		return 0;
	map_text_start(&r, (enum map_text)(p[0] % 3), slice_mem(p + 1, n - 1));
	while (map_text_next(&r, "fuzz", &k, &v, &e) == 1)
		if (k.n == 0)
			abort();
	map_text_done(&r);
	return 0;
}
