/* Any octets as an mbox: no octet is in two messages, and what was read is the same after writing and reading it again. */
#include <stdint.h>
#include <stdlib.h>

#include "store/mboxfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void again(struct slice octets, const struct mboxfile_marks *marks, int64_t date)
{
	struct mboxfile_message m;
	struct mboxfile_marks got;
	struct buf file, b;
	size_t at = 0;

	buf_init(&file, BUF_UNBOUNDED);
	buf_init(&b, BUF_UNBOUNDED);
	mboxfile_put(octets, marks, date, &file);
	if (mboxfile_next(buf_view(&file), &at, &m) != 1 || at != file.len)
		abort();
	mboxfile_clean(m.raw, &got, &b);
	/* A CR before CRLF becomes part of the line's end: the one thing that the format can't hold. */
	if (slice_find(octets, SLICE("\r\r\n")) < 0 && (!slice_eq(buf_view(&b), octets) || got.flags != marks->flags || got.uid != marks->uid || got.uidvalidity != marks->uidvalidity || got.n_keywords != marks->n_keywords))
		abort();
	buf_done(&file);
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice file = slice_mem(data, size);
	struct mboxfile_message m;
	size_t at = 0, end = 0;

	while (mboxfile_next(file, &at, &m) > 0) {
		struct mboxfile_marks marks;
		struct buf b;

		if (m.at < end || at <= m.at || at > size)
			abort();
		end = at;
		buf_init(&b, BUF_UNBOUNDED);
		mboxfile_clean(m.raw, &marks, &b);
		again(buf_view(&b), &marks, m.date);
		buf_done(&b);
	}
	return 0;
}
