/*
 * dracd/grants.h - what the table is made of: entries (an address), in each its vouchers (a user's login from there), the users, and the words that
 * thousands of vouchers share (service and host). Nothing here decides; table.c does.
 *
 * Everything belongs to the struct grants. A user lives as long as one voucher of his, a word as long as one voucher that says it.
 */
#ifndef DRACD_GRANTS_H
#define DRACD_GRANTS_H

#include "base/hset.h"
#include "base/list.h"
#include "drac/drac_msg.h"
#include "dracd/ends.h"

struct grants {
	struct hset by_addr, users, words;
	struct list_node by_id;                                       /* in order of creation */
	uint64_t next_id;
	struct ends ends;
};

struct roamer {
	struct hset_node node;
	struct list_node vouchers;
	unsigned n;
	uint16_t name_n;
	char name[];
};

struct word {
	struct hset_node node;
	unsigned users;
	uint16_t text_n;
	char text[];
};

struct voucher {
	struct voucher *next;                                         /* of the same entry */
	struct list_node of_user;
	struct entry *entry;
	struct roamer *user;
	struct word *service, *host;
	char *session;
	int64_t login_at, written;                                    /* wall: the login itself; expiry as last written down */
	int64_t at, expires_wall, expires_mono, first_mono;
	uint32_t flags;
};

struct entry {
	struct hset_node node;
	struct list_node by_id;
	struct voucher *vouchers;
	uint64_t id;
	int64_t first, shared_until_mono, due_wall;
	struct ends_node end;
	struct net_addr addr;
	uint32_t used;
	unsigned n;
};

#define ENTRY_OF_END(node) LIST_OF(node, struct entry, end)
#define ENTRY_OF_ID(node) LIST_OF(node, struct entry, by_id)
#define ENTRY_VOUCHERS(e, v) for (struct voucher *v = (e)->vouchers, *v##_next = v ? v->next : NULL; v != NULL; v = v##_next, v##_next = v ? v->next : NULL)

void grants_init(struct grants *t);
void grants_done(struct grants *t);                             /* with all that is in it */

struct entry *grants_find(const struct grants *t, const struct net_addr *addr);
struct roamer *grants_roamer(const struct grants *t, struct slice name);
struct entry *grants_add(struct grants *t, const struct net_addr *addr, int64_t first);
void grants_drop(struct grants *t, struct entry *e);
/* Its earliest end may be as early as this voucher's; later is found out when it comes up. */
void grants_due(struct grants *t, struct entry *e, const struct voucher *v);

/* A user vouches once; v1 and v2 callers, who name none, once each. NULL: not yet. */
struct voucher *grants_voucher_find(const struct entry *e, const struct drac_who *who);
struct voucher *grants_voucher_new(struct grants *t, struct entry *e, const struct drac_who *who);
void grants_voucher_say(struct grants *t, struct voucher *v, const struct drac_who *who);      /* service, host, session, flags */
void grants_voucher_free(struct grants *t, struct voucher *v);              /* the entry stays, perhaps without any */
struct slice grants_voucher_user(const struct voucher *v);
void grants_voucher_fill(const struct voucher *v, struct drac_voucher *out); /* slices borrowed from the voucher */

#endif
