/*
 * server/access_search.c - which keys are tried, in which order: sendmail's four searches, and networks with a length among them (access.h).
 */
#include "server/access_in.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"

#define KEY_MAX (LIMIT_PATH + 32)
#define DETAIL '+'

/* ---- one key ---- */

struct search {
	struct access *a;
	struct arena *ar;
	const char *tag;                                              /* "connect:" */
	struct access_hit *hit;
	struct err *e;
};

static void take_hit(struct search *s, struct slice key, struct slice value)
{
	access_read_value(value, s->ar, s->hit);
	s->hit->where = arena_str(s->ar, slice_of(map_where(s->a->map)));
	s->hit->key = arena_dup(s->ar, key);
	if (s->hit->verb == ACCESS_SKIP)
		s->hit->verb = ACCESS_NONE;
}

/* 1 found (or SKIP: found nothing, for good), 0 go on, -1 error. */
static int try_key(struct search *s, struct slice key)
{
	char full[KEY_MAX];
	size_t tag = strlen(s->tag);
	struct slice value;
	int found;

	if (s->a->is_empty)
		return 0;
	if (tag + key.n > sizeof(full))
		return 0;
	memcpy(full, s->tag, tag);
	memcpy(full + tag, key.p, key.n);
	found = map_get(s->a->map, slice_mem(full, tag + key.n), s->ar, &value, s->e);
	if (found == 0)
		found = map_get(s->a->map, key, s->ar, &value, s->e);
	if (found == 1)
		take_hit(s, key, value);
	return found;
}

static int try_printed(struct search *s, const char *text)
{
	return try_key(s, slice_of(text));
}

/* ---- the four searches ---- */

static int search_domain(struct search *s, struct slice domain)
{
	int r = 0;

	while (r == 0 && domain.n > 0) {
		ptrdiff_t dot;

		r = try_key(s, domain);
		dot = slice_chr(domain, '.');
		if (domain.p[0] == '[' || dot < 0)
			break;
		domain = slice_from(domain, (size_t)dot + 1);
	}
	return r;
}

static int search_cidr(struct search *s, const struct net_addr *addr, unsigned shorter_than, unsigned at_least)
{
	for (size_t i = 0; i < s->a->n_nets; i++) {
		const struct access_net *c = &s->a->nets[i];
		struct slice value;
		int found;

		if (c->prefix.bits >= shorter_than || c->prefix.bits < at_least || !net_prefix_has(&c->prefix, addr))
			continue;
		found = map_get(s->a->map, slice_of(c->key), s->ar, &value, s->e);
		if (found == 1)
			take_hit(s, slice_of(c->key), value);
		if (found != 0)
			return found;
	}
	return 0;
}

/* "192.0.2.1", "192.0.2", "192.0", "192"; a CIDR key counts where its length has its place among these. */
static int search_addr4(struct search *s, const struct net_addr *addr)
{
	const uint8_t *o = addr->octets;
	const char *keys[4] = {
		arena_printf(s->ar, "%u.%u.%u.%u", o[0], o[1], o[2], o[3]), arena_printf(s->ar, "%u.%u.%u", o[0], o[1], o[2]),
		arena_printf(s->ar, "%u.%u", o[0], o[1]), arena_printf(s->ar, "%u", o[0]),
	};
	int r = 0;

	for (unsigned i = 0; i < 4 && r == 0; i++) {
		r = try_printed(s, keys[i]);
		if (r == 0)
			r = search_cidr(s, addr, i == 0 ? 129 : 32 - 8 * i + 1, i == 3 ? 0 : 32 - 8 * (i + 1) + 1);
	}
	return r;
}

static const char *hextets(const struct net_addr *addr, unsigned n, struct arena *ar)
{
	struct buf b;
	char *text;

	buf_init(&b, BUF_UNBOUNDED);
	buf_puts(&b, "ipv6:");
	for (unsigned i = 0; i < n; i++)
		buf_putf(&b, "%s%x", i > 0 ? ":" : "", (unsigned)addr->octets[2 * i] << 8 | addr->octets[2 * i + 1]);
	text = arena_str(ar, buf_view(&b));
	buf_done(&b);
	return text;
}

static int search_addr6(struct search *s, const struct net_addr *addr)
{
	char text[NET_TEXT_MAX];
	int r = try_printed(s, arena_printf(s->ar, "ipv6:%s", net_addr_text(addr, text)));

	if (r == 0)
		r = try_printed(s, net_addr_text(addr, text));
	for (unsigned n = 8; n > 0 && r == 0; n--) {
		r = try_printed(s, hextets(addr, n, s->ar));
		if (r == 0)
			r = search_cidr(s, addr, 16 * n + 1, n == 1 ? 0 : 16 * (n - 1) + 1);
	}
	return r;
}

static struct slice join(struct arena *ar, struct slice a, const char *mid, struct slice b)
{
	return slice_of(arena_printf(ar, "%.*s%s%.*s", SLICE_FMT(a), mid, SLICE_FMT(b)));
}

/* F when domain is given, U with an empty one: "joe+x@d", "joe+*@d", "joe@d". */
static int search_user(struct search *s, struct slice local, struct slice domain)
{
	ptrdiff_t plus = slice_chr(local, DETAIL);
	int r = try_key(s, join(s->ar, local, "@", domain));

	if (r == 0 && plus > 0)
		r = try_key(s, join(s->ar, slice_head(local, (size_t)plus), "+*@", domain));
	if (r == 0 && plus > 0)
		r = try_key(s, join(s->ar, slice_head(local, (size_t)plus), "@", domain));
	return r;
}

static struct search search_start(struct access *a, const char *tag, struct arena *ar, struct access_hit *hit, struct err *e)
{
	*hit = (struct access_hit){ .verb = ACCESS_NONE, .where = "" };
	return (struct search){ a, ar, tag, hit, e };
}

int access_client_name(struct access *a, struct slice name, struct arena *ar, struct access_hit *hit_out, struct err *e)
{
	struct search s = search_start(a, "connect:", ar, hit_out, e);

	return search_domain(&s, name) < 0 ? -1 : 0;
}

int access_client_addr(struct access *a, const struct net_addr *addr, struct arena *ar, struct access_hit *hit_out, struct err *e)
{
	struct search s = search_start(a, "connect:", ar, hit_out, e);
	int r = addr->len == 4 ? search_addr4(&s, addr) : addr->len == 16 ? search_addr6(&s, addr) : 0;

	return r < 0 ? -1 : 0;
}

int access_sender(struct access *a, const struct path *sender, struct arena *ar, struct access_hit *hit_out, struct err *e)
{
	struct search s = search_start(a, "from:", ar, hit_out, e);
	int r;

	if (sender->is_null)
		return try_key(&s, SLICE("<>")) < 0 ? -1 : 0;
	r = search_user(&s, sender->local, sender->domain);
	if (r == 0)
		r = search_user(&s, sender->local, SLICE(""));
	if (r == 0)
		r = search_domain(&s, sender->domain);
	return r < 0 ? -1 : 0;
}

int access_rcpt_block(struct access *a, const struct path *rcpt, bool is_local, struct arena *ar, struct access_hit *hit_out, struct err *e)
{
	struct search s = search_start(a, "to:", ar, hit_out, e);
	int r = search_user(&s, rcpt->local, rcpt->domain);

	if (r == 0 && is_local)
		r = search_user(&s, rcpt->local, SLICE(""));
	if (r == 0)
		r = search_domain(&s, rcpt->domain);
	return r < 0 ? -1 : 0;
}

int access_rcpt_relay(struct access *a, const struct path *rcpt, struct arena *ar, struct access_hit *hit_out, struct err *e)
{
	struct search s = search_start(a, "to:", ar, hit_out, e);
	int r = search_user(&s, rcpt->local, rcpt->domain);

	if (r == 0)
		r = search_domain(&s, rcpt->domain);
	return r < 0 ? -1 : 0;
}
