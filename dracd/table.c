/*
 * dracd/table.c - entries in a hash by address, vouchers in lists by entry and by user, and one heap of entries by the time of their next end.
 *
 * A renewal moves no heap node: an entry that comes up too early is looked at and put back with its real time.
 */
#include "dracd/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

struct user {
	struct list_node vouchers;
	unsigned n;
	size_t name_n;
	char name[];
};

struct voucher {
	struct list_node of_entry, of_user;
	struct entry *entry;
	struct user *user;
	int64_t login_at, written;                                    /* wall: the login itself; expiry as last written down */
	int64_t at, expires_wall, expires_mono, first_mono;
	uint32_t flags;
	char *service, *host, *session;                               /* one allocation, at service */
};

struct entry {
	struct net_addr addr;
	struct list_node vouchers, by_id;
	uint64_t id;
	unsigned n;
	int64_t first, shared_until_mono;
	uint32_t used;
	size_t slot;                                                  /* in the heap */
	int64_t due_mono, due_wall;
};

struct table {
	struct table_policy policy;
	struct hmap *entries, *users;
	struct list_node by_id;
	uint64_t next_id;
	struct entry **heap;
	size_t n, room;
};

static struct slice addr_key(const struct net_addr *a)
{
	return slice_mem(a->octets, a->len);
}

/*
 * The heap: earliest monotonic end first. Wall ends differ from it only where the clock was set, which table_expire() asks of the top as well.
 */

static bool heap_before(const struct entry *a, const struct entry *b)
{
	return a->due_mono < b->due_mono;
}

static void heap_set(struct table *t, size_t i, struct entry *e)
{
	t->heap[i] = e;
	e->slot = i;
}

static void heap_up(struct table *t, size_t i)
{
	struct entry *e = t->heap[i];

	while (i > 0 && heap_before(e, t->heap[(i - 1) / 2])) {
		heap_set(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(t, i, e);
}

static void heap_down(struct table *t, size_t i)
{
	struct entry *e = t->heap[i];

	for (;;) {
		size_t kid = 2 * i + 1;
		if (kid + 1 < t->n && heap_before(t->heap[kid + 1], t->heap[kid]))
			kid++;
		if (kid >= t->n || !heap_before(t->heap[kid], e))
			break;
		heap_set(t, i, t->heap[kid]);
		i = kid;
	}
	heap_set(t, i, e);
}

static void heap_add(struct table *t, struct entry *e)
{
	if (t->n == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->heap = mem_grow(t->heap, t->room * sizeof(*t->heap));
	}
	heap_set(t, t->n, e);
	t->n++;
	heap_up(t, e->slot);
}

static void heap_del(struct table *t, struct entry *e)
{
	size_t i = e->slot;
	struct entry *last = t->heap[--t->n];

	if (last == e)
		return;
	heap_set(t, i, last);
	heap_up(t, i);
	heap_down(t, last->slot);
}

/*
 * Entries and vouchers
 */

struct table *table_new(const struct table_policy *p)
{
	struct table *t = mem_new(sizeof(*t));

	t->policy = *p;
	t->entries = hmap_new();
	t->users = hmap_new();
	t->next_id = 1;
	list_init(&t->by_id);
	return t;
}

void table_set_policy(struct table *t, const struct table_policy *p)
{
	t->policy = *p;
}

size_t table_count(const struct table *t)
{
	return t->n;
}

static struct user *user_get(struct table *t, struct slice name)
{
	struct user *u = hmap_get(t->users, name);

	if (u != NULL)
		return u;
	u = mem_new(sizeof(*u) + name.n);
	u->name_n = name.n;
	if (name.n != 0)
		memcpy(u->name, name.p, name.n);
	list_init(&u->vouchers);
	hmap_put(t->users, name, u);
	return u;
}

static struct slice user_name(const struct user *u)
{
	return slice_mem(u->name, u->name_n);
}

static void voucher_free(struct table *t, struct voucher *v)
{
	struct user *u = v->user;

	list_remove(&v->of_entry);
	list_remove(&v->of_user);
	v->entry->n--;
	if (--u->n == 0) {
		hmap_del(t->users, user_name(u));
		free(u);
	}
	free(v->service);
	free(v);
}

static void entry_free(struct table *t, struct entry *e)
{
	LIST_EACH_SAFE(n, &e->vouchers)
		voucher_free(t, LIST_OF(n, struct voucher, of_entry));
	hmap_del(t->entries, addr_key(&e->addr));
	heap_del(t, e);
	list_remove(&e->by_id);
	free(e);
}

void table_free(struct table **tp)
{
	struct table *t = tp ? *tp : NULL;

	if (t == NULL)
		return;
	table_flush(t);
	hmap_free(&t->entries);
	hmap_free(&t->users);
	free(t->heap);
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

	LIST_EACH_SAFE(n, &e->vouchers) {
		struct voucher *v = LIST_OF(n, struct voucher, of_entry);
		if (!voucher_is_live(v, now)) {
			voucher_free(t, v);
			continue;
		}
		due_mono = v->expires_mono < due_mono ? v->expires_mono : due_mono;
		due_wall = v->expires_wall < due_wall ? v->expires_wall : due_wall;
	}
	if (e->n == 0)
		return true;
	e->due_mono = due_mono;
	e->due_wall = due_wall;
	heap_up(t, e->slot);
	heap_down(t, e->slot);
	return false;
}

static struct entry *entry_live(struct table *t, const struct net_addr *addr, struct table_time now)
{
	struct entry *e = hmap_get(t->entries, addr_key(addr));

	if (e != NULL && entry_prune(t, e, now)) {
		entry_free(t, e);
		return NULL;
	}
	return e;
}

static struct entry *entry_new(struct table *t, const struct net_addr *addr, int64_t first)
{
	struct entry *e = mem_new(sizeof(*e));

	e->addr = *addr;
	e->addr.port = 0;
	e->first = first;
	e->id = t->next_id++;
	e->due_mono = INT64_MAX;
	e->due_wall = INT64_MAX;
	list_init(&e->vouchers);
	list_append(&t->by_id, &e->by_id);
	hmap_put(t->entries, addr_key(&e->addr), e);
	heap_add(t, e);
	return e;
}

/* A user vouches once; v1 and v2 callers, who name none, once each. */
static struct voucher *voucher_find(const struct entry *e, const struct drac_who *who)
{
	LIST_EACH(n, &e->vouchers) {
		struct voucher *v = LIST_OF(n, struct voucher, of_entry);
		if (slice_eq(user_name(v->user), who->user) && (who->user.n != 0 || slice_eqs(who->host, v->host)))
			return v;
	}
	return NULL;
}

static void voucher_texts(struct voucher *v, const struct drac_who *who)
{
	char *p = mem_new(who->service.n + who->host.n + who->session.n + 3);
	const struct slice parts[] = { who->service, who->host, who->session };
	char **fields[] = { &v->service, &v->host, &v->session };

	free(v->service);
	for (size_t i = 0; i < 3; i++) {
		*fields[i] = p;
		if (parts[i].n != 0)
			memcpy(p, parts[i].p, parts[i].n);
		p += parts[i].n + 1;
	}
}

static struct voucher *voucher_new(struct table *t, struct entry *e, const struct drac_who *who)
{
	struct voucher *v = mem_new(sizeof(*v));

	v->entry = e;
	v->user = user_get(t, who->user);
	v->user->n++;
	list_append(&v->user->vouchers, &v->of_user);
	list_append(&e->vouchers, &v->of_entry);
	e->n++;
	return v;
}

/* The heap must come up for the earliest voucher; later is found out then. */
static void entry_due(struct table *t, struct entry *e, const struct voucher *v)
{
	e->due_wall = v->expires_wall < e->due_wall ? v->expires_wall : e->due_wall;
	if (v->expires_mono < e->due_mono) {
		e->due_mono = v->expires_mono;
		heap_up(t, e->slot);
	}
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
	int64_t left = e->due_mono - now.mono_s + 1;

	return left < 1 ? 1 : left > 86400 ? 86400 : (uint32_t)left;
}

static void limited(struct table_grant *out, const struct entry *e, struct table_time now)
{
	out->status = DRAC3_LIMITED;
	out->retry_after = e != NULL ? seconds_left(e, now) : 60;
}

/* One address more than the user may have: the voucher that would end first goes. */
static void make_room(struct table *t, struct user *u, const struct voucher *keep, struct table_grant *out)
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
	voucher_free(t, first);
	if (e->n == 0)
		entry_free(t, e);
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
	struct voucher *v = e ? voucher_find(e, &g->who) : NULL;

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
	if (e == NULL && t->n >= TABLE_ENTRIES_MAX) {
		limited(out, NULL, now);
		return;
	}
	if (e == NULL) {
		e = entry_new(t, &g->addr, now.wall_s);
		out->is_new = true;
	}
	if (v == NULL)
		v = voucher_new(t, e, &g->who);
	voucher_texts(v, &g->who);
	v->flags = g->who.flags;
	set_times(t, v, g, now, out);
	entry_due(t, e, v);
	make_room(t, v->user, v, out);
}

void table_restore(struct table *t, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at, struct table_time now)
{
	struct entry *e = entry_live(t, addr, now);
	int64_t left = expires_at - now.wall_s;

	if (left < 0 || (e == NULL && t->n >= TABLE_ENTRIES_MAX))
		return;
	left = left > t->policy.lifetime ? t->policy.lifetime : left;     /* the clock was set back, or the lifetime is shorter now */
	if (e == NULL)
		e = entry_new(t, addr, login_at);
	struct voucher *v = voucher_find(e, who);
	if (v == NULL)
		v = voucher_new(t, e, who);
	voucher_texts(v, who);
	v->flags = who->flags;
	v->login_at = login_at;
	v->at = login_at;
	v->first_mono = now.mono_s - (now.wall_s > login_at ? now.wall_s - login_at : 0);
	v->expires_wall = now.wall_s + left;
	v->expires_mono = now.mono_s + left;
	v->written = v->expires_wall;
	entry_due(t, e, v);
}

/*
 * Questions
 */

static void fill_voucher(const struct voucher *v, struct drac_voucher *out)
{
	out->who = (struct drac_who){ .user = user_name(v->user), .service = slice_of(v->service), .host = slice_of(v->host), .session = slice_of(v->session), .flags = v->flags };
	out->at = (uint64_t)v->at;
	out->expires = (uint64_t)v->expires_wall;
}

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
	fill_voucher(v, &out->vouchers[i]);
}

static void fill_entry(const struct entry *e, struct drac_entry *out)
{
	memset(out, 0, sizeof(*out));
	out->addr = e->addr;
	out->first = (uint64_t)e->first;
	out->used = e->used;
	LIST_EACH(n, &e->vouchers)
		fill_add(out, LIST_OF(n, struct voucher, of_entry));
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
		gone(ctx, &e->addr, user_name(v->user));
	voucher_free(t, v);
	if (e->n == 0)
		entry_free(t, e);
}

static unsigned revoke_user(struct table *t, struct slice user, table_gone_fn *gone, void *ctx)
{
	struct user *u;
	unsigned n = 0;

	while ((u = hmap_get(t->users, user)) != NULL) {                  /* it goes with its last voucher */
		drop_voucher(t, LIST_OF(list_first(&u->vouchers), struct voucher, of_user), gone, ctx);
		n++;
	}
	return n;
}

unsigned table_revoke(struct table *t, const struct net_addr *addr, struct slice user, table_gone_fn *gone, void *ctx)
{
	struct entry *e;
	unsigned n = 0;

	if (addr->len == 0)
		return user.n ? revoke_user(t, user, gone, ctx) : 0;
	e = hmap_get(t->entries, addr_key(addr));
	if (e == NULL)
		return 0;
	unsigned left = e->n;

	for (struct list_node *node = e->vouchers.next; left-- > 0;) {
		struct voucher *v = LIST_OF(node, struct voucher, of_entry);
		node = node->next;
		if (user.n != 0 && !slice_eq(user_name(v->user), user))
			continue;
		drop_voucher(t, v, gone, ctx);
		n++;
	}
	return n;
}

unsigned table_flush(struct table *t)
{
	unsigned n = (unsigned)t->n;

	while (t->n != 0)
		entry_free(t, t->heap[t->n - 1]);
	return n;
}

unsigned table_expire(struct table *t, struct table_time now)
{
	unsigned removed = 0;

	while (t->n != 0 && (t->heap[0]->due_mono < now.mono_s || t->heap[0]->due_wall < now.wall_s)) {
		struct entry *e = t->heap[0];
		if (!entry_prune(t, e, now))
			continue;
		entry_free(t, e);
		removed++;
	}
	return removed;
}

int64_t table_next_s(const struct table *t, struct table_time now)
{
	if (t->n == 0)
		return -1;
	int64_t mono = t->heap[0]->due_mono - now.mono_s + 1, wall = t->heap[0]->due_wall - now.wall_s + 1, left = mono < wall ? mono : wall;

	return left < 0 ? 0 : left;
}

/*
 * Walks
 */

static bool has_user(const struct entry *e, struct slice user)
{
	LIST_EACH(n, &e->vouchers)
		if (slice_eq(user_name(LIST_OF(n, struct voucher, of_entry)->user), user))
			return true;
	return false;
}

uint64_t table_list(struct table *t, uint64_t cursor, struct slice user, struct table_time now, bool (*fn)(void *ctx, const struct drac_entry *e), void *ctx)
{
	struct drac_entry out;

	LIST_EACH_SAFE(n, &t->by_id) {
		struct entry *e = LIST_OF(n, struct entry, by_id);
		if (e->id < cursor)
			continue;
		if (entry_prune(t, e, now)) {
			entry_free(t, e);
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
	for (size_t i = 0; i < t->n; i++) {
		int64_t last = 0;
		LIST_EACH(n, &t->heap[i]->vouchers) {
			const struct voucher *v = LIST_OF(n, struct voucher, of_entry);
			last = v->expires_wall > last ? v->expires_wall : last;
		}
		fn(ctx, &t->heap[i]->addr, last);
	}
}

void table_each_voucher(struct table *t, void (*fn)(void *ctx, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at), void *ctx)
{
	struct drac_voucher w;

	for (size_t i = 0; i < t->n; i++) {
		LIST_EACH(n, &t->heap[i]->vouchers) {
			const struct voucher *v = LIST_OF(n, struct voucher, of_entry);
			fill_voucher(v, &w);
			fn(ctx, &t->heap[i]->addr, &w.who, v->login_at, v->expires_wall);
		}
	}
}
