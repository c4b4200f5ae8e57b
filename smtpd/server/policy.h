/*
 * server/policy.h - what is decided about a client, a sender and a recipient, and in which order.
 *
 * Maps in, verdicts out; no socket, no clock, no waiting. What must be waited for (DNS, dracd) is a field of the question: the front asks again when it
 * has the answer. `posthouse explain` asks the same functions, with a buffer for the steps.
 *
 * Verdicts on client and sender are kept and given at RCPT, so that the log has the whole story, and postmaster and abuse can be reached by everybody.
 */
#ifndef SERVER_POLICY_H
#define SERVER_POLICY_H

#include "drac/drac.h"
#include "server/access.h"
#include "server/listener.h"
#include "server/relay.h"

struct policy;
int policy_new(struct policy **p_out, const struct settings *s, struct err *e) WARN_UNUSED;
void policy_free(struct policy **p);
int policy_refresh(struct policy *p, struct err *e) WARN_UNUSED;      /* maps that changed; once a session */
unsigned policy_generation(const struct policy *p);                   /* changes when a refresh found other content in a map that matters here */
void policy_warnings(const struct policy *p, struct buf *out);        /* maps whose newest text is broken: a line each */
struct router *policy_router(struct policy *p);
/* Where mynetworks says so ("posthouse.conf:12"), or NULL. */
const char *policy_in_mynetworks(const struct policy *p, const struct net_addr *addr);

struct policy_verdict {
	enum { POLICY_YES, POLICY_NO, POLICY_ASK_DRAC } answer;
	bool discard, hold, close;
	struct slice reply;                                           /* NO: "550 5.7.1 <x>... text" */
	const char *rule;                                             /* one word: "local", "login", "access" ... for permit= and reject= */
	const char *where;                                            /* "access:12", "" */
	enum relay_rule relay;                                        /* a recipient's */
	enum code code;                                               /* NO: the row of the refusal; CODE_NONE where the route's words brought their own */
	const char *tag;                                              /* of the access map's entry that refuses: "Connect", "From", "To"; NULL */
	struct slice key;                                             /* ... and its key */
	const struct final *finals;                                   /* a recipient's, YES: where it leads, as far as route_check() looked */
	size_t n_finals;
};

/* A client, with everything the maps say of it, looked up once a session. name is empty where there is none. Texts live in the arena. */
struct policy_client {
	struct net_addr addr;
	struct slice name;
	enum relay_name name_state;
	bool in_mynetworks, in_relay_networks, connect_addr, name_ours;
	const char *where;                                            /* of the first of these that holds */
	struct access_hit by_name, by_addr;                           /* what Connect: has for each */
	struct policy_verdict verdict;                                /* Connect: */
};
int policy_client_init(struct policy *p, struct policy_client *c, const struct net_addr *addr, struct slice name, enum relay_name state,
    struct arena *a, struct err *e) WARN_UNUSED;

enum policy_dns { POLICY_DNS_NOT_ASKED, POLICY_DNS_FINE, POLICY_DNS_NONE, POLICY_DNS_TEMP };  /* of the sender's domain: MX or address */

struct policy_sender {
	const struct path *path;
	struct slice login;                                           /* "" */
	bool login_barred;
	struct policy_verdict verdict;                                /* From:, ownership */
	bool access_ok;                                               /* From: OK outweighs DNS */
	enum policy_dns dns;                                          /* filled in by the asker when it is known */
};
int policy_sender_init(struct policy *p, struct policy_sender *s, const struct policy_client *c, const struct path *path, struct slice login,
    struct arena *a, struct err *e) WARN_UNUSED;
/* Must the asker look the sender's domain up? */
bool policy_wants_dns(const struct policy *p, const struct policy_client *c, const struct policy_sender *s);

/* What our users send to a domain that does not exist is refused while they look on, not bounced: must the asker look this one up? */
struct policy_ask;
bool policy_wants_rcpt_dns(struct policy *p, const struct policy_ask *ask, struct arena *a);

struct policy_ask {
	const struct smtp_listener *listener;
	const struct policy_client *client;
	const struct policy_sender *sender;
	const struct path *rcpt;
	enum relay_drac drac;
	enum policy_dns rcpt_dns;                                     /* of the recipient's domain, filled in by the asker when it is known */
	struct buf *steps;                                            /* explain; NULL */
};
int policy_rcpt(struct policy *p, const struct policy_ask *ask, struct arena *a, struct policy_verdict *out, struct err *e) WARN_UNUSED;

/* What dracd's answer means for this sender. *user_out: who vouches, where someone does. */
enum relay_drac policy_judge_drac(struct policy *p, const struct drac_grant *g, const struct path *sender, struct arena *a, struct slice *user_out);
/* drac_match_sender = no, dracd silent: the published table, its expiry held against now. */
enum relay_drac policy_read_drac_table(struct policy *p, const struct net_addr *addr, int64_t now_s, struct arena *a);

/* Header From of submitted mail (check_header_from): NULL, or the refusal. -1 in *failed where maps fail. */
int policy_header_from(struct policy *p, struct slice header, struct slice login, struct arena *a, struct slice *refusal_out, struct err *e) WARN_UNUSED;

/* -1 where the settings and maps relay for strangers, with the line to blame in *e (server/enumerate.c). */
int policy_is_closed(struct policy *p, struct err *e) WARN_UNUSED;
/* posthouse check: policy_is_closed(), broken values of the access map (-1 for either), and notes on aliases and virtual users, a line each. */
int policy_lint(const struct settings *s, struct buf *notes, struct err *e) WARN_UNUSED;

#endif
