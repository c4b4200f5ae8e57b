/* Header fields, unfolding, encoded words, address lists and dates. */
#include <assert.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/text.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* Unfolding takes CR and LF out, and may so bring an encoded word together. */
static bool may_have_words(struct slice value)
{
	struct buf b;
	bool yes;

	buf_init(&b, BUF_UNBOUNDED);
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] != '\r' && value.p[i] != '\n')
			buf_putc(&b, value.p[i]);
	yes = slice_find(buf_view(&b), SLICE("=?")) >= 0;
	buf_done(&b);
	return yes;
}

static void check_value(struct slice value, struct arena *a)
{
	struct address *list;
	struct buf out;
	struct slice decoded = header_decode(value, a);
	int64_t when, again;
	int zone, zone_again;

	assert(slice_chr(decoded, '\n') < 0 || may_have_words(value));
	assert(address_list(value, a, &list) <= LIMIT_ADDRESSES);
	if (date_parse(value, &when, &zone) == 0) {
		buf_init(&out, BUF_UNBOUNDED);
		date_put(when, zone, &out);
		if (when > 0 && when < 250000000000) {                /* four digits of a year in any zone */
			assert(date_parse(buf_view(&out), &again, &zone_again) == 0);
			assert(again == when && zone_again == zone);
		}
		buf_done(&out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct arena *a = arena_new(0);
	struct slice all = slice_mem(p, n), body, name, value, raw, header;
	bool has_end;
	size_t walked = 0;

	check_value(all, a);
	header = header_split(all, &body, &has_end);
	assert(header.n + body.n <= n);
	for (struct slice rest = header; header_next(&rest, &name, &value, &raw); walked += raw.n)
		check_value(value, a);
	assert(walked == header.n);
	arena_free(&a);
	return 0;
}
