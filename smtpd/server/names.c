/*
 * server/names.c - PTR, then A or AAAA of that name; MX, then A, then AAAA of a domain.
 */
#include "server/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

enum { HOSTS_MAX = 1 << 20, KEEP_MS = 300000, KEEP_TEMP_MS = 30000 };

struct memo {
	int64_t until_ms;
	int state;
	char name[256];
};

struct names {
	struct loop *loop;
	struct dns *dns;
	struct hmap *hosts;                                           /* address text -> name */
	struct hmap *clients, *domains;                               /* address text, domain -> struct memo */
};

struct names_query {
	struct names *n;
	struct dns_query *query;
	struct net_addr addr;
	char name[256];                                               /* of the address; or the domain */
	int timeout_ms;
	enum dns_type asking;
	bool failed;
	names_client_fn *client_fn;
	names_domain_fn *domain_fn;
	void *ctx;
};

/* ---- the hosts file ---- */

static void add_host(struct names *n, struct slice line)
{
	ptrdiff_t hash = slice_chr(line, '#');
	struct slice addr_text, name;
	struct net_addr addr;
	char text[NET_TEXT_MAX];

	if (hash >= 0)
		line = slice_head(line, (size_t)hash);
	if (!slice_word(&line, &addr_text) || !slice_word(&line, &name) || name.n > 255 || net_addr_parse(addr_text, &addr) != 0)
		return;
	addr_text = slice_of(net_addr_text(&addr, text));
	if (hmap_get(n->hosts, addr_text) == NULL) {
		char *copy = mem_new(name.n + 1);

		memcpy(copy, name.p, name.n);
		(void)hmap_put(n->hosts, addr_text, copy);
	}
}

static void read_hosts(struct names *n, const char *path)
{
	struct buf text;
	struct slice rest, line;
	struct err e = ERR_INIT;

	buf_init(&text, HOSTS_MAX);
	if (file_read(path, &text, &e) == 0) {
		rest = buf_view(&text);
		while (slice_next(&rest, '\n', &line))
			add_host(n, line);
	}
	buf_done(&text);
}

struct names *names_new(struct loop *l, struct dns *d, const char *hosts_path)
{
	struct names *n = mem_new(sizeof(*n));

	n->loop = l;
	n->dns = d;
	n->hosts = hmap_new();
	n->clients = hmap_new();
	n->domains = hmap_new();
	read_hosts(n, hosts_path);
	return n;
}

static void forget(struct hmap **m)
{
	struct slice key;
	void *value;

	for (size_t at = 0; hmap_next(*m, &at, &key, &value);)
		free(value);
	hmap_free(m);
}

void names_free(struct names **np)
{
	if (*np == NULL)
		return;
	forget(&(*np)->hosts);
	forget(&(*np)->clients);
	forget(&(*np)->domains);
	free(*np);
	*np = NULL;
}

/* ---- the memory ---- */

static struct memo *recall(const struct names *n, const struct hmap *memory, struct slice key)
{
	struct memo *m = hmap_get(memory, key);

	return m == NULL || m->until_ms < loop_now(n->loop) ? NULL : m;
}

static void keep(const struct names *n, struct hmap **memory, struct slice key, int state, bool is_temp, const char *name)
{
	struct memo *m = mem_new(sizeof(*m));

	if (hmap_count(*memory) >= NAMES_MEMORY) {
		forget(memory);
		*memory = hmap_new();
	}
	m->until_ms = loop_now(n->loop) + (is_temp ? KEEP_TEMP_MS : KEEP_MS);
	m->state = state;
	memcpy(m->name, name, strlen(name) + 1);
	free(hmap_put(*memory, key, m));
}

/* ---- clients ---- */

static void client_done(struct names_query *q, enum relay_name state)
{
	char text[NET_TEXT_MAX];
	struct names_query done = *q;

	if (state == RELAY_NAME_FAIL || state == RELAY_NAME_TEMP)
		done.name[0] = '\0';
	keep(q->n, &q->n->clients, slice_of(net_addr_text(&q->addr, text)), (int)state, state == RELAY_NAME_TEMP, done.name);
	free(q);
	done.client_fn(done.ctx, state, slice_of(done.name));
}

static void on_forward(void *ctx, const struct dns_answer *a)
{
	struct names_query *q = ctx;
	struct net_addr addr;

	q->query = NULL;
	for (size_t i = 0; i < a->n; i++)
		if (dns_get_addr(a->data[i], &addr) == 0 && net_addr_eq(&addr, &q->addr)) {
			client_done(q, RELAY_NAME_OK);
			return;
		}
	client_done(q, a->status == DNS_FAILED || a->status == DNS_TIMEOUT ? RELAY_NAME_TEMP : RELAY_NAME_FORGED);
}

static void on_ptr(void *ctx, const struct dns_answer *a)
{
	struct names_query *q = ctx;

	q->query = NULL;
	if (a->status == DNS_FAILED || a->status == DNS_TIMEOUT)
		client_done(q, RELAY_NAME_TEMP);
	else if (a->n == 0 || dns_get_name(a->data[0], q->name) != 0 || q->name[0] == '\0')
		client_done(q, RELAY_NAME_FAIL);
	else
		q->query = dns_ask(q->n->dns, slice_of(q->name), q->addr.len == 4 ? DNS_A : DNS_AAAA, q->timeout_ms, on_forward, q);
}

struct names_query *names_client(struct names *n, const struct net_addr *addr, int timeout_ms, names_client_fn *fn, void *ctx)
{
	char text[NET_TEXT_MAX];
	struct slice key = slice_of(net_addr_text(addr, text));
	const char *host = hmap_get(n->hosts, key);
	struct memo *m = host == NULL ? recall(n, n->clients, key) : NULL;
	struct names_query *q;

	if (host != NULL || m != NULL || n->dns == NULL || addr->len == 0) {
		if (host != NULL)
			fn(ctx, RELAY_NAME_OK, slice_of(host));
		else if (m != NULL)
			fn(ctx, (enum relay_name)m->state, slice_of(m->name));
		else
			fn(ctx, RELAY_NAME_TEMP, SLICE(""));
		return NULL;
	}
	q = mem_new(sizeof(*q));
	*q = (struct names_query){ .n = n, .addr = *addr, .timeout_ms = timeout_ms, .client_fn = fn, .ctx = ctx };
	q->query = dns_ask_ptr(n->dns, addr, timeout_ms, on_ptr, q);
	return q;
}

/* ---- domains ---- */

static void domain_done(struct names_query *q, enum names_domain state)
{
	struct names_query done = *q;

	keep(q->n, &q->n->domains, slice_of(q->name), (int)state, state == NAMES_DOMAIN_TEMP, "");
	free(q);
	done.domain_fn(done.ctx, state);
}

static bool is_null_mx(const struct dns_answer *a)
{
	char host[256];
	unsigned preference;

	return a->n == 1 && dns_get_mx(a->data[0], &preference, host) == 0 && host[0] == '\0';
}

static void on_domain(void *ctx, const struct dns_answer *a)
{
	struct names_query *q = ctx;

	q->query = NULL;
	q->failed = q->failed || a->status == DNS_FAILED || a->status == DNS_TIMEOUT;
	if (a->n > 0) {
		domain_done(q, q->asking == DNS_MX && is_null_mx(a) ? NAMES_DOMAIN_NONE : NAMES_DOMAIN_FINE);
	} else if (a->status == DNS_NO_NAME || q->asking == DNS_AAAA || a->status == DNS_TIMEOUT) {
		domain_done(q, q->failed ? NAMES_DOMAIN_TEMP : NAMES_DOMAIN_NONE);
	} else {
		q->asking = q->asking == DNS_MX ? DNS_A : DNS_AAAA;
		q->query = dns_ask(q->n->dns, slice_of(q->name), q->asking, q->timeout_ms, on_domain, q);
	}
}

struct names_query *names_domain(struct names *n, struct slice domain, int timeout_ms, names_domain_fn *fn, void *ctx)
{
	struct memo *m = recall(n, n->domains, domain);
	struct names_query *q;

	if (m != NULL || n->dns == NULL || domain.n > 255 || domain.n == 0) {
		fn(ctx, m != NULL ? (enum names_domain)m->state : n->dns == NULL ? NAMES_DOMAIN_TEMP : NAMES_DOMAIN_NONE);
		return NULL;
	}
	q = mem_new(sizeof(*q));
	*q = (struct names_query){ .n = n, .timeout_ms = timeout_ms, .asking = DNS_MX, .domain_fn = fn, .ctx = ctx };
	memcpy(q->name, domain.p, domain.n);
	q->query = dns_ask(n->dns, slice_of(q->name), DNS_MX, timeout_ms, on_domain, q);
	return q;
}

void names_cancel(struct names_query **qp)
{
	if (*qp == NULL)
		return;
	dns_cancel(&(*qp)->query);
	free(*qp);
	*qp = NULL;
}
