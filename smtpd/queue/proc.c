/*
 * queue/proc.c - the queue process: settings, links, timers. Runs as posthouse; writes the spool and its control socket, reads the maps; hears fronts,
 * deliver, client and local commands, nobody from outside; sees no password.
 */
#include "queue/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "queue/state.h"
#include "serve/accounts.h"
#include "serve/sandbox.h"

/* ---- space ---- */

static void look_at_space(struct queue *q)
{
	struct statvfs v;
	uint64_t have, keep = q->settings->queue_minfree;

	if (statvfs(q->settings->spool_directory, &v) < 0)
		return;
	have = (uint64_t)v.f_bavail * v.f_frsize;
	if (have >= keep && !(v.f_files > 0 && v.f_favail < 1000 && v.f_ffree < 1000))
		keep = 0;
	if (q->log_stuck && keep == 0)
		keep = have + 1;                                      /* whatever the numbers say, queue.log cannot be written */
	q->space_have = have;
	if ((keep == 0) == (q->space_keep == 0))
		return;
	q->space_keep = keep;
	if (keep > 0)
		log_error("spool full: %llu MB left, %llu MB kept free: mail is refused with 452", (unsigned long long)(have >> 20), (unsigned long long)(keep >> 20));
	else
		log_info("the spool has room again: %llu MB", (unsigned long long)(have >> 20));
	queue_front_tell_space(q);
	queue_front_serve(q);
}

/* ---- timers ---- */

static void on_second(void *ctx)
{
	struct queue *q = ctx;

	queue_log_retry(q);
	look_at_space(q);
	queue_front_orphans(q);
	queue_front_serve(q);
	loop_timer_start(q->loop, &q->every_second, CLOCK_MS_PER_S, on_second, q);
}

static void on_checkpoint(void *ctx)
{
	struct queue *q = ctx;
	int64_t every = q->settings->checkpoint_interval;

	queue_checkpoint(q);
	loop_timer_start(q->loop, &q->every_checkpoint, (every > 0 ? every : 1) * CLOCK_MS_PER_S, on_checkpoint, q);
}

/* ---- links ---- */

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct queue *q = ctx;

	if (strcmp(role, "front") == 0) {
		queue_front_link(q, fd);
	} else if (strcmp(role, "client") == 0) {
		queue_target_link(&q->client, fd);
	} else if (strcmp(role, "deliver") == 0 && index < q->n_deliver) {
		queue_target_link(&q->deliver[index], fd);
	} else {
		log_warn("a link to %s %u that the queue has no use for", role, index);
		close(fd);
	}
}

static void on_retire(void *ctx)
{
	struct queue *q = ctx;

	queue_last_checkpoint(q);
	loop_stop(q->loop);                                           /* what is out comes again, with that said */
}

static const struct proc_events proc_events = { on_link, on_retire };

/* ---- start ---- */

/* One queue process at a time: after a reload the old one may take a moment to end. */
static int take_lock(struct queue *q, struct err *e)
{
	struct buf path;

	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/queue.lock", q->settings->spool_directory);
	q->lock = open(buf_str(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (q->lock < 0 || flock(q->lock, LOCK_EX) < 0) {
		err_set(e, err_kind_of(errno), errno, "cannot lock %s", buf_str(&path));
		buf_done(&path);
		return -1;
	}
	buf_done(&path);
	return 0;
}

static int open_state(struct queue *q, struct err *e)
{
	const char *spool = q->settings->spool_directory;
	char boot_id[64];

	qlog_boot_id(boot_id);
	if (spool_make(spool, e) < 0 || file_mkdirs(q->settings->mail_directory, 0700, e) < 0 || take_lock(q, e) < 0 || router_new(&q->router, q->settings, e) < 0 ||
	    qlog_read(&q->story, spool, boot_id, e) < 0 || qlog_open(&q->log, q->loop, spool, boot_id, e) < 0 ||
	    segs_open(&q->segs, q->loop, spool, q->settings->journal_segment_size, e) < 0)
		return -1;
	q->reader = spool_reader_new(spool);
	return control_new(&q->control, q, e);
}

/* Of /etc only what aliases of old name: there are keys of others in it. */
void smtpd_queue_sandbox(const struct settings *s, struct arena *a, struct sandbox *out)
{
	const char *const read[] = { s->config_directory, accounts_directory(s, a), s->mail_directory, "/etc/mail", "/etc/aliases", "/etc/hosts", NULL };
	const char *const write[] = { s->spool_directory, s->runtime_directory, NULL };
	const char **reads = arena_array(a, sizeof(read) / sizeof(read[0]), sizeof(*reads));
	const char **writes = arena_array(a, sizeof(write) / sizeof(write[0]), sizeof(*writes));

	memcpy(reads, read, sizeof(read));
	memcpy(writes, write, sizeof(write));
	*out = (struct sandbox){ .needs = SANDBOX_UNIX | SANDBOX_THREADS, .read_paths = reads, .write_paths = writes };
}

static int enter_sandbox(const struct settings *s, struct err *e)
{
	struct arena *a = arena_new(0);
	struct sandbox sb;
	int rc;

	smtpd_queue_sandbox(s, a, &sb);
	rc = sandbox_enter(&sb, e);
	arena_free(&a);
	return rc;
}

static void link_entry(struct queue *q)
{
	struct err e = ERR_INIT;
	int fds[2];

	q->entry = entry_new(q->loop, q->settings);
	if (chan_pair(fds, &e) < 0)
		log_fatal("queue: %s", e.text);
	queue_front_link(q, fds[0]);
	entry_link(q->entry, fds[1]);
}

static void queue_init(struct queue *q, struct proc *p)
{
	q->proc = p;
	q->loop = proc_loop(p);
	q->settings = proc_settings(p);
	q->by_id = hmap_new();
	q->by_token = hmap_new();
	list_init(&q->dirty);
	list_init(&q->gone);
	list_init(&q->fronts);
	q->n_deliver = q->settings->deliver_processes > 0 ? q->settings->deliver_processes : 1;
	q->deliver = mem_array(q->n_deliver, sizeof(*q->deliver));
	for (unsigned i = 0; i < q->n_deliver; i++)
		queue_target_init(q, &q->deliver[i], i, false);
	queue_target_init(q, &q->client, 0, true);
}

void smtpd_queue_run(struct proc *p)
{
	struct queue *q = mem_new(sizeof(*q));
	struct err e = ERR_INIT;

	queue_init(q, p);
	if (open_state(q, &e) < 0)
		log_fatal("queue: %s", e.text);
	if (enter_sandbox(q->settings, &e) < 0)
		log_fatal("queue: %s", e.text);
	q->flusher = flusher_new(q->loop);
	proc_start(p, &proc_events, q);
	link_entry(q);
	look_at_space(q);
	loop_timer_start(q->loop, &q->every_second, CLOCK_MS_PER_S, on_second, q);
	on_checkpoint(q);
	queue_recover(q);
	proc_ready(p);
	loop_run(q->loop);
	entry_free(&q->entry);
	control_free(&q->control);
	flusher_free(&q->flusher);
	segs_close(&q->segs);
	qlog_close(&q->log);
	router_free(&q->router);
}
