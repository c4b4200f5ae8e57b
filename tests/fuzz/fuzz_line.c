/* The line reader and the dot-unstuffer: fed whole and an octet at a time they must say the same; what is stuffed again is what came. */
#include <assert.h>
#include <stdint.h>

#include "mail/line.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void keep(void *ctx, struct slice octets)
{
	buf_put(ctx, octets);
}

static void check_lines(struct slice in)
{
	struct slice line;
	size_t used;

	while (line_take(in, &line, &used) != PARSE_MORE)
		in = slice_from(in, used);
}

static void check_round_trip(struct slice wire, const struct buf *plain)
{
	struct buf stuffed;
	bool bol = true;

	buf_init(&stuffed, BUF_UNBOUNDED);
	dot_stuff(buf_view(plain), &bol, &stuffed);
	assert(bol);
	buf_puts(&stuffed, ".\r\n");
	assert(slice_eq(buf_view(&stuffed), wire) || slice_find(wire, SLICE("\r\n.")) >= 0 || wire.p[0] == '.');
	buf_done(&stuffed);
}

static void check_dots(struct slice in)
{
	struct dot whole, piecewise;
	struct buf a, b;
	size_t used, ate = 0, one;
	enum parse whole_says, says = PARSE_MORE;

	buf_init(&a, BUF_UNBOUNDED);
	buf_init(&b, BUF_UNBOUNDED);
	dot_init(&whole);
	dot_init(&piecewise);
	whole_says = dot_unstuff(&whole, in, &used, keep, &a);
	for (; says == PARSE_MORE && ate < in.n; ate += one)
		says = dot_unstuff(&piecewise, slice_mem(in.p + ate, 1), &one, keep, &b);
	assert(says == whole_says && ate == used);
	assert(whole.bad == piecewise.bad && whole.bad_line == piecewise.bad_line && whole.octets == piecewise.octets && whole.lines == piecewise.lines);
	if (whole.bad == DOT_FINE)
		assert(slice_eq(buf_view(&a), buf_view(&b)) && a.len == whole.octets);
	if (whole_says == PARSE_OK && whole.bad == DOT_FINE)
		check_round_trip(slice_head(in, used), &a);
	buf_done(&a);
	buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	check_lines(slice_mem(p, n));
	check_dots(slice_mem(p, n));
	return 0;
}
