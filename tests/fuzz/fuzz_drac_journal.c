/*
 * The journal's reader: whatever stands in the file, it ends, and what it takes over is within the table's bounds.
 */
#include <stdlib.h>

#include "dracd/jrecord.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const struct table_policy policy = { 1800, 28800, 8, 8 };
	const struct table_time now = { 1795311821, 1000 };
	struct table *t = table_new(&policy);
	struct slice rest = slice_mem(p, n);
	struct drac_entry e;
	long used;

	while (rest.n != 0 && (used = jrecord_apply(rest, 0, t, now)) > 0)
		rest = slice_from(rest, (size_t)used);
	if (jrecord_apply_all(slice_mem(p, n), t, now) > n)
		abort();
	table_expire(t, (struct table_time){ 1795311821 + 1801, 1000 + 1801 });
	if (table_count(t) != 0)
		abort();                                                  /* nothing read may outlive the lifetime */
	(void)e;
	table_free(&t);
	return 0;
}
