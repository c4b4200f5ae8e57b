/* The codings of base/text.h: what decodes, encodes to the same; escapes hold nothing that a log could trip over. */
#include <assert.h>
#include <stdint.h>

#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct slice in = slice_mem(p, n);
	struct buf a, b;

	buf_init(&a, BUF_UNBOUNDED);
	buf_init(&b, BUF_UNBOUNDED);
	if (text_unbase64(in, &a) == 0)
		assert(text_base64(buf_view(&a), &b) == 0 && slice_eq(buf_view(&b), in));
	buf_reset(&a);
	buf_reset(&b);
	assert(text_xtext(in, &a) == 0 && text_unxtext(buf_view(&a), &b) == 0 && slice_eq(buf_view(&b), in));
	buf_reset(&a);
	buf_reset(&b);
	if (text_unxtext(in, &a) == 0 && text_xtext(buf_view(&a), &b) == 0)
		assert(b.len <= in.n);
	buf_reset(&a);
	text_escape(in, &a);
	assert(text_is_utf8(buf_view(&a)) && !text_has_ctl(buf_view(&a)));
	buf_done(&a);
	buf_done(&b);
	return 0;
}
