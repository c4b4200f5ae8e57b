/*
 * server/relay.c - the decision and its words.
 *
 * The order is sendmail's check_rcpt: recipients of ours first, then the login, then the client's address, the client's name, and DRAC
 * at the very end, so that dracd is asked only where its answer decides.
 */
#include "server/relay.h"

static struct relay_verdict yes(enum relay_rule rule)
{
	return (struct relay_verdict){ RELAY_YES, rule };
}

static struct relay_verdict no(enum relay_rule rule)
{
	return (struct relay_verdict){ RELAY_NO, rule };
}

/* Is the recipient ours to take, whoever sends? */
static bool by_recipient(const struct relay_facts *f, enum relay_rule *rule_out)
{
	if (f->rcpt_routed)
		return false;
	switch (f->rcpt_class) {
	case ROUTE_LOCAL:
		*rule_out = RELAY_BY_LOCAL;
		return true;
	case ROUTE_VIRTUAL:
		*rule_out = RELAY_BY_VIRTUAL;
		return true;
	case ROUTE_RELAY:
		*rule_out = RELAY_BY_RELAY_DOMAIN;
		return true;
	case ROUTE_REMOTE:
		break;
	}
	*rule_out = RELAY_BY_TO;
	return f->to_relay;
}

static bool by_client(const struct relay_facts *f, enum relay_rule *rule_out)
{
	if (f->in_mynetworks)
		*rule_out = RELAY_BY_MYNETWORKS;
	else if (f->in_relay_networks)
		*rule_out = RELAY_BY_RELAY_NETWORK;
	else if (f->connect_addr)
		*rule_out = RELAY_BY_CONNECT;
	else if (f->name == RELAY_NAME_OK && f->name_ours)
		*rule_out = RELAY_BY_NAME;
	else
		return false;
	return true;
}

/* Nothing spoke for the client; say which no it is. */
static struct relay_verdict refusal(const struct relay_facts *f)
{
	if (f->must_login)                                                /* also where somebody else has a grant: a login is what helps (RFC 4954 6) */
		return no(RELAY_NOT_LOGGED_IN);
	if (f->drac == RELAY_DRAC_OTHERS)
		return no(RELAY_NOT_OWNER);
	if (f->name == RELAY_NAME_TEMP && f->name_ours)
		return (struct relay_verdict){ RELAY_LATER, RELAY_WAIT_DNS };
	if (f->name == RELAY_NAME_FORGED)
		return no(RELAY_NOT_FORGED);
	return no(f->name == RELAY_NAME_FAIL ? RELAY_NOT_NAMELESS : RELAY_NOT_ALLOWED);
}

static struct relay_verdict by_drac(const struct relay_facts *f)
{
	switch (f->drac) {
	case RELAY_DRAC_NOT_ASKED:
		return (struct relay_verdict){ RELAY_ASK_DRAC, RELAY_BY_DRAC };
	case RELAY_DRAC_LIVE:
		return yes(RELAY_BY_DRAC);
	case RELAY_DRAC_DOWN:
		return (struct relay_verdict){ RELAY_LATER, RELAY_WAIT_DRAC };
	case RELAY_DRAC_OFF:
	case RELAY_DRAC_NONE:
	case RELAY_DRAC_OTHERS:
		break;
	}
	return refusal(f);
}

struct relay_verdict relay_decide(const struct relay_facts *f)
{
	enum relay_rule rule;
	bool ours = by_recipient(f, &rule);

	if (f->lmtp)
		return ours && rule != RELAY_BY_RELAY_DOMAIN && rule != RELAY_BY_TO ? yes(rule) : no(RELAY_NOT_LMTP);
	if (ours && (!f->must_login || f->login))
		return yes(rule);
	if (f->login)
		return f->login_barred ? no(RELAY_NOT_BARRED) : yes(RELAY_BY_LOGIN);
	if (!f->must_login && by_client(f, &rule))
		return yes(rule);
	return by_drac(f);
}

/* One row a rule. */
static const struct {
	const char *word, *text;
	enum code code;
	const char *reply;
} rules[RELAY_RULES] = {
	[RELAY_BY_LOCAL] = { "local", "the recipient's domain is ours (mydestination, local-host-names)", CODE_NONE, "" },
	[RELAY_BY_VIRTUAL] = { "virtual", "the recipient's domain is ours (virtusertable)", CODE_NONE, "" },
	[RELAY_BY_RELAY_DOMAIN] = { "relay-domain", "we pass mail on to the recipient's domain (relay_domains, relay-domains)", CODE_NONE, "" },
	[RELAY_BY_TO] = { "access-to", "the access map says To: RELAY", CODE_NONE, "" },
	[RELAY_BY_LOGIN] = { "login", "the client has logged in", CODE_NONE, "" },
	[RELAY_BY_MYNETWORKS] = { "mynetworks", "the client's address is in mynetworks", CODE_NONE, "" },
	[RELAY_BY_RELAY_NETWORK] = { "relay-domains", "the client's address is listed in relay-domains", CODE_NONE, "" },
	[RELAY_BY_CONNECT] = { "access-connect", "the access map says RELAY for the client's address", CODE_NONE, "" },
	[RELAY_BY_NAME] = { "name", "the client's name, confirmed by DNS both ways, is in relay-domains or has Connect: RELAY", CODE_NONE, "" },
	[RELAY_BY_DRAC] = { "drac", "a user who owns the sender address has just read mail from this address (DRAC)", CODE_NONE, "" },
	[RELAY_NOT_LMTP] = { "not-local", "LMTP takes mail for mailboxes of ours only", CODE_LMTP_ONLY_OURS, "Relaying denied: LMTP delivers to mailboxes here only" },
	[RELAY_NOT_BARRED] = { "barred", "this account may not send to other domains", CODE_RELAY_BARRED, "Relaying denied: your account may not send outside" },
	[RELAY_NOT_LOGGED_IN] = { "not-logged-in", "this port is for our users, who log in", CODE_MUST_LOGIN,
	    "Authentication required: log in to send, or fetch your mail first" },
	[RELAY_NOT_ALLOWED] = { "denied", "the recipient is not ours, and nothing speaks for the client", CODE_RELAY_DENIED,
	    "Relaying denied: log in to send (port 587), or fetch your mail first" },
	[RELAY_NOT_FORGED] = { "forged", "the client's name and address disagree in DNS", CODE_RELAY_FORGED,
	    "Relaying denied. IP name possibly forged: log in to send (port 587), or fetch your mail first" },
	[RELAY_NOT_NAMELESS] = { "nameless", "the recipient is not ours, and the client's address has no name", CODE_RELAY_NAMELESS,
	    "Relaying denied. IP name lookup failed: log in to send (port 587), or fetch your mail first" },
	[RELAY_NOT_OWNER] = { "not-owner", "there is a live DRAC grant, but of a user to whom the sender address does not belong", CODE_RELAY_NOT_OWNER,
	    "Relaying denied: whoever read mail from your address may not send as this sender" },
	[RELAY_WAIT_DRAC] = { "drac-down", "dracd did not answer in time", CODE_RELAY_NO_DRAC, "Relaying temporarily denied: can't ask who may send now, try again" },
	[RELAY_WAIT_DNS] = { "dns-down", "DNS can't say now what the client's name is", CODE_RELAY_NO_DNS,
	    "Relaying temporarily denied. Cannot resolve PTR record of your address" },
};

const char *relay_rule_word(enum relay_rule rule) { return rules[rule].word; }
const char *relay_rule_text(enum relay_rule rule) { return rules[rule].text; }
enum code relay_reply_code(enum relay_rule rule) { return rules[rule].code; }
const char *relay_reply_text(enum relay_rule rule) { return rules[rule].reply; }
