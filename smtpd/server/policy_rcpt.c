/*
 * server/policy_rcpt.c - the verdict on a recipient, step by step.
 *
 *	a  canonical form               (the parser has done it: source routes are gone)
 *	b  the access map's To: may refuse
 *	c  relay permission             relay.c alone; nothing after it turns its no into a yes
 *	d  the mailbox exists
 *	e  the kept verdicts on client and sender; postmaster and abuse skip them
 */
#include "server/policy_in.h"

/* b: accept words are ignored here, they are no permission to be in. */
static int check_block(struct policy *p, const struct policy_ask *ask, enum route_class class, struct arena *a, struct policy_verdict *out, struct err *e)
{
	struct access_hit hit;

	if (access_rcpt_block(p->access, ask->rcpt, class == ROUTE_LOCAL, a, &hit, e) != 0)
		return -1;
	if (hit.verb == ACCESS_REJECT || hit.verb == ACCESS_DEFER || hit.verb == ACCESS_BROKEN) {
		if (hit.why == CODE_ACCESS_DENIED) {                  /* a recipient's REJECT has its own words */
			hit.why = CODE_ACCESS_RCPT;
			hit.status = code_row(CODE_ACCESS_RCPT)->status;
			hit.text = SLICE("Mailbox disabled for this recipient");
		}
		*out = policy_by_access(&hit, "To", ask->rcpt, a);
	}
	out->discard = hit.verb == ACCESS_DISCARD;
	out->hold = hit.verb == ACCESS_HOLD;
	policy_explain_block(ask, &hit, a);
	return 0;
}

/* "u%d@us", "d!u", "u@d"@us: old ways to say "pass it on" (weaknesses.md row 42). Only a real mailbox of that name is one. */
static int is_routed(struct policy *p, const struct policy_ask *ask, struct arena *a, bool *out, struct err *e)
{
	struct slice local = ask->rcpt->local;
	struct route_verdict v;

	*out = slice_chr(local, '%') >= 0 || slice_chr(local, '!') >= 0 || slice_chr(local, '@') >= 0;
	if (!*out)
		return 0;
	if (route_check(p->router, ask->rcpt, a, &v, e) != 0)
		return -1;
	*out = !v.ok;
	return 0;
}

static int gather(struct policy *p, const struct policy_ask *ask, enum route_class class, struct arena *a, struct relay_facts *f, struct access_hit *to, struct err *e)
{
	const struct policy_client *c = ask->client;

	*to = (struct access_hit){ .verb = ACCESS_NONE, .where = "" };
	*f = (struct relay_facts){
		.rcpt_class = class, .login = ask->sender->login.n > 0, .login_barred = ask->sender->login_barred, .in_mynetworks = c->in_mynetworks,
		.in_relay_networks = c->in_relay_networks, .connect_addr = c->connect_addr, .name = c->name_state, .name_ours = c->name_ours,
		.drac = p->s->drac && c->addr.len != 0 ? ask->drac : RELAY_DRAC_OFF, .must_login = (ask->listener->flags & LISTENER_MUST_LOGIN) != 0,
		.lmtp = (ask->listener->flags & LISTENER_LMTP) != 0,
	};
	if (class == ROUTE_REMOTE && access_rcpt_relay(p->access, ask->rcpt, a, to, e) != 0)
		return -1;
	f->to_relay = to->verb == ACCESS_RELAY;
	return is_routed(p, ask, a, &f->rcpt_routed, e);
}

/* Where the rule that said yes stands. */
static const char *where_of(struct policy *p, const struct policy_ask *ask, enum relay_rule rule, const struct access_hit *to)
{
	if (rule == RELAY_BY_LOCAL || rule == RELAY_BY_RELAY_DOMAIN)
		return route_where_listed(p->router, ask->rcpt->domain);
	if (rule == RELAY_BY_TO)
		return to->where;
	return rule >= RELAY_BY_MYNETWORKS && rule <= RELAY_BY_NAME ? ask->client->where : "";
}

/* c */
static int check_relay(struct policy *p, const struct policy_ask *ask, enum route_class class, struct arena *a, struct policy_verdict *out, struct err *e)
{
	struct relay_facts f;
	struct relay_verdict v;
	struct access_hit to;

	if (gather(p, ask, class, a, &f, &to, e) != 0)
		return -1;
	v = relay_decide(&f);
	out->relay = v.rule;
	out->rule = relay_rule_word(v.rule);
	out->where = v.answer == RELAY_YES ? where_of(p, ask, v.rule, &to) : "";
	if (v.answer == RELAY_ASK_DRAC)
		out->answer = POLICY_ASK_DRAC;
	else if (v.answer != RELAY_YES)
		*out = (struct policy_verdict){ .answer = POLICY_NO, .code = relay_reply_code(v.rule), .rule = out->rule, .where = "", .relay = v.rule,
		    .reply = policy_reply(a, NULL, relay_reply_code(v.rule), ask->rcpt, slice_of(relay_reply_text(v.rule))) };
	policy_explain_relay(p, ask, &f, &to, &v);
	return 0;
}

/* The route's words bring their code, and their status apart. */
static struct slice route_reply(struct arena *a, const struct route_verdict *v, const struct path *rcpt)
{
	return slice_of(arena_printf(a, "%s %.*s", v->code, SLICE_FMT(policy_reply(a, NULL, CODE_NONE, rcpt, v->text))));
}

/* d */
static int check_exists(struct policy *p, const struct policy_ask *ask, struct arena *a, struct policy_verdict *out, struct err *e)
{
	struct route_verdict v;

	if (route_check(p->router, ask->rcpt, a, &v, e) != 0)
		return -1;
	policy_explain_exists(p, ask, &v);
	out->finals = v.finals;
	out->n_finals = v.n;
	if (!v.ok)
		*out = policy_no(CODE_NONE, route_reply(a, &v, ask->rcpt), "recipient", "");
	return 0;
}

static bool is_open_to_all(const struct path *rcpt)
{
	return slice_ieqs(rcpt->local, "postmaster") || slice_ieqs(rcpt->local, "abuse");
}

static void check_dns(const struct policy_ask *ask, struct arena *a, struct policy_verdict *out)
{
	const struct policy_sender *s = ask->sender;

	if (s->dns == POLICY_DNS_NONE)
		*out = policy_no(CODE_SENDER_NOWHERE, policy_reply(a, NULL, CODE_SENDER_NOWHERE, s->path, SLICE("Domain of sender address does not exist: no bounce could reach it")), "sender-dns", "");
	else if (s->dns == POLICY_DNS_TEMP)
		*out = policy_no(CODE_SENDER_DNS, policy_reply(a, NULL, CODE_SENDER_DNS, s->path, SLICE("Domain of sender address does not resolve now, try again")), "sender-dns", "");
}

/* e */
static void check_kept(const struct policy_ask *ask, struct arena *a, struct policy_verdict *out)
{
	const struct policy_verdict *kept[2] = { &ask->client->verdict, &ask->sender->verdict };

	for (size_t i = ask->sender->login.n > 0 ? 1 : 0; i < 2 && out->answer == POLICY_YES; i++) {
		out->discard = out->discard || kept[i]->discard;
		out->hold = out->hold || kept[i]->hold;
		if (kept[i]->answer == POLICY_NO)
			*out = *kept[i];
		policy_explain_kept(ask, kept[i], i == 0 ? "client" : "sender");
	}
	if (out->answer == POLICY_YES)
		check_dns(ask, a, out);
}

bool policy_wants_rcpt_dns(struct policy *p, const struct policy_ask *ask, struct arena *a)
{
	if ((ask->listener->flags & LISTENER_FIX_UPS) == 0 || p->s->accept_unresolvable_domains || ask->rcpt_dns != POLICY_DNS_NOT_ASKED)
		return false;
	return ask->rcpt->domain.n > 0 && ask->rcpt->domain.p[0] != '[' && route_class_of(p->router, ask->rcpt->domain) == ROUTE_REMOTE &&
	    route_goes_by_mx(p->router, ask->rcpt, a);
}

int policy_rcpt(struct policy *p, const struct policy_ask *ask, struct arena *a, struct policy_verdict *out, struct err *e)
{
	enum route_class class = route_class_of(p->router, ask->rcpt->domain);
	struct policy_verdict v = { .answer = POLICY_YES, .rule = "", .where = "" };

	policy_explain_start(p, ask, class);
	if (check_block(p, ask, class, a, &v, e) != 0)
		return -1;
	if (v.answer == POLICY_YES && check_relay(p, ask, class, a, &v, e) != 0)
		return -1;
	if (v.answer == POLICY_YES && check_exists(p, ask, a, &v, e) != 0)
		return -1;
	if (v.answer == POLICY_YES && !is_open_to_all(ask->rcpt))
		check_kept(ask, a, &v);
	if (v.answer == POLICY_YES && ask->rcpt_dns == POLICY_DNS_NONE)
		v = policy_no(CODE_RCPT_NOWHERE, policy_reply(a, NULL, CODE_RCPT_NOWHERE, ask->rcpt, SLICE("Domain of recipient does not exist")), "recipient-dns", "");
	*out = v;
	return 0;
}
