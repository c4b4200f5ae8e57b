/*
 * serve/super.c - slots and children.
 *
 * A slot is a place in the table of the present generation: one row, one index. It holds a child or a pause before the next one.
 * A child is a process that lives. After a reload the children of the old generation have no slot any more; they retire in their own time.
 */
#include "serve/super.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/conf.h"
#include "serve/listeners.h"
#include "serve/proc_ctl.h"
#include "serve/start.h"
#include "serve/systemd.h"

enum { SUPER_HEALTHY_MS = 60000, SUPER_PAUSE_MS = 100, SUPER_PAUSE_MAX_MS = 30000, SUPER_STOP_MS = 10000, SUPER_START_MS = 60000 };

struct super_child {
	struct list_node node;
	struct super *s;
	const struct proc_row *row;
	unsigned index, generation;
	pid_t pid;
	struct chan *ctl;                                             /* NULL once it closed its end */
	int64_t born_ms;
	bool ready, retiring;
	char last_words[PROC_CTL_TEXT_MAX + 1];
};

struct super_slot {
	struct super *s;
	const struct proc_row *row;
	unsigned index, failures;
	struct super_child *child;                                    /* NULL: in a pause */
	struct loop_timer pause;
};

struct super {
	const struct daemon_table *t;
	struct start_options options;
	struct settings *settings;
	struct loop *loop;
	struct listeners listeners;
	struct list_node children;
	struct super_slot *slots;
	size_t n_slots;
	unsigned generation;
	void *shared;
	int pid_fd, report_fd;
	bool told_ready, reloading, stopping, failed;
	char why_failed[PROC_CTL_TEXT_MAX + 128];
	struct loop_timer patience, watchdog;
};

static void super_spawn(struct super_slot *slot);

/*
 * Links
 */

static bool super_talks(const struct proc_row *a, const struct proc_row *b)
{
	struct slice rest = slice_of(a->talks_to), word;

	while (slice_word(&rest, &word))
		if (slice_eqs(word, b->role))
			return true;
	return false;
}

static void super_link(struct super_child *a, struct super_child *b)
{
	struct err e = ERR_INIT;
	int fds[2];

	if (chan_pair(fds, &e) < 0) {
		log_error("no link between %s and %s: %s", a->row->role, b->row->role, e.text);
		return;
	}
	proc_ctl_link(a->ctl, b->row->role, b->index, b->generation, fds[0]);
	proc_ctl_link(b->ctl, a->row->role, a->index, a->generation, fds[1]);
}

/* Within a generation all whom the table connects; and fronts that finish their sessions with the processes that took over from theirs. */
static bool super_should_link(const struct super_child *fresh, const struct super_child *other)
{
	if (other == fresh || other->ctl == NULL || fresh->ctl == NULL)
		return false;
	if (other->generation == fresh->generation)
		return !other->retiring && (super_talks(fresh->row, other->row) || super_talks(other->row, fresh->row));
	return other->row->listens && super_talks(other->row, fresh->row);
}

static void super_link_all(struct super_child *fresh)
{
	LIST_EACH(node, &fresh->s->children) {
		struct super_child *other = LIST_OF(node, struct super_child, node);

		if (super_should_link(fresh, other))
			super_link(fresh, other);
	}
}

/*
 * Readiness
 */

static bool super_all_ready(const struct super *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].child == NULL || !s->slots[i].child->ready)
			return false;
	return true;
}

static void super_look_whether_ready(struct super *s)
{
	if (s->stopping || !super_all_ready(s) || (s->told_ready && !s->reloading))
		return;
	loop_timer_stop(s->loop, &s->patience);
	log_info("%s: %s, %zu processes", s->t->name, s->reloading ? "new settings in use" : "ready", s->n_slots);
	systemd_notify("READY=1");
	start_report(&s->report_fd, NULL);
	s->told_ready = true;
	s->reloading = false;
}

static void super_stop(struct super *s);

/* Before everything was ready once: whoever started us wants to know, and half a daemon is worse than none. */
static void super_fail_start(struct super *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void super_fail_start(struct super *s, const char *fmt, ...)
{
	va_list ap;

	if (s->failed)
		return;
	va_start(ap, fmt);
	vsnprintf(s->why_failed, sizeof(s->why_failed), fmt, ap);
	va_end(ap);
	s->failed = true;
	log_error("start failed: %s", s->why_failed);
	super_stop(s);
}

static void super_on_impatience(void *ctx)
{
	struct super *s = ctx;

	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].child == NULL || !s->slots[i].child->ready) {
			super_fail_start(s, "process %s was not ready within %d seconds", s->slots[i].row->role, SUPER_START_MS / 1000);
			return;
		}
}

/*
 * Children
 */

static void super_on_msg(void *ctx, struct msg *m)
{
	struct super_child *c = ctx;
	struct slice text;

	if (m->type == PROC_CTL_READY) {
		c->ready = true;
		super_look_whether_ready(c->s);
	} else if (m->type == PROC_CTL_LAST_WORDS) {
		text = msg_get_slice(m, sizeof(c->last_words) - 1);
		snprintf(c->last_words, sizeof(c->last_words), "%.*s", SLICE_FMT(text));
	}
}

static void super_on_ctl_close(void *ctx)
{
	struct super_child *c = ctx;

	chan_free(&c->ctl);                                           /* SIGCHLD follows */
}

static void super_free_child(struct super_child *c)
{
	list_remove(&c->node);
	chan_free(&c->ctl);
	free(c);
}

static void super_free_slots(struct super *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		loop_timer_stop(s->loop, &s->slots[i].pause);
	free(s->slots);
	s->slots = NULL;
	s->n_slots = 0;
}

static void super_on_pause_over(void *ctx)
{
	super_spawn(ctx);
}

/* At once the first time, then 100 ms, 200 ms ... 30 s; a minute of health and all is forgotten. */
static void super_respawn(struct super_slot *slot, int64_t lived_ms)
{
	int64_t pause = 0;

	if (lived_ms >= SUPER_HEALTHY_MS)
		slot->failures = 0;
	if (slot->failures > 0)
		pause = slot->failures > 10 ? SUPER_PAUSE_MAX_MS : (int64_t)SUPER_PAUSE_MS << (slot->failures - 1);
	if (pause > SUPER_PAUSE_MAX_MS)
		pause = SUPER_PAUSE_MAX_MS;
	slot->failures++;
	if (pause > 0)
		log_warn("process %s starts again in %lld ms", slot->row->role, (long long)pause);
	loop_timer_start(slot->s->loop, &slot->pause, pause, super_on_pause_over, slot);
}

static void super_describe_end(int status, char *out, size_t size)
{
	int signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (signo == SIGSYS)
		snprintf(out, size, "was killed by seccomp: it tried a system call that no process of ours makes (a break-in, or a gap in serve/syscalls.c)");
	else if (signo != 0)
		snprintf(out, size, "was killed by signal %d (%s)%s", signo, strsignal(signo), WCOREDUMP(status) ? ", core dumped" : "");
	else
		snprintf(out, size, "ended with status %d", WEXITSTATUS(status));
}

static struct super_slot *super_slot_of(struct super *s, const struct super_child *c)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].child == c)
			return &s->slots[i];
	return NULL;
}

static void super_child_is_gone(struct super *s, struct super_child *c, int status)
{
	struct super_slot *slot = super_slot_of(s, c);
	int64_t lived_ms = loop_now(s->loop) - c->born_ms;
	bool expected = (c->retiring || s->stopping) && WIFEXITED(status) && WEXITSTATUS(status) == 0, was_ready = c->ready;
	char how[160], words[sizeof(c->last_words)];

	super_describe_end(status, how, sizeof(how));
	memcpy(words, c->last_words, sizeof(words));
	if (expected)
		log_debug("process %s [%d] has finished", c->row->role, (int)c->pid);
	else
		log_error("process %s [%d] %s", c->row->role, (int)c->pid, how);
	if (slot != NULL)
		slot->child = NULL;
	if (slot != NULL && !s->stopping && !s->told_ready && !was_ready)
		super_fail_start(s, "process %s %s%s%s", c->row->role, how, *words ? ": " : "", words);
	super_free_child(c);
	if (slot != NULL && !s->stopping)
		super_respawn(slot, lived_ms);
	if (s->stopping && list_is_empty(&s->children))
		loop_stop(s->loop);
}

static struct super_child *super_child_of(struct super *s, pid_t pid)
{
	LIST_EACH(node, &s->children)
		if (LIST_OF(node, struct super_child, node)->pid == pid)
			return LIST_OF(node, struct super_child, node);
	return NULL;
}

static void super_on_sigchld(void *ctx, int signo)
{
	struct super *s = ctx;
	struct super_child *c;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		c = super_child_of(s, pid);
		if (c == NULL)
			continue;
		if (c->ctl != NULL)
			chan_drain(c->ctl);                           /* what it said last may still wait there */
		super_child_is_gone(s, c, status);
	}
}

/*
 * Birth
 */

static const struct chan_ops super_ctl_ops = { .on_msg = super_on_msg, .on_close = super_on_ctl_close };

/* In the child: everything of the supervisor's goes, but settings, table and what its row may have. */
static void super_strip(struct super *s, bool listens)
{
	loop_after_fork(s->loop);
	LIST_EACH_SAFE(node, &s->children)
		super_free_child(LIST_OF(node, struct super_child, node));
	super_free_slots(s);
	loop_timer_stop(s->loop, &s->patience);
	loop_timer_stop(s->loop, &s->watchdog);
	if (!listens)
		listeners_close(&s->listeners, NULL);
	file_close(&s->pid_fd);
	file_close(&s->report_fd);
	start_options_done(&s->options);
	loop_free(&s->loop);
}

NORETURN static void super_be_child(struct super *s, const struct proc_row *row, unsigned index, int ctl_fd, int parent_pid)
{
	struct proc_birth b = { .daemon = s->t->name, .row = row, .index = index, .generation = s->generation, .settings = s->settings,
		.ctl_fd = ctl_fd, .parent_pid = parent_pid, .shared = row->listens ? s->shared : NULL };

	super_strip(s, row->listens);
	if (!row->listens && s->shared != NULL)
		munmap(s->shared, s->t->shared_octets);
	b.sockets = s->listeners.v;
	b.n_sockets = s->listeners.n;
	proc_live(&b);
}

static struct super_child *super_new_child(struct super_slot *slot, pid_t pid, int ctl_fd)
{
	struct super *s = slot->s;
	struct super_child *c = mem_new(sizeof(*c));

	c->s = s;
	c->row = slot->row;
	c->index = slot->index;
	c->generation = s->generation;
	c->pid = pid;
	c->born_ms = loop_now(s->loop);
	c->ctl = chan_new(s->loop, ctl_fd, &super_ctl_ops, c);
	list_append(&s->children, &c->node);
	slot->child = c;
	return c;
}

static void super_spawn(struct super_slot *slot)
{
	struct super *s = slot->s;
	struct err e = ERR_INIT;
	int fds[2], parent_pid = (int)getpid();
	pid_t pid;

	if (chan_pair(fds, &e) < 0) {
		log_error("process %s: %s", slot->row->role, e.text);
		super_respawn(slot, 0);
		return;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		super_be_child(s, slot->row, slot->index, fds[1], parent_pid);
	}
	close(fds[1]);
	if (pid < 0) {
		log_error("process %s: fork: %s", slot->row->role, strerror(errno));
		close(fds[0]);
		super_respawn(slot, 0);
		return;
	}
	super_link_all(super_new_child(slot, pid, fds[0]));
}

static void super_new_generation(struct super *s)
{
	super_free_slots(s);
	for (size_t r = 0; r < s->t->n_rows; r++)
		s->n_slots += s->t->rows[r].count(s->settings);
	s->slots = mem_array(s->n_slots + 1, sizeof(*s->slots));
	for (size_t r = 0, at = 0; r < s->t->n_rows; r++)
		for (unsigned i = 0, n = s->t->rows[r].count(s->settings); i < n; i++)
			s->slots[at++] = (struct super_slot){ .s = s, .row = &s->t->rows[r], .index = i };
	for (size_t i = 0; i < s->n_slots; i++)
		super_spawn(&s->slots[i]);
}

/*
 * Reload and stop
 */

static void super_retire_all(struct super *s)
{
	LIST_EACH(node, &s->children) {
		struct super_child *c = LIST_OF(node, struct super_child, node);

		if (c->ctl != NULL && (!c->retiring || s->stopping))
			proc_ctl_retire(c->ctl, s->stopping);
		c->retiring = true;
	}
}

static enum log_level super_log_level(const struct settings *s)
{
	static const char *const words[] = { [LOG_L_ERROR] = "error", [LOG_L_WARN] = "warn", [LOG_L_INFO] = "info", [LOG_L_DEBUG] = "debug" };

	for (enum log_level at = LOG_L_ERROR; at <= LOG_L_DEBUG; at++)
		if (strcmp(s->log_level, words[at]) == 0)
			return at;
	return LOG_L_INFO;
}

static void super_log_warnings(const struct buf *warnings)
{
	struct slice rest = buf_view(warnings), line;

	while (slice_next(&rest, '\n', &line))
		if (line.n > 0)
			log_warn("%.*s", SLICE_FMT(line));
}

static int super_load(struct super *s, struct settings **out, struct buf *warnings, struct err *e)
{
	struct settings *fresh = NULL;

	if (conf_load(&fresh, s->options.settings_file, s->options.overrides, warnings, e) < 0)
		return -1;
	if (s->t->check != NULL && s->t->check(fresh, e) < 0) {
		conf_free(&fresh);
		return -1;
	}
	*out = fresh;
	return 0;
}

/* All that can fail comes first and touches nothing that is in use. */
static int super_try_reload(struct super *s, struct err *e)
{
	struct buf warnings;
	struct settings *fresh = NULL;
	struct listeners listeners;

	buf_init(&warnings, BUF_UNBOUNDED);
	if (super_load(s, &fresh, &warnings, e) < 0 || listeners_open(&listeners, &s->listeners, s->t, fresh, e) < 0) {
		conf_free(&fresh);
		buf_done(&warnings);
		return -1;
	}
	if (log_open(fresh->log_target, super_log_level(fresh), e) < 0)
		log_warn("going on with the old log: %s", e->text);
	super_log_warnings(&warnings);
	buf_done(&warnings);
	listeners_close(&s->listeners, &listeners);
	s->listeners = listeners;
	conf_free(&s->settings);
	s->settings = fresh;
	return 0;
}

static void super_on_sighup(void *ctx, int signo)
{
	struct super *s = ctx;
	struct err e = ERR_INIT;

	(void)signo;
	if (s->stopping || !s->told_ready)
		return;
	log_reopen();
	systemd_notify_reloading(loop_now(s->loop) * 1000);
	if (super_try_reload(s, &e) < 0) {
		log_error("reload: nothing changes, because of %s", e.text);
		systemd_notify("READY=1");
		return;
	}
	s->generation++;
	s->reloading = true;
	super_retire_all(s);
	super_new_generation(s);
}

static void super_on_stop_overdue(void *ctx)
{
	struct super *s = ctx;

	LIST_EACH(node, &s->children) {
		struct super_child *c = LIST_OF(node, struct super_child, node);

		log_warn("process %s [%d] did not stop within %d seconds: killed", c->row->role, (int)c->pid, SUPER_STOP_MS / 1000);
		kill(c->pid, SIGKILL);
	}
}

static void super_stop(struct super *s)
{
	s->stopping = true;
	for (size_t i = 0; i < s->n_slots; i++)
		loop_timer_stop(s->loop, &s->slots[i].pause);
	super_retire_all(s);
	loop_timer_start(s->loop, &s->patience, SUPER_STOP_MS, super_on_stop_overdue, s);
	if (list_is_empty(&s->children))
		loop_stop(s->loop);
}

static void super_on_sigterm(void *ctx, int signo)
{
	struct super *s = ctx;

	(void)signo;
	if (s->stopping) {                                            /* asked twice: now */
		super_on_stop_overdue(s);
		return;
	}
	log_info("%s: stopping", s->t->name);
	systemd_notify("STOPPING=1");
	super_stop(s);
}

static void super_on_watchdog(void *ctx)
{
	struct super *s = ctx;

	systemd_notify("WATCHDOG=1");
	loop_timer_start(s->loop, &s->watchdog, systemd_watchdog_ms() / 2, super_on_watchdog, s);
}

/*
 * Life
 */

/* Connections are descriptors: as many as the hard limit gives. */
static void super_raise_limits(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

static int super_prepare(struct super *s, struct err *e)
{
	char name[64];

	snprintf(name, sizeof(name), "posthouse/%s", s->t->name);
	log_name(name);
	umask(077);
	super_raise_limits();
	if (log_open(s->settings->log_target, super_log_level(s->settings), e) < 0)
		return -1;
	if (start_directories(s->settings, e) < 0 || start_pid_file(s->settings, s->t->name, &s->pid_fd, e) < 0)
		return -1;
	return listeners_open(&s->listeners, NULL, s->t, s->settings, e);
}

/* Before the first fork, so that a front that comes later finds what the others have written. */
static void super_share(struct super *s)
{
	if (s->t->shared_octets == 0)
		return;
	s->shared = mmap(NULL, s->t->shared_octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED)
		log_fatal("no memory for what the processes share: %s", strerror(errno));
	text_random(s->shared, 16);
}

static void super_live(struct super *s)
{
	super_share(s);
	s->loop = loop_new();
	loop_signal(s->loop, SIGCHLD, super_on_sigchld, s);
	loop_signal(s->loop, SIGHUP, super_on_sighup, s);
	loop_signal(s->loop, SIGTERM, super_on_sigterm, s);
	loop_signal(s->loop, SIGINT, super_on_sigterm, s);
	loop_timer_start(s->loop, &s->patience, SUPER_START_MS, super_on_impatience, s);
	if (systemd_watchdog_ms() > 0)
		super_on_watchdog(s);
	super_new_generation(s);
	super_look_whether_ready(s);
	loop_run(s->loop);
	super_free_slots(s);
	loop_timer_stop(s->loop, &s->patience);
	loop_timer_stop(s->loop, &s->watchdog);
	loop_free(&s->loop);
}

static int super_complain(struct super *s, const char *why)
{
	if (s->report_fd >= 0)
		start_report(&s->report_fd, why);
	else
		fprintf(stderr, "%s: %s\n", s->t->name, why);
	return 1;
}

static int super_run(struct super *s)
{
	struct err e = ERR_INIT;
	int status = 0;

	if (!s->options.foreground && (s->report_fd = start_detach(s->t->name, strcmp(s->settings->log_target, "stderr") == 0, &e)) < 0)
		return super_complain(s, e.text);
	if (super_prepare(s, &e) < 0) {
		log_error("start failed: %s", e.text);
		status = super_complain(s, e.text);
	} else {
		super_live(s);
		if (s->failed)
			status = super_complain(s, s->why_failed);
	}
	start_pid_file_remove(s->settings, s->t->name, &s->pid_fd);
	listeners_close(&s->listeners, NULL);
	start_report(&s->report_fd, "stopped before it was ready");
	log_close();
	return status;
}

/* -T, and the first look at the settings of every start: warnings and errors where the person is. */
static int super_read_settings(struct super *s)
{
	struct err e = ERR_INIT;
	struct buf warnings;
	int rc;

	buf_init(&warnings, BUF_UNBOUNDED);
	rc = super_load(s, &s->settings, &warnings, &e);
	if (warnings.len > 0)
		fprintf(stderr, "%s", buf_str(&warnings));
	buf_done(&warnings);
	if (rc < 0)
		fprintf(stderr, "%s: %s\n", s->t->name, e.text);
	else if (s->options.test)
		printf("%s: the settings in %s are good\n", s->t->name, s->options.settings_file);
	return rc;
}

int super_main(const struct daemon_table *t, int argc, char **argv)
{
	struct super s = { .t = t, .pid_fd = -1, .report_fd = -1 };
	struct err e = ERR_INIT;
	int status = 1;

	list_init(&s.children);
	if (start_options_read(&s.options, argc, argv, &e) < 0)
		fprintf(stderr, "%s: %s\n", t->name, e.text);
	else if (super_read_settings(&s) == 0)
		status = s.options.test ? 0 : super_run(&s);
	conf_free(&s.settings);
	start_options_done(&s.options);
	return status;
}
