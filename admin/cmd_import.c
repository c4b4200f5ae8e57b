/*
 * admin/cmd_import.c - `posthouse import` and `posthouse export`: mail of other programs into a mailbox, and out of it.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "admin/import.h"
#include "admin/password_ask.h"
#include "admin/tables.h"
#include "base/limits.h"
#include "base/num.h"

typedef int (*import_fn)(struct import *im, struct slice folder, const char *path, struct err *e);
typedef int (*export_fn)(struct import_box *x, struct slice folder, const char *path, uint64_t *n_out, struct err *e);

struct words {
	const char *folder, *user, *password_file;
	struct imap_source imap;
	bool dry;
	char **paths;
	int n_paths;
};

enum takes { TAKES_NOTHING, TAKES_DRY = 1, TAKES_IMAP = 2 };

/* The option at argv[*i], which moves over its value. False: there is no such option here. */
static bool read_option(const struct command_env *env, unsigned takes, int *i, struct words *w)
{
	const struct { const char *name; const char **value; bool *flag; unsigned takes; } options[] = {
		{ "--folder", &w->folder, NULL, TAKES_NOTHING }, { "--dry-run", NULL, &w->dry, TAKES_DRY },
		{ "--login", &w->imap.login, NULL, TAKES_IMAP }, { "--password-file", &w->password_file, NULL, TAKES_IMAP },
		{ "--ca-file", &w->imap.ca_file, NULL, TAKES_IMAP }, { "--starttls", NULL, &w->imap.starttls, TAKES_IMAP },
		{ "--no-tls", NULL, &w->imap.no_tls, TAKES_IMAP }, { "--no-verify", NULL, &w->imap.no_verify, TAKES_IMAP },
	};

	for (size_t k = 0; k < sizeof options / sizeof options[0]; k++) {
		if (strcmp(env->argv[*i], options[k].name) != 0 || (takes & options[k].takes) != options[k].takes)
			continue;
		if (options[k].flag != NULL)
			*options[k].flag = true;
		else if (++*i == env->argc)
			return false;
		else
			*options[k].value = env->argv[*i];
		return true;
	}
	return false;
}

static int read_words(const struct command_env *env, unsigned takes, struct words *w)
{
	int i = 1;

	*w = (struct words){ .folder = NULL };
	for (; i < env->argc && env->argv[i][0] == '-'; i++)
		if (!read_option(env, takes, &i, w))
			return command_fail(EX_USAGE, i < env->argc ? "unexpected argument '%s'" : "%s takes a value", env->argv[i < env->argc ? i : i - 1]);
	if (env->argc - i < 2)
		return command_fail(EX_USAGE, (takes & TAKES_IMAP) != 0 ? "give the user, then the server" : "give the user, then a path");
	w->user = env->argv[i];
	w->paths = env->argv + i + 1;
	w->n_paths = env->argc - i - 1;
	return EX_OK;
}

static void tell(const struct import *im)
{
	printf(im->dry ? "%llu messages would be imported, %llu are there already\n" : "%llu messages imported, %llu were there already\n", (unsigned long long)im->added, (unsigned long long)im->had);
	if (im->without_keywords > 0)
		printf("%llu of them without their keywords: the folder has as many different ones as it can hold, or they are no keywords in IMAP\n",
		    (unsigned long long)im->without_keywords);
}

static int import_end_and_tell(struct import *im, int rc, struct err *e)
{
	struct err end = ERR_INIT;

	if (import_end(im, &end) != 0 && rc == 0) {
		*e = end;
		rc = -1;
	}
	tell(im);
	if (rc == 0)
		return EX_OK;
	return command_fail(import_status(e), "%s%s", e->text, im->added > 0 || e->kind == ERR_TEMP ? "; run it again to go on from here" : "");
}

static struct slice folder_word(const struct words *w)
{
	return w->folder == NULL ? SLICE("INBOX") : slice_of(w->folder);
}

static int import_paths(struct import_box *x, const struct words *w, import_fn fn)
{
	struct err e = ERR_INIT;
	struct import im;
	int rc = import_begin(&im, x, w->dry, &e);

	for (int i = 0; rc == 0 && i < w->n_paths; i++)
		rc = fn(&im, folder_word(w), w->paths[i], &e);
	return import_end_and_tell(&im, rc, &e);
}

static int run_import(const struct command_env *env, import_fn fn)
{
	struct import_box x;
	struct words w;
	int rc = read_words(env, TAKES_DRY, &w);

	if (rc != EX_OK)
		return rc;
	rc = import_box_open(&x, env->s, w.user, true, w.dry);
	if (rc == EX_OK)
		rc = import_paths(&x, &w, fn);
	import_box_close(&x);
	return rc;
}

/* HOST, HOST:PORT, [ADDRESS]:PORT */
static int read_server(const char *text, struct imap_source *src, struct arena *a)
{
	struct slice host = slice_of(text), port = SLICE_NONE;
	ptrdiff_t close = slice_chr(host, ']'), colon = slice_rchr(host, ':');
	uint32_t number = 0;

	if (colon > close && slice_chr(host, ':') >= (close < 0 ? colon : 0)) {
		port = slice_from(host, (size_t)colon + 1);
		host = slice_head(host, (size_t)colon);
	}
	if (close > 0 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = slice_mem(host.p + 1, host.n - 2);
	if (host.n == 0 || (port.p != NULL && (num_u32(port, 65535, &number) != 0 || number == 0)))
		return command_fail(EX_USAGE, "'%s' is no server: write HOST or HOST:PORT", text);
	src->host = arena_str(a, host);
	src->port = (uint16_t)number;
	return EX_OK;
}

/* The first line of the file, or what is typed. */
static int read_password(const struct words *w, struct arena *a, const char **out)
{
	char line[LIMIT_PASSWORD + 2] = "";
	FILE *f;

	if (w->password_file == NULL) {
		if (password_ask(arena_printf(a, "Password of %s at %s: ", w->imap.login, w->imap.host), "--password-file FILE, its first line is the password", line, sizeof line) != 0)
			return EX_USAGE;
	} else {
		f = fopen(w->password_file, "re");
		if (f == NULL)
			return command_fail(EX_NOINPUT, "%s: %s", w->password_file, strerror(errno));
		if (fgets(line, sizeof line, f) == NULL)
			line[0] = '\0';
		fclose(f);
		line[strcspn(line, "\r\n")] = '\0';
	}
	*out = arena_str(a, slice_of(line));
	OPENSSL_cleanse(line, sizeof line);
	return **out != '\0' ? EX_OK : command_fail(EX_USAGE, "the password is empty");
}

static int run_import_imap(const struct command_env *env)
{
	struct arena *a = arena_new_secret(0);
	struct import_box x = { .b = NULL };
	struct err e = ERR_INIT;
	struct import im;
	struct words w;
	int rc = read_words(env, TAKES_DRY | TAKES_IMAP, &w);

	if (rc == EX_OK && (w.n_paths != 1 || (w.imap.starttls && w.imap.no_tls)))
		rc = command_fail(EX_USAGE, w.n_paths != 1 ? "give one server" : "--starttls and --no-tls exclude each other");
	if (rc == EX_OK && w.imap.login == NULL)
		w.imap.login = w.user;
	w.imap.resolv_conf = env->s->resolv_conf;
	w.imap.dns_server = env->s->dns_server;
	if (rc == EX_OK && (rc = read_server(w.paths[0], &w.imap, a)) == EX_OK && (rc = read_password(&w, a, &w.imap.password)) == EX_OK) {
		rc = import_box_open(&x, env->s, w.user, true, w.dry);
		if (rc == EX_OK) {
			rc = import_begin(&im, &x, w.dry, &e);
			rc = import_end_and_tell(&im, rc != 0 ? rc : import_imap(&im, folder_word(&w), &w.imap, &e), &e);
		}
		import_box_close(&x);
	}
	arena_free(&a);
	return rc;
}

static int run_import_mbox(const struct command_env *env)
{
	return run_import(env, import_mbox);
}

static int run_import_maildir(const struct command_env *env)
{
	return run_import(env, import_maildir);
}

static int run_export(const struct command_env *env, export_fn fn)
{
	struct import_box x;
	struct words w;
	struct err e = ERR_INIT;
	uint64_t n = 0;
	int rc = read_words(env, TAKES_NOTHING, &w);

	if (rc == EX_OK && w.n_paths != 1)
		rc = command_fail(EX_USAGE, "give one path to write to");
	if (rc != EX_OK)
		return rc;
	rc = import_box_open(&x, env->s, w.user, false, false);
	if (rc == EX_OK && fn(&x, slice_of(w.folder), w.paths[0], &n, &e) != 0)
		rc = command_fail(import_status(&e), "%s", e.text);
	else if (rc == EX_OK)
		printf("%llu messages exported\n", (unsigned long long)n);
	import_box_close(&x);
	return rc;
}

static int run_export_mbox(const struct command_env *env)
{
	return run_export(env, export_mbox);
}

static int run_export_maildir(const struct command_env *env)
{
	return run_export(env, export_maildir);
}

static const struct command rows[] = {
	{ "import mbox", run_import_mbox, "[--dry-run] [--folder FOLDER] USER FILE ...",
	    "Brings the messages of mbox files into a folder of USER (INBOX, unless another is named; it is made when missing). Flags and keywords come from Status, "
	    "X-Status and X-Keywords, dates from the From lines; the files are not changed. Run again, after a break or with more messages in the file, "
	    "it adds only what is missing: for a day also without what the user has deleted meanwhile. Into a folder that never had a message they come with the UIDVALIDITY and "
	    "UIDs of X-IMAPbase and X-UID. --dry-run only says how many there are.", true },
	{ "import maildir", run_import_maildir, "[--dry-run] [--folder FOLDER] USER DIRECTORY ...",
	    "The same from a Maildir with the folders below it (Maildir++). Flags come from the file names, keywords from dovecot-keywords, "
	    "dates from the files or their names, whichever is older, UIDs from dovecot-uidlist or courierimapuiddb, subscriptions from subscriptions or courierimapsubscribed.", true },
	{ "import imap", run_import_imap,
	    "[--dry-run] [--folder FOLDER] [--login NAME] [--password-file FILE] [--ca-file FILE] [--starttls] [--no-tls] [--no-verify] USER HOST[:PORT]",
	    "The same from any IMAP server: all folders with their special uses and subscriptions, messages with flags, keywords, dates and UIDs. NAME is the login there (USER, unless "
	    "given), the password the first line of FILE, or asked for. TLS from the first octet on port 993, --starttls on port 143; the certificate must be good for HOST by the "
	    "system's authorities or those in the file; --no-verify takes any, --no-tls sends the password in the clear. The server is only read from.", true },
	{ "export mbox", run_export_mbox, "[--folder FOLDER] USER FILE",
	    "Writes a folder of USER (INBOX, unless another is named) as a new mbox file with mboxrd quoting, with UIDs, which import mbox reads back.", true },
	{ "export maildir", run_export_maildir, "[--folder FOLDER] USER DIRECTORY",
	    "Writes all folders of USER, or one, as a new Maildir++ tree with dovecot-keywords, dovecot-uidlist and subscriptions, which import maildir and Dovecot read.", true },
};

const struct command_table cmd_import_table = { "Coming from elsewhere", rows, sizeof(rows) / sizeof(rows[0]) };
