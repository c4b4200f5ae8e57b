/*
 * serve/super_children.c - the processes of the supervisor: birth, the links between them, death and the pause before the next one.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/super_in.h"

enum { SUPER_HEALTHY_MS = 60000, SUPER_PAUSE_MS = 100, SUPER_PAUSE_MAX_MS = 30000 };

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
 * Life and death
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

void super_free_slots(struct super *s)
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

void super_reap(struct super *s)
{
	struct super_child *c;
	int status;
	pid_t pid;

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

void super_new_generation(struct super *s)
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
 * All at once
 */

void super_retire_all(struct super *s)
{
	LIST_EACH(node, &s->children) {
		struct super_child *c = LIST_OF(node, struct super_child, node);

		if (c->ctl != NULL && (!c->retiring || s->stopping))
			proc_ctl_retire(c->ctl, s->stopping);
		c->retiring = true;
	}
}

void super_kill_all(struct super *s)
{
	LIST_EACH(node, &s->children) {
		struct super_child *c = LIST_OF(node, struct super_child, node);

		log_warn("process %s [%d] did not stop within %d seconds: killed", c->row->role, (int)c->pid, SUPER_STOP_MS / 1000);
		kill(c->pid, SIGKILL);
	}
}
