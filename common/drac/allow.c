/*
 * drac/allow.c - see the header.
 */
#include "drac/allow.h"

#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "conf/conf.h"

#define ALLOW_FILE_MAX (1u << 20)

struct rule {
	uint8_t addr[16], mask[16];                                   /* any mask, as the old file allows */
	uint8_t len;
	unsigned line;                                                /* 0: of a setting */
};

struct allow {
	struct rule *rules;
	size_t n, room;
};

static void add(struct allow *a, const struct rule *r)
{
	if (a->n == a->room) {
		a->room = a->room ? a->room * 2 : 16;
		a->rules = mem_grow(a->rules, a->room * sizeof(*a->rules));
	}
	a->rules[a->n++] = *r;
}

static void add_addr(struct allow *a, const struct net_addr *addr, unsigned bits, unsigned line)
{
	struct rule r = { .len = addr->len, .line = line };

	memcpy(r.addr, addr->octets, 16);
	for (unsigned i = 0; i < bits; i++)
		r.mask[i / 8] = (uint8_t)(r.mask[i / 8] | 0x80u >> i % 8);
	add(a, &r);
}

static int add_old(struct allow *a, const char *path, unsigned line, struct slice mask_text, struct slice addr_text, struct err *e)
{
	struct net_addr mask, addr;
	struct rule r = { .len = 4, .line = line };

	if (net_addr_parse(mask_text, &mask) != 0 || mask.len != 4)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: '%.*s' is not a netmask such as 255.255.255.0", path, line, SLICE_FMT(slice_head(mask_text, 60)));
	if (net_addr_parse(addr_text, &addr) != 0 || addr.len != 4)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: '%.*s' is not an IPv4 address", path, line, SLICE_FMT(slice_head(addr_text, 60)));
	for (size_t i = 0; i < 4; i++)
		if (addr.octets[i] & ~mask.octets[i])
			return err_set(e, ERR_SYNTAX, 0, "%s:%u: this can never match: %.*s has bits outside the mask %.*s (the mask comes first)", path, line,
			    SLICE_FMT(slice_head(addr_text, 60)), SLICE_FMT(slice_head(mask_text, 60)));
	memcpy(r.addr, addr.octets, 4);
	memcpy(r.mask, mask.octets, 4);
	add(a, &r);
	return 0;
}

static int add_new(struct allow *a, const char *path, unsigned line, struct slice text, struct err *e)
{
	struct net_prefix p;

	if (net_prefix_parse(text, &p) != 0)
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: '%.*s' is not an address or a network in the form ADDRESS/BITS (with no bits set behind the prefix)", path, line,
		    SLICE_FMT(slice_head(text, 60)));
	add_addr(a, &p.addr, p.bits, line);
	return 0;
}

static int parse_line(struct allow *a, const char *path, unsigned line, struct slice text, struct err *e)
{
	struct slice first, second, more;

	if (text.n != 0 && text.p[0] == '#')
		return 0;
	if (!slice_word(&text, &first))
		return 0;
	if (!slice_word(&text, &second))
		return add_new(a, path, line, first, e);
	if (slice_word(&text, &more))
		return err_set(e, ERR_SYNTAX, 0, "%s:%u: text follows the address: '%.*s'", path, line, SLICE_FMT(slice_head(more, 60)));
	return add_old(a, path, line, first, second, e);
}

static int parse_lines(struct allow *a, const char *path, struct slice text, struct err *e)
{
	struct slice line;
	unsigned n = 0;

	while (slice_next(&text, '\n', &line)) {
		n++;
		if (line.n != 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (parse_line(a, path, n, line, e) != 0)
			return -1;
	}
	return 0;
}

int allow_parse(struct allow **a_out, const char *path, struct slice text, struct err *e)
{
	struct allow *a = mem_new(sizeof(*a));

	if (parse_lines(a, path, text, e) != 0) {
		allow_free(&a);
		return -1;
	}
	*a_out = a;
	return 0;
}

static void add_own(struct allow *a)
{
	struct ifaddrs *all = NULL;
	struct net_addr addr;

	if (net_addr_parse(SLICE("127.0.0.1"), &addr) == 0)
		add_addr(a, &addr, 32, 0);
	if (net_addr_parse(SLICE("::1"), &addr) == 0)
		add_addr(a, &addr, 128, 0);
	if (getifaddrs(&all) != 0)
		return;
	for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		if (i->ifa_addr == NULL || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		net_addr_from_sockaddr(i->ifa_addr, &addr);
		add_addr(a, &addr, addr.len * 8u, 0);
	}
	freeifaddrs(all);
}

/* 0: its lines are added; 1: there is no such file. */
static int add_file(struct allow *a, const char *path, struct err *e)
{
	struct buf text;
	struct err why = ERR_INIT;
	int rc;

	buf_init(&text, ALLOW_FILE_MAX);
	if (file_read(path, &text, &why) == 0)
		rc = parse_lines(a, path, buf_view(&text), e);
	else
		rc = why.kind == ERR_NOTFOUND ? 1 : err_set(e, why.kind, 0, "%s", why.text);
	buf_done(&text);
	return rc;
}

int allow_add_file(struct allow *a, const char *path, struct err *e)
{
	return add_file(a, path, e) < 0 ? -1 : 0;
}

int allow_load(struct allow **a_out, const char *path, struct err *e)
{
	struct allow *a = mem_new(sizeof(*a));
	int rc = add_file(a, path, e);

	if (rc < 0) {
		allow_free(&a);
		return -1;
	}
	if (rc == 1)
		add_own(a);
	*a_out = a;
	return 0;
}

int allow_add_list(struct allow *a, const char *setting, const char *value, struct err *e)
{
	struct slice rest = slice_of(value), word;
	struct net_prefix p;

	while (conf_word(&rest, &word)) {
		if (net_prefix_parse(word, &p) != 0)
			return err_set(e, ERR_SYNTAX, 0, "%s: '%.*s' is not an address or a network", setting, SLICE_FMT(slice_head(word, 60)));
		add_addr(a, &p.addr, p.bits, 0);
	}
	return 0;
}

int allow_from_list(struct allow **a_out, const char *setting, const char *value, struct err *e)
{
	struct allow *a = mem_new(sizeof(*a));

	if (allow_add_list(a, setting, value, e) != 0) {
		allow_free(&a);
		return -1;
	}
	*a_out = a;
	return 0;
}

void allow_free(struct allow **a)
{
	if (a == NULL || *a == NULL)
		return;
	free((*a)->rules);
	free(*a);
	*a = NULL;
}

static bool matches(const struct rule *r, const struct net_addr *c)
{
	if (r->len != c->len)
		return false;
	for (size_t i = 0; i < r->len; i++)
		if ((c->octets[i] & r->mask[i]) != r->addr[i])
			return false;
	return true;
}

bool allow_has(const struct allow *a, const struct net_addr *caller)
{
	for (size_t i = 0; i < a->n; i++)
		if (matches(&a->rules[i], caller))
			return true;
	return false;
}

size_t allow_count(const struct allow *a)
{
	return a->n;
}

/*
 * Strangers
 */

/* What both let in; false: nothing. A mask with holes counts as what its first bits say, so "any network's .7" is the world. */
static bool meet(const struct rule *a, const struct rule *b, struct net_prefix *out)
{
	struct net_prefix p = { .addr = { .len = a->len } };
	bool counting = true;

	if (a->len != b->len)
		return false;
	for (unsigned i = 0; i < a->len; i++) {
		if ((a->addr[i] ^ b->addr[i]) & a->mask[i] & b->mask[i])
			return false;
		p.addr.octets[i] = a->addr[i] | b->addr[i];
		for (unsigned bit = 0x80; counting && bit != 0; bit >>= 1) {
			counting = ((a->mask[i] | b->mask[i]) & bit) != 0;
			p.bits = (uint8_t)(p.bits + counting);
		}
	}
	*out = p;
	return true;
}

/* In networks as wide as one may be, of 2^20 parts each. */
static uint64_t share(const struct net_prefix *p)
{
	unsigned widest = p->addr.len == 4 ? NET_WIDEST_V4 : NET_WIDEST_V6;

	if (net_prefix_is_private(p) || p->bits > widest + 20)
		return 0;
	return UINT64_C(1) << (widest + 20 - p->bits);
}

bool allow_lets_strangers_in(const struct allow *a, const struct allow *also, unsigned *line_out)
{
	uint64_t sum = 0;
	struct net_prefix p;

	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < (also != NULL ? also->n : 1); k++) {
			if (!meet(&a->rules[i], also != NULL ? &also->rules[k] : &a->rules[i], &p))
				continue;
			sum += share(&p);
			if (net_prefix_is_world(&p) || sum > UINT64_C(3) << 20) {
				*line_out = a->rules[i].line;
				return true;
			}
		}
	return false;
}
