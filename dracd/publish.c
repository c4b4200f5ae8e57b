/*
 * dracd/publish.c - see the header.
 */
#include "dracd/publish.h"

#include <arpa/inet.h>

#include "conf/conf.h"
#include "map/map.h"

#define PAGE_SIZE_512 512u                                                /* the original's */

int publish_keys_parse(const char *words, unsigned *keys_out, struct err *e)
{
	static const struct { const char *word; unsigned kind; } kinds[] = {
		{ "plain", PUBLISH_PLAIN }, { "sendmail", PUBLISH_SENDMAIL | PUBLISH_SENDMAIL_FOLDED }, { "exim", PUBLISH_EXIM }, { "exim-net", PUBLISH_EXIM_NET },
	};
	struct slice rest = slice_of(words), w;
	unsigned keys = 0;

	while (conf_word(&rest, &w)) {
		unsigned kind = 0;
		for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
			if (slice_eqs(w, kinds[i].word))
				kind = kinds[i].kind;
		if (kind == 0)
			return err_set(e, ERR_SYNTAX, 0, "drac_ipv6_keys: '%.*s' is none of plain, sendmail, exim, exim-net", SLICE_FMT(slice_head(w, 40)));
		keys |= kind;
	}
	*keys_out = keys ? keys : PUBLISH_PLAIN;
	return 0;
}

static void groups(const struct net_addr *a, const char *format, char between, struct buf *out)
{
	for (size_t i = 0; i < 16; i += 2) {
		if (i != 0)
			buf_putc(out, between);
		unsigned group = (unsigned)a->octets[i] << 8 | a->octets[i + 1];
		if (format[0] == '4')
			buf_putf(out, "%04x", group);
		else
			buf_putf(out, "%x", group);
	}
}

void publish_key(const struct net_addr *a, enum publish_keys kind, struct buf *out)
{
	char text[NET_TEXT_MAX];

	if (a->len == 4 || kind == PUBLISH_PLAIN)
		buf_puts(out, net_addr_text(a, text));
	else if (kind == PUBLISH_SENDMAIL || kind == PUBLISH_SENDMAIL_FOLDED) {
		buf_puts(out, kind == PUBLISH_SENDMAIL ? "IPv6:" : "ipv6:");
		groups(a, "", ':', out);
	} else
		groups(a, "4", kind == PUBLISH_EXIM ? ':' : '.', out);
}

struct writing {
	struct map_build *build;
	unsigned keys;
	struct buf key, value;
	struct err *e;
	int rc;
};

static void put(struct writing *w, const struct net_addr *addr, enum publish_keys kind)
{
	buf_reset(&w->key);
	publish_key(addr, kind, &w->key);
	if (w->rc == 0)
		w->rc = map_build_put(w->build, buf_view(&w->key), buf_view(&w->value), w->e);
}

static void put_entry(void *ctx, const struct net_addr *addr, int64_t expires_at)
{
	struct writing *w = ctx;

	buf_reset(&w->value);
	buf_putf(&w->value, "%lld", (long long)expires_at);
	if (addr->len == 4) {
		put(w, addr, PUBLISH_PLAIN);
		return;
	}
	for (unsigned kind = PUBLISH_PLAIN; kind <= PUBLISH_EXIM_NET; kind *= 2)
		if (w->keys & kind)
			put(w, addr, (enum publish_keys)kind);
}

int publish_write(struct table *t, const char *path, unsigned keys, struct err *e)
{
	struct writing w = { .keys = keys, .e = e };

	if (map_build_new(&w.build, path, MAP_DB_BTREE, PAGE_SIZE_512, 0644, e) != 0)
		return -1;
	buf_init(&w.key, 128);
	buf_init(&w.value, 32);
	table_each(t, put_entry, &w);
	buf_done(&w.key);
	buf_done(&w.value);
	if (w.rc == 0)
		return map_build_commit(&w.build, e);
	map_build_drop(&w.build);
	return -1;
}
