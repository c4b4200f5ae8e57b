/*
 * dracd/table.h - who may relay from where, until when: entries by address, in each the users whose logins vouch for it. Memory only, no I/O, no clock.
 *
 * A voucher ends by two clocks: the wall's, which is published and survives a restart, and the monotonic one, so that a clock that is set back
 * prolongs nothing. An entry lives while one voucher does; both are removed on the second by table_expire().
 */
#ifndef DRACD_TABLE_H
#define DRACD_TABLE_H

#include "base/list.h"
#include "drac/drac_msg.h"

#define TABLE_ENTRIES_MAX 500000u                                         /* a bound on what any number of logins can make us hold */

struct table_time { int64_t wall_s, mono_s; };

struct table_policy {
	int64_t lifetime, max_age;                                    /* seconds */
	unsigned users_per_address;                                   /* more: the address is taken for a shared one */
	unsigned addresses_per_user;                                  /* more: the voucher that ends first gives way */
};

struct table;

struct table *table_new(const struct table_policy *p);
void table_free(struct table **t);

struct table_grant {                                                  /* what a grant did */
	enum drac_status status;                                      /* OK, LIMITED, NOTFOUND (a renewal of nothing) */
	uint32_t retry_after;
	bool is_new;                                                  /* the address was not there */
	bool moved;                                                   /* expiry moved by a tenth of the lifetime or more, or a voucher is new: write it down */
	bool became_shared;
	bool evicted;                                                 /* another address of the user gave way: evicted_addr */
	struct net_addr evicted_addr;
	int64_t expires_at;                                           /* of the voucher */
	int64_t login_at;
};
void table_grant(struct table *t, const struct drac_grant_args *g, struct table_time now, struct table_grant *out);
/* Puts back what the journal or a peer says, without the limits. expires_at in wall seconds; the past is ignored. */
void table_restore(struct table *t, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at, struct table_time now);

/* OK with *out filled (borrowed until the next change), NOTFOUND, LIMITED (shared). At most DRAC_VOUCHERS vouchers, those that end last. */
enum drac_status table_query(struct table *t, const struct net_addr *addr, struct table_time now, struct drac_entry *out);
/* One user's voucher (a version 1 or 2 caller's where user is empty), borrowed until the next change; shared or not. */
bool table_find(struct table *t, const struct net_addr *addr, const struct drac_who *who, struct table_time now, struct drac_voucher *out);
enum drac_status table_use(struct table *t, const struct net_addr *addr, struct table_time now, struct drac_entry *out);   /* counts */

/* addr with len 0: all of the user; user empty: all of the address. gone is told each address. Returns the number of vouchers removed. */
typedef void table_gone_fn(void *ctx, const struct net_addr *addr, struct slice user);
unsigned table_revoke(struct table *t, const struct net_addr *addr, struct slice user, table_gone_fn *gone, void *ctx);
/* The same for those who logged in at that second or before; neither address nor user: everybody. */
unsigned table_revoke_until(struct table *t, const struct net_addr *addr, struct slice user, int64_t login_until, table_gone_fn *gone, void *ctx);
unsigned table_flush(struct table *t);                                /* everything; number of addresses */

unsigned table_expire(struct table *t, struct table_time now);        /* number of addresses removed */
int64_t table_next_s(const struct table *t, struct table_time now);   /* seconds until table_expire() has work; -1: nothing is there */
size_t table_count(const struct table *t);

/* Walk in order of creation. cursor: 0 first, then the id handed back. Returns the next id, 0 at the end. fn's false stops before that entry. */
uint64_t table_list(struct table *t, uint64_t cursor, struct slice user, struct table_time now, bool (*fn)(void *ctx, const struct drac_entry *e), void *ctx);
/* Every address with its latest wall expiry, in no order. */
void table_each(struct table *t, void (*fn)(void *ctx, const struct net_addr *addr, int64_t expires_at), void *ctx);
/* Every voucher, for the journal's snapshot. */
void table_each_voucher(struct table *t, void (*fn)(void *ctx, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at), void *ctx);

#endif
