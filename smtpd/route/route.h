/*
 * route/route.h - where an address leads: our mailboxes, somewhere else, or nowhere. Aliases, virtual users, mailertable (smtp.md 2.3).
 *
 * A function of the maps and users.db alone. The front asks route_check() at RCPT, the queue asks route_expand() to get the final recipients.
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "auth/users.h"
#include "conf/settings.h"
#include "mail/path.h"

struct router;
int router_new(struct router **r_out, const struct settings *s, struct err *e) WARN_UNUSED;
void router_free(struct router **r);
int router_refresh(struct router *r, struct err *e) WARN_UNUSED;      /* maps that changed on disk */

enum route_class { ROUTE_LOCAL, ROUTE_VIRTUAL, ROUTE_RELAY, ROUTE_REMOTE };
enum route_class route_class_of(struct router *r, struct slice domain);             /* local: mydestination and local-host-names; relay: relay_domains and its file */

struct route_verdict { bool ok; const char *code; struct slice text; };             /* code: "550 5.1.1" ...; text in words */
/* Does this recipient of ours exist, with room? Remote ones are ok here (whether they may be relayed to is another question). */
int route_check(struct router *r, const struct path *rcpt, struct arena *a, struct route_verdict *out, struct err *e) WARN_UNUSED;

enum final_kind { FINAL_MAILBOX, FINAL_REMOTE, FINAL_PROGRAM, FINAL_FILE, FINAL_DISCARD, FINAL_ERROR };
struct final {
	enum final_kind kind;
	struct slice address;                                         /* local@domain */
	struct slice user, folder;                                    /* MAILBOX: canonical user, folder from user+folder or "" */
	struct slice next_hop;                                        /* REMOTE: "domain" (by MX), "[host]:port", "lmtp:[host]:port", "lmtp:/path" */
	struct slice text;                                            /* PROGRAM: command; ERROR: "550 5.1.1 text" */
	size_t from;                                                  /* index of the recipient that it came from */
};
int route_expand(struct router *r, const struct slice *rcpts, size_t n, struct arena *a, struct final **finals_out, size_t *n_out, struct err *e) WARN_UNUSED;

/* Addresses that lead to this user's own mailbox (sender ownership, smtp.md 2.16). */
int route_owns(struct router *r, struct slice user, const struct path *sender, struct err *e) WARN_UNUSED;    /* 1 yes, 0 no, -1 error */

#endif
