/*
 * tests/fuzz/fuzz_store_index.c - posthouse.index with a header whose CRC is made right, so that everything behind it is reached.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "store/sindex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct sindex *x)
{
	for (size_t i = 0; i < x->h->count; i++) {
		struct slice name;
		unsigned sum = 0;

		(void)sindex_rec_is_sound(x, i);
		if (sindex_name(x, &x->recs[i], &name))
			for (size_t k = 0; k < name.n; k++)
				sum += (unsigned char)name.p[k];
		(void)sum;
	}
	(void)sindex_sections_are_sound(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t *copy = malloc(size + 8);
	struct sindex x = { 0 };

	memcpy(copy, data, size);
	if (sindex_parse(slice_mem(copy, size), &x) == 0)
		use(&x);
	if (size >= sizeof(struct ihead)) {
		struct ihead *h = (struct ihead *)copy;

		memcpy(h->magic, "PHINDEX1", 8);
		h->order = 0x01020304u;
		h->crc = hash_crc32c(0, h, offsetof(struct ihead, crc));
		if (sindex_parse(slice_mem(copy, size), &x) == 0)
			use(&x);
	}
	free(copy);
	return 0;
}
