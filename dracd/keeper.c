/*
 * dracd/keeper.c - see the header.
 */
#include "dracd/keeper.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "dracd/publish.h"
#include "serve/super.h"

enum { PAUSE_MIN_MS = 100, PAUSE_MAX_MS = 1000, TROUBLE_MAX_MS = 60000, CHILD_MAX_MS = 60000 };

struct work {                                                         /* one file and the child that writes it */
	struct keeper *k;
	pid_t child;                                                  /* 0: none runs */
	struct loop_timer limit;                                      /* of the child */
	struct loop_timer pause;
	int64_t pause_ms;
	unsigned failed;                                              /* in a row */
	const char *what;
};

struct keeper {
	struct loop *loop;
	struct core *core;
	const char *path;
	unsigned keys;
	bool dirty;                                                   /* dracd.db: since its child was started */
	struct work table, journal;
	void (*news)(void *ctx);
	void *news_ctx;
};

static int64_t at_most(int64_t ms, int64_t max)
{
	return ms < max ? ms : max;
}

/* The child has told why it failed, the first time. */
static void tell(struct work *w, bool ok)
{
	if (ok && w->failed != 0)
		log_info("drac: %s is written again, %u attempts had failed", w->what, w->failed);
	w->failed = ok ? 0 : w->failed + 1;
}

/* A child that does not outlive us: it holds our sockets and our lock. */
static pid_t fork_child(struct work *w)
{
	pid_t me = getpid(), pid = fork();

	if (pid == 0 && !proc_tie_to_parent(me))
		_exit(1);
	if (pid < 0 && w->failed == 0)
		log_error("drac: no process to write %s: %s", w->what, strerror(errno));
	return pid;
}

static void on_limit(void *ctx)
{
	struct work *w = ctx;

	log_error("drac: %s was not written within %d s: given up, tried again", w->what, CHILD_MAX_MS / 1000);
	kill(w->child, SIGKILL);                                          /* on_child() hears of it */
}

static void runs(struct keeper *k, struct work *w, pid_t pid)
{
	w->child = pid;
	loop_timer_start(k->loop, &w->limit, CHILD_MAX_MS, on_limit, w);
}

static void ended(struct keeper *k, struct work *w, bool ok)
{
	w->child = 0;
	loop_timer_stop(k->loop, &w->limit);
	tell(w, ok);
}

/*
 * dracd.db
 */

static pid_t fork_table(struct keeper *k)
{
	pid_t pid = fork_child(&k->table);
	struct err e = ERR_INIT;

	if (pid != 0)
		return pid;
	if (publish_write(core_table(k->core), k->path, k->keys, &e) == 0)
		_exit(0);
	if (k->table.failed == 0)
		log_error("drac: %s: its readers see old grants until it can be written, which is tried again", e.text);
	_exit(1);
}

static void table_start(struct keeper *k);

static void on_table_pause_over(void *ctx)
{
	struct keeper *k = ctx;

	if (k->table.child != 0)
		return;
	if (k->dirty)
		table_start(k);
	else
		k->table.pause_ms = 0;                                    /* quiet again */
}

static void table_pause(struct keeper *k, bool ok)
{
	struct work *w = &k->table;

	w->pause_ms = w->pause_ms < PAUSE_MIN_MS ? PAUSE_MIN_MS : at_most(w->pause_ms * 2, ok ? PAUSE_MAX_MS : TROUBLE_MAX_MS);
	if (!ok && w->pause_ms < PAUSE_MAX_MS)
		w->pause_ms = PAUSE_MAX_MS;
	loop_timer_start(k->loop, &w->pause, w->pause_ms, on_table_pause_over, k);
}

static void table_ended(struct keeper *k, bool ok)
{
	ended(k, &k->table, ok);
	k->dirty |= !ok;
	core_stats(k->core)[STAT_PUBLISHED] += ok;
	table_pause(k, ok);
}

static void table_start(struct keeper *k)
{
	pid_t pid = fork_table(k);

	k->dirty = false;
	if (pid > 0)
		runs(k, &k->table, pid);
	else
		table_ended(k, false);
}

/*
 * The journal
 */

static void on_journal_pause_over(void *ctx)
{
	struct keeper *k = ctx;

	if (!core_wants_rewrite(k->core))
		k->journal.pause_ms = 0;
	keeper_changed(k);
}

static void journal_ended(struct keeper *k, bool ok)
{
	struct work *w = &k->journal;

	ended(k, w, ok);
	core_rewritten(k->core, ok);
	w->pause_ms = w->pause_ms < PAUSE_MAX_MS ? PAUSE_MAX_MS : at_most(w->pause_ms * 2, TROUBLE_MAX_MS);
	loop_timer_start(k->loop, &w->pause, w->pause_ms, on_journal_pause_over, k);
	if (ok)
		k->news(k->news_ctx);
}

static void journal_start(struct keeper *k)
{
	pid_t pid = fork_child(&k->journal);

	if (pid == 0) {
		if (core_write_new(k->core) == 0)
			_exit(0);
		if (k->journal.failed == 0)
			log_error("drac: the journal can't be written anew: %s; tried again", strerror(errno));
		_exit(1);
	}
	core_rewrite(k->core);
	if (pid > 0)
		runs(k, &k->journal, pid);
	else
		journal_ended(k, false);
}

void keeper_changed(struct keeper *k)
{
	k->dirty |= core_changed(k->core);
	if (k->dirty && k->table.child == 0 && !loop_timer_is_running(&k->table.pause))
		table_start(k);
	if (core_wants_rewrite(k->core) && k->journal.child == 0 && !loop_timer_is_running(&k->journal.pause))
		journal_start(k);
}

static void on_child(void *ctx, int signo)
{
	struct keeper *k = ctx;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == k->table.child)
			table_ended(k, status == 0);
		else if (pid == k->journal.child)
			journal_ended(k, status == 0);
	}
}

/*
 * Start and end
 */

/* What a child that was killed left behind. */
static void remove_leftovers(const char *table)
{
	char *pattern = NULL;
	glob_t g;

	if (asprintf(&pattern, "%s.tmp.*", table) < 0)
		abort();
	if (glob(pattern, GLOB_NOSORT, NULL, &g) == 0) {
		for (size_t i = 0; i < g.gl_pathc; i++)
			unlink(g.gl_pathv[i]);
		globfree(&g);
	}
	free(pattern);
}

struct keeper *keeper_new(struct loop *l, struct core *c, const char *table_path, unsigned keys, void (*news)(void *ctx), void *ctx)
{
	struct keeper *k = mem_new(sizeof(*k));

	k->loop = l;
	k->core = c;
	k->path = table_path;
	k->keys = keys;
	k->news = news;
	k->news_ctx = ctx;
	k->table.what = table_path;
	k->journal.what = "the journal";
	loop_signal(l, SIGCHLD, on_child, k);
	remove_leftovers(table_path);
	return k;
}

static void end_child(pid_t pid)
{
	if (pid > 0 && kill(pid, SIGKILL) == 0)
		waitpid(pid, NULL, 0);
}

void keeper_free(struct keeper **kp)
{
	struct keeper *k = kp ? *kp : NULL;
	struct err e = ERR_INIT;

	if (k == NULL)
		return;
	loop_timer_stop(k->loop, &k->table.limit);
	loop_timer_stop(k->loop, &k->journal.limit);
	loop_timer_stop(k->loop, &k->table.pause);
	loop_timer_stop(k->loop, &k->journal.pause);
	end_child(k->table.child);
	end_child(k->journal.child);
	if (k->journal.child > 0)
		core_rewritten(k->core, false);
	if (publish_write(core_table(k->core), k->path, k->keys, &e) != 0)
		log_error("drac: %s", e.text);
	remove_leftovers(k->path);
	free(k);
	*kp = NULL;
}
