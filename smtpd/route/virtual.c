/*
 * route/virtual.c - virtusertable: sendmail's search, and %1 %2 %3.
 */
#include "route/route_in.h"

/* %1 the user, %2 the detail, %3 the detail with its +; %% a percent sign. */
struct slice virtual_fill(struct slice value, struct slice user, struct slice detail, struct arena *a)
{
	struct buf b;
	struct slice filled;

	if (slice_chr(value, '%') < 0)
		return value;
	buf_init(&b, BUF_UNBOUNDED);
	for (size_t i = 0; i < value.n; i++) {
		char next = i + 1 < value.n ? value.p[i + 1] : '\0';

		if (value.p[i] != '%' || (next != '1' && next != '2' && next != '3' && next != '%')) {
			buf_putc(&b, value.p[i]);
			continue;
		}
		i++;
		if (next == '1')
			buf_put(&b, user);
		else if (next == '%')
			buf_putc(&b, '%');
		else if (detail.p != NULL)
			buf_putf(&b, "%s%.*s", next == '3' ? "+" : "", SLICE_FMT(detail));
	}
	filled = arena_dup(a, buf_view(&b));
	buf_done(&b);
	return filled;
}

static struct slice virtual_key(struct arena *a, struct slice user, const char *mid, struct slice detail, struct slice domain)
{
	return slice_of(arena_printf(a, "%.*s%s%.*s@%.*s", SLICE_FMT(user), mid, SLICE_FMT(detail), SLICE_FMT(domain)));
}

/* %1 of a hit without the user in its key ("@dom") is the whole local part where there was no key for the detail, as in sendmail. */
int virtual_find(struct router *r, const struct path *p, struct arena *a, struct slice *value_out, const char **where_out, struct err *e)
{
	struct slice user, detail, value, none = SLICE("");
	struct slice keys[7];
	size_t n = 0;

	route_split(r, p->local, &user, &detail);
	if (detail.p != NULL) {
		keys[n++] = virtual_key(a, user, "+", detail, p->domain);
		if (detail.n > 0)
			keys[n++] = virtual_key(a, user, "++", none, p->domain);
		keys[n++] = virtual_key(a, user, "+*", none, p->domain);
	}
	keys[n++] = virtual_key(a, user, "", none, p->domain);
	if (detail.p != NULL) {
		if (detail.n > 0)
			keys[n++] = virtual_key(a, none, "++", none, p->domain);
		keys[n++] = virtual_key(a, none, "+*", none, p->domain);
	}
	keys[n++] = virtual_key(a, none, "", none, p->domain);
	for (size_t i = 0; i < n; i++) {
		int found = map_get(r->virt, keys[i], a, &value, e);

		if (found < 0)
			return -1;
		if (found == 0)
			continue;
		*where_out = arena_str(a, slice_of(map_where(r->virt)));
		*value_out = virtual_fill(value, i == n - 1 ? p->local : user, i == n - 1 ? SLICE_NONE : detail, a);
		return 1;
	}
	return 0;
}
