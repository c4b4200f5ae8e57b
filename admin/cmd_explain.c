/*
 * admin/cmd_explain.c - `posthouse explain`: the verdict that smtpd would give, by smtpd's own code, with each step and the way out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/explain.h"
#include "admin/tables.h"
#include "base/num.h"
#include "conf/conf.h"
#include "server/names.h"
#include "server/policy.h"

enum { DNS_MS = 5000, DRAC_MS = 1000 };

struct options {
	const char *client, *name, *user, *from, *to, *port, *size;
	bool forged;
};

/* Everything one explanation needs; ended in one place. */
struct explain {
	const struct settings *s;
	struct loop *loop;
	struct dns *dns;
	struct names *names;
	struct policy *policy;
	struct arena *a;
	struct buf steps;
	struct explain_case c;
	struct policy_client client;
	struct policy_sender sender;
	enum names_domain domain_state;
	struct slice voucher;
	struct path from, to;
	bool waiting;                                                 /* an answer may come before anybody waits for it */
};

static int read_options(const struct command_env *env, struct options *o)
{
	const struct { const char *word; const char **value; } words[] = {
		{ "--client", &o->client }, { "--name", &o->name }, { "--user", &o->user }, { "--from", &o->from }, { "--to", &o->to }, { "--port", &o->port },
		{ "--size", &o->size },
	};

	for (int i = 1; i < env->argc; i++) {
		size_t k = 0;

		if (strcmp(env->argv[i], "--forged") == 0) {
			o->forged = true;
			continue;
		}
		while (k < sizeof(words) / sizeof(words[0]) && strcmp(env->argv[i], words[k].word) != 0)
			k++;
		if (k == sizeof(words) / sizeof(words[0]) || i + 1 == env->argc)
			return command_fail(EX_USAGE, "unexpected argument '%s'", env->argv[i]);
		*words[k].value = env->argv[++i];
	}
	if (o->client == NULL || o->from == NULL || o->to == NULL)
		return command_fail(EX_USAGE, "--client ADDRESS, --from SENDER and --to RECIPIENT are needed");
	return 0;
}

static int read_path(struct explain *x, const char *text, struct path *out)
{
	const char *bare = strcmp(text, "<>") == 0 ? "" : text;

	if (bare[0] == '\0') {
		*out = (struct path){ .is_null = true };
		return 0;
	}
	if (path_from_text(slice_of(bare), x->a, out) != 0)
		return command_fail(EX_DATAERR, "'%s' is not an address", text);
	if (out->domain.n == 0)
		out->domain = router_default_domain(policy_router(x->policy));
	return 0;
}

/* ---- what must be asked ---- */

static void wait_for_answer(struct explain *x)
{
	x->waiting = true;
	loop_run(x->loop);
	x->waiting = false;
}

static void answered(struct explain *x)
{
	if (x->waiting)
		loop_stop(x->loop);
}

static void on_name(void *ctx, enum relay_name state, struct slice name)
{
	struct explain *x = ctx;

	x->c.name_state = state;
	x->c.name = arena_dup(x->a, name);
	answered(x);
}

static void find_name(struct explain *x, const struct options *o, const struct net_addr *addr)
{
	if (o->name != NULL) {
		x->c.name = slice_of(o->name);
		x->c.name_state = o->forged ? RELAY_NAME_FORGED : o->name[0] == '\0' ? RELAY_NAME_FAIL : RELAY_NAME_OK;
		return;
	}
	if (names_client(x->names, addr, DNS_MS, on_name, x) != NULL)
		wait_for_answer(x);
}

static void on_domain(void *ctx, enum names_domain state)
{
	struct explain *x = ctx;

	x->domain_state = state;
	answered(x);
}

static enum policy_dns look_up(struct explain *x, const char *whose, struct slice domain)
{
	static const enum policy_dns dns[] = { [NAMES_DOMAIN_FINE] = POLICY_DNS_FINE, [NAMES_DOMAIN_NONE] = POLICY_DNS_NONE, [NAMES_DOMAIN_TEMP] = POLICY_DNS_TEMP };
	static const char *const words[] = { [NAMES_DOMAIN_FINE] = "exists", [NAMES_DOMAIN_NONE] = "does not exist", [NAMES_DOMAIN_TEMP] = "can't be looked up now" };

	if (names_domain(x->names, domain, DNS_MS, on_domain, x) != NULL)
		wait_for_answer(x);
	buf_putf(&x->steps, "%s domain %.*s: %s\n", whose, SLICE_FMT(domain), words[x->domain_state]);
	return dns[x->domain_state];
}

static void ask_dns(struct explain *x)
{
	const struct policy_ask ask = { .listener = x->c.listener, .client = &x->client, .sender = &x->sender, .rcpt = &x->to };

	if (policy_wants_dns(x->policy, &x->client, &x->sender))
		x->c.dns = look_up(x, "sender's", x->from.domain);
	if (policy_wants_rcpt_dns(x->policy, &ask, x->a))
		x->c.rcpt_dns = look_up(x, "recipient's", x->to.domain);
}

static void on_drac(void *ctx, const struct drac_grant *g)
{
	struct explain *x = ctx;

	x->c.drac = policy_judge_drac(x->policy, g, &x->from, x->a, &x->voucher);
	if (x->c.drac == RELAY_DRAC_DOWN && !x->s->drac_match_sender)
		x->c.drac = policy_read_drac_table(x->policy, &x->client.addr, loop_wall_us(x->loop) / 1000000, x->a);
	for (size_t i = 0; i < g->n_users; i++)
		buf_putf(&x->steps, "DRAC: a live grant by %.*s\n", SLICE_FMT(g->users[i].n > 0 ? g->users[i] : SLICE("a client of version 1 or 2")));
	if (g->n_users == 0)
		buf_putf(&x->steps, "DRAC: %s\n", g->verdict == DRAC_UNREACHABLE ? "dracd does not answer" : "no live grant for this address");
	answered(x);
}

static void ask_drac(struct explain *x)
{
	struct drac_client *d = drac_client_new(x->loop, x->s->drac_socket);

	drac_query(d, &x->client.addr, DRAC_MS, on_drac, x);
	wait_for_answer(x);
	drac_client_free(&d);
}

/* ---- the story ---- */

/* Once to learn what must be asked, then again with the answers; told is the last time. */
static int decide(struct explain *x, struct policy_verdict *v, struct err *e)
{
	if (explain_judge(x->policy, &x->c, &x->client, &x->sender, NULL, x->a, v, e) != 0)
		return -1;
	ask_dns(x);
	if (v->answer == POLICY_ASK_DRAC)
		ask_drac(x);
	return explain_judge(x->policy, &x->c, &x->client, &x->sender, &x->steps, x->a, v, e);
}

static void print_verdict(struct explain *x, const struct policy_verdict *v)
{
	fputs(buf_str(&x->steps), stdout);
	if (v->answer == POLICY_YES)
		printf("\nverdict: accepted%s, rule %s%s%s%s%.*s\n", v->discard ? " and thrown away (DISCARD)" : v->hold ? " and held (HOLD)" : "", v->rule[0] != '\0' ? v->rule : "none",
		    v->where[0] != '\0' ? " by " : "", v->where, x->voucher.n > 0 ? ", vouched for by " : "", SLICE_FMT(x->voucher));
	else
		printf("\nverdict: %.*s\nrule: %s%s%s\n", SLICE_FMT(v->reply), v->rule, v->where[0] != '\0' ? " - " : "", v->where);
	explain_change(&x->c, &x->client, v, x->a);
}

static void print_route(struct explain *x)
{
	struct final *finals;
	struct buf steps;
	struct err e = ERR_INIT;
	size_t n;

	buf_init(&steps, BUF_UNBOUNDED);
	if (route_explain(policy_router(x->policy), path_text(&x->to, x->a), &steps, x->a, &finals, &n, &e) == 0)
		printf("\nit would go:\n%s", buf_str(&steps));
	buf_done(&steps);
}

static int tell(struct explain *x, const struct options *o)
{
	struct slice login = SLICE("");
	struct policy_verdict v;
	struct err e = ERR_INIT;

	x->c = (struct explain_case){ .s = x->s, .from = &x->from, .to = &x->to, .drac = RELAY_DRAC_NOT_ASKED };
	x->c.listener = smtp_listener_named(o->port == NULL ? "smtp" : o->port);
	if (net_addr_parse(slice_of(o->client), &x->c.addr) != 0)
		return command_fail(EX_DATAERR, "'%s' is not an IP address", o->client);
	if (o->size != NULL && num_size(slice_of(o->size), &x->c.size) != 0)
		return command_fail(EX_USAGE, "--size is a number of octets, or one with K, M or G, not '%s'", o->size);
	if (x->c.listener == NULL)
		return command_fail(EX_USAGE, "--port is smtp, submission, submissions or lmtp, not '%s'", o->port);
	if (read_path(x, o->from, &x->from) != 0 || read_path(x, o->to, &x->to) != 0)
		return EX_DATAERR;
	if (o->user != NULL && users_canonical(slice_of(o->user), arena_str(x->a, router_default_domain(policy_router(x->policy))), x->a, &login) != 0)
		return command_fail(EX_DATAERR, "'%s' is not a user name", o->user);
	x->c.login = login;
	find_name(x, o, &x->c.addr);
	if (decide(x, &v, &e) != 0)
		return command_fail(EX_TEMPFAIL, "%s", e.text);
	explain_room(&x->c, &v, &x->steps, x->a);
	print_verdict(x, &v);
	if (v.answer == POLICY_YES)
		print_route(x);
	return v.answer == POLICY_YES ? EX_OK : v.reply.p[0] == '4' ? EX_TEMPFAIL : EX_NOPERM;
}

static int explain_with(const struct settings *s, const struct options *o)
{
	struct explain x = { .s = s };
	struct err e = ERR_INIT;
	int status;

	x.a = arena_new(0);
	buf_init(&x.steps, BUF_UNBOUNDED);
	x.loop = loop_new();
	if (policy_new(&x.policy, s, &e) != 0) {
		status = command_fail(EX_CONFIG, "%s", e.text);
	} else {
		if (dns_new(&x.dns, x.loop, s->resolv_conf, s->dns_server, &e) != 0)
			x.dns = NULL;
		x.names = names_new(x.loop, x.dns, "/etc/hosts");
		status = tell(&x, o);
		names_free(&x.names);
		dns_free(&x.dns);
	}
	policy_free(&x.policy);
	loop_free(&x.loop);
	buf_done(&x.steps);
	arena_free(&x.a);
	return status;
}

/* A code is explained where no settings are, too: whoever got a bounce is not always the admin. */
static int explain(const struct command_env *env)
{
	struct options o = { .client = NULL };
	struct settings *s = NULL;
	struct err e = ERR_INIT;
	int status;

	if (env->argc == 2 && env->argv[1][0] != '-')
		return explain_code(env->argv[1]);
	status = read_options(env, &o);
	if (status != 0)
		return status;
	if (conf_load(&s, env->settings_path, env->overrides, NULL, &e) < 0)
		return command_fail(EX_CONFIG, "%s", e.text);
	status = explain_with(s, &o);
	conf_free(&s);
	return status;
}

static const struct command rows[] = {
	{ "explain", explain, "CODE | --client ADDRESS [--name NAME [--forged]] [--user USER] [--port PORT] [--size SIZE] --from SENDER --to RECIPIENT",
	    "Says what smtpd would answer to this recipient, and why: each step, the rule that decides with its file and line, whether the mailbox has room, where the message would go, "
	    "and what would change the answer. Without --name the client's name is looked up. Exit status 0: accepted, 75: not now, 77: refused. "
	    "With a CODE as it ends a refusal (PH-R01), or the whole refusal, says what it means and what to do; so does posthouse-codes(7).", false },
};

const struct command_table cmd_explain_table = { "Who may send", rows, sizeof(rows) / sizeof(rows[0]) };
