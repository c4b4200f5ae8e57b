/*
 * map/map_cidr.c - networks in order, the first that holds the address wins: "192.0.2.0/24 REJECT no", "2001:db8::/32 OK". The key is an address's text.
 * An IPv4-mapped IPv6 address is its IPv4 address (as io/net.h has it; this layer may not include it).
 */
#include <arpa/inet.h>
#include <string.h>

#include "base/num.h"
#include "map/map_impl.h"

struct network {
	struct map_rule rule;
	unsigned char octets[16];
	unsigned len, bits;
};

struct map_cidr {
	struct map base;
	struct map_rules *now;
	struct stat seen;
};

static struct map_cidr *self(struct map *m)
{
	return (struct map_cidr *)(void *)m;
}

static unsigned parse_addr(struct slice s, unsigned char octets[16])
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof(text) || s.n == 0)
		return 0;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, octets) == 1)
		return 4;
	if (inet_pton(AF_INET6, text, octets) != 1)
		return 0;
	if (memcmp(octets, mapped, sizeof(mapped)) != 0)
		return 16;
	memmove(octets, octets + 12, 4);
	return 4;
}

static bool same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool host_bits_set(const struct network *n)
{
	static const unsigned char zero[16];
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	if (rest && (n->octets[whole] & (0xffu >> rest)) != 0)
		return true;
	whole += rest ? 1 : 0;
	return memcmp(n->octets + whole, zero, n->len - whole) != 0;
}

static int add(void *rules, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct map_rules *c = rules;
	struct network *n = arena_alloc(c->arena, sizeof(*n));
	ptrdiff_t slash = slice_chr(key, '/');
	uint32_t bits = 0;

	n->len = parse_addr(slash < 0 ? key : slice_head(key, (size_t)slash), n->octets);
	if (n->len == 0)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: '%.*s' is not a network", c->path, line, SLICE_FMT(slice_head(key, 80)));
	n->bits = n->len * 8;
	if (slash >= 0 && num_u32(slice_from(key, (size_t)slash + 1), n->bits, &bits) != 0)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: '%.*s': the prefix length is a number of up to %u", c->path, line, SLICE_FMT(slice_head(key, 80)), n->bits);
	if (slash >= 0)
		n->bits = bits;
	if (host_bits_set(n))
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: '%.*s': bits are set behind the prefix", c->path, line, SLICE_FMT(slice_head(key, 80)));
	map_rules_append(c, &n->rule, line, arena_dup(c->arena, value));
	return 0;
}

static int cidr_load(struct map *m, bool exists, struct err *e)
{
	return map_rules_load(&self(m)->now, m, exists, add, e);
}

static int cidr_refresh(struct map *m, struct err *e)
{
	return map_impl_reload(m, &self(m)->seen, self(m)->now != NULL, cidr_load, e);
}

static int cidr_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e UNUSED)
{
	unsigned char octets[16];
	unsigned len = parse_addr(key, octets);

	if (len == 0)
		return 0;
	for (const struct map_rule *r = self(m)->now->first; r != NULL; r = r->next) {
		const struct network *n = (const struct network *)(const void *)r;

		if (n->len != len || !same_prefix(n->octets, octets, n->bits))
			continue;
		map_impl_where(m, m->path, r->line);
		*value_out = arena_dup(a, r->value);
		return 1;
	}
	return 0;
}

static void cidr_close(struct map *m)
{
	map_rules_free(&self(m)->now);
}

static const struct map_ops cidr_ops = { .get = cidr_get, .refresh = cidr_refresh, .close = cidr_close };

int map_cidr_open(struct map **m_out, const char *path, struct err *e)
{
	struct map_cidr *mc = map_impl_new(sizeof(*mc), &cidr_ops, path);
	struct map *m = &mc->base;

	if (cidr_refresh(m, e) != 0) {
		map_close(&m);
		return -1;
	}
	*m_out = m;
	return 0;
}
