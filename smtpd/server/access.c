/*
 * server/access.c - searches of the access map.
 */
#include "server/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"
#include "map/map.h"

#define KEY_MAX (LIMIT_PATH + 32)
#define DETAIL '+'

struct cidr {
	struct net_prefix prefix;
	bool tagged;                                                  /* Connect:, not untagged */
	char *key;                                                    /* as written */
};

struct access {
	struct map *map;
	char *path;
	unsigned seen;                                                /* the map's generation when the networks were collected */
	struct cidr *cidrs;                                           /* longest prefix first */
	size_t n_cidrs;
	bool has_names, is_empty;                                     /* is_empty: no entries, which costs no search */
	size_t n_entries;
};

/* ---- values ---- */

static void set_hit(struct access_hit *hit, enum access_verb verb, enum code why, const char *status, struct slice text)
{
	hit->verb = verb;
	hit->why = why;
	hit->status = status;
	hit->text = text;
}

static bool is_code(struct slice s)
{
	return s.n == 3 && (s.p[0] == '4' || s.p[0] == '5') && ascii_is_digit(s.p[1]) && ascii_is_digit(s.p[2]);
}

/* RFC 3463: class.subject.detail */
static bool is_dsn(struct slice s)
{
	struct slice part;
	size_t parts = 0;
	uint64_t n;

	while (slice_next(&s, '.', &part)) {
		if (num_u64(part, 999, &n) != 0)
			return false;
		parts++;
	}
	return parts == 3;
}

/* sendmail says "450 5.0.0" where one writes ERROR:450; we keep the class of both codes the same (smtp.md 2.1). */
static const char *join_codes(struct slice code, struct slice dsn, struct arena *ar)
{
	if (!is_dsn(dsn) || dsn.p[0] != code.p[0])
		return arena_printf(ar, "%.*s %c.%s", SLICE_FMT(code), code.p[0], is_dsn(dsn) ? arena_str(ar, slice_from(dsn, 2)) : "0.0");
	return arena_printf(ar, "%.*s %.*s", SLICE_FMT(code), SLICE_FMT(dsn));
}

/* "nnn text" or "nnn d.s.n text"; dsn where it was given before. */
static bool read_reply(struct slice s, struct slice dsn, struct arena *ar, struct access_hit *hit)
{
	struct slice code, word, after;

	if (!slice_word(&s, &code) || !is_code(code))
		return false;
	after = s;
	if (slice_word(&after, &word) && is_dsn(word)) {
		dsn = word;
		s = after;
	}
	s = slice_trim(s);
	set_hit(hit, code.p[0] == '4' ? ACCESS_DEFER : ACCESS_REJECT, CODE_ACCESS_WORDS, join_codes(code, dsn, ar), s.n > 0 ? arena_dup(ar, s) : SLICE("Access denied"));
	return true;
}

/* ERROR:D.S.N:nnn text, ERROR:nnn text, ERROR:"nnn text" */
static bool read_error(struct slice s, struct arena *ar, struct access_hit *hit)
{
	ptrdiff_t colon = slice_chr(s, ':');
	struct slice dsn = SLICE_NONE;

	if (colon > 0 && is_dsn(slice_head(s, (size_t)colon))) {
		dsn = slice_head(s, (size_t)colon);
		s = slice_from(s, (size_t)colon + 1);
	}
	s = slice_trim(s);
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		s = slice_mem(s.p + 1, s.n - 2);
	return read_reply(s, dsn, ar, hit);
}

static bool is_all_digits(struct slice s)
{
	uint64_t n;

	return s.n > 3 && num_u64(s, UINT64_MAX, &n) == 0;            /* a DRAC table read as an access map: Postfix takes it as OK */
}

void access_read_value(struct slice value, struct arena *ar, struct access_hit *hit_out)
{
	static const struct { const char *word; enum access_verb verb; enum code why; const char *text; } words[] = {
		{ "OK", ACCESS_OK, CODE_NONE, "" }, { "RELAY", ACCESS_RELAY, CODE_NONE, "" }, { "REJECT", ACCESS_REJECT, CODE_ACCESS_DENIED, "Access denied" },
		{ "DISCARD", ACCESS_DISCARD, CODE_NONE, "" }, { "SKIP", ACCESS_SKIP, CODE_NONE, "" }, { "DUNNO", ACCESS_SKIP, CODE_NONE, "" },
		{ "HOLD", ACCESS_HOLD, CODE_NONE, "" }, { "QUARANTINE", ACCESS_HOLD, CODE_NONE, "" },
		{ "DEFER", ACCESS_DEFER, CODE_ACCESS_DEFER, "Access denied for now, try again" },
	};
	struct slice v = slice_trim(value), word = v;
	ptrdiff_t colon = slice_chr(v, ':');

	if (colon > 0 && slice_ieqs(slice_head(v, (size_t)colon), "ERROR")) {
		if (read_error(slice_from(v, (size_t)colon + 1), ar, hit_out))
			return;
	} else if (read_reply(v, SLICE_NONE, ar, hit_out)) {
		return;
	}
	if (colon > 0 && (slice_istarts(v, SLICE("QUARANTINE:")) || slice_istarts(v, SLICE("DISCARD:"))))
		word = slice_head(v, (size_t)colon);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_ieqs(word, words[i].word)) {
			set_hit(hit_out, words[i].verb, words[i].why, words[i].why == CODE_NONE ? "" : code_row(words[i].why)->status, slice_of(words[i].text));
			return;
		}
	if (is_all_digits(v)) {
		set_hit(hit_out, ACCESS_OK, CODE_NONE, "", SLICE_NONE);
		return;
	}
	set_hit(hit_out, ACCESS_BROKEN, CODE_ACCESS_BROKEN, code_row(CODE_ACCESS_BROKEN)->status, SLICE("The access map has a value here that nobody understands; the postmaster has been told"));
}

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
	for (size_t i = 0; i < s->a->n_cidrs; i++) {
		const struct cidr *c = &s->a->cidrs[i];
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

/* ---- loading ---- */

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
	struct each each = { fn, ctx, arena_new(0) };
	int r = map_text_each(path, MAP_TEXT_TABLE, each_line, &each, e);

	arena_free(&each.ar);
	if (r != 0 && e->kind == ERR_NOTFOUND)
		return 0;
	return r;
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
	a->cidrs = mem_grow(a->cidrs, (a->n_cidrs + 1) * sizeof(*a->cidrs));
	a->cidrs[a->n_cidrs] = (struct cidr){ p, tag.n > 0, mem_new(key.n + 1) };
	memcpy(a->cidrs[a->n_cidrs++].key, key.p, key.n);
	return 0;
}

/* Longest first; of two alike the tagged one. */
static int cmp_cidr(const void *pa, const void *pb)
{
	const struct cidr *a = pa, *b = pb;

	if (a->prefix.bits != b->prefix.bits)
		return a->prefix.bits > b->prefix.bits ? -1 : 1;
	return (int)b->tagged - (int)a->tagged;
}

static void drop_cidrs(struct access *a)
{
	for (size_t i = 0; i < a->n_cidrs; i++)
		free(a->cidrs[i].key);
	free(a->cidrs);
	a->cidrs = NULL;
	a->n_cidrs = a->n_entries = 0;
	a->has_names = false;
}

static int read_networks(struct access *a, struct err *e)
{
	drop_cidrs(a);
	if (map_each(a->map, collect, a, e) != 0)
		return -1;
	if (a->n_cidrs > 1)
		qsort(a->cidrs, a->n_cidrs, sizeof(*a->cidrs), cmp_cidr);
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
	drop_cidrs(a);
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
