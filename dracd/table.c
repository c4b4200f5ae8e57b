/*
 * dracd/table.c - the verbs: what a grant does, what a question hears, what ends when. grants.c keeps what there is, ends.c knows what ends next.
 *
 * A renewal moves no heap node: an entry that comes up too early is looked at and put back with its real time.
 */
#include "dracd/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "dracd/grants.h"

struct table {
	struct table_policy policy;
	struct grants in;
};

struct table *table_new(const struct table_policy *p)
{
	struct table *t = mem_new(sizeof(*t));

	t->policy = *p;
	grants_init(&t->in);
	return t;
}

size_t table_count(const struct table *t)
{
	return t->in.ends.n;
}

void table_free(struct table **tp)
{
	struct table *t = tp ? *tp : NULL;

	if (t == NULL)
		return;
	grants_done(&t->in);
	free(t);
	*tp = NULL;
}

static bool voucher_is_live(const struct voucher *v, struct table_time now)
{
	return now.wall_s <= v->expires_wall && now.mono_s <= v->expires_mono;
}

/* Takes dead vouchers off; true: the entry is left without any. */
static bool entry_prune(struct table *t, struct entry *e, struct table_time now)
{
	int64_t due_mono = INT64_MAX, due_wall = INT64_MAX;

	ENTRY_VOUCHERS(e, v) {
		if (!voucher_is_live(v, now)) {
			grants_voucher_free(&t->in, v);
			continue;
		}
		due_mono = v->expires_mono < due_mono ? v->expires_mono : due_mono;
		due_wall = v->expires_wall < due_wall ? v->expires_wall : due_wall;
	}
	if (e->n == 0)
		return true;
	e->due_wall = due_wall;
	ends_moved(&t->in.ends, &e->end, due_mono);
	return false;
}

static struct entry *entry_live(struct table *t, const struct net_addr *addr, struct table_time now)
{
	struct entry *e = grants_find(&t->in, addr);

	if (e != NULL && entry_prune(t, e, now)) {
		grants_drop(&t->in, e);
		return NULL;
	}
	return e;
}

/*
 * Grants
 */

static bool is_shared(const struct entry *e, struct table_time now)
{
	return e->shared_until_mono != 0 && now.mono_s < e->shared_until_mono;
}

static uint32_t seconds_left(const struct entry *e, struct table_time now)
{
	int64_t left = e->end.due_mono - now.mono_s + 1;

	return left < 1 ? 1 : left > 86400 ? 86400 : (uint32_t)left;
}

static void limited(struct table_grant *out, const struct entry *e, struct table_time now)
{
	out->status = DRAC3_LIMITED;
	out->retry_after = e != NULL ? seconds_left(e, now) : 60;
}

/* One address more than the user may have: the voucher that would end first goes. */
static void make_room(struct table *t, struct roamer *u, const struct voucher *keep, struct table_grant *out)
{
	struct voucher *first = NULL;

	if (u->name_n == 0 || u->n <= t->policy.addresses_per_user)
		return;
	LIST_EACH(n, &u->vouchers) {
		struct voucher *v = LIST_OF(n, struct voucher, of_user);
		if (v != keep && (first == NULL || v->expires_mono < first->expires_mono))
			first = v;
	}
	if (first == NULL)
		return;
	struct entry *e = first->entry;

	out->evicted = true;
	out->evicted_addr = e->addr;
	grants_voucher_free(&t->in, first);
	if (e->n == 0)
		grants_drop(&t->in, e);
}

static int64_t clamp_ttl(const struct table *t, uint32_t ttl)
{
	return ttl == 0 || ttl > t->policy.lifetime ? t->policy.lifetime : (int64_t)ttl;
}

static void set_times(struct table *t, struct voucher *v, const struct drac_grant_args *g, struct table_time now, struct table_grant *out)
{
	int64_t ttl = clamp_ttl(t, g->ttl), moved;
	bool renewal = (g->who.flags & DRAC_WHO_RENEWAL) != 0;

	if (!renewal || v->login_at == 0) {
		v->login_at = now.wall_s;
		v->first_mono = now.mono_s;
	}
	int64_t left = v->first_mono + t->policy.max_age - now.mono_s;

	if (ttl > left)
		ttl = left > 0 ? left : 0;
	v->at = now.wall_s;
	v->expires_wall = now.wall_s + ttl;
	v->expires_mono = now.mono_s + ttl;
	moved = v->expires_wall - v->written;
	out->moved = moved < 0 ? -moved * 10 >= t->policy.lifetime : moved * 10 >= t->policy.lifetime;
	if (out->moved)
		v->written = v->expires_wall;
	out->expires_at = v->expires_wall;
	out->login_at = v->login_at;
}

void table_grant(struct table *t, const struct drac_grant_args *g, struct table_time now, struct table_grant *out)
{
	struct entry *e = entry_live(t, &g->addr, now);
	struct voucher *v = e ? grants_voucher_find(e, &g->who) : NULL;

	*out = (struct table_grant){ .status = DRAC3_OK };
	if (v == NULL && (g->who.flags & DRAC_WHO_RENEWAL)) {
		out->status = DRAC3_NOTFOUND;
		return;
	}
	if (v == NULL && e != NULL && e->n >= t->policy.users_per_address) {
		out->became_shared = !is_shared(e, now);
		e->shared_until_mono = now.mono_s + t->policy.lifetime;
		limited(out, e, now);
		return;
	}
	if (e == NULL && table_count(t) >= TABLE_ENTRIES_MAX) {
		limited(out, NULL, now);
		return;
	}
	if (e == NULL) {
		e = grants_add(&t->in, &g->addr, now.wall_s);
		out->is_new = true;
	}
	if (v == NULL)
		v = grants_voucher_new(&t->in, e, &g->who);
	grants_voucher_say(&t->in, v, &g->who);
	set_times(t, v, g, now, out);
	grants_due(&t->in, e, v);
	make_room(t, v->user, v, out);
}

void table_restore(struct table *t, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at, struct table_time now)
{
	struct entry *e = entry_live(t, addr, now);
	int64_t left = expires_at - now.wall_s;

	if (left < 0 || (e == NULL && table_count(t) >= TABLE_ENTRIES_MAX))
		return;
	left = left > t->policy.lifetime ? t->policy.lifetime : left;     /* the clock was set back, or the lifetime is shorter now */
	if (e == NULL)
		e = grants_add(&t->in, addr, login_at);
	struct voucher *v = grants_voucher_find(e, who);
	if (v == NULL)
		v = grants_voucher_new(&t->in, e, who);
	grants_voucher_say(&t->in, v, who);
	v->login_at = login_at;
	v->at = login_at;
	v->first_mono = now.mono_s - (now.wall_s > login_at ? now.wall_s - login_at : 0);
	v->expires_wall = now.wall_s + left;
	v->expires_mono = now.mono_s + left;
	v->written = v->expires_wall;
	grants_due(&t->in, e, v);
}

/*
 * Questions
 */

/* More vouchers than the message holds: the later their end, the better their place. */
static void fill_add(struct drac_entry *out, const struct voucher *v)
{
	size_t i = out->n < DRAC_VOUCHERS ? out->n++ : DRAC_VOUCHERS;

	if (i == DRAC_VOUCHERS) {
		if (out->vouchers[i - 1].expires >= (uint64_t)v->expires_wall)
			return;
		i--;
	}
	for (; i > 0 && out->vouchers[i - 1].expires < (uint64_t)v->expires_wall; i--)
		out->vouchers[i] = out->vouchers[i - 1];
	grants_voucher_fill(v, &out->vouchers[i]);
}

static void fill_entry(const struct entry *e, struct drac_entry *out)
{
	memset(out, 0, sizeof(*out));
	out->addr = e->addr;
	out->first = (uint64_t)e->first;
	out->used = e->used;
	ENTRY_VOUCHERS(e, v)
		fill_add(out, v);
	out->expires = out->n ? out->vouchers[0].expires : 0;
}

enum drac_status table_query(struct table *t, const struct net_addr *addr, struct table_time now, struct drac_entry *out)
{
	struct entry *e = entry_live(t, addr, now);

	if (e == NULL)
		return DRAC3_NOTFOUND;
	if (is_shared(e, now))
		return DRAC3_LIMITED;
	fill_entry(e, out);
	return DRAC3_OK;
}

bool table_find(struct table *t, const struct net_addr *addr, const struct drac_who *who, struct table_time now, struct drac_voucher *out)
{
	struct entry *e = entry_live(t, addr, now);
	const struct voucher *v = e != NULL ? grants_voucher_find(e, who) : NULL;

	if (v != NULL)
		grants_voucher_fill(v, out);
	return v != NULL;
}

enum drac_status table_use(struct table *t, const struct net_addr *addr, struct table_time now, struct drac_entry *out)
{
	struct entry *e = entry_live(t, addr, now);

	if (e == NULL)
		return DRAC3_NOTFOUND;
	if (e->used < UINT32_MAX)
		e->used++;
	fill_entry(e, out);
	return DRAC3_OK;
}

/*
 * Ends
 */

static void drop_voucher(struct table *t, struct voucher *v, table_gone_fn *gone, void *ctx)
{
	struct entry *e = v->entry;

	if (gone != NULL)
		gone(ctx, &e->addr, grants_voucher_user(v));
	grants_voucher_free(&t->in, v);
	if (e->n == 0)
		grants_drop(&t->in, e);
}

struct revoking {
	struct slice user;                                            /* empty: all */
	int64_t login_until;
	table_gone_fn *gone;
	void *ctx;
};

static unsigned revoke_user(struct table *t, const struct revoking *r)
{
	const struct roamer *u = grants_roamer(&t->in, r->user);
	struct list_node *node = u != NULL ? u->vouchers.next : NULL;
	unsigned n = 0;

	for (unsigned left = u != NULL ? u->n : 0; left > 0; left--) {    /* the user goes with the last voucher */
		struct voucher *v = LIST_OF(node, struct voucher, of_user);
		node = node->next;
		if (v->login_at > r->login_until)
			continue;
		drop_voucher(t, v, r->gone, r->ctx);
		n++;
	}
	return n;
}

static unsigned revoke_entry(struct table *t, struct entry *e, const struct revoking *r)
{
	unsigned n = 0;

	for (struct voucher *v = e->vouchers, *next; v != NULL; v = next) {
		next = v->next;                                           /* NULL when v is the last, with which the entry may go */
		if (v->login_at > r->login_until || (r->user.n != 0 && !slice_eq(grants_voucher_user(v), r->user)))
			continue;
		drop_voucher(t, v, r->gone, r->ctx);
		n++;
	}
	return n;
}

unsigned table_revoke_until(struct table *t, const struct net_addr *addr, struct slice user, int64_t login_until, table_gone_fn *gone, void *ctx)
{
	const struct revoking r = { user, login_until, gone, ctx };
	struct entry *e;
	unsigned n = 0;

	if (addr->len == 0 && user.n != 0)
		return revoke_user(t, &r);
	if (addr->len == 0) {
		LIST_EACH_SAFE(node, &t->in.by_id)
			n += revoke_entry(t, ENTRY_OF_ID(node), &r);
		return n;
	}
	e = grants_find(&t->in, addr);
	return e != NULL ? revoke_entry(t, e, &r) : 0;
}

unsigned table_revoke(struct table *t, const struct net_addr *addr, struct slice user, table_gone_fn *gone, void *ctx)
{
	return addr->len == 0 && user.n == 0 ? 0 : table_revoke_until(t, addr, user, INT64_MAX, gone, ctx);
}

unsigned table_flush(struct table *t)
{
	unsigned n = (unsigned)table_count(t);

	while (table_count(t) != 0)
		grants_drop(&t->in, ENTRY_OF_END(t->in.ends.heap[table_count(t) - 1]));
	return n;
}

static struct entry *first_to_end(const struct table *t)
{
	return t->in.ends.n != 0 ? ENTRY_OF_END(t->in.ends.heap[0]) : NULL;
}

unsigned table_expire(struct table *t, struct table_time now)
{
	struct entry *e;
	unsigned removed = 0;

	while ((e = first_to_end(t)) != NULL && (e->end.due_mono < now.mono_s || e->due_wall < now.wall_s)) {
		if (!entry_prune(t, e, now))
			continue;
		grants_drop(&t->in, e);
		removed++;
	}
	return removed;
}

int64_t table_next_s(const struct table *t, struct table_time now)
{
	const struct entry *e = first_to_end(t);

	if (e == NULL)
		return -1;
	int64_t mono = e->end.due_mono - now.mono_s + 1, wall = e->due_wall - now.wall_s + 1, left = mono < wall ? mono : wall;

	return left < 0 ? 0 : left;
}

/*
 * Walks
 */

static bool has_user(const struct entry *e, struct slice user)
{
	ENTRY_VOUCHERS(e, v)
		if (slice_eq(grants_voucher_user(v), user))
			return true;
	return false;
}

uint64_t table_list(struct table *t, uint64_t cursor, struct slice user, struct table_time now, bool (*fn)(void *ctx, const struct drac_entry *e), void *ctx)
{
	struct drac_entry out;

	LIST_EACH_SAFE(n, &t->in.by_id) {
		struct entry *e = ENTRY_OF_ID(n);
		if (e->id < cursor)
			continue;
		if (entry_prune(t, e, now)) {
			grants_drop(&t->in, e);
			continue;
		}
		if (user.n != 0 && !has_user(e, user))
			continue;
		fill_entry(e, &out);
		if (!fn(ctx, &out))
			return e->id;
	}
	return 0;
}

void table_each(struct table *t, void (*fn)(void *ctx, const struct net_addr *addr, int64_t expires_at), void *ctx)
{
	for (size_t i = 0; i < table_count(t); i++) {
		const struct entry *e = ENTRY_OF_END(t->in.ends.heap[i]);
		int64_t last = 0;
		ENTRY_VOUCHERS(e, v)
			last = v->expires_wall > last ? v->expires_wall : last;
		fn(ctx, &e->addr, last);
	}
}

void table_each_voucher(struct table *t, void (*fn)(void *ctx, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at), void *ctx)
{
	struct drac_voucher w;

	for (size_t i = 0; i < table_count(t); i++) {
		const struct entry *e = ENTRY_OF_END(t->in.ends.heap[i]);
		ENTRY_VOUCHERS(e, v) {
			grants_voucher_fill(v, &w);
			fn(ctx, &e->addr, &w.who, v->login_at, v->expires_wall);
		}
	}
}
