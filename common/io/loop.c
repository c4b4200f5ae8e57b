/*
 * io/loop.c - epoll for descriptors, a binary heap for timers, one signalfd.
 */
#include "io/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/log.h"

#define LOOP_EVENTS 128                                               /* taken from the kernel at once */
#define LOOP_SIGNALS 65                                               /* 1 to 64 */

struct loop_handler {
	void (*fn)(void *ctx, int signo);
	void *ctx;
};

struct loop {
	int epoll_fd;
	bool stop;
	int64_t now_ms, wall_us;
	struct epoll_event events[LOOP_EVENTS];
	int n_events, at_event;                                       /* of the round that is being told */
	struct loop_timer **heap;
	size_t n_timers, cap_timers;
	struct list_node tasks, when_idle;
	unsigned rounds;                                              /* since when_idle was empty */
	struct loop_fd signals;
	sigset_t sigset;
	struct loop_handler handlers[LOOP_SIGNALS];
	char *scratch;
	size_t scratch_size;
};

NORETURN static void loop_die(const char *what)
{
	fprintf(stderr, "loop: %s: %s\n", what, strerror(errno));
	abort();
}

static void loop_look_at_clock(struct loop *l)
{
	l->now_ms = clock_mono_ms();
	l->wall_us = clock_wall_us();
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		loop_die("calloc");
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		loop_die("epoll_create1");
	l->signals.fd = -1;
	sigemptyset(&l->sigset);
	list_init(&l->tasks);
	list_init(&l->when_idle);
	signal(SIGPIPE, SIG_IGN);                                     /* sendfile(2) and OpenSSL's write(2) know no MSG_NOSIGNAL */
	loop_look_at_clock(l);
	return l;
}

static void loop_close_signals(struct loop *l)
{
	if (l->signals.fd < 0)
		return;
	loop_fd_del(l, &l->signals);
	close(l->signals.fd);
	l->signals.fd = -1;
	sigprocmask(SIG_UNBLOCK, &l->sigset, NULL);
}

void loop_after_fork(struct loop *l)
{
	close(l->epoll_fd);
	l->epoll_fd = -1;
	loop_close_signals(l);
}

void loop_free(struct loop **l)
{
	if (*l == NULL)
		return;
	loop_close_signals(*l);
	if ((*l)->epoll_fd >= 0)
		close((*l)->epoll_fd);
	LIST_EACH_SAFE(node, &(*l)->tasks)
		list_remove(node);
	LIST_EACH_SAFE(waiting, &(*l)->when_idle)
		list_remove(waiting);
	for (size_t i = 0; i < (*l)->n_timers; i++)
		(*l)->heap[i]->slot = 0;
	free((*l)->heap);
	free((*l)->scratch);
	free(*l);
	*l = NULL;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}

int64_t loop_now(const struct loop *l)
{
	return l->now_ms;
}

int64_t loop_wall_us(const struct loop *l)
{
	return l->wall_us;
}

char *loop_scratch(struct loop *l, size_t n)
{
	if (n > l->scratch_size) {
		free(l->scratch);
		l->scratch = malloc(n);
		if (l->scratch == NULL)
			loop_die("malloc");
		l->scratch_size = n;
	}
	return l->scratch;
}

/*
 * Descriptors
 */

static uint32_t loop_epoll_bits(unsigned want)
{
	uint32_t bits = 0;

	if (want & LOOP_READ)
		bits |= EPOLLIN;
	if (want & LOOP_WRITE)
		bits |= EPOLLOUT;
	return bits;
}

static unsigned loop_bits_of_epoll(uint32_t bits)
{
	unsigned events = 0;

	if (bits & EPOLLIN)
		events |= LOOP_READ;
	if (bits & EPOLLOUT)
		events |= LOOP_WRITE;
	if (bits & (EPOLLHUP | EPOLLERR))
		events |= LOOP_HUP;
	return events;
}

static void loop_ctl(struct loop *l, int op, struct loop_fd *w, uint32_t bits)
{
	struct epoll_event ev = { .events = bits, .data = { .ptr = w } };

	if (l->epoll_fd >= 0 && epoll_ctl(l->epoll_fd, op, w->fd, &ev) < 0)
		loop_die("epoll_ctl");
}

static void loop_add(struct loop *l, struct loop_fd *w, int fd, void (*fn)(void *ctx, unsigned events), void *ctx)
{
	assert(!w->added && fd >= 0 && fn != NULL && l->epoll_fd >= 0);
	w->fd = fd;
	w->fn = fn;
	w->ctx = ctx;
	w->added = true;
}

void loop_fd_add(struct loop *l, struct loop_fd *w, int fd, unsigned want, void (*fn)(void *ctx, unsigned events), void *ctx)
{
	loop_add(l, w, fd, fn, ctx);
	w->want = want;
	loop_ctl(l, EPOLL_CTL_ADD, w, loop_epoll_bits(want));
}

void loop_fd_add_shared(struct loop *l, struct loop_fd *w, int fd, void (*fn)(void *ctx, unsigned events), void *ctx)
{
	loop_add(l, w, fd, fn, ctx);
	w->want = LOOP_READ;
	loop_ctl(l, EPOLL_CTL_ADD, w, EPOLLIN | EPOLLEXCLUSIVE);
}

void loop_fd_want(struct loop *l, struct loop_fd *w, unsigned want)
{
	assert(w->added);
	if (w->want == want)
		return;
	w->want = want;
	loop_ctl(l, EPOLL_CTL_MOD, w, loop_epoll_bits(want));
}

void loop_fd_del(struct loop *l, struct loop_fd *w)
{
	if (!w->added)
		return;
	loop_ctl(l, EPOLL_CTL_DEL, w, 0);
	w->added = false;
	for (int i = l->at_event; i < l->n_events; i++)
		if (l->events[i].data.ptr == w)
			l->events[i].data.ptr = NULL;
}

/*
 * Timers: a binary heap; a timer knows its slot, plus one.
 */

static void loop_heap_put(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->slot = at + 1;
}

static size_t loop_heap_up(struct loop *l, size_t at, const struct loop_timer *t)
{
	while (at > 0 && l->heap[(at - 1) / 2]->at_ms > t->at_ms) {
		loop_heap_put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	return at;
}

static size_t loop_heap_down(struct loop *l, size_t at, const struct loop_timer *t)
{
	size_t kid;

	while ((kid = 2 * at + 1) < l->n_timers) {
		if (kid + 1 < l->n_timers && l->heap[kid + 1]->at_ms < l->heap[kid]->at_ms)
			kid++;
		if (l->heap[kid]->at_ms >= t->at_ms)
			break;
		loop_heap_put(l, at, l->heap[kid]);
		at = kid;
	}
	return at;
}

static void loop_heap_place(struct loop *l, size_t hole, struct loop_timer *t)
{
	loop_heap_put(l, loop_heap_down(l, loop_heap_up(l, hole, t), t), t);
}

static void loop_heap_grow(struct loop *l)
{
	if (l->n_timers < l->cap_timers)
		return;
	l->cap_timers = l->cap_timers ? 2 * l->cap_timers : 64;
	l->heap = realloc(l->heap, l->cap_timers * sizeof(struct loop_timer *));
	if (l->heap == NULL)
		loop_die("realloc");
}

void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t after_ms, void (*fn)(void *ctx), void *ctx)
{
	assert(fn != NULL);
	loop_timer_stop(l, t);
	t->fn = fn;
	t->ctx = ctx;
	/* The clock itself, not the round's: a callback that took long must not make its own timers come early. */
	t->at_ms = clock_mono_ms() + (after_ms > 0 ? after_ms : 0);
	loop_heap_grow(l);
	loop_heap_place(l, l->n_timers++, t);
}

void loop_timer_stop(struct loop *l, struct loop_timer *t)
{
	size_t hole;
	struct loop_timer *last;

	if (t->slot == 0)
		return;
	hole = t->slot - 1;
	t->slot = 0;
	last = l->heap[--l->n_timers];
	if (last != t)
		loop_heap_place(l, hole, last);
}

bool loop_timer_is_running(const struct loop_timer *t)
{
	return t->slot != 0;
}

/*
 * Tasks
 */

void loop_task_queue(struct loop *l, struct loop_task *t, void (*fn)(void *ctx), void *ctx)
{
	t->fn = fn;
	t->ctx = ctx;
	if (!list_is_linked(&t->node))
		list_append(&l->tasks, &t->node);
}

void loop_task_when_idle(struct loop *l, struct loop_task *t, void (*fn)(void *ctx), void *ctx)
{
	t->fn = fn;
	t->ctx = ctx;
	if (list_is_linked(&t->node))
		return;
	if (list_is_empty(&l->when_idle))
		l->rounds = 0;
	list_append(&l->when_idle, &t->node);
}

void loop_task_cancel(struct loop_task *t)
{
	list_remove(&t->node);
}

/* What tasks queue while they run is for the next round, so that a task which queues itself lets descriptors have their turn. */
static void loop_run_tasks(struct loop *l)
{
	struct loop_task fence = { .fn = NULL };
	struct list_node *node;

	if (list_is_empty(&l->tasks))
		return;
	list_append(&l->tasks, &fence.node);
	while ((node = list_first(&l->tasks)) != &fence.node) {
		struct loop_task *t = LIST_OF(node, struct loop_task, node);

		list_remove(node);
		t->fn(t->ctx);
	}
	list_remove(&fence.node);
}

/*
 * Signals
 */

static void loop_read_signals(void *ctx, unsigned events)
{
	struct loop *l = ctx;
	struct signalfd_siginfo si;

	(void)events;
	while (l->signals.fd >= 0 && read(l->signals.fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		if (si.ssi_signo < LOOP_SIGNALS && l->handlers[si.ssi_signo].fn != NULL)
			l->handlers[si.ssi_signo].fn(l->handlers[si.ssi_signo].ctx, (int)si.ssi_signo);
}

void loop_signal(struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx)
{
	int fd;

	assert(signo > 0 && signo < LOOP_SIGNALS);
	l->handlers[signo] = (struct loop_handler){ fn, ctx };
	sigaddset(&l->sigset, signo);
	if (sigprocmask(SIG_BLOCK, &l->sigset, NULL) < 0)
		loop_die("sigprocmask");
	fd = signalfd(l->signals.fd, &l->sigset, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		loop_die("signalfd");
	if (!l->signals.added)
		loop_fd_add(l, &l->signals, fd, LOOP_READ, loop_read_signals, l);
}

/*
 * The round
 */

static int loop_wait_ms(const struct loop *l)
{
	int64_t ms;

	if (l->stop || !list_is_empty(&l->tasks) || !list_is_empty(&l->when_idle))
		return 0;
	if (l->n_timers == 0)
		return -1;
	ms = l->heap[0]->at_ms - clock_mono_ms();
	if (ms <= 0)
		return 0;
	return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void loop_tell_events(struct loop *l)
{
	for (l->at_event = 0; l->at_event < l->n_events;) {
		struct epoll_event *ev = &l->events[l->at_event++];
		struct loop_fd *w = ev->data.ptr;

		if (w != NULL)
			w->fn(w->ctx, loop_bits_of_epoll(ev->events));
	}
	l->n_events = l->at_event = 0;
}

/* Timers that were due when the round began; one that starts itself anew with 0 ms waits for the next. */
static void loop_tell_timers(struct loop *l)
{
	size_t budget = l->n_timers;

	while (budget-- > 0 && l->n_timers > 0 && l->heap[0]->at_ms <= l->now_ms) {
		struct loop_timer *t = l->heap[0];

		loop_timer_stop(l, t);
		t->fn(t->ctx);
	}
}

/* Nothing came, or enough time went by: they become tasks of this round. */
static void loop_wake_idle(struct loop *l)
{
	struct list_node *node;

	if (list_is_empty(&l->when_idle) || ((l->n_events > 0 || !list_is_empty(&l->tasks)) && ++l->rounds < LOOP_IDLE_ROUNDS))
		return;
	while ((node = list_first(&l->when_idle)) != NULL) {
		list_remove(node);
		list_append(&l->tasks, node);
	}
}

static void loop_round(struct loop *l)
{
	int n = epoll_wait(l->epoll_fd, l->events, LOOP_EVENTS, loop_wait_ms(l));

	if (n < 0 && errno != EINTR)
		loop_die("epoll_wait");
	l->n_events = n > 0 ? n : 0;
	loop_wake_idle(l);
	loop_look_at_clock(l);
	loop_tell_events(l);
	loop_tell_timers(l);
	log_flush();                                                  /* replies and messages go out by tasks: what they are about is in the log by then */
	loop_run_tasks(l);
	log_flush();
}

void loop_run(struct loop *l)
{
	bool held = log_hold(true);

	while (!l->stop)
		loop_round(l);
	l->stop = false;
	log_hold(held);
}
