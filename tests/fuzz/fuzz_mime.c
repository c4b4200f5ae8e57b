/* Any octets as a message: the tree stays inside, its text is made without harm. */
#include <stdint.h>
#include <stdlib.h>

#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice m = slice_mem(data, size), tail;
	struct arena *a = arena_new(0);
	struct mime_part *root = mime_parse(m, a), *p;
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	mime_put_structure(m, root, true, &out);
	mime_put_structure(m, root, false, &out);
	mime_put_envelope(slice_head(m, root->header_len), &out);
	p = mime_section(root, slice_head(m, 20), &tail);
	if (p != NULL && (p->body_at + p->body_len > size || mime_decode(slice_mem(m.p + p->body_at, p->body_len), p->encoding, &out) != 0))
		abort();
	buf_done(&out);
	arena_free(&a);
	return 0;
}
