/* Any octets as a mailbox name: what is accepted comes back the same. */
#include <stdint.h>
#include <stdlib.h>

#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice name = slice_mem(data, size);
	struct buf a, b;

	buf_init(&a, BUF_UNBOUNDED);
	buf_init(&b, BUF_UNBOUNDED);
	if (utf7_to_utf8(name, &a) == 0 && (utf8_to_utf7(buf_view(&a), &b) != 0 || !slice_eq(buf_view(&b), name)))
		abort();
	buf_reset(&a);
	buf_reset(&b);
	if (utf8_to_utf7(name, &a) == 0 && (utf7_to_utf8(buf_view(&a), &b) != 0 || !slice_eq(buf_view(&b), name)))
		abort();
	buf_done(&a);
	buf_done(&b);
	return 0;
}
