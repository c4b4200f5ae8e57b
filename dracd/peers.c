/*
 * dracd/peers.c - see the header. With each peer the talk goes
 *
 *   away -> STATS (its clock) -> PULL -> ... held back, news, PULL ...
 *                                  \-> LIST, page by page, when our position is not in its events any more -> PULL
 *
 * Times of a peer are by its clock; what we take over is by ours, the difference measured at each connection (it holds for expiries and logins alike).
 */
#include "dracd/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "dracd/doors.h"
#include "dracd/peer_link.h"

enum {
	CALL_MS = 10000,
	PULL_WAIT_MS = 10000,                                         /* how long a peer may hold a PULL back: a dead line is noticed that soon */
	PAUSE_MIN_MS = 1000, PAUSE_MAX_MS = 60000,
	PAGES_A_SECOND = 200,                                         /* more of a peer wait, our own callers come first */
	QUICK_MS = 100,                                               /* an empty PULL that comes back sooner was not held back */
	CLOCK_SLACK_S = 2, CLOCK_TELL_S = 5
};

enum talk { TALK_NONE, TALK_CLOCK, TALK_PULL, TALK_LIST };
enum told { TOLD_NOTHING, TOLD_UP, TOLD_DOWN };

struct peer {
	struct peers *all;
	struct peer_host host;
	struct peer_link *link;
	struct core_peer *stat;
	uint32_t origin;                                              /* core_origin() */
	enum talk talk;
	enum told told;
	struct loop_timer timer;                                      /* the next attempt, or the next call of one that is too quick */
	int64_t pause_ms, asked_at;
	uint64_t epoch, after;                                        /* of what we have */
	int64_t clock_s, told_clock_s;                                /* its clock minus ours */
	char cursor[DRAC_CURSOR_MAX];
	size_t cursor_n;
	uint64_t listed, taken;                                       /* entries of this LIST; grants and ends since the line in the log */
	struct hmap *missing;                                         /* during a LIST: what we have of it and it did not name yet */
	int64_t second;
	unsigned pages;                                               /* in that second */
};

struct peers {
	struct loop *loop;
	struct core *core;
	struct peers_hooks hooks;
	struct tls_ctx *tls;
	struct dns *dns;
	size_t n;
	struct peer peer[PEERS_MAX];
};

static void ask_pull(struct peer *p, uint32_t wait_ms);

/*
 * What we had of a peer: keys are address and user
 */

struct key { char octets[1 + 16 + DRAC_USER_MAX]; };

static struct slice key_of(struct key *k, const struct net_addr *addr, struct slice user)
{
	user = slice_head(user, DRAC_USER_MAX);
	k->octets[0] = (char)addr->len;
	memcpy(k->octets + 1, addr->octets, addr->len);
	memcpy(k->octets + 1 + addr->len, user.p, user.n);
	return slice_mem(k->octets, 1u + addr->len + user.n);
}

/* Versions 1 and 2 name no user, and nobody's end is everybody's: those wait for their time. */
static void have_one(void *ctx, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at)
{
	struct peer *p = ctx;
	struct key k;

	(void)login_at, (void)expires_at;
	if (who->user.n != 0 && core_origin_of(who->flags) == p->origin)
		hmap_put(p->missing, key_of(&k, addr, who->user), p);
}

static void named(struct peer *p, const struct net_addr *addr, struct slice user)
{
	struct key k;

	if (user.n != 0)
		hmap_del(p->missing, key_of(&k, addr, user));
}

/* An entry names eight users at most; of a full one nobody is missed. */
static void named_all(struct peer *p, const struct net_addr *addr)
{
	struct drac_entry e;

	if (table_query(core_table(p->all->core), addr, doors_now(p->all->loop), &e) != DRAC3_OK)
		return;
	for (size_t i = 0; i < e.n; i++)
		named(p, addr, e.vouchers[i].who.user);
}

static unsigned drop_missing(struct peer *p)
{
	struct slice key;
	void *value;
	size_t at = 0;
	unsigned n = 0;

	while (hmap_next(p->missing, &at, &key, &value)) {
		struct net_addr a = { .len = (uint8_t)key.p[0] };

		memcpy(a.octets, key.p + 1, a.len);
		n += core_drop(p->all->core, &a, slice_from(key, 1u + a.len));
	}
	hmap_free(&p->missing);
	return n;
}

/*
 * Taking over
 */

static uint64_t by_our_clock(const struct peer *p, uint64_t t)
{
	int64_t ours = (int64_t)t - p->clock_s;

	return t == 0 ? 0 : ours > 0 ? (uint64_t)ours : 1;
}

static void on_event(void *ctx, const struct drac_event *theirs)
{
	struct peer *p = ctx;
	struct drac_event e = *theirs;

	e.expires = by_our_clock(p, e.expires);
	e.login = by_our_clock(p, e.login);
	core_replicate(p->all->core, &e, p->origin, doors_now(p->all->loop));
	p->taken++;
	p->stat->events++;
}

/* What it has from others they tell us themselves. */
static void on_entry(void *ctx, const struct drac_entry *en)
{
	struct peer *p = ctx;

	if (en->n == DRAC_VOUCHERS)
		named_all(p, &en->addr);
	for (size_t i = 0; i < en->n; i++) {
		const struct drac_voucher *v = &en->vouchers[i];
		const struct drac_event e = { .kind = DRAC_EV_GRANT, .addr = en->addr, .who = v->who, .expires = v->expires, .login = v->at };

		if (v->who.flags & DRAC_WHO_REPLICATED)
			continue;
		named(p, &en->addr, v->who.user);
		on_event(p, &e);
	}
}

/*
 * Up and down
 */

static void on_retry(void *ctx)
{
	struct peer *p = ctx;

	p->stat->state = CORE_PEER_CONNECTING;
	peer_link_open(p->link);
}

static int64_t with_jitter(int64_t ms)
{
	uint16_t r;

	text_random(&r, sizeof(r));
	return ms * 3 / 4 + ms / 2 * r / 65536;
}

static void on_down(void *ctx, const char *why)
{
	struct peer *p = ctx;
	bool was_up = p->told == TOLD_UP;

	p->talk = TALK_NONE;
	hmap_free(&p->missing);
	p->stat->state = CORE_PEER_AWAY;
	if (p->told != TOLD_DOWN)
		log_warn("drac: peer %.*s %s: %s; its grants of before hold until they expire, and it is tried again", SLICE_FMT(p->host.word),
		    was_up ? "is away" : "can't be reached", why);
	p->told = TOLD_DOWN;
	loop_timer_start(p->all->loop, &p->timer, with_jitter(p->pause_ms), on_retry, p);
	p->pause_ms = p->pause_ms * 2 < PAUSE_MAX_MS ? p->pause_ms * 2 : PAUSE_MAX_MS;
}

static void is_up(struct peer *p)
{
	p->pause_ms = PAUSE_MIN_MS;
	p->stat->state = CORE_PEER_UP;
	p->stat->caught_up_mono_s = doors_now(p->all->loop).mono_s;
	if (p->told != TOLD_UP)
		log_info("drac: peer %.*s is there, we have all it knows: taken over=%llu, its clock differs by %lld s", SLICE_FMT(p->host.word),
		    (unsigned long long)p->taken, (long long)p->clock_s);
	p->told = TOLD_UP;
	p->taken = 0;
}

/* drac_peers may be the same line on all hosts. */
static void is_self(struct peer *p)
{
	log_info("drac: peer %.*s is this host itself and is left out", SLICE_FMT(p->host.word));
	p->stat->state = CORE_PEER_SELF;
	p->talk = TALK_NONE;
	peer_link_close(p->link);
}

/*
 * Calls
 */

static void call(struct peer *p, enum talk talk, enum drac_proc proc, const struct buf *args, int timeout_ms)
{
	p->talk = talk;
	p->asked_at = loop_now(p->all->loop);
	peer_link_call(p->link, proc, args != NULL ? buf_view(args) : SLICE_NONE, timeout_ms);
}

static void ask_list(struct peer *p)
{
	const struct drac_list_args l = { .cursor = slice_mem(p->cursor, p->cursor_n), .max = DRAC_PAGE };
	struct buf args;

	buf_init(&args, BUF_UNBOUNDED);
	drac_list_args_put(&args, &l);
	call(p, TALK_LIST, DRAC3_LIST, &args, CALL_MS);
	buf_done(&args);
}

static void ask_pull(struct peer *p, uint32_t wait_ms)
{
	const struct drac_pull_args a = { p->epoch, p->after, DRAC_PAGE, wait_ms };
	struct buf args;

	buf_init(&args, BUF_UNBOUNDED);
	drac_pull_args_put(&args, &a);
	call(p, TALK_PULL, DRAC3_PULL, &args, CALL_MS + (int)wait_ms);
	buf_done(&args);
}

static void on_ready(void *ctx)
{
	call(ctx, TALK_CLOCK, DRAC3_STATS, NULL, CALL_MS);
}

static void on_breath(void *ctx)
{
	struct peer *p = ctx;

	if (p->talk == TALK_LIST)
		ask_list(p);
	else
		ask_pull(p, 0);
}

/* A peer may not keep us busy, whatever it sends. */
static bool must_breathe(struct peer *p)
{
	int64_t s = doors_now(p->all->loop).mono_s;

	if (p->second != s) {
		p->second = s;
		p->pages = 0;
	}
	if (++p->pages < PAGES_A_SECOND)
		return false;
	loop_timer_start(p->all->loop, &p->timer, 1000, on_breath, p);
	return true;
}

/*
 * Answers
 */

static void on_clock(struct peer *p, struct slice result)
{
	int64_t now = doors_now(p->all->loop).wall_s;
	uint64_t theirs;

	p->clock_s = 0;
	if (drac_stats_res_find(result, "clock", &theirs) == 1 && theirs <= INT64_MAX / 2)
		p->clock_s = (int64_t)theirs - now;
	if (p->clock_s >= -CLOCK_SLACK_S && p->clock_s <= CLOCK_SLACK_S)
		p->clock_s = 0;
	int64_t moved = p->clock_s - p->told_clock_s;

	if (moved > CLOCK_TELL_S || moved < -CLOCK_TELL_S) {
		log_warn("drac: the clock of peer %.*s differs from ours by %lld s; its times are converted, but both should follow NTP", SLICE_FMT(p->host.word),
		    (long long)p->clock_s);
		p->told_clock_s = p->clock_s;
	}
	p->stat->clock_s = p->clock_s;
	ask_pull(p, 0);
}

/* It keeps CORE_EVENTS events: from the oldest of them on, they are heard again behind the LIST, for the revocations among them. */
static void begin_list(struct peer *p, const struct drac_pull_head *h)
{
	p->epoch = h->epoch;
	p->after = h->last > CORE_EVENTS / 2 ? h->last - CORE_EVENTS / 2 : 0;
	p->cursor_n = 0;
	p->listed = 0;
	p->stat->state = CORE_PEER_LISTING;
	p->stat->resyncs++;
	hmap_free(&p->missing);
	p->missing = hmap_new();
	table_each_voucher(core_table(p->all->core), have_one, p);
	ask_list(p);
}

static void on_pulled(struct peer *p, struct slice result)
{
	struct drac_pulled r;
	bool was_quick = loop_now(p->all->loop) - p->asked_at < QUICK_MS, waited = p->stat->state == CORE_PEER_UP;

	if (drac_pull_res_read(result, p->epoch, p->after, &r, on_event, p) != 0) {
		peer_link_drop(p->link, "what it says makes no sense: a reply to PULL");
		return;
	}
	if (r.status != DRAC3_OK) {
		peer_link_drop(p->link, r.status == DRAC3_DENIED ? "it does not let us PULL: is our certificate's name in its drac_tls_peers?" : "it can't answer a PULL");
		return;
	}
	if (r.head.epoch == core_epoch(p->all->core)) {
		is_self(p);
		return;
	}
	if (r.head.snapshot_needed) {
		if (!must_breathe(p))
			begin_list(p, &r.head);
		return;
	}
	p->after = r.head.last;
	if (r.n != 0)
		p->all->hooks.news(p->all->hooks.ctx);
	if (r.n < DRAC_PAGE)
		is_up(p);
	if (must_breathe(p))
		return;
	if (r.n == 0 && waited && was_quick)
		loop_timer_start(p->all->loop, &p->timer, 1000, on_breath, p);
	else
		ask_pull(p, r.n < DRAC_PAGE ? PULL_WAIT_MS : 0);
}

static void end_list(struct peer *p)
{
	unsigned n = drop_missing(p);

	log_info("drac: peer %.*s told its whole table: addresses=%llu, ended here=%u", SLICE_FMT(p->host.word), (unsigned long long)p->listed, n);
	p->all->hooks.news(p->all->hooks.ctx);
	ask_pull(p, 0);
}

static void on_listed(struct peer *p, struct slice result)
{
	struct drac_listed r;

	if (drac_list_res_read(result, &r, on_entry, p) != 0 || (r.status == DRAC3_OK && (p->listed += r.n) > TABLE_ENTRIES_MAX)) {
		peer_link_drop(p->link, "what it says makes no sense: a reply to LIST");
		return;
	}
	if (r.status != DRAC3_OK) {
		peer_link_drop(p->link, "it does not tell us its table");
		return;
	}
	p->all->hooks.news(p->all->hooks.ctx);
	if (r.eof) {
		end_list(p);
		return;
	}
	p->cursor_n = r.next.n;
	memcpy(p->cursor, r.next.p, r.next.n);
	if (!must_breathe(p))
		ask_list(p);
}

static void on_reply(void *ctx, struct slice result)
{
	struct peer *p = ctx;

	switch (p->talk) {
	case TALK_CLOCK: on_clock(p, result); break;
	case TALK_PULL: on_pulled(p, result); break;
	case TALK_LIST: on_listed(p, result); break;
	case TALK_NONE: break;
	}
}

/*
 * Start and end
 */

static const struct peer_link_hooks link_hooks = { .ready = on_ready, .reply = on_reply, .down = on_down };

static void peer_init(struct peers *ps, struct peer *p, const struct peer_host *host)
{
	p->all = ps;
	p->host = *host;
	p->link = peer_link_new(ps->loop, ps->tls, ps->dns, host, &link_hooks, p);
	p->stat = core_peer_add(ps->core);
	p->stat->caught_up_mono_s = doors_now(ps->loop).mono_s;
	p->origin = core_origin(host->word);
	p->pause_ms = PAUSE_MIN_MS;
}

int peers_new(struct peers **out, struct loop *l, const struct settings *s, struct core *c, const struct peers_hooks *hooks, struct err *e)
{
	struct peer_host hosts[PEERS_MAX];
	struct peers *ps;
	size_t n = 0;

	*out = NULL;
	if (peer_hosts_read(s->drac_peers, hosts, &n, e) != 0)
		return -1;
	if (n == 0)
		return 0;
	ps = mem_new(sizeof(*ps));
	ps->loop = l;
	ps->core = c;
	ps->hooks = *hooks;
	bool names = false;

	for (size_t i = 0; i < n; i++)
		names |= hosts[i].addr.len == 0;
	if (peer_tls(s, true, &ps->tls, e) != 0 || (names && dns_new(&ps->dns, l, s->resolv_conf, s->dns_server, e) != 0)) {
		peers_free(&ps);
		return -1;
	}
	for (; ps->n < n; ps->n++)
		peer_init(ps, &ps->peer[ps->n], &hosts[ps->n]);
	*out = ps;
	return 0;
}

bool peers_need_names(const struct peers *p)
{
	return p != NULL && p->dns != NULL;
}

void peers_start(struct peers *ps)
{
	for (size_t i = 0; ps != NULL && i < ps->n; i++)
		on_retry(&ps->peer[i]);
}

void peers_free(struct peers **pp)
{
	struct peers *ps = pp ? *pp : NULL;

	if (ps == NULL)
		return;
	for (size_t i = 0; i < ps->n; i++) {
		loop_timer_stop(ps->loop, &ps->peer[i].timer);
		peer_link_free(&ps->peer[i].link);
		hmap_free(&ps->peer[i].missing);
	}
	dns_free(&ps->dns);
	tls_ctx_unref(&ps->tls);
	free(ps);
	*pp = NULL;
}
