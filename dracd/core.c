/*
 * dracd/core.c - see the header.
 */
#include "dracd/core.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "drac/closed.h"
#include "dracd/graves.h"
#include "dracd/peer_conf.h"

const char *const core_stat_names[STAT_COUNT] = {
	[STAT_CALLS] = "calls", [STAT_GRANTS] = "grants", [STAT_NEW] = "grants_new", [STAT_RENEWED] = "grants_renewed",
	[STAT_REFUSED_CALLER] = "refused_caller", [STAT_NEVER] = "refused_never", [STAT_LIMITED] = "refused_limited", [STAT_SHARED] = "addresses_shared",
	[STAT_QUERIES] = "queries", [STAT_HITS] = "queries_live", [STAT_USED] = "used", [STAT_REVOKED] = "revoked", [STAT_EXPIRED] = "expired",
	[STAT_GARBAGE] = "garbage", [STAT_SYNCS] = "syncs", [STAT_SYNC_FAILED] = "syncs_failed", [STAT_PUBLISHED] = "published", [STAT_REPLICATED] = "replicated",
};

struct event {
	char *octets;
	size_t n;
};

struct core {
	const struct settings *s;
	struct table *table;
	struct journal *journal;
	struct allow *callers, *never, *trusted, *covered;
	uint64_t stats[STAT_COUNT];
	uint64_t epoch, serial;
	struct event events[CORE_EVENTS];                             /* serial % CORE_EVENTS */
	struct graves *graves;
	int64_t lifetime, max_age;
	struct core_peer peers[CORE_PEERS_MAX];
	size_t n_peers;
	bool changed;
	uint64_t sync_failed;                                         /* in a row */
	int64_t log_second;
	unsigned log_lines, log_left_out;
};

static void config_path(const struct core *c, const char *name, struct buf *out)
{
	buf_reset(out);
	if (name[0] != '/')
		buf_putf(out, "%s/", c->s->config_directory);
	buf_puts(out, name);
}

static int load_never(struct core *c, struct buf *path, struct err *e)
{
	if (allow_from_list(&c->never, "drac_never", c->s->drac_never, e) != 0)
		return -1;
	config_path(c, c->s->drac_never_file, path);
	if (allow_add_file(c->never, buf_str(path), e) != 0)
		return -1;
	return allow_add_list(c->never, "proxy_protocol_from", c->s->proxy_protocol_from, e);
}

static int load_lists(struct core *c, struct err *e)
{
	const struct settings *s = c->s;
	struct buf path;
	int rc;

	buf_init(&path, 4096);
	config_path(c, s->drac_allow, &path);
	rc = allow_load(&c->callers, buf_str(&path), e) != 0 || load_never(c, &path, e) != 0 ? -1 : 0;
	buf_done(&path);
	if (rc != 0 || allow_from_list(&c->trusted, "drac_trust_v1", s->drac_trust_v1, e) != 0)
		return -1;
	return allow_from_list(&c->covered, "mynetworks", s->mynetworks, e);
}

static int new_core(struct core **c_out, const struct settings *s, struct err *e)
{
	struct core *c = mem_new(sizeof(*c));
	const struct table_policy p = { s->drac_lifetime, s->drac_max_age > s->drac_lifetime ? s->drac_max_age : s->drac_lifetime,
		s->drac_users_per_address, s->drac_addresses_per_user };

	c->s = s;
	text_random(&c->epoch, sizeof(c->epoch));
	c->table = table_new(&p);
	c->lifetime = p.lifetime;
	c->max_age = p.max_age;
	c->graves = graves_new(p.max_age);
	if (load_lists(c, e) != 0) {
		core_free(&c);
		return -1;
	}
	*c_out = c;
	return 0;
}

int core_new_volatile(struct core **c_out, const struct settings *s, struct err *e)
{
	return new_core(c_out, s, e);
}

int core_new(struct core **c_out, const struct settings *s, struct table_time now, size_t *lost_out, struct err *e)
{
	struct core *c;
	struct buf path;

	if (new_core(&c, s, e) != 0)
		return -1;
	buf_init(&path, 4096);
	buf_putf(&path, "%s.journal", s->drac_table);
	int rc = journal_open(&c->journal, buf_str(&path), c->table, now, lost_out, e);

	buf_done(&path);
	if (rc != 0) {
		core_free(&c);
		return -1;
	}
	c->changed = true;
	*c_out = c;
	return 0;
}

int core_check(const struct settings *s, struct err *e)
{
	struct core *c = NULL;
	int rc = new_core(&c, s, e);

	core_free(&c);
	return rc == 0 && drac_is_closed(s, e) == 0 ? peer_conf_check(s, NULL, e) : -1;
}

void core_free(struct core **cp)
{
	struct core *c = cp ? *cp : NULL;

	if (c == NULL)
		return;
	journal_close(&c->journal);
	table_free(&c->table);
	graves_free(&c->graves);
	allow_free(&c->callers);
	allow_free(&c->never);
	allow_free(&c->trusted);
	allow_free(&c->covered);
	for (size_t i = 0; i < CORE_EVENTS; i++)
		free(c->events[i].octets);
	free(c);
	*cp = NULL;
}

struct table *core_table(struct core *c)
{
	return c->table;
}

uint64_t *core_stats(struct core *c)
{
	return c->stats;
}

bool core_changed(struct core *c)
{
	bool was = c->changed;

	c->changed = false;
	return was;
}

uint64_t core_epoch(const struct core *c)
{
	return c->epoch;
}

uint64_t core_serial(const struct core *c)
{
	return c->serial;
}

bool core_may_register(const struct core *c, const struct net_addr *caller)
{
	return allow_has(c->callers, caller);
}

bool core_trusts(const struct core *c, const struct net_addr *caller)
{
	return allow_has(c->trusted, caller);
}

/* A flood of grants must not become a flood of lines. */
static bool may_log(struct core *c, int64_t mono_s)
{
	if (c->log_second != mono_s) {
		if (c->log_left_out != 0)
			log_info("drac: %u more lines were left out", c->log_left_out);
		c->log_second = mono_s;
		c->log_lines = 0;
		c->log_left_out = 0;
	}
	if (c->log_lines++ < CORE_LOG_LINES)
		return true;
	c->log_left_out++;
	return false;
}

/*
 * Events for peers
 */

static void event(struct core *c, struct drac_event *ev)
{
	struct buf b;

	ev->serial = ++c->serial;
	buf_init(&b, BUF_UNBOUNDED);
	drac_event_put(&b, ev);
	struct event *slot = &c->events[ev->serial % CORE_EVENTS];

	free(slot->octets);
	slot->octets = b.p;                                               /* the buffer's memory changes hands */
	slot->n = b.len;
}

int core_events(const struct core *c, uint64_t epoch, uint64_t after, uint32_t max, struct buf *out, uint64_t *last_out)
{
	int n = 0;

	if (epoch != c->epoch || after > c->serial || c->serial - after > CORE_EVENTS)
		return -1;
	*last_out = after;
	for (uint64_t s = after + 1; s <= c->serial && (uint32_t)n < max; s++, n++) {
		const struct event *ev = &c->events[s % CORE_EVENTS];
		if (out->len + ev->n > LIMIT_DRAC_REPLY - 512)
			break;
		buf_put(out, slice_mem(ev->octets, ev->n));
		*last_out = s;
	}
	return n;
}

/*
 * Verbs
 */

static void log_grant(struct core *c, const struct drac_grant_args *g, const struct table_grant *r, struct table_time now)
{
	char addr[NET_TEXT_MAX], gone[NET_TEXT_MAX];

	if (!r->is_new && !r->became_shared && !r->evicted)
		return;
	if (!may_log(c, now.mono_s))
		return;
	net_addr_text(&g->addr, addr);
	if (r->became_shared)
		log_warn("drac: %s is shared by more than %u users and is no longer opened; put it on drac_never", addr, c->s->drac_users_per_address);
	else
		log_info("drac: grant addr=%s, user=<%.*s>, service=%.*s, host=%.*s, session=<%.*s>, for=%llds%s%s", addr, SLICE_FMT(g->who.user),
		    SLICE_FMT(g->who.service), SLICE_FMT(g->who.host), SLICE_FMT(g->who.session), (long long)(r->expires_at - now.wall_s),
		    r->evicted ? ", ends=" : "", r->evicted ? net_addr_text(&r->evicted_addr, gone) : "");
}

static enum drac_status refuse(struct core *c, enum core_stat stat, enum drac_status status)
{
	c->stats[stat]++;
	return status;
}

static bool is_covered(const struct core *c, const struct net_addr *addr)
{
	return !net_addr_is_loopback(addr) && allow_has(c->covered, addr);
}

/* The user has another address instead; peers hold by the same limit. */
static void evict(struct core *c, const struct net_addr *addr, struct slice user, struct table_time now)
{
	struct drac_event ev = { .kind = DRAC_EV_REVOKE, .addr = *addr, .who = { .user = user }, .expires = (uint64_t)now.wall_s };

	event(c, &ev);
	if (c->journal != NULL)
		journal_revoke(c->journal, addr, user);
}

enum drac_status core_grant(struct core *c, const struct drac_grant_args *g, struct table_time now, uint32_t *retry_out, bool *needs_sync_out)
{
	struct table_grant r;

	c->stats[STAT_GRANTS]++;
	if (allow_has(c->never, &g->addr))
		return refuse(c, STAT_NEVER, DRAC3_NEVER);
	if (is_covered(c, &g->addr))
		return DRAC3_OK;                                          /* mynetworks may relay anyway */
	table_grant(c->table, g, now, &r);
	log_grant(c, g, &r, now);
	c->stats[STAT_SHARED] += r.became_shared;
	if (r.status == DRAC3_LIMITED) {
		*retry_out = r.retry_after;
		return refuse(c, STAT_LIMITED, DRAC3_LIMITED);
	}
	if (r.status != DRAC3_OK)
		return r.status;
	c->stats[r.is_new ? STAT_NEW : STAT_RENEWED]++;
	if (r.evicted)
		evict(c, &r.evicted_addr, g->who.user, now);
	if (!r.moved)
		return DRAC3_OK;
	struct drac_event ev = { .kind = DRAC_EV_GRANT, .addr = g->addr, .who = g->who, .expires = (uint64_t)r.expires_at, .login = (uint64_t)r.login_at };

	event(c, &ev);
	c->changed = true;
	if (c->journal != NULL)
		journal_grant(c->journal, &g->addr, &g->who, r.login_at, r.expires_at);
	*needs_sync_out = true;
	return DRAC3_OK;
}

enum drac_status core_query(struct core *c, const struct net_addr *addr, struct table_time now, struct drac_entry *out)
{
	enum drac_status st = table_query(c->table, addr, now, out);

	c->stats[STAT_QUERIES]++;
	c->stats[STAT_HITS] += st == DRAC3_OK;
	return st;
}

unsigned core_revoke(struct core *c, const struct net_addr *addr, struct slice user, struct table_time now)
{
	char text[NET_TEXT_MAX];
	unsigned n = table_revoke(c->table, addr, user, NULL, NULL);
	struct drac_event ev = { .kind = DRAC_EV_REVOKE, .addr = *addr, .who = { .user = user }, .expires = (uint64_t)now.wall_s };

	graves_add(c->graves, addr, user, 0, now.wall_s, now.wall_s);
	/* Told and written even when nothing was there: a peer may have it. */
	event(c, &ev);
	if (c->journal != NULL)
		journal_revoke(c->journal, addr, user);
	c->stats[STAT_REVOKED] += n;
	c->changed |= n != 0;
	log_info("drac: revoke addr=%s, user=<%.*s>, ended=%u", addr->len ? net_addr_text(addr, text) : "*", SLICE_FMT(user), n);
	return n;
}

unsigned core_flush(struct core *c, struct table_time now)
{
	static const struct net_addr every = { .len = 0 };
	struct drac_event ev = { .kind = DRAC_EV_FLUSH, .expires = (uint64_t)now.wall_s };
	unsigned n = table_flush(c->table);

	graves_add(c->graves, &every, SLICE_NONE, 0, now.wall_s, now.wall_s);
	event(c, &ev);
	if (c->journal != NULL)
		journal_flush(c->journal);
	c->stats[STAT_REVOKED] += n;
	c->changed = true;
	log_info("drac: flush, ended=%u", n);
	return n;
}

unsigned core_expire(struct core *c, struct table_time now)
{
	unsigned n = table_expire(c->table, now);

	c->stats[STAT_EXPIRED] += n;
	c->changed |= n != 0;
	return n;
}

/*
 * Other hosts
 */

#define ORIGIN_SHIFT 16                                                   /* above every bit that the wire knows */

uint32_t core_origin(struct slice peer)
{
	uint32_t h = (uint32_t)hash_stable(peer) & 0xffff;

	return h != 0 ? h : 1;
}

uint32_t core_origin_of(uint32_t flags)
{
	return flags & DRAC_WHO_REPLICATED ? flags >> ORIGIN_SHIFT : 0;
}

struct core_peer *core_peer_add(struct core *c)
{
	return &c->peers[c->n_peers++];
}

size_t core_peers(const struct core *c, const struct core_peer **out)
{
	*out = c->peers;
	return c->n_peers;
}

/* Where we know nothing of that user and address yet: the limits of table_grant() count for it. False: it has no place. */
static bool make_place(struct core *c, const struct net_addr *addr, const struct drac_who *who, struct table_time now)
{
	struct drac_grant_args g = { .addr = *addr, .who = *who };
	struct table_grant r;

	g.who.flags &= ~(uint32_t)DRAC_WHO_RENEWAL;
	table_grant(c->table, &g, now, &r);
	if (r.evicted && c->journal != NULL)
		journal_revoke(c->journal, &r.evicted_addr, who->user);
	c->stats[STAT_SHARED] += r.became_shared;
	c->stats[STAT_LIMITED] += r.status == DRAC3_LIMITED;
	return r.status == DRAC3_OK;
}

static int64_t at_most(int64_t v, int64_t max)
{
	return v < max ? v : max;
}

static void replicate_grant(struct core *c, const struct drac_event *ev, uint32_t origin, struct table_time now)
{
	struct drac_who who = ev->who;
	struct drac_voucher have;
	bool is_known;
	int64_t login = at_most((int64_t)ev->login, now.wall_s), expires = (int64_t)ev->expires;

	if (ev->addr.len == 0 || allow_has(c->never, &ev->addr) || is_covered(c, &ev->addr) || graves_hold(c->graves, &ev->addr, who.user, origin, login))
		return;
	who.flags = (who.flags & (DRAC_WHO_TLS | DRAC_WHO_PROXIED | DRAC_WHO_RENEWAL | DRAC_WHO_TRUSTED)) | DRAC_WHO_REPLICATED | origin << ORIGIN_SHIFT;
	is_known = table_find(c->table, &ev->addr, &who, now, &have);
	if (login <= 0)
		login = is_known ? (int64_t)have.at : expires - c->lifetime;
	expires = at_most(at_most(expires, now.wall_s + c->lifetime), login + c->max_age);
	if (expires < now.wall_s)
		return;
	if (is_known) {
		login = login > (int64_t)have.at ? login : (int64_t)have.at;
		expires = expires > (int64_t)have.expires ? expires : (int64_t)have.expires;
		if (core_origin_of(have.who.flags) == 0)                  /* ours too: a peer that forgets it does not end it */
			who.flags &= (1u << ORIGIN_SHIFT) - 1 - DRAC_WHO_REPLICATED;
	} else if (!make_place(c, &ev->addr, &who, now)) {
		return;
	}
	table_restore(c->table, &ev->addr, &who, login, expires, now);
	if (c->journal != NULL)
		journal_grant(c->journal, &ev->addr, &who, login, expires);
	c->changed = true;
}

static void on_gone(void *ctx, const struct net_addr *addr, struct slice user)
{
	struct core *c = ctx;

	if (c->journal != NULL)
		journal_revoke(c->journal, addr, user);
	c->changed = true;
}

/* Who logged in after it was said is not meant. Where its time is not known it is now. */
static void replicate_revoke(struct core *c, const struct net_addr *addr, struct slice user, uint32_t origin, int64_t said, struct table_time now)
{
	said = said == 0 ? now.wall_s : at_most(said, now.wall_s);
	graves_add(c->graves, addr, user, origin, said, now.wall_s);
	c->stats[STAT_REVOKED] += table_revoke_until(c->table, addr, user, said, on_gone, c);
}

void core_replicate(struct core *c, const struct drac_event *ev, uint32_t origin, struct table_time now)
{
	static const struct net_addr every = { .len = 0 };

	c->stats[STAT_REPLICATED]++;
	if (ev->expires > INT64_MAX || ev->login > INT64_MAX)
		return;
	if (ev->kind == DRAC_EV_GRANT)
		replicate_grant(c, ev, origin, now);
	else if (ev->kind == DRAC_EV_REVOKE && (ev->addr.len != 0 || ev->who.user.n != 0))
		replicate_revoke(c, &ev->addr, ev->who.user, origin, (int64_t)ev->expires, now);
	else if (ev->kind == DRAC_EV_FLUSH)
		replicate_revoke(c, &every, SLICE_NONE, origin, (int64_t)ev->expires, now);
}

unsigned core_drop(struct core *c, const struct net_addr *addr, struct slice user)
{
	return table_revoke(c->table, addr, user, on_gone, c);
}

bool core_is_dirty(const struct core *c)
{
	return c->journal != NULL && journal_is_dirty(c->journal);
}

bool core_sync_begin(struct core *c)
{
	if (c->journal == NULL)
		return false;
	c->stats[STAT_SYNCS] += journal_is_dirty(c->journal);
	return journal_begin(c->journal);
}

void core_sync_work(struct core *c)
{
	journal_work(c->journal);
}

int core_sync_end(struct core *c)
{
	struct err e = ERR_INIT;
	int rc = c->journal ? journal_end(c->journal, &e) : 0;

	if (rc != 0 && c->sync_failed++ == 0)
		log_error("drac: %s: grants are answered with a system error until it can be written again", e.text);
	if (rc == 0 && c->sync_failed != 0)
		log_info("drac: the journal can be written again, %llu flushes had failed", (unsigned long long)c->sync_failed);
	if (rc == 0)
		c->sync_failed = 0;
	c->stats[STAT_SYNC_FAILED] += rc != 0;
	return rc;
}

int core_sync(struct core *c)
{
	if (core_sync_begin(c))
		core_sync_work(c);
	return core_sync_end(c);
}

bool core_wants_rewrite(const struct core *c)
{
	return c->journal != NULL && journal_wants_rewrite(c->journal);
}

void core_rewrite(struct core *c)
{
	journal_rewrite(c->journal);
}

int core_write_new(struct core *c)
{
	return journal_write_new(c->journal, c->table);
}

void core_rewritten(struct core *c, bool ok)
{
	journal_rewritten(c->journal, ok);
}
