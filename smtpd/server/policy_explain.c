/*
 * server/policy_explain.c - the steps of a verdict in words, for posthouse explain: what was looked at, what it said, and in which line.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "server/policy_in.h"

void policy_step(const struct policy_ask *ask, const char *fmt, ...)
{
	va_list ap;

	if (ask->steps == NULL)
		return;
	va_start(ap, fmt);
	if (buf_vaddf(ask->steps, fmt, ap) != 0)
		abort();
	va_end(ap);
	buf_puts(ask->steps, "\n");
}

/* " - access:12", or nothing. */
#define BY(where) (where) != NULL && (where)[0] != '\0' ? " - " : "", (where) != NULL ? (where) : ""

static const char *verb_word(const struct access_hit *hit)
{
	static const char *const words[] = {
		[ACCESS_NONE] = "no entry", [ACCESS_OK] = "OK", [ACCESS_RELAY] = "RELAY", [ACCESS_REJECT] = "refused", [ACCESS_DISCARD] = "DISCARD", [ACCESS_HOLD] = "HOLD",
		[ACCESS_DEFER] = "put off", [ACCESS_SKIP] = "no entry (SKIP)", [ACCESS_BROKEN] = "a value that nobody understands",
	};

	return words[hit->verb];
}

void policy_explain_start(struct policy *p, const struct policy_ask *ask, enum route_class class)
{
	static const char *const classes[] = { [ROUTE_LOCAL] = "local", [ROUTE_VIRTUAL] = "virtual", [ROUTE_RELAY] = "a relay domain", [ROUTE_REMOTE] = "not ours" };
	static const char *const names[] = {
		[RELAY_NAME_OK] = "confirmed by DNS both ways", [RELAY_NAME_FORGED] = "may be forged: the name does not lead back to the address",
		[RELAY_NAME_FAIL] = "the address has no name", [RELAY_NAME_TEMP] = "DNS did not answer",
	};
	const struct policy_client *c = ask->client;
	const char *where;

	if (ask->steps == NULL)
		return;
	where = class == ROUTE_VIRTUAL ? "virtusertable" : route_where_listed(p->router, ask->rcpt->domain);
	policy_step(ask, "client name: %.*s (%s)", SLICE_FMT(c->name.n > 0 ? c->name : SLICE("unknown")), names[c->name_state]);
	policy_step(ask, "login: %.*s", SLICE_FMT(ask->sender->login.n > 0 ? ask->sender->login : SLICE("none")));
	policy_step(ask, "recipient's domain: %s%s%s", classes[class], BY(where));
}

void policy_explain_block(const struct policy_ask *ask, const struct access_hit *hit, struct arena *a)
{
	if (ask->steps == NULL)
		return;
	policy_step(ask, "access map, To: for %.*s: %s%s%s", SLICE_FMT(path_text(ask->rcpt, a)), verb_word(hit), BY(hit->where));
}

/* One line for each thing that may speak for relaying, in the order of relay_decide(); what lies behind the one that decides is told as well. */
void policy_explain_relay(struct policy *p, const struct policy_ask *ask, const struct relay_facts *f, const struct access_hit *to, const struct relay_verdict *v)
{
	static const char *const dracs[] = {
		[RELAY_DRAC_OFF] = "switched off (drac = no)", [RELAY_DRAC_NOT_ASKED] = "not asked", [RELAY_DRAC_NONE] = "no live grant", [RELAY_DRAC_LIVE] = "yes, a live grant of the sender's owner",
		[RELAY_DRAC_OTHERS] = "a live grant, but not of the sender's owner", [RELAY_DRAC_DOWN] = "dracd does not answer",
	};
	const struct policy_client *c = ask->client;
	const struct access_hit *name = &c->by_name;
	const char *listed = f->name == RELAY_NAME_OK && c->name.n > 0 ? route_where_listed(p->router, c->name) : "";

	if (ask->steps == NULL)
		return;
	policy_step(ask, "may it be relayed?");
	policy_step(ask, "  recipient is ours: %s", f->rcpt_routed ? "no, it asks us to pass it on (%, !, @)" : f->rcpt_class == ROUTE_REMOTE ? "no" : "yes");
	if (f->rcpt_class == ROUTE_REMOTE)
		policy_step(ask, "  access map, To: %s%s%s%s", verb_word(to), to->verb == ACCESS_OK ? " (which is no permission to relay)" : "", BY(to->where));
	policy_step(ask, "  login: %s", !f->login ? "no" : f->login_barred ? "yes, but this account may not send outside" : "yes");
	policy_step(ask, "  mynetworks: %s - %s", f->in_mynetworks ? "yes" : "no", p->networks_where);
	policy_step(ask, "  relay-domains, address: %s", f->in_relay_networks ? "yes" : "no");
	policy_step(ask, "  access map, Connect: address: %s%s%s%s", verb_word(&c->by_addr), c->by_addr.verb == ACCESS_OK ? " (which is no permission to relay)" : "", BY(c->by_addr.where));
	policy_step(ask, "  relay-domains, name: %s%s%s", f->name != RELAY_NAME_OK ? "no name to go by" : listed[0] != '\0' ? "yes" : "no", BY(listed));
	if (f->name == RELAY_NAME_OK)
		policy_step(ask, "  access map, Connect: name: %s%s%s%s", verb_word(name), name->verb == ACCESS_OK ? " (which is no permission to relay)" : "", BY(name->where));
	policy_step(ask, "  DRAC: %s", dracs[f->drac]);
	policy_step(ask, "  %s: %s", v->answer == RELAY_YES ? "yes" : v->answer == RELAY_NO ? "no" : v->answer == RELAY_LATER ? "not now" : "dracd is asked",
	    v->answer == RELAY_ASK_DRAC ? "nothing else speaks for the client" : relay_rule_text(v->rule));
}

void policy_explain_exists(struct policy *p, const struct policy_ask *ask, const struct route_verdict *v)
{
	if (ask->steps == NULL)
		return;
	if (route_class_of(p->router, ask->rcpt->domain) > ROUTE_VIRTUAL)
		policy_step(ask, "recipient: not here, it goes on");
	else
		policy_step(ask, "recipient here: %s%s%.*s", v->ok ? "exists" : v->code, v->ok ? "" : " ", SLICE_FMT(v->ok ? SLICE("") : v->text));
}

void policy_explain_kept(const struct policy_ask *ask, const struct policy_verdict *kept, const char *whom)
{
	policy_step(ask, "verdict on the %s: %s%s%s", whom, kept->answer == POLICY_NO ? "refused" : kept->discard ? "DISCARD" : kept->hold ? "HOLD" : "nothing against it", BY(kept->where));
}
