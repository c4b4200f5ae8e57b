/*
 * admin/cmd_drac.c - `posthouse drac ...`: what dracd holds, asked over its local socket.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#include "admin/commands.h"
#include "admin/tables.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include "conf/conf.h"
#include "drac/drac_call.h"

#define TIMEOUT_MS 5000

struct options {
	bool json;
	const char *words[2];
	int n;
	uint64_t ttl;
};

static const char *const status_texts[] = { "ok", "not permitted: this user may not do that", "dracd could not write it down", "unknown status",
	"no live entry", "not an address", "never authorised (drac_never)", "limit reached: too many users for this address", "bad cursor", "redirected" };

static int read_options(const struct command_env *env, struct options *o, int least, int most)
{
	*o = (struct options){ .n = 0 };
	for (int i = 1; i < env->argc; i++) {
		const char *arg = env->argv[i];
		if (strcmp(arg, "--json") == 0)
			o->json = true;
		else if (strcmp(arg, "--for") == 0 && i + 1 < env->argc) {
			if (num_secs(slice_of(env->argv[++i]), &o->ttl) != 0 || o->ttl == 0 || o->ttl > UINT32_MAX)
				return command_fail(EX_USAGE, "--for takes a time such as 90s, 10m or 2h, not '%s'", env->argv[i]);
		} else if (arg[0] == '-' || o->n >= most)
			return command_fail(EX_USAGE, "unexpected argument '%s'", arg);
		else
			o->words[o->n++] = arg;
	}
	return o->n >= least ? 0 : command_fail(EX_USAGE, "an argument is missing");
}

static int fail_err(const struct err *e)
{
	return command_fail(e->kind == ERR_NOTFOUND ? EX_UNAVAILABLE : e->kind == ERR_DENIED ? EX_NOPERM : EX_TEMPFAIL, "%s", e->text);
}

static int call(const struct command_env *env, struct drac_link **l, enum drac_proc proc, const struct buf *args, struct slice *result_out)
{
	struct err e = ERR_INIT;

	if ((*l == NULL && drac_link_open(l, env->s->drac_socket, &e) != 0) ||
	    drac_link_call(*l, proc, args ? buf_view(args) : SLICE_NONE, TIMEOUT_MS, result_out, &e) != 0)
		return fail_err(&e);
	return 0;
}

/*
 * Printing
 */

static void put_json(struct buf *b, const char *name, struct slice s)
{
	buf_putf(b, "\"%s\":\"", name);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_putf(b, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			buf_putf(b, "\\u%04x", c);
		else
			buf_putc(b, (char)c);
	}
	buf_putc(b, '"');
}

static void entry_json(struct buf *b, const struct drac_entry *e)
{
	char addr[NET_TEXT_MAX];

	buf_putf(b, "{\"address\":\"%s\",\"first\":%llu,\"expires\":%llu,\"used\":%u,\"vouchers\":[", net_addr_text(&e->addr, addr), (unsigned long long)e->first,
	    (unsigned long long)e->expires, e->used);
	for (size_t i = 0; i < e->n; i++) {
		const struct drac_voucher *v = &e->vouchers[i];
		buf_puts(b, i ? ",{" : "{");
		put_json(b, "user", v->who.user);
		buf_putc(b, ',');
		put_json(b, "service", v->who.service);
		buf_putc(b, ',');
		put_json(b, "host", v->who.host);
		buf_putc(b, ',');
		put_json(b, "session", v->who.session);
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

static void entry_text(struct buf *b, const struct drac_entry *e)
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

static int print(struct buf *b)
{
	fwrite(b->p ? b->p : "", 1, b->len, stdout);
	buf_done(b);
	return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

/*
 * Commands
 */

static int list_page(const struct command_env *env, struct drac_link **l, struct drac_list_args *a, const struct options *o, struct buf *out, char cursor[DRAC_CURSOR_MAX], bool *eof)
{
	struct buf args;
	struct slice result;
	struct drac_entry e;

	buf_init(&args, BUF_UNBOUNDED);
	drac_list_args_put(&args, a);
	int rc = call(env, l, DRAC3_LIST, &args, &result);

	buf_done(&args);
	if (rc != 0)
		return rc;
	struct xdr x = { result, false };
	enum drac_status st = drac_status_get(&x);
	if (st != DRAC3_OK)
		return command_fail(EX_NOPERM, "%s", status_texts[st]);
	uint32_t n = xdr_get_u32(&x);
	for (uint32_t i = 0; i < n && !x.broken; i++) {
		drac_entry_get(&x, &e);
		if (o->json) {
			buf_puts(out, out->len > 1 ? ",\n" : "");
			entry_json(out, &e);
		} else
			entry_text(out, &e);
	}
	struct slice next = xdr_get_opaque(&x, DRAC_CURSOR_MAX);
	*eof = xdr_get_u32(&x) != 0;
	if (!xdr_done(&x))
		return command_fail(EX_PROTOCOL, "dracd's reply makes no sense");
	if (next.n != 0)
		memcpy(cursor, next.p, next.n);
	a->cursor = slice_mem(cursor, next.n);
	return 0;
}

static int run_list(const struct command_env *env)
{
	struct options o;
	struct drac_link *l = NULL;
	struct drac_list_args a = { .max = 0 };
	char cursor[DRAC_CURSOR_MAX];
	struct buf out;
	bool eof = false;
	int rc = read_options(env, &o, 0, 1);

	if (rc != 0)
		return rc;
	a.user = slice_of(o.words[0]);
	buf_init(&out, BUF_UNBOUNDED);
	buf_puts(&out, o.json ? "[" : "");
	while (rc == 0 && !eof)
		rc = list_page(env, &l, &a, &o, &out, cursor, &eof);
	drac_link_close(&l);
	buf_puts(&out, o.json ? "]\n" : "");
	if (rc == 0)
		return print(&out);
	buf_done(&out);
	return rc;
}

static int need_addr(const char *word, struct net_addr *out)
{
	if (net_addr_parse(slice_of(word), out) == 0)
		return 0;
	return command_fail(EX_USAGE, "'%s' is not an address", word);
}

static int print_entry(const struct options *o, struct slice result)
{
	struct drac_entry e;
	enum drac_status st;
	uint32_t retry;
	struct buf out;

	if (drac_grant_res_read(result, &st, &e, &retry) != 0)
		return command_fail(EX_PROTOCOL, "dracd's reply makes no sense");
	if (st != DRAC3_OK)
		return command_fail(st == DRAC3_NOTFOUND ? EX_NOUSER : EX_NOPERM, "%s", status_texts[st]);
	buf_init(&out, BUF_UNBOUNDED);
	if (o->json) {
		entry_json(&out, &e);
		buf_putc(&out, '\n');
	} else if (e.n == 0)
		buf_puts(&out, "not stored: mynetworks covers this address\n");
	else
		entry_text(&out, &e);
	return print(&out);
}

static int run_show(const struct command_env *env)
{
	struct options o;
	struct drac_link *l = NULL;
	struct drac_key k = { .bad_addr = false };
	struct slice result;
	struct buf args;
	int rc = read_options(env, &o, 1, 1);

	if (rc != 0 || (rc = need_addr(o.words[0], &k.addr)) != 0)
		return rc;
	buf_init(&args, BUF_UNBOUNDED);
	drac_key_put(&args, &k);
	rc = call(env, &l, DRAC3_QUERY, &args, &result);
	if (rc == 0)
		rc = print_entry(&o, result);
	buf_done(&args);
	drac_link_close(&l);
	return rc;
}

static int run_grant(const struct command_env *env)
{
	struct options o;
	struct drac_link *l = NULL;
	struct drac_grant_args g = { .ttl = 0 };
	struct slice result;
	struct buf args;
	int rc = read_options(env, &o, 2, 2);

	if (rc != 0 || (rc = need_addr(o.words[0], &g.addr)) != 0)
		return rc;
	g.who = (struct drac_who){ .user = slice_of(o.words[1]), .service = SLICE("admin"), .host = slice_of(env->s->myhostname) };
	g.ttl = (uint32_t)o.ttl;
	buf_init(&args, BUF_UNBOUNDED);
	drac_grant_args_put(&args, &g);
	rc = call(env, &l, DRAC3_GRANT, &args, &result);
	if (rc == 0)
		rc = print_entry(&o, result);
	buf_done(&args);
	drac_link_close(&l);
	return rc;
}

static int print_count(const struct options *o, struct slice result)
{
	enum drac_status st;
	uint32_t n;

	if (drac_count_read(result, &st, &n) != 0)
		return command_fail(EX_PROTOCOL, "dracd's reply makes no sense");
	if (st != DRAC3_OK)
		return command_fail(EX_NOPERM, "%s", status_texts[st]);
	if (o->json)
		printf("{\"ended\":%u}\n", n);
	else
		printf("%u ended\n", n);
	return EX_OK;
}

static int run_revoke(const struct command_env *env)
{
	struct options o;
	struct drac_link *l = NULL;
	struct drac_key k = { .bad_addr = false };
	struct slice result;
	struct buf args;
	int rc = read_options(env, &o, 1, 2);

	if (rc != 0)
		return rc;
	for (int i = 0; i < o.n; i++)
		if (net_addr_parse(slice_of(o.words[i]), &k.addr) != 0)
			k.user = slice_of(o.words[i]);
	buf_init(&args, BUF_UNBOUNDED);
	drac_key_put(&args, &k);
	rc = call(env, &l, DRAC3_REVOKE, &args, &result);
	if (rc == 0)
		rc = print_count(&o, result);
	buf_done(&args);
	drac_link_close(&l);
	return rc;
}

static int run_flush(const struct command_env *env)
{
	struct options o;
	struct drac_link *l = NULL;
	struct slice result;
	int rc = read_options(env, &o, 0, 0);

	if (rc == 0)
		rc = call(env, &l, DRAC3_FLUSH, NULL, &result);
	if (rc == 0)
		rc = print_count(&o, result);
	drac_link_close(&l);
	return rc;
}

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

static void put_peers(const struct command_env *env, struct buf *b, bool json, const struct peer_stats peers[10])
{
	struct slice rest = slice_of(env->s->drac_peers), word;

	for (unsigned i = 1; i < 10; i++) {
		if (!conf_word(&rest, &word))
			word = SLICE("?");                                /* dracd runs with older settings */
		if (peers[i].is_there)
			put_peer(b, json, i, word, &peers[i]);
	}
}

static int run_stats(const struct command_env *env)
{
	struct options o;
	struct drac_link *l = NULL;
	struct slice result;
	struct buf out, behind;
	struct peer_stats peers[10] = { { .is_there = false } };
	int rc = read_options(env, &o, 0, 0);

	if (rc == 0)
		rc = call(env, &l, DRAC3_STATS, NULL, &result);
	if (rc != 0)
		return rc;
	struct xdr x = { result, false };
	uint32_t n = xdr_get_u32(&x);
	buf_init(&out, BUF_UNBOUNDED);
	buf_init(&behind, BUF_UNBOUNDED);
	buf_puts(&out, o.json ? "{" : "");
	for (uint32_t i = 0; i < n && !x.broken; i++) {
		struct slice name = xdr_get_opaque(&x, 32), what;
		uint64_t v = xdr_get_u64(&x);
		unsigned number = peer_number(name, &what);
		if (number != 0)
			peer_stat(&peers[number], what, v);
		else
			buf_putf(&out, o.json ? "\"%.*s\":%llu," : "%.*s %llu\n", SLICE_FMT(name), (unsigned long long)v);
	}
	put_peers(env, &behind, o.json, peers);
	buf_putf(&out, o.json ? "\"peers\":[%s]}\n" : "%s", buf_str(&behind));
	buf_done(&behind);
	drac_link_close(&l);
	return print(&out);
}

/* Exit status says it: 0 live, 1 not. For scripts. */
static int run_check(const struct command_env *env)
{
	struct options o;
	struct drac_link *l = NULL;
	struct drac_key k = { .bad_addr = false };
	struct drac_entry e;
	enum drac_status st = DRAC3_UNKNOWN;
	struct slice result;
	struct buf args;
	uint32_t retry;
	int rc = read_options(env, &o, 1, 1);

	if (rc != 0 || (rc = need_addr(o.words[0], &k.addr)) != 0)
		return rc;
	buf_init(&args, BUF_UNBOUNDED);
	drac_key_put(&args, &k);
	rc = call(env, &l, DRAC3_QUERY, &args, &result);
	if (rc == 0 && drac_grant_res_read(result, &st, &e, &retry) != 0)
		rc = command_fail(EX_PROTOCOL, "dracd's reply makes no sense");
	if (rc == 0) {
		if (o.json)
			printf("{\"live\":%s}\n", st == DRAC3_OK ? "true" : "false");
		else
			puts(status_texts[st]);
		rc = st == DRAC3_OK ? 0 : 1;
	}
	buf_done(&args);
	drac_link_close(&l);
	return rc;
}

static const struct command rows[] = {
	{ "drac list", run_list, "[--json] [USER]", "Lists the addresses that may relay because of a login, with the users who vouch for them.", true },
	{ "drac show", run_show, "[--json] ADDRESS", "Shows the entry of one address.", true },
	{ "drac grant", run_grant, "[--json] [--for TIME] ADDRESS USER", "Lets the user send from the address, as if by a login.", true },
	{ "drac revoke", run_revoke, "[--json] [ADDRESS] [USER]", "Ends the entry of an address, all of a user, or the user's part of an address.", true },
	{ "drac flush", run_flush, "[--json]", "Ends every entry.", true },
	{ "drac stats", run_stats, "[--json]", "Prints what dracd has counted since its start, and how far behind each of drac_peers we are.", true },
	{ "drac check", run_check, "[--json] ADDRESS", "Says whether the address has a live entry; the exit status is 0 if it has.", true },
};

const struct command_table cmd_drac_table = { "Relaying after a login", rows, sizeof(rows) / sizeof(rows[0]) };
