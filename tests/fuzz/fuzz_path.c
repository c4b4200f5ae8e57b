/* Envelope addresses: what was read, written and read again is the same path. */
#include <assert.h>
#include <stdint.h>

#include "mail/path.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena *a = arena_new(0);
	struct slice in = n > 0 ? slice_mem(p + 1, n - 1) : SLICE_NONE;
	struct path path, again;
	size_t used, where;
	const char *why = NULL;

	if (path_parse(in, n > 0 ? p[0] & 15u : 0, a, &path, &used, &where, &why) == 0) {
		assert(used <= in.n);
		assert(path_from_text(path_text(&path, a), a, &again) == 0);
		assert(path_eq(&path, &again) && slice_eq(path.local, again.local));
	} else {
		assert(where <= in.n && why != NULL);
	}
	domain_is_valid(in);
	arena_free(&a);
	return 0;
}
