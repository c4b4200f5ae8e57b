/*
 * A segment with anything in it: the scan ends, stays inside, and what it calls good parses as a record again.
 */
#include <stdlib.h>

#include "queue/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct check { struct slice segment; uint64_t generation, last; };

static void on_record(void *ctx, const struct record *r)
{
	struct check *c = ctx;
	struct record again;

	if (r->offset < c->last || r->offset + r->length > c->segment.n)
		abort();
	if (record_parse(slice_from(c->segment, (size_t)r->offset), c->generation, r->offset, &again) != RECORD_OK)
		abort();
	c->last = r->offset + r->length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct check c = { slice_mem(data, size), 0, 0 };
	struct segment_head h;

	if (segment_head_parse(c.segment, &h) == 0)
		c.generation = h.generation;
	record_scan(c.segment, c.generation, 0, on_record, &c);
	c.last = 0;
	c.generation = 0x1000;                                        /* of the seeds */
	record_scan(c.segment, c.generation, 0, on_record, &c);
	return 0;
}
