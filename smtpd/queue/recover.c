/*
 * queue/recover.c - the start: every segment in use is scanned, every deferred message is read, what queue.log calls done is skipped.
 *
 * It runs in small steps, each when the loop has nothing else to do: fronts get free segments at once and accept while old mail is still being read.
 * Journal first: a message that is in both places has its record's word (its deferred files were perhaps not flushed).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/deferred.h"
#include "queue/state.h"

enum { DIRECTORIES = 256, LARGE_STRAY_S = 3600 };

static bool is_expanded(const struct envelope *env)
{
	for (size_t i = 0; i < env->n_rcpts; i++) {
		if (env->rcpts[i].state == RCPT_WAITING && env->rcpts[i].user.n == 0 && env->rcpts[i].next_hop.n == 0)
			return false;
	}
	return true;
}

static void on_deferred(void *ctx, struct slice text, const char *id)
{
	struct queue *q = ctx;
	struct qmessage *m;
	struct err e = ERR_INIT;

	if (hmap_get(q->by_id, slice_of(id)) != NULL || qlog_story_done(q->story, id)) {
		deferred_remove(q->settings->spool_directory, id);
		return;
	}
	m = queue_message_new(q, text, &e);
	if (m != NULL && strcmp(m->env.id, id) != 0) {
		queue_message_free(q, m);
		m = NULL;
		err_set(&e, ERR_SYNTAX, 0, "its envelope is about another id");
	}
	if (m == NULL) {
		log_error("%s: cannot be read (%s): it is kept in %s/corrupt", id, e.text, q->settings->spool_directory);
		if (deferred_to_corrupt(q->settings->spool_directory, id, &e) < 0)
			log_error("%s", e.text);
		return;
	}
	m->on_disk = true;
	m->maybe_again = true;
	m->unclean = qlog_story_is_unclean(q->story);
	m->expanded = is_expanded(&m->env);
	for (size_t i = 0; i < m->env.n_rcpts; i++) {
		if (qlog_story_rcpt(q->story, id, m->env.rcpts[i].address) && m->env.rcpts[i].state != RCPT_DONE) {
			m->env.rcpts[i].state = RCPT_DONE;
			m->run[i].noted = true;
			queue_dirty(q, m);
		}
	}
	queue_message_go(q, m);
}

/* Large files that no message points to: their session died before the final dot. A live session may have one open, so only old ones go. */
static void sweep_large(struct queue *q)
{
	int64_t now = loop_wall_us(q->loop) / CLOCK_US_PER_S;
	struct buf path;
	DIR *d;

	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/large", q->settings->spool_directory);
	d = opendir(buf_str(&path));
	for (struct dirent *ent; d != NULL && (ent = readdir(d)) != NULL; ) {
		struct slice name = slice_of(ent->d_name);
		struct stat st;

		if (!slice_ends(name, SLICE(".eml")) || hmap_get(q->by_id, slice_head(name, name.n - 4)) != NULL)
			continue;
		if (fstatat(dirfd(d), ent->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && now - st.st_mtime > LARGE_STRAY_S)
			unlinkat(dirfd(d), ent->d_name, 0);
	}
	if (d != NULL)
		closedir(d);
	buf_done(&path);
}

/* One segment. False: all were scanned before. */
static bool scan_journal(struct queue *q)
{
	LIST_EACH(n, segs_all(q->segs)) {
		struct seg *seg = LIST_OF(n, struct seg, node);

		if (!seg->unscanned)
			continue;
		queue_scan_segment(q, seg, true);
		if (seg->state == SEG_CLOSED && segs_is_open_elsewhere(q->segs, seg))
			seg->state = SEG_GIVEN;                       /* its front lives on; it will link and say HOLD */
		return true;
	}
	return false;
}

/*
 * A record that an earlier queue process knew: perhaps it lies in spool/deferred too. Were it delivered before that is known, its files there would
 * be taken for a message of their own.
 */
bool queue_must_wait(const struct queue *q, const struct qmessage *m)
{
	return !q->recovered && m->maybe_again && !m->on_disk;
}

static void release_waiting(struct queue *q)
{
	uint64_t *tokens = mem_array(hmap_count(q->by_token) + 1, sizeof(*tokens));
	size_t n = 0, at = 0;
	struct slice key;
	void *value;

	while (hmap_next(q->by_token, &at, &key, &value)) {
		const struct qmessage *m = value;

		if (m->maybe_again && !m->on_disk)
			tokens[n++] = m->token;
	}
	for (size_t i = 0; i < n; i++) {
		struct qmessage *m = hmap_get(q->by_token, slice_mem(&tokens[i], sizeof(tokens[i])));

		if (m != NULL)
			queue_message_go(q, m);
	}
	free(tokens);
}

static void finish(struct queue *q)
{
	bool unclean = qlog_story_is_unclean(q->story);

	sweep_large(q);
	qlog_story_free(&q->story);
	q->recovered = true;
	q->changed = q->spool_changed = true;
	queue_rewrite_log(q);
	log_info("queue is up: %zu messages%s", hmap_count(q->by_id),
	    unclean ? "; the machine went down, so deliveries since the last checkpoint are looked at again" : "");
	queue_front_orphans(q);
	release_waiting(q);
	queue_checkpoint(q);
}

static void step(void *ctx)
{
	struct queue *q = ctx;

	if (q->recover_step == 0 && scan_journal(q)) {
		loop_task_when_idle(q->loop, &q->recover, step, q);
		return;
	}
	deferred_each(q->settings->spool_directory, q->recover_step++, on_deferred, q);
	if (q->recover_step < DIRECTORIES)
		loop_task_when_idle(q->loop, &q->recover, step, q);
	else
		finish(q);
}

void queue_recover(struct queue *q)
{
	loop_task_when_idle(q->loop, &q->recover, step, q);
}
