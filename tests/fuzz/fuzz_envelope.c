/*
 * Any text as an envelope: what is understood is written and read back the same.
 */
#include <stdlib.h>

#include "queue/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new(0);
	struct envelope env, again;
	struct err e;
	struct buf one, two;

	buf_init(&one, BUF_UNBOUNDED);
	buf_init(&two, BUF_UNBOUNDED);
	if (envelope_parse(slice_mem(data, size), a, &env, &e) == 0) {
		envelope_put(&env, &one);
		if (envelope_parse(buf_view(&one), a, &again, &e) < 0)
			abort();
		envelope_put(&again, &two);
		if (!slice_eq(buf_view(&one), buf_view(&two)) || again.n_rcpts != env.n_rcpts)
			abort();
	}
	buf_done(&one);
	buf_done(&two);
	arena_free(&a);
	return 0;
}
