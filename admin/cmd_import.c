/*
 * admin/cmd_import.c - `posthouse import` and `posthouse export`: mail of other programs into a mailbox, and out of it.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "admin/import.h"
#include "admin/tables.h"

typedef int (*import_fn)(struct import *im, struct slice folder, const char *path, struct err *e);
typedef int (*export_fn)(struct import_box *x, struct slice folder, const char *path, uint64_t *n_out, struct err *e);

struct words { const char *folder, *user; char **paths; int n_paths; };

static int read_words(const struct command_env *env, struct words *w)
{
	int i = 1;

	*w = (struct words){ .folder = NULL };
	for (; i < env->argc && env->argv[i][0] == '-'; i++) {
		if (strcmp(env->argv[i], "--folder") != 0)
			return command_fail(EX_USAGE, "unexpected argument '%s'", env->argv[i]);
		if (++i == env->argc)
			return command_fail(EX_USAGE, "--folder takes the name of a folder");
		w->folder = env->argv[i];
	}
	if (env->argc - i < 2)
		return command_fail(EX_USAGE, "give the user, then a path");
	w->user = env->argv[i];
	w->paths = env->argv + i + 1;
	w->n_paths = env->argc - i - 1;
	return EX_OK;
}

static void tell(const struct import *im)
{
	printf("%llu messages imported, %llu were there already\n", (unsigned long long)im->added, (unsigned long long)im->had);
	if (im->without_keywords > 0)
		printf("%llu of them without their keywords: the folder has as many different ones as it can hold, or they are no keywords in IMAP\n",
		    (unsigned long long)im->without_keywords);
}

static int import_paths(struct import_box *x, const struct words *w, import_fn fn)
{
	struct slice folder = w->folder == NULL ? SLICE("INBOX") : slice_of(w->folder);
	struct err e = ERR_INIT, end = ERR_INIT;
	struct import im;
	int rc = import_begin(&im, x, &e);

	for (int i = 0; rc == 0 && i < w->n_paths; i++)
		rc = fn(&im, folder, w->paths[i], &e);
	if (import_end(&im, &end) != 0 && rc == 0) {
		e = end;
		rc = -1;
	}
	tell(&im);
	if (rc == 0)
		return EX_OK;
	return command_fail(import_status(&e), "%s; run it again to go on from here", e.text);
}

static int run_import(const struct command_env *env, import_fn fn)
{
	struct import_box x;
	struct words w;
	int rc = read_words(env, &w);

	if (rc != EX_OK)
		return rc;
	rc = import_box_open(&x, env->s, w.user, true);
	if (rc == EX_OK)
		rc = import_paths(&x, &w, fn);
	import_box_close(&x);
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
	int rc = read_words(env, &w);

	if (rc == EX_OK && w.n_paths != 1)
		rc = command_fail(EX_USAGE, "give one path to write to");
	if (rc != EX_OK)
		return rc;
	rc = import_box_open(&x, env->s, w.user, false);
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
	{ "import mbox", run_import_mbox, "[--folder FOLDER] USER FILE ...",
	    "Brings the messages of mbox files into a folder of USER (INBOX, unless another is named; it is made when missing). Flags and keywords come from Status, "
	    "X-Status and X-Keywords, dates from the From lines; the files are not changed. Run again, after a break or with more messages in the file, "
	    "it adds only what is missing: for a day also without what the user has deleted meanwhile. UIDs are new.", true },
	{ "import maildir", run_import_maildir, "[--folder FOLDER] USER DIRECTORY ...",
	    "The same from a Maildir with the folders below it (Maildir++). Flags come from the file names, keywords from dovecot-keywords, "
	    "dates from the files or their names, whichever is older.", true },
	{ "export mbox", run_export_mbox, "[--folder FOLDER] USER FILE",
	    "Writes a folder of USER (INBOX, unless another is named) as a new mbox file with mboxrd quoting, which import mbox reads back.", true },
	{ "export maildir", run_export_maildir, "[--folder FOLDER] USER DIRECTORY",
	    "Writes all folders of USER, or one, as a new Maildir++ tree with keywords in dovecot-keywords, which import maildir reads back.", true },
};

const struct command_table cmd_import_table = { "Coming from elsewhere", rows, sizeof(rows) / sizeof(rows[0]) };
