/*
 * admin/cmd_drac.c - `posthouse drac ...`: what dracd holds, asked over its local socket.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "admin/commands.h"
#include "admin/drac_print.h"
#include "admin/tables.h"
#include "base/num.h"
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
	return o->n >= least ? 0 : command_fail(EX_USAGE, "an argument is missing: posthouse drac %s --help says which", env->argv[0]);
}

static int fail_err(const struct err *e)
{
	return command_fail(e->kind == ERR_NOTFOUND ? EX_UNAVAILABLE : e->kind == ERR_DENIED ? EX_NOPERM : EX_TEMPFAIL, "%s", e->text);
}

static int call(const struct command_env *env, struct drac_link **l, enum drac_proc proc, const struct buf *args, struct slice *result_out)
{
	struct err e = ERR_INIT;

	if ((*l == NULL && drac_link_open(l, env->s->drac_socket, &e) != 0) ||
	    drac_link_call(*l, proc, buf_view(args), TIMEOUT_MS, result_out, &e) != 0)
		return fail_err(&e);
	return 0;
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
		buf_puts(out, o->json && out->len > 1 ? ",\n" : "");
		drac_print_entry(&e, o->json, out);
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

/* How one reply becomes words and an exit status. */
typedef int answer_fn(const struct command_env *env, const struct options *o, struct slice result);

/* One question, one answer; args are let go of. */
static int ask(const struct command_env *env, const struct options *o, enum drac_proc proc, struct buf *args, answer_fn *answer)
{
	struct drac_link *l = NULL;
	struct slice result;
	int rc = call(env, &l, proc, args, &result);

	if (rc == 0)
		rc = answer(env, o, result);
	buf_done(args);
	drac_link_close(&l);
	return rc;
}

static int need_addr(const char *word, struct net_addr *out)
{
	if (net_addr_parse(slice_of(word), out) == 0)
		return 0;
	return command_fail(EX_USAGE, "'%s' is not an address", word);
}

/* The question of show and check. */
static int ask_about_addr(const struct command_env *env, answer_fn *answer)
{
	struct options o;
	struct drac_key k = { .bad_addr = false };
	struct buf args;
	int rc = read_options(env, &o, 1, 1);

	if (rc != 0 || (rc = need_addr(o.words[0], &k.addr)) != 0)
		return rc;
	buf_init(&args, BUF_UNBOUNDED);
	drac_key_put(&args, &k);
	return ask(env, &o, DRAC3_QUERY, &args, answer);
}

static int print_entry(const struct command_env *env UNUSED, const struct options *o, struct slice result)
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
	if (!o->json && e.n == 0)
		buf_puts(&out, "not stored: mynetworks covers this address\n");
	else
		drac_print_entry(&e, o->json, &out);
	buf_puts(&out, o->json ? "\n" : "");
	return print(&out);
}

static int run_show(const struct command_env *env)
{
	return ask_about_addr(env, print_entry);
}

static int run_grant(const struct command_env *env)
{
	struct options o;
	struct drac_grant_args g = { .ttl = 0 };
	struct buf args;
	int rc = read_options(env, &o, 2, 2);

	if (rc != 0 || (rc = need_addr(o.words[0], &g.addr)) != 0)
		return rc;
	g.who = (struct drac_who){ .user = slice_of(o.words[1]), .service = SLICE("admin"), .host = slice_of(env->s->myhostname) };
	g.ttl = (uint32_t)o.ttl;
	buf_init(&args, BUF_UNBOUNDED);
	drac_grant_args_put(&args, &g);
	return ask(env, &o, DRAC3_GRANT, &args, print_entry);
}

static int print_count(const struct command_env *env UNUSED, const struct options *o, struct slice result)
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

/* An address, a user, or one of each in any order. */
static int read_key(const struct options *o, struct drac_key *k)
{
	bool has_addr = false, has_user = false;

	for (int i = 0; i < o->n; i++) {
		bool is_addr = net_addr_parse(slice_of(o->words[i]), &k->addr) == 0;

		if (is_addr ? has_addr : has_user)
			return command_fail(EX_USAGE, "'%s' and '%s' are two %s: give an address, a user, or one of each", o->words[0], o->words[i], is_addr ? "addresses" : "users");
		if (!is_addr)
			k->user = slice_of(o->words[i]);
		has_addr |= is_addr;
		has_user |= !is_addr;
	}
	return 0;
}

static int run_revoke(const struct command_env *env)
{
	struct options o;
	struct drac_key k = { .bad_addr = false };
	struct buf args;
	int rc = read_options(env, &o, 1, 2);

	if (rc != 0 || (rc = read_key(&o, &k)) != 0)
		return rc;
	buf_init(&args, BUF_UNBOUNDED);
	drac_key_put(&args, &k);
	return ask(env, &o, DRAC3_REVOKE, &args, print_count);
}

static int ask_without_words(const struct command_env *env, enum drac_proc proc, answer_fn *answer)
{
	struct options o;
	struct buf none;
	int rc = read_options(env, &o, 0, 0);

	buf_init(&none, 0);
	return rc != 0 ? rc : ask(env, &o, proc, &none, answer);
}

static int run_flush(const struct command_env *env)
{
	return ask_without_words(env, DRAC3_FLUSH, print_count);
}

static int print_stats(const struct command_env *env, const struct options *o, struct slice result)
{
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	if (drac_print_stats(result, env->s->drac_peers, o->json, &out) == 0)
		return print(&out);
	buf_done(&out);
	return command_fail(EX_PROTOCOL, "dracd's reply makes no sense");
}

static int run_stats(const struct command_env *env)
{
	return ask_without_words(env, DRAC3_STATS, print_stats);
}

/* Exit status says it: 0 live, 1 not. For scripts. */
static int print_verdict(const struct command_env *env UNUSED, const struct options *o, struct slice result)
{
	enum drac_status st = DRAC3_UNKNOWN;
	struct drac_entry e;
	uint32_t retry;

	if (drac_grant_res_read(result, &st, &e, &retry) != 0)
		return command_fail(EX_PROTOCOL, "dracd's reply makes no sense");
	if (o->json)
		printf("{\"live\":%s}\n", st == DRAC3_OK ? "true" : "false");
	else
		puts(status_texts[st]);
	return st == DRAC3_OK ? 0 : 1;
}

static int run_check(const struct command_env *env)
{
	return ask_about_addr(env, print_verdict);
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
