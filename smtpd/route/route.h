/*
 * route/route.h - where an address leads: our mailboxes, somewhere else, or nowhere. Aliases, virtual users, mailertable.
 *
 * A function of the maps and accounts.db alone. The front asks route_check() at RCPT, the queue asks route_expand() to get the final recipients.
 *
 * The way of an address, each step again for what it yields:
 *	1. its domain is neither local nor virtual: next hop by mailertable, relayhost, or the domain's MX
 *	2. virtusertable: user+detail@domain, user++@, user+*@, user@, ++@, +*@, @domain
 *	3. (local domains) aliases: user+detail, user+*, user; an alias that names itself means that mailbox
 *	4. accounts.db: user+detail@domain, user@domain, and for local domains the same user of the first domain
 *	5. postmaster, abuse and mailer-daemon always lead somewhere: to the alias postmaster or root, else to the first user
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "auth/users.h"
#include "conf/settings.h"
#include "io/net.h"
#include "mail/path.h"

#define ROUTE_DEPTH_MAX 20                                            /* aliases of aliases of ... */
#define ROUTE_FINALS_MAX 100000                                       /* of one message */

struct router;
int router_new(struct router **r_out, const struct settings *s, struct err *e) WARN_UNUSED;
void router_free(struct router **r);
int router_refresh(struct router *r, struct err *e) WARN_UNUSED;      /* maps that changed on disk; cheap when none did */
unsigned router_generation(const struct router *r);                   /* changes when a refresh found other content */
struct slice router_default_domain(const struct router *r);           /* what an address without a domain gets; lives as long as the router */

enum route_class { ROUTE_LOCAL, ROUTE_VIRTUAL, ROUTE_RELAY, ROUTE_REMOTE };
enum route_class route_class_of(struct router *r, struct slice domain);             /* local: mydestination and local-host-names; relay: relay_domains and its file, with their subdomains */
/* Is the name or address (as text) in relay_domains or its file? The client's side of that list: names with parents, networks. */
bool route_is_relay_client(struct router *r, struct slice name_or_empty, const struct net_addr *addr_or_null);
/* Where the list says so: "relay-domains:3", "relay_domains in posthouse.conf"; "" when it does not. Borrowed. */
const char *route_where_listed(struct router *r, struct slice domain);
bool route_has_relay_names(const struct router *r);

/* Does mail for this domain of others go to whoever DNS names, and not by mailertable or relayhost? */
bool route_goes_by_mx(struct router *r, const struct path *rcpt, struct arena *a);

/* UNREAD: an :include: file, which the front may not open; route_expand() has none. */
enum final_kind { FINAL_MAILBOX, FINAL_REMOTE, FINAL_UNREAD, FINAL_DISCARD, FINAL_ERROR };
struct final {
	enum final_kind kind;
	struct slice address;                                         /* local@domain */
	struct slice user, folder;                                    /* MAILBOX: canonical user, folder from user+folder or "" */
	bool has_quota;                                               /* MAILBOX: it can be full */
	struct slice next_hop;                                        /* REMOTE: "domain" (by MX), "[host]:port", "lmtp:[host]:port", "lmtp:/path" */
	struct slice text;                                            /* UNREAD: which list; ERROR: "550 5.1.1 text" */
	struct slice owner;                                           /* envelope sender for this one, from owner-LIST; p == NULL: as it was */
	size_t from;                                                  /* index of the recipient that it came from */
};

#define ROUTE_CHECK_GOODS 17                                          /* places that take it, after which route_check() has seen enough */

/* code: "550 5.1.1" ...; text in words. The finals found (in the arena): all, or so many that ROUTE_CHECK_GOODS of them take it. */
struct route_verdict { bool ok; const char *code; struct slice text; const struct final *finals; size_t n; };
/* Does this recipient of ours exist? Remote ones are ok here (whether they may be relayed to is another question). */
int route_check(struct router *r, const struct path *rcpt, struct arena *a, struct route_verdict *out, struct err *e) WARN_UNUSED;

/* The users of these finals, where each place that takes it is a mailbox with a quota: they can all be full. Returns how many; 0: one place is not such,
   or there are more than most (less than ROUTE_CHECK_GOODS). Borrowed. */
size_t route_with_quota(const struct final *finals, size_t n, size_t most, struct slice *users_out);

int route_expand(struct router *r, const struct slice *rcpts, size_t n, struct arena *a, struct final **finals_out, size_t *n_out, struct err *e) WARN_UNUSED;

/* The same for one address, with each step as a line of words in `steps`: posthouse explain. */
int route_explain(struct router *r, struct slice rcpt, struct buf *steps, struct arena *a, struct final **finals_out, size_t *n_out, struct err *e) WARN_UNUSED;

/* Addresses that lead to this user's own mailbox (sender ownership). */
int route_owns(struct router *r, struct slice user, const struct path *sender, struct err *e) WARN_UNUSED;    /* 1 yes, 0 no, -1 error */

/* The account itself: 1 found, 0 no such user, -1 error. */
int route_user(struct router *r, struct slice name, struct arena *a, struct user *out, struct err *e) WARN_UNUSED;

/* genericstable: what `address` becomes when it leaves. 1 found, 0 stays, -1 error. Keys: user@domain, @domain, user (of a local domain). */
int route_generic(struct router *r, const struct path *address, struct arena *a, struct slice *out, struct err *e) WARN_UNUSED;

/* Every alias and virtual user is followed once: loops, users that don't exist, broken values; a line each with file and line.
   Returns how many. Also what postmaster leads to. */
size_t route_lint(struct router *r, struct buf *out);
/* What is wrong with the newest texts of the maps, so that older content answers: a line each. "" when nothing is. */
void router_warnings(const struct router *r, struct buf *out);

#endif
