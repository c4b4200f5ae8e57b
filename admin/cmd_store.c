/*
 * admin/cmd_store.c - `posthouse verify` and `posthouse quota`: mailboxes, of one user or of all that have a directory.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "admin/commands.h"
#include "admin/tables.h"
#include "auth/auth_server.h"
#include "auth/users.h"
#include "base/num.h"
#include "serve/accounts.h"
#include "serve/boxdir.h"
#include "store/verify.h"

struct job {
	const struct command_env *env;
	const char *user;                                             /* NULL: all */
	bool repair, recount;
	int (*each)(struct job *j, struct slice user, struct box *b, struct err *e);   /* b NULL: an account that has no mailbox yet */
	struct users *users;
	struct arena *a;                                              /* of one user */
	unsigned faults, failed;
};

static struct box_options options_of(struct job *j, struct slice user)
{
	const struct settings *s = j->env->s;
	struct box_options opt = { .special_folders = s->special_folders, .hostname = s->myhostname, .limits_unknown = j->users == NULL };

	accounts_limits_of(s, j->users, user, &opt.quota_storage, &opt.quota_messages);
	return opt;
}

static bool is_unused(struct job *j, struct slice user, const struct err *e)
{
	struct err ignored;
	struct user u;

	return e->kind == ERR_NOTFOUND && j->users != NULL && users_get(j->users, user, j->a, &u, &ignored) == 1;
}

static void one_user(struct job *j, struct slice user)
{
	struct box_options opt = options_of(j, user);
	struct err e = ERR_INIT;
	struct box *b = NULL;
	struct buf dir;

	buf_init(&dir, 4096);
	if (boxdir_of(j->env->s, user, &dir) != 0)
		(void)err_set(&e, ERR_SYNTAX, 0, "not a user name");
	else if ((box_open(&b, buf_str(&dir), false, &opt, &e) == 0 || is_unused(j, user, &e)) && j->each(j, user, b, &e) == 0)
		e.kind = ERR_NONE;
	if (e.kind != ERR_NONE) {
		(void)command_fail(EX_TEMPFAIL, "%.*s: %s", SLICE_FMT(user), e.text);
		j->failed++;
	}
	box_close(&b);
	buf_done(&dir);
	arena_reset(j->a);
}

static int each_entry(const char *path, void (*fn)(void *ctx, const char *name), void *ctx)
{
	DIR *dir = opendir(path);
	const struct dirent *d;

	if (dir == NULL)
		return -1;
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.')
			fn(ctx, d->d_name);
	closedir(dir);
	return 0;
}

struct domain { struct job *j; const char *name; };

static void on_user(void *ctx, const char *name)
{
	const struct domain *d = ctx;
	char user[600];
	int n = snprintf(user, sizeof user, "%s@%s", name, d->name);

	if (n > 0 && (size_t)n < sizeof user)
		one_user(d->j, slice_of(user));
}

static void on_domain(void *ctx, const char *name)
{
	struct domain d = { ctx, name };
	char path[4096];
	int n = snprintf(path, sizeof path, "%s/%s", d.j->env->s->mail_directory, name);

	if (n > 0 && (size_t)n < sizeof path)
		(void)each_entry(path, on_user, &d);
}

static int run_job(struct job *j)
{
	const struct settings *s = j->env->s;
	struct arena *names = arena_new(0);
	struct slice user;
	struct err ignored;
	int rc = EX_OK;

	j->a = arena_new(0);
	if (users_open(&j->users, s->accounts_db, &ignored) != 0)
		j->users = NULL;                                      /* then the quotas are the setting's */
	if (j->user == NULL)
		rc = each_entry(s->mail_directory, on_domain, j) == 0 ? EX_OK : command_fail(EX_NOINPUT, "%s can't be read", s->mail_directory);
	else if (users_canonical(slice_of(j->user), auth_default_domain(s, names), names, &user) == 0)
		one_user(j, user);
	else
		rc = command_fail(EX_USAGE, "'%s' is not a user name", j->user);
	users_close(&j->users);
	arena_free(&j->a);
	arena_free(&names);
	return rc != EX_OK ? rc : j->failed > 0 ? EX_TEMPFAIL : j->faults > 0 && !j->repair ? EX_DATAERR : EX_OK;
}

static int read_options(struct job *j)
{
	for (int i = 1; i < j->env->argc; i++) {
		const char *arg = j->env->argv[i];

		if (strcmp(arg, "--repair") == 0 && j->repair == false)
			j->repair = true;
		else if (strcmp(arg, "--recount") == 0)
			j->recount = true;
		else if (arg[0] == '-' || j->user != NULL)
			return command_fail(EX_USAGE, "unexpected argument '%s'", arg);
		else
			j->user = arg;
	}
	return 0;
}

/* ---- verify ---- */

struct printing { struct slice user; };

static void print_line(void *ctx, const char *text)
{
	const struct printing *p = ctx;

	printf("%.*s: %s\n", SLICE_FMT(p->user), text);
}

static int verify_user(struct job *j, struct slice user, struct box *b, struct err *e)
{
	struct printing p = { user };
	struct verify_report to = { print_line, &p };
	unsigned faults = 0;

	if (b != NULL && box_verify(b, j->repair, &to, &faults, e) != 0)
		return -1;
	j->faults += faults;
	printf("%.*s: %s\n", SLICE_FMT(user), faults == 0 ? "fine" : j->repair ? "mended" : "not as it should be; --repair mends it");
	return 0;
}

static int run_verify(const struct command_env *env)
{
	struct job j = { .env = env, .each = verify_user };
	int rc = read_options(&j);

	if (rc == 0 && j.recount)
		rc = command_fail(EX_USAGE, "unexpected argument '--recount'");
	return rc != 0 ? rc : run_job(&j);
}

/* ---- quota ---- */

static void put_use(struct buf *out, const char *what, uint64_t used, uint64_t limit, bool is_size)
{
	buf_putf(out, " %s=%llu", what, (unsigned long long)used);
	if (limit == 0)
		return;
	buf_puts(out, " of ");
	if (is_size)
		num_put_size(out, limit);
	else
		buf_putf(out, "%llu", (unsigned long long)limit);
	buf_putf(out, " (%llu%%)", (unsigned long long)(limit >= 100 ? used / (limit / 100) : used * 100 / limit));
}

static int quota_user(struct job *j, struct slice user, struct box *b, struct err *e)
{
	struct box_options opt = options_of(j, user);
	uint64_t octets = 0, messages = 0;
	struct buf line;
	unsigned wrong;

	if (b != NULL && ((j->recount && box_recount(b, &wrong, e) != 0) || box_quota(b, &octets, &messages, e) != 0))
		return -1;
	buf_init(&line, BUF_UNBOUNDED);
	buf_put(&line, user);
	put_use(&line, "octets", octets, opt.quota_storage, true);
	put_use(&line, "messages", messages, opt.quota_messages, false);
	puts(buf_str(&line));
	buf_done(&line);
	return 0;
}

static int run_quota(const struct command_env *env)
{
	struct job j = { .env = env, .each = quota_user };
	int rc = read_options(&j);

	if (rc == 0 && j.repair)
		rc = command_fail(EX_USAGE, "unexpected argument '--repair'");
	return rc != 0 ? rc : run_job(&j);
}

static const struct command rows[] = {
	{ "verify", run_verify, "[--repair] [USER]",
	    "Checks the mailboxes of USER, or of all users, against their directories: every message has its file, every file its message, sizes and sums agree. "
	    "Says what differs; with --repair, what differs is built anew from the files, which keep their UIDs. Safe while the daemons run.", true },
	{ "quota", run_quota, "[--recount] [USER]",
	    "Prints what USER, or every user, has stored, and the limits. The sums are kept with each change and are right; --recount adds them up again from the folders, "
	    "safe while the daemons run.", true },
};

const struct command_table cmd_store_table = { "Mailboxes", rows, sizeof(rows) / sizeof(rows[0]) };
