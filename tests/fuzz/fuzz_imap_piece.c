/*
 * tests/fuzz/fuzz_imap_piece.c - what another IMAP server says, piece by piece: each call takes something, nothing lies outside the response.
 */
#include <stdint.h>
#include <stdlib.h>

#include "admin/imap_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_mem(data, size);
	struct arena *a = arena_new(0);
	volatile size_t sum = 0;

	for (;;) {
		size_t before = rest.n;
		struct imap_piece p = imap_piece_next(&rest, a);

		if (rest.n > before || (p.kind != IMAP_PIECE_END && rest.n == before) || p.text.n > size)
			abort();
		if (p.kind == IMAP_PIECE_END)
			break;
		for (size_t i = 0; i < p.text.n; i++)                 /* each octet may be read */
			sum += (unsigned char)p.text.p[i];
	}
	arena_free(&a);
	return 0;
}
