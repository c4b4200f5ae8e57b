/*
 * admin/drac_print.c - entries of dracd and its counters, as lines or as JSON.
 */
#include "admin/drac_print.h"

#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "conf/conf.h"

enum { PEERS = 10 };                                                  /* places in drac_peers, from 1 */

/*
 * Entries
 */

static void put_member(struct buf *b, const char *name, struct slice s)
{
	buf_putf(b, "\"%s\":", name);
	text_json(s, b);
}

static void entry_json(const struct drac_entry *e, struct buf *b)
{
	char addr[NET_TEXT_MAX];

	buf_putf(b, "{\"address\":\"%s\",\"first\":%llu,\"expires\":%llu,\"used\":%u,\"vouchers\":[", net_addr_text(&e->addr, addr), (unsigned long long)e->first,
	    (unsigned long long)e->expires, e->used);
	for (size_t i = 0; i < e->n; i++) {
		const struct drac_voucher *v = &e->vouchers[i];
		buf_puts(b, i ? ",{" : "{");
		put_member(b, "user", v->who.user);
		buf_putc(b, ',');
		put_member(b, "service", v->who.service);
		buf_putc(b, ',');
		put_member(b, "host", v->who.host);
		buf_putc(b, ',');
		put_member(b, "session", v->who.session);
		buf_putf(b, ",\"tls\":%s,\"trusted\":%s,\"replicated\":%s,\"at\":%llu,\"expires\":%llu}", v->who.flags & DRAC_WHO_TLS ? "true" : "false",
		    v->who.flags & DRAC_WHO_TRUSTED ? "true" : "false", v->who.flags & DRAC_WHO_REPLICATED ? "true" : "false", (unsigned long long)v->at, (unsigned long long)v->expires);
	}
	buf_puts(b, "]}");
}

static void put_left(struct buf *b, uint64_t expires)
{
	int64_t left = (int64_t)expires - clock_wall_s();

	num_put_secs(b, left > 0 ? (uint64_t)left : 0);
}

static void entry_text(const struct drac_entry *e, struct buf *b)
{
	char addr[NET_TEXT_MAX];

	buf_putf(b, "%s  ends in ", net_addr_text(&e->addr, addr));
	put_left(b, e->expires);
	buf_putf(b, ", used %u times\n", e->used);
	for (size_t i = 0; i < e->n; i++) {
		const struct drac_voucher *v = &e->vouchers[i];
		buf_puts(b, "    ");
		if (v->who.user.n != 0)
			text_escape(v->who.user, b);
		else
			buf_puts(b, v->who.flags & DRAC_WHO_TRUSTED ? "(no user named; the caller is trusted)" : "(no user named)");
		buf_puts(b, " by ");
		text_escape(v->who.service, b);
		buf_puts(b, " at ");
		text_escape(v->who.host, b);
		buf_puts(b, v->who.flags & DRAC_WHO_REPLICATED ? " (told by that host)" : "");
		buf_puts(b, ", ends in ");
		put_left(b, v->expires);
		buf_putc(b, '\n');
	}
}

void drac_print_entry(const struct drac_entry *e, bool json, struct buf *out)
{
	if (json)
		entry_json(e, out);
	else
		entry_text(e, out);
}

/*
 * Counters
 */

/* "peer2_lag_s" to 2 and "lag_s". The number is a place in drac_peers; 0: no number of a peer. */
static unsigned peer_number(struct slice name, struct slice *what_out)
{
	if (!slice_starts(name, SLICE("peer")) || name.n < 7 || name.p[4] < '1' || name.p[4] > '9' || name.p[5] != '_')
		return 0;
	*what_out = slice_from(name, 6);
	return (unsigned)(name.p[4] - '0');
}

struct peer_stats {
	bool is_there;
	uint64_t state, lag_s, events;
	int64_t clock_s;
};

static void peer_stat(struct peer_stats *p, struct slice what, uint64_t v)
{
	p->is_there = true;
	if (slice_eqs(what, "state"))
		p->state = v;
	else if (slice_eqs(what, "lag_s"))
		p->lag_s = v;
	else if (slice_eqs(what, "events"))
		p->events = v;
	else if (slice_eqs(what, "clock_s"))
		p->clock_s = (int64_t)v;
}

static void put_peer(struct buf *b, bool json, unsigned number, struct slice word, const struct peer_stats *p)
{
	static const char *const states[] = { "away", "connecting", "reading its table", "up", "self" };
	const char *state = p->state < sizeof(states) / sizeof(states[0]) ? states[p->state] : "unknown";
	unsigned long long lag = (unsigned long long)p->lag_s, events = (unsigned long long)p->events;

	if (json)
		buf_putf(b, "%s{\"number\":%u,\"peer\":\"%.*s\",\"state\":\"%s\",\"lag\":%llu,\"events\":%llu,\"clock\":%lld}", b->len ? "," : "", number, SLICE_FMT(word), state,
		    lag, events, (long long)p->clock_s);
	else if (p->state == 4)
		buf_putf(b, "peer %.*s  this host itself\n", SLICE_FMT(word));
	else
		buf_putf(b, "peer %.*s  %s, %llu s behind, took over %llu, its clock %+lld s\n", SLICE_FMT(word), state, lag, events, (long long)p->clock_s);
}

static void put_peers(const struct peer_stats peers[PEERS], const char *names, bool json, struct buf *b)
{
	struct slice rest = slice_of(names), word;

	for (unsigned i = 1; i < PEERS; i++) {
		if (!conf_word(&rest, &word))
			word = SLICE("?");                                /* dracd runs with older settings */
		if (peers[i].is_there)
			put_peer(b, json, i, word, &peers[i]);
	}
}

int drac_print_stats(struct slice result, const char *peers, bool json, struct buf *out)
{
	struct peer_stats behind[PEERS] = { { .is_there = false } };
	struct xdr x = { result, false };
	struct buf of_peers;

	buf_puts(out, json ? "{" : "");
	for (uint32_t i = 0, n = xdr_get_u32(&x); i < n && !x.broken; i++) {
		struct slice name = xdr_get_opaque(&x, 32), what;
		uint64_t v = xdr_get_u64(&x);
		unsigned number = peer_number(name, &what);

		if (number != 0)
			peer_stat(&behind[number], what, v);
		else
			buf_putf(out, json ? "\"%.*s\":%llu," : "%.*s %llu\n", SLICE_FMT(name), (unsigned long long)v);
	}
	buf_init(&of_peers, BUF_UNBOUNDED);
	put_peers(behind, peers, json, &of_peers);
	buf_putf(out, json ? "\"peers\":[%s]}\n" : "%s", buf_str(&of_peers));
	buf_done(&of_peers);
	return xdr_done(&x) ? 0 : -1;
}
