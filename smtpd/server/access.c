/*
 * server/access.c - the access map: opened, kept fresh, and its networks collected.
 */
#include "server/access_in.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

static void split_tag(struct slice key, struct slice *tag_out, struct slice *rest_out)
{
	static const char *const tags[] = { "connect:", "from:", "to:" };

	*tag_out = SLICE("");
	*rest_out = key;
	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++)
		if (slice_istarts(key, slice_of(tags[i]))) {
			*tag_out = slice_head(slice_of(tags[i]), strlen(tags[i]) - 1);
			*rest_out = slice_trim(slice_from(key, strlen(tags[i])));
			return;
		}
}

struct each {
	int (*fn)(void *ctx, const struct access_entry *en, struct err *e);
	void *ctx;
	struct arena *ar;
	struct err *e;
};

static int each_line(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct each *each = ctx;
	struct access_entry en = { .line = line };

	arena_reset(each->ar);
	split_tag(key, &en.tag, &en.key);
	access_read_value(value, each->ar, &en.hit);
	return each->fn(each->ctx, &en, e);
}

int access_each(const char *path, int (*fn)(void *ctx, const struct access_entry *en, struct err *e), void *ctx, struct err *e)
{
	struct each each = { fn, ctx, arena_new(0), e };
	int r = map_text_each(path, MAP_TEXT_TABLE, each_line, &each, e);

	arena_free(&each.ar);
	if (r != 0 && e->kind == ERR_NOTFOUND)
		return 0;
	return r;
}

static int each_in_use(void *ctx, struct slice key, struct slice value)
{
	struct each *each = ctx;

	return each_line(ctx, 0, key, value, each->e);
}

int access_walk(struct access *a, int (*fn)(void *ctx, const struct access_entry *en, struct err *e), void *ctx, struct err *e)
{
	struct each each = { fn, ctx, arena_new(0), e };
	struct stat st;
	int r;

	if (stat(a->path, &st) == 0 && !map_is_stale(a->map))
		r = map_text_each(a->path, MAP_TEXT_TABLE, each_line, &each, e);
	else
		r = map_each(a->map, each_in_use, &each, e);
	arena_free(&each.ar);
	return r;
}

unsigned access_generation(const struct access *a)
{
	return a->seen;
}

/* From the map itself and not from its text: where the newest text is broken, the content that answers is an older one. */
static int collect(void *ctx, struct slice key, struct slice value)
{
	struct access *a = ctx;
	struct net_prefix p;
	struct slice tag, net;

	a->n_entries++;
	split_tag(key, &tag, &net);
	if (tag.n > 0 && !slice_eqs(tag, "connect"))
		return 0;
	if (slice_istarts(net, SLICE("ipv6:")))
		net = slice_from(net, 5);
	if (slice_chr(net, '/') < 0 || net_prefix_parse(net, &p) != 0) {
		bool address = net.n > 0 && (ascii_is_digit(net.p[net.n - 1]) || slice_chr(net, ':') >= 0);

		a->has_names = a->has_names || (slice_ieqs(slice_trim(value), "RELAY") && !address && slice_chr(net, '@') < 0);
		return 0;
	}
	a->nets = mem_grow(a->nets, (a->n_nets + 1) * sizeof(*a->nets));
	a->nets[a->n_nets] = (struct access_net){ p, tag.n > 0, mem_new(key.n + 1) };
	memcpy(a->nets[a->n_nets++].key, key.p, key.n);
	return 0;
}

/* Longest first; of two alike the tagged one. */
static int cmp_net(const void *pa, const void *pb)
{
	const struct access_net *a = pa, *b = pb;

	if (a->prefix.bits != b->prefix.bits)
		return a->prefix.bits > b->prefix.bits ? -1 : 1;
	return (int)b->tagged - (int)a->tagged;
}

static void drop_nets(struct access *a)
{
	for (size_t i = 0; i < a->n_nets; i++)
		free(a->nets[i].key);
	free(a->nets);
	a->nets = NULL;
	a->n_nets = a->n_entries = 0;
	a->has_names = false;
}

static int read_networks(struct access *a, struct err *e)
{
	drop_nets(a);
	if (map_each(a->map, collect, a, e) != 0)
		return -1;
	if (a->n_nets > 1)
		qsort(a->nets, a->n_nets, sizeof(*a->nets), cmp_net);
	a->is_empty = a->n_entries == 0;
	a->seen = map_generation(a->map);
	return 0;
}

int access_refresh(struct access *a, struct err *e)
{
	if (map_refresh(a->map, e) != 0)
		return -1;
	return map_generation(a->map) != a->seen ? read_networks(a, e) : 0;
}

int access_open(struct access **a_out, const char *path, struct err *e)
{
	struct access *a = mem_new(sizeof(*a));

	a->path = mem_str(path);
	if (map_open(&a->map, path, e) != 0 || read_networks(a, e) != 0) {
		access_close(&a);
		return -1;
	}
	*a_out = a;
	return 0;
}

void access_close(struct access **ap)
{
	struct access *a = *ap;

	if (a == NULL)
		return;
	map_close(&a->map);
	drop_nets(a);
	free(a->path);
	free(a);
	*ap = NULL;
}

bool access_has_names(const struct access *a)
{
	return a->has_names;
}

const char *access_warning(const struct access *a)
{
	return map_warning(a->map);
}
