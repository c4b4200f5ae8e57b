/*
 * server/enumerate.c - is the relay closed? Asked at load and by posthouse check; a configuration that relays for strangers is refused.
 *
 * Two views of the same thing. First the lists: no entry may cover so much of the world that strangers are in it (0.0.0.0/1, "com RELAY"). Then the
 * function itself: strangers from many networks, with every kind of name and no login, ask for recipients that are not ours, and each must hear no. The
 * second view knows nothing of the first, so an entry of a kind that nobody thought of is found too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "map/map.h"
#include "route/domains.h"
#include "server/policy_in.h"

/* Names of one label that nobody outside can register (RFC 6761, RFC 6762, and what ICANN will never delegate). */
static bool is_private_tld(struct slice name)
{
	static const char *const names[] = { "localhost", "localdomain", "local", "lan", "internal", "intranet", "intra", "private", "corp", "home", "mail", "test", "example",
		"invalid", "onion" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (slice_ieqs(name, names[i]))
			return true;
	return false;
}

/* "com", and "co.uk": a name below which anybody may have one. The second level only where its shape says so; no list of suffixes is kept here. */
static bool is_registry(struct slice name)
{
	static const char *const second[] = { "co", "com", "net", "org", "gov", "edu", "ac", "or", "ne", "go" };
	ptrdiff_t dot;

	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	dot = slice_chr(name, '.');
	if (name.n == 0 || slice_chr(name, '@') >= 0 || slice_chr(name, ':') >= 0 || name.p[0] == '[')
		return false;
	if (dot < 0)
		return !is_private_tld(name);
	if (slice_from(name, (size_t)dot + 1).n != 2)
		return false;
	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++)
		if (slice_ieqs(slice_head(name, (size_t)dot), second[i]))
			return true;
	return false;
}

static int blame(struct err *e, const char *where, const char *what)
{
	return err_set(e, ERR_DENIED, 0, "%s: %s, so that strangers could relay through here. Refused: take it out or narrow it", where, what);
}

/* ---- the lists ---- */

static int check_networks(const struct policy *p, struct err *e)
{
	char text[NET_TEXT_MAX], what[160];

	for (size_t i = 0; i < p->n_networks; i++)
		if (net_prefix_is_world(&p->networks[i])) {
			snprintf(what, sizeof(what), "%s/%u in mynetworks covers a large part of the world", net_addr_text(&p->networks[i].addr, text), p->networks[i].bits);
			return blame(e, p->networks_where, what);
		}
	return 0;
}

/* Who is believed when it says whose connection it passes on can say "from 127.0.0.1". */
static int check_proxies(const struct policy *p, struct err *e)
{
	struct slice rest = slice_of(p->s->proxy_protocol_from), word;
	struct net_prefix net;

	while (conf_word(&rest, &word))
		if (net_prefix_parse(word, &net) == 0 && net_prefix_is_world(&net))
			return blame(e, conf_where(p->s, "proxy_protocol_from", p->arena), "proxy_protocol_from believes a large part of the world whatever address it claims");
	return 0;
}

static int check_relay_domains(const struct policy *p, struct err *e)
{
	struct domains *d;
	const struct net_prefix *net;
	const char *where;
	struct slice name;
	char path[4096];
	size_t at = 0;
	int r = 0;

	snprintf(path, sizeof(path), "%s%s%s", p->s->relay_domains_file[0] == '/' ? "" : p->s->config_directory, p->s->relay_domains_file[0] == '/' ? "" : "/",
	    p->s->relay_domains_file);
	if (domains_new(&d, conf_where(p->s, "relay_domains", p->arena), p->s->relay_domains, path, e) != 0)
		return -1;
	while (r == 0 && domains_next(d, &at, &name, &net, &where)) {
		if (net != NULL && net_prefix_is_world(net))
			r = blame(e, where, "a network that covers a large part of the world");
		else if (net == NULL && is_registry(name))
			r = blame(e, where, "a whole top-level domain");
	}
	domains_free(&d);
	return r;
}

struct lint {
	const struct policy *p;
	const char *file;
};

static int check_entry(void *ctx, const struct access_entry *en, struct err *e)
{
	const struct lint *l = ctx;
	struct net_prefix net;
	char where[512];

	if (en->hit.verb != ACCESS_RELAY || slice_eqs(en->tag, "from"))
		return 0;
	if (en->line > 0)
		snprintf(where, sizeof(where), "%s:%u", l->file, en->line);
	else
		snprintf(where, sizeof(where), "%s as it is in use (%.*s)", l->file, SLICE_FMT(slice_head(en->key, 100)));
	if (domains_read_net(en->key, &net))
		return net_prefix_is_world(&net) && !slice_eqs(en->tag, "to") ? blame(e, where, "RELAY for a network that covers a large part of the world") : 0;
	return is_registry(en->key) ? blame(e, where, "RELAY for a whole top-level domain") : 0;
}

static int check_access(const struct policy *p, struct err *e)
{
	struct lint l = { p, strrchr(p->access_path, '/') == NULL ? p->access_path : strrchr(p->access_path, '/') + 1 };

	return access_walk(p->access, check_entry, &l, e);
}

/* ---- the function ---- */

/* Addresses all over the world, chosen so that no honest list holds many of them. */
static const char *const strangers[] = {
	"1.1.1.1", "8.8.8.8", "23.4.5.6", "41.77.1.9", "58.33.2.1", "77.88.8.8", "93.184.216.34", "103.4.96.5", "133.11.0.1", "151.101.1.69", "177.43.1.2", "185.60.216.35",
	"192.0.2.1", "198.51.100.1", "203.0.113.1", "212.27.48.10", "223.5.5.5", "2001:4860:4860::8888", "2400:cb00::1", "2606:4700::1111", "2a00:1450::1", "2c0f:fb50::1",
};
static const char *const stranger_names[] = { "", "localhost", "host.stranger-one.example.net", "mail.stranger-two.example.org" };
static const char *const elsewhere[] = { "x@stranger-one.example.net", "x@stranger-two.example.org", "x@[192.0.2.99]", "x@sub.stranger-three.example.com" };

struct probe { struct policy *p; struct arena *a; unsigned open, all; const char *first; enum relay_rule why; char where[300]; };

static int probe_one(struct probe *pr, const char *from, const char *name, enum relay_name state, const char *to, struct err *e)
{
	struct policy_client client;
	struct policy_sender sender;
	struct net_addr addr;
	struct path null = { .is_null = true }, rcpt;
	struct policy_verdict v;
	const struct policy_ask ask = { .listener = smtp_listener_of(SMTP_ON_25), .client = &client, .sender = &sender, .rcpt = &rcpt, .drac = RELAY_DRAC_NONE };

	arena_reset(pr->a);
	if (net_addr_parse(slice_of(from), &addr) != 0 || path_from_text(slice_of(to), pr->a, &rcpt) != 0)
		return err_set(e, ERR_TEMP, 0, "probe %s to %s", from, to);
	if (policy_client_init(pr->p, &client, &addr, slice_of(name), state, pr->a, e) != 0 ||
	    policy_sender_init(pr->p, &sender, &client, &null, SLICE_NONE, pr->a, e) != 0 || policy_rcpt(pr->p, &ask, pr->a, &v, e) != 0)
		return -1;
	pr->all++;
	if (v.answer == POLICY_YES) {
		pr->open++;
		pr->first = from;
		pr->why = v.relay;
		snprintf(pr->where, sizeof(pr->where), "%s", v.where);
	}
	return 0;
}

/* One such address may well be the office's own or its provider's; three are the world. */
int policy_is_closed(struct policy *p, struct err *e)
{
	struct probe pr = { .p = p, .a = arena_new(0), .first = "" };
	unsigned clients = 0;
	int r = 0;

	if (check_networks(p, e) != 0 || check_proxies(p, e) != 0 || check_relay_domains(p, e) != 0 || check_access(p, e) != 0)
		r = -1;
	for (size_t i = 0; r == 0 && i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		pr.open = 0;
		for (size_t n = 0; r == 0 && n < sizeof(stranger_names) / sizeof(stranger_names[0]); n++)
			for (size_t t = 0; r == 0 && t < sizeof(elsewhere) / sizeof(elsewhere[0]); t++)
				for (int state = RELAY_NAME_OK; r == 0 && state <= RELAY_NAME_TEMP; state++)
					r = probe_one(&pr, strangers[i], stranger_names[n], (enum relay_name)state, elsewhere[t], e);
		clients += pr.open > 0;
	}
	if (r == 0 && clients > 2)
		r = err_set(e, ERR_DENIED, 0, "%u of %zu strangers could relay, %s by the rule \"%s\" %s. Refused: this would be an open relay", clients,
		    sizeof(strangers) / sizeof(strangers[0]), pr.first, relay_rule_word(pr.why), pr.where);
	arena_free(&pr.a);
	return r;
}
