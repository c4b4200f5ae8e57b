/*
 * server/relay.h - relay permission: ONE pure function, with its reason.
 *
 * struct relay_facts is all it knows: client address and verified name, login, sender, recipient, maps and DRAC entry, each boiled down to what matters.
 * Everything else (access map refusals, limits, sender checks) can only take permission away; nothing else in the tree turns a no into a yes.
 * Because it is pure, server/enumerate.c can try it on every class of client and recipient when the settings are loaded.
 */
#ifndef SERVER_RELAY_H
#define SERVER_RELAY_H

#include <stdbool.h>

#include "reply/codes.h"
#include "route/route.h"

/* Of a client's address, by reverse DNS and back. */
enum relay_name { RELAY_NAME_OK, RELAY_NAME_FORGED, RELAY_NAME_FAIL, RELAY_NAME_TEMP };

enum relay_drac {
	RELAY_DRAC_OFF,                                               /* the setting is off, or the client has no address */
	RELAY_DRAC_NOT_ASKED,
	RELAY_DRAC_NONE,                                              /* no live grant */
	RELAY_DRAC_OTHERS,                                            /* a live grant, but the sender address belongs to none of its users */
	RELAY_DRAC_LIVE,                                              /* a live grant whose user owns the sender (or drac_match_sender = no) */
	RELAY_DRAC_DOWN                                               /* dracd did not answer */
};

struct relay_facts {
	enum route_class rcpt_class;                                  /* of the recipient's domain */
	bool rcpt_routed;                                             /* "u%d@us", "d!u@us", "u@d"@us and no mailbox of ours: it asks us to pass it on */
	bool to_relay;                                                /* access map, To: RELAY */
	bool login, login_barred;                                     /* authenticated; by an account that may not send outside */
	bool in_mynetworks, in_relay_networks, connect_addr;          /* the address: mynetworks, relay-domains, Connect: RELAY */
	enum relay_name name;
	bool name_ours;                                               /* OK: the name is under relay-domains or has Connect: RELAY. TEMP: there are such rules, so it might be */
	enum relay_drac drac;
	bool must_login;                                              /* submission: nobody sends without login or grant, not even to us */
	bool lmtp;                                                    /* our own recipients only */
};

enum relay_answer { RELAY_YES, RELAY_NO, RELAY_LATER, RELAY_ASK_DRAC };

/* The rule that decided, for the log and for explain. */
enum relay_rule {
	RELAY_BY_LOCAL, RELAY_BY_VIRTUAL, RELAY_BY_RELAY_DOMAIN, RELAY_BY_TO, RELAY_BY_LOGIN, RELAY_BY_MYNETWORKS, RELAY_BY_RELAY_NETWORK,
	RELAY_BY_CONNECT, RELAY_BY_NAME, RELAY_BY_DRAC,
	RELAY_NOT_LMTP, RELAY_NOT_BARRED, RELAY_NOT_LOGGED_IN, RELAY_NOT_ALLOWED, RELAY_NOT_FORGED, RELAY_NOT_NAMELESS, RELAY_NOT_OWNER,
	RELAY_WAIT_DRAC, RELAY_WAIT_DNS, RELAY_RULES
};

struct relay_verdict {
	enum relay_answer answer;
	enum relay_rule rule;
};

struct relay_verdict relay_decide(const struct relay_facts *f);

/* "local", "login", "mynetworks" ... one word, for the log's permit= */
const char *relay_rule_word(enum relay_rule rule);
/* One sentence, for explain. */
const char *relay_rule_text(enum relay_rule rule);
/* The refusal: its row, and the words behind "<address>... ": "Relaying denied: ...". CODE_NONE for a yes. */
enum code relay_reply_code(enum relay_rule rule);
const char *relay_reply_text(enum relay_rule rule);

#endif
