/*
 * route/domains.c - see domains.h. Lists are small; names are hashed, networks walked.
 */
#include "route/domains.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/idn.h"
#include "base/limits.h"
#include "base/num.h"
#include "conf/conf.h"
#include "map/map.h"

struct entry {
	struct slice name;
	struct net_prefix prefix;
	bool is_net;
	char *where;
};

struct domains {
	struct arena *arena;
	struct hmap *names;
	struct entry *entries;
	size_t n, cap;
	bool has_names;
	const char *file;                                             /* its last part, for where */
};

/* "192.168.0" or "10" as sendmail writes networks. */
static bool read_octets(struct slice text, struct net_prefix *out)
{
	struct net_prefix p = { .addr = { .len = 4 }, .bits = 0 };
	struct slice part;
	uint32_t octet;
	unsigned n = 0;

	if (slice_chr(text, '/') >= 0)
		return false;
	while (slice_next(&text, '.', &part)) {
		if (n == 4 || num_u32(part, 255, &octet) != 0)
			return false;
		p.addr.octets[n++] = (uint8_t)octet;
	}
	p.bits = (uint8_t)(8 * n);
	*out = p;
	return n > 0;
}

/* "2001:db8": the first hextets of an IPv6 network. */
static bool read_hextets(struct slice text, struct net_prefix *out)
{
	char whole[NET_TEXT_MAX + 8];
	struct slice rest = text, part;
	unsigned n = 0;

	while (slice_next(&rest, ':', &part))
		if (part.n == 0 || part.n > 4 || ++n > 7)
			return false;
	if (n == 0 || snprintf(whole, sizeof(whole), "%.*s::/%u", SLICE_FMT(text), 16 * n) >= (int)sizeof(whole))
		return false;
	return net_prefix_parse(slice_of(whole), out) == 0;
}

bool domains_read_net(struct slice text, struct net_prefix *out)
{
	if (text.n > 0 && text.p[text.n - 1] == '.')
		text.n--;
	if (slice_istarts(text, SLICE("ipv6:"))) {
		text = slice_from(text, 5);
		return net_prefix_parse(text, out) == 0 || read_hextets(text, out);
	}
	return net_prefix_parse(text, out) == 0 || read_octets(text, out);
}

static void add(struct domains *d, struct slice text, char *where)
{
	struct entry *en;

	if (d->n == d->cap) {
		d->cap = d->cap == 0 ? 16 : d->cap * 2;
		d->entries = realloc(d->entries, d->cap * sizeof(*d->entries));
		if (d->entries == NULL)
			abort();
	}
	en = &d->entries[d->n++];
	*en = (struct entry){ .name = idn_fold_key(text, d->arena), .where = where };
	en->is_net = domains_read_net(en->name, &en->prefix);
	if (!en->is_net) {
		d->has_names = true;
		hmap_put(d->names, en->name, en->where);
	}
}

static int add_line(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct domains *d = ctx;

	(void)value;
	(void)e;
	add(d, key, arena_printf(d->arena, "%s:%u", d->file, line));
	return 0;
}

int domains_new(struct domains **d_out, const char *where, const char *words, const char *path, struct err *e)
{
	struct domains *d = calloc(1, sizeof(*d));
	struct slice rest = slice_of(words), word;

	if (d == NULL)
		abort();
	d->arena = arena_new(0);
	d->names = hmap_new();
	while (conf_word(&rest, &word))
		add(d, word, arena_str(d->arena, slice_of(where)));
	if (path != NULL && path[0] != '\0') {
		d->file = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
		if (map_text_each(path, MAP_TEXT_LIST, add_line, d, e) != 0 && e->kind != ERR_NOTFOUND) {
			domains_free(&d);
			return -1;
		}
	}
	*d_out = d;
	return 0;
}

void domains_free(struct domains **dp)
{
	struct domains *d = *dp;

	if (d == NULL)
		return;
	hmap_free(&d->names);
	free(d->entries);
	arena_free(&d->arena);
	free(d);
	*dp = NULL;
}

const char *domains_find(const struct domains *d, struct slice name)
{
	char key[LIMIT_DOMAIN];

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > sizeof(key))
		return NULL;
	for (size_t i = 0; i < name.n; i++)
		key[i] = ascii_lower(name.p[i]);
	return hmap_get(d->names, slice_mem(key, name.n));
}

const char *domains_find_parents(const struct domains *d, struct slice name)
{
	const char *where = NULL;

	while (where == NULL && name.n > 0) {
		ptrdiff_t dot;

		where = domains_find(d, name);
		dot = slice_chr(name, '.');
		name = dot < 0 ? SLICE_NONE : slice_from(name, (size_t)dot + 1);
	}
	return where;
}

const char *domains_find_addr(const struct domains *d, const struct net_addr *addr)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->entries[i].is_net && net_prefix_has(&d->entries[i].prefix, addr))
			return d->entries[i].where;
	return NULL;
}

bool domains_has_names(const struct domains *d)
{
	return d->has_names;
}

bool domains_next(const struct domains *d, size_t *at, struct slice *name_out, const struct net_prefix **prefix_out, const char **where_out)
{
	const struct entry *en;

	if (*at >= d->n)
		return false;
	en = &d->entries[(*at)++];
	*name_out = en->name;
	*prefix_out = en->is_net ? &en->prefix : NULL;
	*where_out = en->where;
	return true;
}
