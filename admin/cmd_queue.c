/*
 * admin/cmd_queue.c - `posthouse queue ...`: what waits, and what to do with it. Asks the running queue by its control socket.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>


#include "admin/commands.h"
#include "admin/queue_list.h"
#include "admin/tables.h"
#include "base/clock.h"
#include "queue/control.h"

static int exit_of(enum control_status status, struct slice words)
{
	switch (status) {
	case CONTROL_OK: return EX_OK;
	case CONTROL_DENIED: return command_fail(EX_NOPERM, "%.*s", SLICE_FMT(words));
	case CONTROL_LATER: return command_fail(EX_TEMPFAIL, "%.*s", SLICE_FMT(words));
	default: return command_fail(EX_DATAERR, "%.*s", SLICE_FMT(words));
	}
}

static int ask(const struct command_env *env, enum control_verb verb, const char *id, control_envelope_fn *fn, void *ctx, bool say)
{
	enum control_status status;
	struct err e = ERR_INIT;
	struct buf words;
	int rc;

	buf_init(&words, BUF_UNBOUNDED);
	if (control_ask(env->s, verb, id, fn, ctx, &words, &status, &e) < 0)
		rc = command_fail(EX_TEMPFAIL, "%s", e.text);
	else
		rc = exit_of(status, buf_view(&words));
	if (rc == EX_OK && say)
		printf("%s\n", buf_str(&words));
	buf_done(&words);
	return rc;
}

/* [--json] [ID] in any order. -1: something else. */
static int read_args(const struct command_env *env, bool *json_out, const char **id_out)
{
	*json_out = false;
	*id_out = NULL;
	for (int i = 1; i < env->argc; i++) {
		if (strcmp(env->argv[i], "--json") == 0)
			*json_out = true;
		else if (env->argv[i][0] != '-' && *id_out == NULL)
			*id_out = env->argv[i];
		else
			return -1;
	}
	return 0;
}

static int usage(const struct command_env *env, const char *what)
{
	return command_fail(EX_USAGE, "posthouse queue %s: %s; posthouse queue %s --help says more", env->argv[0], what, env->argv[0]);
}

static int run_list(const struct command_env *env)
{
	struct queue_list list = { 0 };
	const char *id;
	bool json;
	int rc;

	if (read_args(env, &json, &id) < 0 || id != NULL)
		return usage(env, "only --json is understood");
	queue_list_init(&list);
	rc = ask(env, CONTROL_LIST, "", queue_list_add, &list, false);
	if (rc == EX_OK) {
		queue_list_sort(&list);
		if (json)
			queue_list_json(&list, stdout);
		else
			queue_list_text(&list, clock_wall_s(), stdout);
	}
	queue_list_done(&list);
	return rc;
}

static int run_show(const struct command_env *env)
{
	struct queue_list list;
	const char *id;
	bool json;
	int rc;

	if (read_args(env, &json, &id) < 0 || id == NULL)
		return usage(env, "give one queue id");
	queue_list_init(&list);
	rc = ask(env, CONTROL_SHOW, id, queue_list_add, &list, false);
	if (rc == EX_OK && json)
		queue_list_json(&list, stdout);
	else if (rc == EX_OK)
		queue_list_envelopes(&list, stdout);
	queue_list_done(&list);
	return rc;
}

static int with_id(const struct command_env *env, enum control_verb verb)
{
	const char *id;
	bool json;

	if (read_args(env, &json, &id) < 0 || id == NULL || json)
		return usage(env, "give one queue id");
	return ask(env, verb, id, NULL, NULL, true);
}

static int run_retry(const struct command_env *env)
{
	return with_id(env, CONTROL_RETRY);
}

static int run_hold(const struct command_env *env)
{
	return with_id(env, CONTROL_HOLD);
}

static int run_release(const struct command_env *env)
{
	return with_id(env, CONTROL_RELEASE);
}

static int run_remove(const struct command_env *env)
{
	return with_id(env, CONTROL_REMOVE);
}

static int run_flush(const struct command_env *env)
{
	return env->argc > 1 ? usage(env, "it takes no argument") : ask(env, CONTROL_FLUSH, "", NULL, NULL, true);
}

static const struct command rows[] = {
	{ "queue list", run_list, "[--json]", "Lists every message in the queue: its id, size and age, its sender, and for each recipient that still waits the next attempt and the reason.", true },
	{ "queue show", run_show, "[--json] ID", "Shows the envelope of one message as it is kept on disk, with the state of each recipient.", true },
	{ "queue retry", run_retry, "ID", "Tries a message now instead of at its next time.", true },
	{ "queue hold", run_hold, "ID", "Keeps a message in the queue without trying it, until it is released.", true },
	{ "queue release", run_release, "ID", "Lets a held message go on, and tries it now.", true },
	{ "queue remove", run_remove, "ID", "Takes a message out of the queue. Nobody is told, so its sender never hears of it.", true },
	{ "queue flush", run_flush, "", "Tries every message that waits now, except those that are held.", true },
};

const struct command_table cmd_queue_table = { "The queue", rows, sizeof(rows) / sizeof(*rows) };
