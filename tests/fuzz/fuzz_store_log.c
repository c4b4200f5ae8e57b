/*
 * tests/fuzz/fuzz_store_log.c - what is read from posthouse.log: records, and, as if its CRC were right, any transaction.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/num.h"
#include "store/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = slice_mem(data, size), payload;
	struct mbox m = { .uidnext = 1 };
	uint64_t id, base, tag;
	size_t used;

	(void)slog_record_parse(in, 1, SLOG_HEADER, &payload, &used);
	(void)!slog_header_parse(in, &id, &base, &tag);
	slog_init(&m.log);
	if (mbox_apply(&m, in, NULL) != 0 || mbox_apply(&m, in, NULL) != 0 || mbox_apply_flags(&m, in) != 0) {}
	for (uint32_t i = 0; i < mbox_slots(&m); i++)
		(void)mbox_rec(&m, i);
	mbox_clear_state(&m);
	while (m.n_keywords > 0)
		free(m.keyword[--m.n_keywords]);
	return 0;
}
