/*
 * drac/drac_pulled.c - the replies that one dracd reads of another: PULL, LIST and STATS. The other half of drac/drac_msg.h.
 *
 * The other host is one of ours, but what runs there may have been broken into: every count and order is checked, whole, before a word of it is believed.
 */
#include "drac/drac_msg.h"

static bool get_bool(struct xdr *x)
{
	uint32_t v = xdr_get_u32(x);

	if (v > 1)
		x->broken = true;
	return v == 1;
}

static bool is_sane(const struct drac_event *e, uint64_t after, uint64_t last)
{
	if (e->serial <= after || e->serial > last || e->kind > DRAC_EV_FLUSH)
		return false;
	if (e->kind == DRAC_EV_GRANT)
		return e->addr.len != 0 && e->expires <= INT64_MAX;
	return e->expires <= INT64_MAX && (e->kind == DRAC_EV_FLUSH || e->addr.len != 0 || e->who.user.n != 0);
}

static void walk_events(struct xdr x, uint32_t n, drac_event_fn *fn, void *ctx)
{
	struct drac_event e;

	for (uint32_t i = 0; i < n; i++) {
		drac_event_get(&x, &e);
		fn(ctx, &e);
	}
}

static int check_events(struct xdr x, uint32_t n, uint64_t after, uint64_t last)
{
	struct drac_event e;

	for (uint32_t i = 0; i < n; i++) {
		drac_event_get(&x, &e);
		if (x.broken || !is_sane(&e, after, last))
			return -1;
		after = e.serial;
	}
	return xdr_done(&x) ? 0 : -1;
}

int drac_pull_res_read(struct slice result, uint64_t epoch, uint64_t after, struct drac_pulled *out, drac_event_fn *fn, void *ctx)
{
	struct xdr x = { result, false };
	struct drac_pulled p = { .status = drac_status_get(&x) };

	if (x.broken)
		return -1;
	if (p.status != DRAC3_OK) {
		*out = p;
		return 0;
	}
	p.head.epoch = xdr_get_u64(&x);
	p.head.last = xdr_get_u64(&x);
	p.head.snapshot_needed = get_bool(&x);
	p.n = xdr_get_u32(&x);
	if (x.broken || p.n > DRAC_PAGE || (p.head.snapshot_needed && p.n != 0))
		return -1;
	if (!p.head.snapshot_needed && (p.head.epoch != epoch || p.head.last < after))
		return -1;
	if (check_events(x, p.n, after, p.head.last) != 0)
		return -1;
	*out = p;
	walk_events(x, p.n, fn, ctx);
	return 0;
}

static bool times_fit(const struct drac_entry *e)
{
	for (size_t i = 0; i < e->n; i++)
		if (e->vouchers[i].at > INT64_MAX || e->vouchers[i].expires > INT64_MAX)
			return false;
	return e->addr.len != 0;
}

int drac_list_res_read(struct slice result, struct drac_listed *out, drac_entry_fn *fn, void *ctx)
{
	struct xdr x = { result, false }, first;
	struct drac_listed l = { .status = drac_status_get(&x) };
	struct drac_entry e;

	if (x.broken)
		return -1;
	if (l.status != DRAC3_OK) {
		*out = l;
		return 0;
	}
	l.n = xdr_get_u32(&x);
	if (x.broken || l.n > DRAC_PAGE)
		return -1;
	first = x;
	for (uint32_t i = 0; i < l.n; i++) {
		drac_entry_get(&x, &e);
		if (x.broken || !times_fit(&e))
			return -1;
	}
	l.next = xdr_get_opaque(&x, DRAC_CURSOR_MAX);
	l.eof = get_bool(&x);
	if (!xdr_done(&x) || (!l.eof && (l.n == 0 || l.next.n == 0)))
		return -1;
	*out = l;
	for (uint32_t i = 0; i < l.n; i++) {
		drac_entry_get(&first, &e);
		fn(ctx, &e);
	}
	return 0;
}

int drac_stats_res_find(struct slice result, const char *name, uint64_t *value_out)
{
	struct xdr x = { result, false };
	uint32_t n = xdr_get_u32(&x);

	for (uint32_t i = 0; i < n && i < DRAC_STATS && !x.broken; i++) {
		struct slice at = xdr_get_opaque(&x, 32);
		uint64_t v = xdr_get_u64(&x);
		if (x.broken || !slice_eqs(at, name))
			continue;
		*value_out = v;
		return 1;
	}
	return 0;
}
