/*
 * admin/cmd_user.c - `posthouse user ...`: accounts in users.db and accounts.db. A password is asked for on the terminal, or read from standard input.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/commands.h"
#include "admin/password_ask.h"
#include "admin/tables.h"
#include "auth/users.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/num.h"
#include "conf/conf.h"
#include "drac/drac_call.h"
#include "serve/accounts.h"
#include "serve/boxdir.h"
#include "store/mbox.h"

struct options {
	bool password_stdin, has_quota, has_messages;
	uint64_t quota_storage, quota_messages;
	const char *name;
};

static int status_of(const struct err *e)
{
	switch (e->kind) {
	case ERR_NOTFOUND: return EX_NOUSER;
	case ERR_DENIED: return EX_NOPERM;
	case ERR_TEMP: return EX_TEMPFAIL;
	default: return EX_DATAERR;
	}
}

static int fail_err(const struct err *e)
{
	return command_fail(status_of(e), "%s", e->text);
}

static const char *default_domain(const struct settings *s, struct arena *a)
{
	struct slice rest = slice_of(s->mydestination), word;

	if (s->default_domain[0] != '\0')
		return s->default_domain;
	return conf_word(&rest, &word) ? arena_str(a, word) : s->myhostname;
}

static int canonical(const struct settings *s, const char *name, struct arena *a, struct slice *out)
{
	if (users_canonical(slice_of(name), default_domain(s, a), a, out) == 0)
		return 0;
	return command_fail(EX_USAGE, "'%s' is not a user name: write local@domain, or local for %s", name, default_domain(s, a));
}

/* "none": no limit; "default": what the settings say. */
static int read_limit(const char *option, const char *text, bool is_size, uint64_t *out)
{
	if (strcmp(text, "none") == 0)
		*out = USER_QUOTA_NONE;
	else if (strcmp(text, "default") == 0)
		*out = 0;
	else if ((is_size ? num_size(slice_of(text), out) : num_u64(slice_of(text), UINT32_MAX, out)) != 0)
		return command_fail(EX_USAGE, "%s takes %s, none or default, not '%s'", option, is_size ? "a size such as 500M or 2G" : "a number", text);
	return 0;
}

static int read_options(const struct command_env *env, struct options *o)
{
	*o = (struct options){ .name = NULL };
	for (int i = 1; i < env->argc; i++) {
		const char *arg = env->argv[i];
		if (strcmp(arg, "--password-stdin") == 0)
			o->password_stdin = true;
		else if (strcmp(arg, "--quota") == 0 && i + 1 < env->argc) {
			o->has_quota = true;
			if (read_limit(arg, env->argv[++i], true, &o->quota_storage) != 0)
				return EX_USAGE;
		} else if (strcmp(arg, "--quota-messages") == 0 && i + 1 < env->argc) {
			o->has_messages = true;
			if (read_limit(arg, env->argv[++i], false, &o->quota_messages) != 0)
				return EX_USAGE;
		} else if (arg[0] == '-' || o->name != NULL)
			return command_fail(EX_USAGE, "unexpected argument '%s'", arg);
		else
			o->name = arg;
	}
	return o->name != NULL ? 0 : command_fail(EX_USAGE, "the name of the user is missing");
}

static int get_password(bool from_stdin, char *line, size_t size)
{
	static const char instead[] = "--password-stdin to read the password from it";
	char again[LIMIT_PASSWORD + 2];
	int rc;

	if (from_stdin)
		return password_read_line(line, size);
	rc = password_ask("Password: ", instead, line, size);
	if (rc == 0)
		rc = password_ask("Once more: ", instead, again, sizeof(again));
	if (rc == 0 && strcmp(line, again) != 0)
		rc = command_fail(EX_DATAERR, "the two passwords differ");
	OPENSSL_cleanse(again, sizeof(again));
	return rc;
}

/* Who had the old password may have grants; they end with it. The change itself is done, so trouble here is told and no more. */
static void end_grants(const struct settings *s, struct slice name)
{
	struct err e = ERR_INIT;
	unsigned n = 0;

	if (!s->drac)
		return;
	if (drac_revoke_user(s->drac_socket, name, &n, &e) != 0)
		command_fail(EX_TEMPFAIL, "done, but the user's DRAC entries stay until they expire: %s", e.text);
	else if (n != 0)
		printf("%u DRAC entries of %.*s ended\n", n, SLICE_FMT(name));
}

static void take_limits(struct user *u, const struct options *o)
{
	if (o->has_quota)
		u->quota_storage = o->quota_storage;
	if (o->has_messages)
		u->quota_messages = o->quota_messages;
}

/* Hashes before the lock is taken: it is slow, and two commands may run at once. */
static int change(const struct command_env *env, const struct options *o, bool must_be_new, struct arena *a)
{
	char line[LIMIT_PASSWORD + 2];
	struct user u = { .name = SLICE_NONE }, old;
	struct users_edit *x = NULL;
	struct err e = ERR_INIT;
	int rc = canonical(env->s, o->name, a, &u.name);

	if (rc == 0)
		rc = get_password(o->password_stdin, line, sizeof(line));
	if (rc != 0)
		return rc;
	rc = users_hash_password(slice_of(line), a, &u, &e);
	OPENSSL_cleanse(line, sizeof(line));
	if (rc != 0 || accounts_become_owner(env->s, &e) != 0 || users_edit_begin(&x, env->s->users_db, env->s->accounts_db, &e) != 0)
		return fail_err(&e);
	rc = users_edit_get(x, u.name, a, &old, &e);
	if (rc >= 0 && (rc == 1) == must_be_new) {
		users_edit_drop(&x);
		return command_fail(must_be_new ? EX_CANTCREAT : EX_NOUSER, must_be_new ? "user %.*s is there already; `posthouse user passwd` changes it" :
		    "there is no user %.*s; `posthouse user add` makes one", SLICE_FMT(u.name));
	}
	if (rc == 1) {
		u.quota_storage = old.quota_storage;
		u.quota_messages = old.quota_messages;
		u.flags = old.flags;
	}
	take_limits(&u, o);
	if (rc >= 0 && users_edit_put(x, &u, &e) == 0 && users_edit_commit(&x, &e) == 0) {
		if (!must_be_new)
			end_grants(env->s, u.name);
		return EX_OK;
	}
	users_edit_drop(&x);
	return fail_err(&e);
}

static int run_change(const struct command_env *env, bool must_be_new)
{
	struct options o;
	struct arena *a = arena_new_secret(0);
	int rc = read_options(env, &o);

	if (rc == 0)
		rc = change(env, &o, must_be_new, a);
	arena_free(&a);
	return rc;
}

static int run_add(const struct command_env *env)
{
	return run_change(env, true);
}

static int run_passwd(const struct command_env *env)
{
	return run_change(env, false);
}

/* Sessions that are open hear of it by the file that they share. A mailbox that is not there yet has nothing to hear. */
static void tell_box(const struct settings *s, const struct user *u)
{
	struct box_options opt = { .special_folders = s->special_folders, .hostname = s->myhostname };
	struct err ignored;
	struct box *b = NULL;
	struct buf dir;

	accounts_limits(s, u, &opt.quota_storage, &opt.quota_messages);
	buf_init(&dir, 4096);
	if (boxdir_of(s, u->name, &dir) == 0 && box_open(&b, buf_str(&dir), false, &opt, &ignored) == 0) {
		box_set_limits(b, opt.quota_storage, opt.quota_messages);
		box_close(&b);
	}
	buf_done(&dir);
}

static int set(const struct command_env *env, const struct options *o, struct arena *a)
{
	struct user u = { .name = SLICE_NONE };
	struct users_edit *x = NULL;
	struct err e = ERR_INIT;
	struct slice name;
	int rc = canonical(env->s, o->name, a, &name);

	if (rc != 0)
		return rc;
	if (accounts_become_owner(env->s, &e) != 0 || users_edit_begin(&x, env->s->users_db, env->s->accounts_db, &e) != 0)
		return fail_err(&e);
	rc = users_edit_get(x, name, a, &u, &e);
	take_limits(&u, o);
	if (rc == 1 && users_edit_put(x, &u, &e) == 0 && users_edit_commit(&x, &e) == 0) {
		tell_box(env->s, &u);
		return EX_OK;
	}
	users_edit_drop(&x);
	return rc == 0 ? command_fail(EX_NOUSER, "there is no user %.*s; `posthouse user add` makes one", SLICE_FMT(name)) : fail_err(&e);
}

static int run_set(const struct command_env *env)
{
	struct options o;
	struct arena *a = arena_new_secret(0);
	int rc = read_options(env, &o);

	if (rc == 0 && (o.password_stdin || (!o.has_quota && !o.has_messages)))
		rc = command_fail(EX_USAGE, o.password_stdin ? "`posthouse user passwd` changes the password" : "give --quota, --quota-messages or both");
	if (rc == 0)
		rc = set(env, &o, a);
	arena_free(&a);
	return rc;
}

static int run_del(const struct command_env *env)
{
	struct options o;
	struct err e = ERR_INIT;
	struct slice name;
	struct arena *a = arena_new(0);
	int rc = read_options(env, &o);

	if (rc == 0)
		rc = canonical(env->s, o.name, a, &name);
	if (rc == 0 && (accounts_become_owner(env->s, &e) != 0 || users_delete(env->s->users_db, env->s->accounts_db, name, &e) != 0))
		rc = fail_err(&e);
	else if (rc == 0)
		end_grants(env->s, name);
	arena_free(&a);
	return rc;
}

static int print_user(void *ctx, const struct user *u)
{
	struct buf b;

	(void)ctx;
	buf_init(&b, BUF_UNBOUNDED);
	buf_put(&b, u->name);
	if (u->quota_storage == USER_QUOTA_NONE) {
		buf_puts(&b, " quota=none");
	} else if (u->quota_storage != 0) {
		buf_puts(&b, " quota=");
		num_put_size(&b, u->quota_storage);
	}
	if (u->quota_messages == USER_QUOTA_NONE)
		buf_puts(&b, " quota-messages=none");
	else if (u->quota_messages != 0)
		buf_putf(&b, " quota-messages=%llu", (unsigned long long)u->quota_messages);
	if (u->flags & USER_DISABLED)
		buf_puts(&b, " disabled");
	if (u->flags & USER_NO_RELAY)
		buf_puts(&b, " no-relay");
	puts(buf_str(&b));
	buf_done(&b);
	return 0;
}

static int run_list(const struct command_env *env)
{
	struct users *u = NULL;
	struct err e = ERR_INIT;
	int rc = users_open(&u, env->s->users_db, &e);

	if (rc == 0)
		rc = users_each(u, print_user, NULL, &e);
	users_close(&u);
	return rc == 0 ? EX_OK : fail_err(&e);
}

struct import {
	const struct settings *s;
	const char *file;
	struct users_edit *x;
	unsigned line, n;
};

static int import_line(struct import *im, struct slice line, struct arena *a)
{
	ptrdiff_t colon = slice_chr(line, ':');
	struct user u = { .name = SLICE_NONE }, old;
	struct err e = ERR_INIT;

	if (colon <= 0 || users_canonical(slice_head(line, (size_t)colon), default_domain(im->s, a), a, &u.name) != 0)
		return command_fail(EX_DATAERR, "%s:%u: a line is name:password", im->file, im->line);
	if (users_edit_get(im->x, u.name, a, &old, &e) == 1) {
		u = old;
	}
	if (users_hash_password(slice_from(line, (size_t)colon + 1), a, &u, &e) != 0 || users_edit_put(im->x, &u, &e) != 0)
		return command_fail(status_of(&e), "%s:%u: %s", im->file, im->line, e.text);
	im->n++;
	return 0;
}

static int import_all(struct import *im, struct slice text)
{
	struct arena *a = arena_new_secret(0);
	struct slice line;
	int rc = 0;

	while (rc == 0 && slice_next(&text, '\n', &line)) {
		im->line++;
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n != 0 && line.p[0] != '#')
			rc = import_line(im, line, a);
		arena_reset(a);
	}
	arena_free(&a);
	return rc;
}

static int run_import(const struct command_env *env)
{
	struct import im = { .s = env->s };
	struct buf text;
	struct err e = ERR_INIT;

	if (env->argc != 2)
		return command_fail(EX_USAGE, "give one file of name:password lines, /dev/stdin for standard input");
	im.file = env->argv[1];
	buf_init(&text, 64u << 20);
	if (file_read(im.file, &text, &e) != 0 || accounts_become_owner(env->s, &e) != 0 || users_edit_begin(&im.x, env->s->users_db, env->s->accounts_db, &e) != 0) {
		buf_wipe(&text);
		return fail_err(&e);
	}
	int rc = import_all(&im, buf_view(&text));

	buf_wipe(&text);
	if (rc == 0 && users_edit_commit(&im.x, &e) != 0)
		rc = fail_err(&e);
	users_edit_drop(&im.x);
	if (rc == 0)
		printf("%u users\n", im.n);
	return rc;
}

static const struct command rows[] = {
	{ "user add", run_add, "[--quota SIZE] [--password-stdin] NAME",
	    "Makes an account. The password is asked for twice on the terminal, or is the first line of standard input.", true },
	{ "user set", run_set, "[--quota SIZE] [--quota-messages NUMBER] NAME",
	    "Changes how much mail an account may keep, at once and for open sessions too. none is no limit, default what quota_storage and quota_messages say.", true },
	{ "user passwd", run_passwd, "[--quota SIZE] [--password-stdin] NAME",
	    "Changes the password of an account, and its quota if that is given. DRAC grants of the user end.", true },
	{ "user del", run_del, "NAME", "Removes an account. Its mailboxes stay on disk.", true },
	{ "user list", run_list, "", "Lists the accounts, one a line.", true },
	{ "user import", run_import, "FILE", "Makes or changes many accounts at once from lines of the form name:password. All or none.", true },
};

const struct command_table cmd_user_table = { "Accounts", rows, sizeof(rows) / sizeof(rows[0]) };
