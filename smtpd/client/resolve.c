/*
 * client/resolve.c - see resolve.h.
 *
 *   MX answer        null MX            5.1.10
 *                    we are the best    5.4.6: the domain should be in mydestination or relay_domains
 *                    some               A and AAAA of the best five, all at once
 *                    none               A and AAAA of the domain itself
 *                    no such domain     5.1.2
 *                    failure, timeout   4.4.3
 *   addresses        none at all        5.4.4; 4.4.3 if any question failed
 *                    our own            as "we are the best"
 */
#include "client/resolve.h"

#include <ifaddrs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { DNS_MS = 20000, MX_LOOKED_AT = 64 };

struct resolve {
	struct resolver *rv;
	struct hop hop;
	resolve_fn *fn;
	void *ctx;
	struct loop_task answer;
	struct dns_query *mx_query;
	char hosts[RESOLVE_HOSTS][256];
	size_t n_hosts;
	struct lookup { struct resolve *r; size_t host; struct dns_query *query; struct net_addr addrs[RESOLVE_ADDRS]; size_t n; } lookups[2 * RESOLVE_HOSTS];
	unsigned open;
	bool any_failed, any_ours;
	char failure[200];
	struct resolved result;
};

static void finish(struct resolve *r)
{
	resolve_fn *fn = r->fn;
	void *ctx = r->ctx;
	struct resolved *result = mem_new(sizeof(*result));

	*result = r->result;
	resolve_cancel(&r);
	fn(ctx, result);
	free(result);
}

static void on_answer_task(void *ctx)
{
	finish(ctx);
}

static void conclude(struct resolve *r, enum qoutcome outcome, const char *dsn, const char *fmt, ...) PRINTF_LIKE(4, 5);

static void conclude(struct resolve *r, enum qoutcome outcome, const char *dsn, const char *fmt, ...)
{
	va_list ap;

	r->result.outcome = outcome;
	r->result.dsn = dsn;
	va_start(ap, fmt);
	vsnprintf(r->result.text, sizeof(r->result.text), fmt, ap);
	va_end(ap);
	loop_task_queue(r->rv->loop, &r->answer, on_answer_task, r);
}

static void conclude_loop(struct resolve *r)
{
	conclude(r, QRESULT_FAILED, "5.4.6", "mail for %s loops back to this server: if it is ours, add it to mydestination or relay_domains", r->hop.host);
}

/* ---- ourselves ---- */

int resolver_init(struct resolver *rv, struct loop *l, const struct settings *s, struct err *e)
{
	struct ifaddrs *list;

	*rv = (struct resolver){ .loop = l, .settings = s };
	if (dns_new(&rv->dns, l, s->resolv_conf, s->dns_server, e) < 0)
		return -1;
	if (getifaddrs(&list) < 0)
		return 0;                                             /* loopback is known anyway */
	for (struct ifaddrs *i = list; i != NULL && rv->n_own < RESOLVER_OWN; i = i->ifa_next) {
		if (i->ifa_addr != NULL && (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
			net_addr_from_sockaddr(i->ifa_addr, &rv->own[rv->n_own++]);
	}
	freeifaddrs(list);
	return 0;
}

void resolver_done(struct resolver *rv)
{
	dns_free(&rv->dns);
}

static bool is_own_address(const struct resolver *rv, const struct net_addr *a)
{
	bool own = net_addr_is_loopback(a);

	for (size_t i = 0; i < rv->n_own && !own; i++)
		own = net_addr_eq(a, &rv->own[i]);
	return own;
}

/* Do we listen for mail on that port? Only then is our own address a loop. */
static bool is_own_port(const struct settings *s, uint16_t port)
{
	struct slice rest = slice_of(s->listen_smtp), word;
	char want[8];

	snprintf(want, sizeof(want), ":%u", port);
	while (slice_word(&rest, &word)) {
		if (slice_ends(word, slice_of(want)))
			return true;
	}
	return false;
}

/* ---- addresses ---- */

static void add_candidate(struct resolve *r, size_t host, const struct net_addr *a)
{
	struct resolved *res = &r->result;
	uint16_t port = r->hop.port != 0 ? r->hop.port : (uint16_t)(r->hop.lmtp ? 24 : r->rv->settings->client_port);

	if (r->hop.use_mx && !r->hop.lmtp && is_own_port(r->rv->settings, port) && is_own_address(r->rv, a)) {
		r->any_ours = true;
		return;
	}
	if (res->n == RESOLVE_ADDRS)
		return;
	memcpy(res->list[res->n].host, r->hosts[host], sizeof(res->list[res->n].host));
	res->list[res->n].addr = *a;
	res->list[res->n++].addr.port = port;
}

static void all_addresses_in(struct resolve *r)
{
	for (size_t h = 0; h < r->n_hosts && !r->any_ours; h++) {     /* hosts behind us would send it back */
		for (size_t k = 0; k < 2; k++) {
			const struct lookup *l = &r->lookups[2 * h + k];

			for (size_t i = 0; i < l->n; i++)
				add_candidate(r, h, &l->addrs[i]);
		}
	}
	if (r->result.n > 0)
		conclude(r, QRESULT_SENT, "2.0.0", "%s", "");
	else if (r->any_ours)
		conclude_loop(r);
	else if (r->any_failed)
		conclude(r, QRESULT_DEFERRED, "4.4.3", "cannot find the address of a mail server for %s: %s", r->hop.host, r->failure);
	else
		conclude(r, QRESULT_FAILED, "5.4.4", "no mail server of %s has an address", r->hop.host);
}

static void on_addresses(void *ctx, const struct dns_answer *a)
{
	struct lookup *l = ctx;
	struct resolve *r = l->r;

	l->query = NULL;
	for (size_t i = 0; i < a->n && l->n < RESOLVE_ADDRS; i++) {
		if (dns_get_addr(a->data[i], &l->addrs[l->n]) == 0)
			l->n++;
	}
	if (a->status == DNS_FAILED || a->status == DNS_TIMEOUT) {
		r->any_failed = true;
		snprintf(r->failure, sizeof(r->failure), "%.80s: %s", r->hosts[l->host], a->why);
	}
	if (--r->open == 0)
		all_addresses_in(r);
}

static void look_up_hosts(struct resolve *r)
{
	struct net_addr literal;

	if (r->n_hosts == 1 && net_addr_parse(slice_of(r->hosts[0]), &literal) == 0) {
		add_candidate(r, 0, &literal);
		all_addresses_in(r);
		return;
	}
	r->open = (unsigned)r->n_hosts * 2;
	for (size_t i = 0; i < r->n_hosts * 2; i++) {
		struct lookup *l = &r->lookups[i];

		l->r = r;
		l->host = i / 2;
		l->query = dns_ask(r->rv->dns, slice_of(r->hosts[l->host]), i % 2 == 0 ? DNS_AAAA : DNS_A, DNS_MS, on_addresses, l);
	}
}

/* ---- MX ---- */

static void take_mx(struct resolve *r, struct mx *list, size_t n)
{
	uint64_t luck;
	size_t left;

	if (mx_is_null(list, n)) {
		conclude(r, QRESULT_FAILED, "5.1.10", "domain %s takes no mail (null MX)", r->hop.host);
		return;
	}
	text_random(&luck, sizeof(luck));
	mx_sort(list, n, luck);
	left = mx_cut_at_us(list, n, r->rv->settings->myhostname);
	if (left == 0 && n > 0) {
		conclude_loop(r);
		return;
	}
	for (size_t i = 0; i < left && r->n_hosts < RESOLVE_HOSTS; i++) {
		if (list[i].host[0] != '\0')
			memcpy(r->hosts[r->n_hosts++], list[i].host, sizeof(list[i].host));
	}
	if (r->n_hosts == 0)
		conclude(r, QRESULT_DEFERRED, "4.4.3", "the MX records of %s name no usable host", r->hop.host);
	else
		look_up_hosts(r);
}

static void on_mx(void *ctx, const struct dns_answer *a)
{
	struct resolve *r = ctx;
	struct mx list[MX_LOOKED_AT] = { { 0, "" } };
	size_t n = 0;

	r->mx_query = NULL;
	switch (a->status) {
	case DNS_OK:
		for (size_t i = 0; i < a->n && n < MX_LOOKED_AT; i++)
			n += dns_get_mx(a->data[i], &list[n].preference, list[n].host) == 0;
		take_mx(r, list, n);
		break;
	case DNS_NO_DATA:
		memcpy(r->hosts[r->n_hosts++], r->hop.host, sizeof(r->hop.host));
		look_up_hosts(r);
		break;
	case DNS_NO_NAME:
		conclude(r, QRESULT_FAILED, "5.1.2", "there is no domain %s", r->hop.host);
		break;
	default:
		conclude(r, QRESULT_DEFERRED, "4.4.3", "cannot look up the mail servers of %s: %s", r->hop.host, a->why);
	}
}

struct resolve *resolve_start(struct resolver *rv, const struct hop *hop, resolve_fn *fn, void *ctx)
{
	struct resolve *r = mem_new(sizeof(*r));
	struct net_addr literal;

	r->rv = rv;
	r->hop = *hop;
	r->fn = fn;
	r->ctx = ctx;
	memcpy(r->hosts[0], hop->host, sizeof(hop->host));
	if (hop->is_path) {
		memcpy(r->result.list[0].host, hop->host, sizeof(hop->host));
		r->result.n = 1;
		conclude(r, QRESULT_SENT, "2.0.0", "%s", "");
	} else if (!hop->use_mx || net_addr_parse(slice_of(hop->host), &literal) == 0) {
		r->n_hosts = 1;
		look_up_hosts(r);
	} else {
		r->mx_query = dns_ask(rv->dns, slice_of(hop->host), DNS_MX, DNS_MS, on_mx, r);
	}
	return r;
}

void resolve_cancel(struct resolve **rp)
{
	struct resolve *r = *rp;

	if (r == NULL)
		return;
	dns_cancel(&r->mx_query);
	for (size_t i = 0; i < 2 * RESOLVE_HOSTS; i++)
		dns_cancel(&r->lookups[i].query);
	loop_task_cancel(&r->answer);
	free(r);
	*rp = NULL;
}
