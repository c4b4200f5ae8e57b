/*
 * server/policy.c - maps opened once, and the verdicts on client and sender. Recipients: policy_rcpt.c.
 */
#include "server/policy_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/idn.h"
#include "base/num.h"
#include "base/text.h"
#include "conf/conf.h"
#include "mail/header.h"
#include "map/map.h"

static int read_networks(struct policy *p, struct err *e)
{
	struct slice rest = slice_of(p->s->mynetworks), word;
	size_t max = 1;

	for (const char *c = p->s->mynetworks; *c != '\0'; c++)
		max += *c == ' ';
	p->networks = calloc(max, sizeof(*p->networks));
	if (p->networks == NULL)
		abort();
	while (p->n_networks < max && conf_word(&rest, &word))
		if (net_prefix_parse(word, &p->networks[p->n_networks++]) != 0)
			return err_set(e, ERR_SYNTAX, 0, "%s: mynetworks: \"%.*s\" is not a network like 192.0.2.0/24 (host bits must be 0)", p->networks_where, SLICE_FMT(word));
	return 0;
}

int policy_new(struct policy **p_out, const struct settings *s, struct err *e)
{
	struct policy *p = calloc(1, sizeof(*p));
	char spec[4096];

	if (p == NULL)
		abort();
	p->s = s;
	p->arena = arena_new(0);
	p->networks_where = conf_where(s, "mynetworks", p->arena);
	if (asprintf(&p->access_path, "%s%s%s", s->access_map[0] == '/' ? "" : s->config_directory, s->access_map[0] == '/' ? "" : "/", s->access_map) < 0)
		abort();
	snprintf(spec, sizeof(spec), "btree:%s", s->drac_table);
	if (router_new(&p->router, s, e) != 0 || access_open(&p->access, p->access_path, e) != 0 || read_networks(p, e) != 0 ||
	    (s->drac && !s->drac_match_sender && map_open(&p->drac_table, spec, e) != 0)) {
		policy_free(&p);
		return -1;
	}
	*p_out = p;
	return 0;
}

void policy_free(struct policy **pp)
{
	struct policy *p = *pp;

	if (p == NULL)
		return;
	router_free(&p->router);
	access_close(&p->access);
	map_close(&p->drac_table);
	free(p->access_path);
	free(p->networks);
	arena_free(&p->arena);
	free(p);
	*pp = NULL;
}

int policy_refresh(struct policy *p, struct err *e)
{
	return router_refresh(p->router, e) != 0 ? -1 : access_refresh(p->access, e);
}

unsigned policy_generation(const struct policy *p)
{
	return router_generation(p->router) + access_generation(p->access);
}

void policy_warnings(const struct policy *p, struct buf *out)
{
	router_warnings(p->router, out);
	if (access_warning(p->access)[0] != '\0')
		buf_putf(out, "%s\n", access_warning(p->access));
}

struct router *policy_router(struct policy *p) { return p->router; }

const char *policy_in_mynetworks(const struct policy *p, const struct net_addr *addr)
{
	for (size_t i = 0; i < p->n_networks; i++)
		if (net_prefix_has(&p->networks[i], addr))
			return p->networks_where;
	return NULL;
}

/* ---- verdicts ---- */

struct policy_verdict policy_no(enum code c, struct slice reply, const char *rule, const char *where)
{
	return (struct policy_verdict){ .answer = POLICY_NO, .code = c, .reply = reply, .rule = rule, .where = where };
}

struct slice policy_reply(struct arena *a, const char *status, enum code c, const struct path *who, struct slice text)
{
	struct buf b;
	const char *reply;

	buf_init(&b, BUF_UNBOUNDED);
	if (who != NULL) {
		buf_putc(&b, '<');
		text_escape(path_text(who, a), &b);
		buf_puts(&b, ">... ");
	}
	text_escape(text, &b);
	reply = code_reply_as(a, status != NULL || c == CODE_NONE ? status : code_row(c)->status, c, "%s", buf_str(&b));
	buf_done(&b);
	return slice_of(reply);
}

struct policy_verdict policy_by_access(const struct access_hit *hit, const char *tag, const struct path *who, struct arena *a)
{
	struct policy_verdict v = { .answer = POLICY_YES, .rule = "access", .where = hit->where };

	switch (hit->verb) {
	case ACCESS_REJECT:
	case ACCESS_DEFER:
	case ACCESS_BROKEN:
		v = policy_no(hit->why, policy_reply(a, hit->status, hit->why, who, hit->text), "access", hit->where);
		v.tag = tag;
		v.key = hit->key;
		break;
	case ACCESS_DISCARD:
		v.discard = true;
		break;
	case ACCESS_HOLD:
		v.hold = true;
		break;
	case ACCESS_NONE:
	case ACCESS_SKIP:
	case ACCESS_OK:
	case ACCESS_RELAY:
		break;
	}
	return v;
}

/* ---- client ---- */

/* Only a name that DNS confirms both ways is believed; else the address in brackets is the name. */
static struct slice name_to_search(const struct policy_client *c, struct arena *a)
{
	char text[NET_TEXT_MAX];

	if (c->name_state == RELAY_NAME_OK && c->name.n > 0)
		return c->name;
	return slice_of(arena_printf(a, "[%s]", net_addr_text(&c->addr, text)));
}

static void note_where(struct policy_client *c, const char *where)
{
	if (c->where[0] == '\0' && where != NULL)
		c->where = where;
}

static void by_lists(struct policy *p, struct policy_client *c)
{
	const char *where = policy_in_mynetworks(p, &c->addr);

	c->in_mynetworks = where != NULL;
	note_where(c, where);
	c->in_relay_networks = route_is_relay_client(p->router, SLICE_NONE, &c->addr);
	note_where(c, c->in_relay_networks ? "relay-domains" : NULL);
	if (c->name_state == RELAY_NAME_OK)
		c->name_ours = route_is_relay_client(p->router, c->name, NULL);
	else if (c->name_state == RELAY_NAME_TEMP)
		c->name_ours = route_has_relay_names(p->router) || access_has_names(p->access);
	note_where(c, c->name_state == RELAY_NAME_OK && c->name_ours ? route_where_listed(p->router, c->name) : NULL);
}

int policy_client_init(struct policy *p, struct policy_client *c, const struct net_addr *addr, struct slice name, enum relay_name state,
    struct arena *a, struct err *e)
{
	struct access_hit by_name, by_addr;

	*c = (struct policy_client){ .addr = *addr, .name = name, .name_state = state, .where = "", .verdict = { .answer = POLICY_YES, .rule = "", .where = "" } };
	by_lists(p, c);
	if (access_client_name(p->access, name_to_search(c, a), a, &by_name, e) != 0 || access_client_addr(p->access, addr, a, &by_addr, e) != 0)
		return -1;
	c->connect_addr = by_addr.verb == ACCESS_RELAY;
	note_where(c, c->connect_addr ? by_addr.where : NULL);
	if (state == RELAY_NAME_OK && by_name.verb == ACCESS_RELAY) {
		c->name_ours = true;
		note_where(c, by_name.where);
	}
	/* The name's entry ends the search; the address is looked at where it has none. */
	c->verdict = policy_by_access(by_name.verb != ACCESS_NONE ? &by_name : &by_addr, "Connect", NULL, a);
	c->by_name = by_name;
	c->by_addr = by_addr;
	return 0;
}

/* ---- sender ---- */

static int check_owner(struct policy *p, struct policy_sender *s, struct arena *a, struct err *e)
{
	struct user user;
	int found = route_user(p->router, s->login, a, &user, e);
	int owns = s->path->is_null ? 1 : route_owns(p->router, s->login, s->path, e);

	if (found < 0 || owns < 0)
		return -1;
	s->login_barred = found == 1 && (user.flags & USER_NO_RELAY) != 0;
	if (owns == 0)
		s->verdict = policy_no(CODE_SENDER_NOT_YOURS, policy_reply(a, NULL, CODE_SENDER_NOT_YOURS, s->path,
		    slice_of(arena_printf(a, "Sender address rejected: not an address of %.*s", SLICE_FMT(s->login)))), "owner", "");
	return 0;
}

int policy_sender_init(struct policy *p, struct policy_sender *s, const struct policy_client *c, const struct path *path, struct slice login,
    struct arena *a, struct err *e)
{
	struct access_hit hit;

	(void)c;
	*s = (struct policy_sender){ .path = path, .login = login, .verdict = { .answer = POLICY_YES, .rule = "", .where = "" } };
	if (access_sender(p->access, path, a, &hit, e) != 0)
		return -1;
	s->verdict = policy_by_access(&hit, "From", path, a);
	s->access_ok = hit.verb == ACCESS_OK || hit.verb == ACCESS_RELAY;
	return login.n > 0 && s->verdict.answer == POLICY_YES ? check_owner(p, s, a, e) : 0;
}

bool policy_wants_dns(const struct policy *p, const struct policy_client *c, const struct policy_sender *s)
{
	if (p->s->accept_unresolvable_domains || s->path->is_null || s->access_ok || s->login.n > 0)
		return false;
	if (c->in_mynetworks || c->in_relay_networks || c->connect_addr || (c->name_state == RELAY_NAME_OK && c->name_ours))
		return false;
	return s->path->domain.n > 0 && s->path->domain.p[0] != '[' && route_class_of(p->router, s->path->domain) == ROUTE_REMOTE;
}

/* ---- DRAC ---- */

enum relay_drac policy_judge_drac(struct policy *p, const struct drac_grant *g, const struct path *sender, struct arena *a, struct slice *user_out)
{
	struct err e = ERR_INIT;

	*user_out = SLICE("");
	if (g->verdict == DRAC_UNREACHABLE)
		return RELAY_DRAC_DOWN;
	if (g->verdict != DRAC_LIVE)
		return RELAY_DRAC_NONE;
	for (size_t i = 0; i < g->n_users; i++) {
		/* An empty user is a grant by version 1 or 2 from a caller that drac_trust_v1 lists. */
		int owns = g->users[i].n == 0 ? 1 : route_owns(p->router, g->users[i], sender, &e);

		if (owns < 0)
			return RELAY_DRAC_DOWN;
		if (owns == 1 || !p->s->drac_match_sender) {
			*user_out = arena_dup(a, g->users[i]);
			return RELAY_DRAC_LIVE;
		}
	}
	return p->s->drac_match_sender ? RELAY_DRAC_OTHERS : RELAY_DRAC_LIVE;
}

enum relay_drac policy_read_drac_table(struct policy *p, const struct net_addr *addr, int64_t now_s, struct arena *a)
{
	char text[NET_TEXT_MAX];
	struct err e = ERR_INIT;
	struct slice value;
	uint64_t expires;
	int found;

	if (p->drac_table == NULL || map_refresh(p->drac_table, &e) != 0)
		return RELAY_DRAC_DOWN;
	found = map_get(p->drac_table, slice_of(net_addr_text(addr, text)), a, &value, &e);
	if (found < 0)
		return RELAY_DRAC_DOWN;
	if (found == 0 || num_u64(value, INT64_MAX, &expires) != 0)
		return RELAY_DRAC_NONE;
	/* No grant lasts longer than the lifetime: the file is damaged, or the clock was set back. */
	if ((int64_t)expires - now_s > (int64_t)p->s->drac_lifetime + 1)
		return RELAY_DRAC_NONE;
	return (int64_t)expires > now_s ? RELAY_DRAC_LIVE : RELAY_DRAC_NONE;
}

/* ---- header From ---- */

/* One From field: every mailbox in it, of which there must be one, is the user's own. */
static int judge_from(struct policy *p, struct slice value, struct slice login, struct arena *a, struct slice *refusal_out, struct err *e)
{
	const char *not_own = arena_printf(a, "From: is not an address of %.*s", SLICE_FMT(login));
	struct address *list;
	size_t n = address_list(value, a, &list), mailboxes = 0;

	for (size_t i = 0; i < n; i++) {
		struct path from = { .local = list[i].local, .domain = list[i].domain };
		int owns;

		if (list[i].kind != ADDRESS_MAILBOX)
			continue;
		mailboxes++;
		(void)(idn_to_ascii(from.domain, a, &from.domain) != 0);      /* one that is no domain is nobody's address */
		owns = route_owns(p->router, login, &from, e);
		if (owns < 0)
			return -1;
		if (owns == 0)
			*refusal_out = policy_reply(a, NULL, CODE_FROM_NOT_YOURS, &from, slice_of(not_own));
	}
	if (mailboxes == 0)
		*refusal_out = policy_reply(a, NULL, CODE_FROM_NOT_YOURS, NULL, slice_of(not_own));
	return 0;
}

/* Which of two From fields a mail program shows is anybody's guess: there is one (RFC 5322 3.6), or none. */
int policy_header_from(struct policy *p, struct slice header, struct slice login, struct arena *a, struct slice *refusal_out, struct err *e)
{
	struct slice value;

	*refusal_out = SLICE_NONE;
	if (!p->s->check_header_from || login.n == 0 || !header_find(header, SLICE("from"), &value))
		return 0;
	if (header_count(header, SLICE("from")) > 1) {
		*refusal_out = policy_reply(a, NULL, CODE_FROM_NOT_YOURS, NULL, SLICE("A message has one From: line, not several"));
		return 0;
	}
	return judge_from(p, value, login, a, refusal_out, e);
}
