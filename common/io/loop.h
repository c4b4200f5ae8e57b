/*
 * io/loop.h - the event loop: descriptors, timers, signals, and things to do later. One a process, no threads.
 *
 * A callback does one step and returns. It may remove any watch or timer, its own included: events of this round that a removed watch
 * still had coming are dropped. Level-triggered epoll underneath. What only our own mistake or an empty machine can break (a descriptor
 * that is not open, no memory for a watch) aborts.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct loop;

struct loop *loop_new(void);                                          /* ignores SIGPIPE for the process */
void loop_free(struct loop **l);                                      /* unblocks what loop_signal() blocked */
void loop_run(struct loop *l);                                        /* until loop_stop(); tasks of the last round still run */
void loop_stop(struct loop *l);
int64_t loop_now(const struct loop *l);                               /* clock_mono_ms() at the start of this round */
int64_t loop_wall_us(const struct loop *l);                           /* clock_wall_us() at the start of this round */

/* First thing in a forked child: the epoll set is shared with the parent, so an ordinary loop_fd_del() (chan_free, conn_free) would take
   the parent's watch away. After this the child may free whatever it inherited, then the loop; and make a loop of its own. */
void loop_after_fork(struct loop *l);

/* At least n octets that a callback may use until it returns or calls anyone who may use them too. For what is read and copied at once. */
char *loop_scratch(struct loop *l, size_t n);

/* Descriptors. The struct is the caller's and must stay in place while added. */
enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HUP = 4 };                 /* HUP (and errors) are always told */
struct loop_fd {
	int fd;
	unsigned want;
	void (*fn)(void *ctx, unsigned events);
	void *ctx;
	bool added;
};
void loop_fd_add(struct loop *l, struct loop_fd *w, int fd, unsigned want, void (*fn)(void *ctx, unsigned events), void *ctx);
void loop_fd_add_shared(struct loop *l, struct loop_fd *w, int fd, void (*fn)(void *ctx, unsigned events), void *ctx);
                                                                      /* a listening socket of several processes: EPOLLEXCLUSIVE */
void loop_fd_want(struct loop *l, struct loop_fd *w, unsigned want);
void loop_fd_del(struct loop *l, struct loop_fd *w);                  /* does not close; fine when not added */

/* Timers. The struct is the caller's; zero it once. Starting a running timer moves it. */
struct loop_timer {
	int64_t at_ms;
	size_t slot;                                                  /* in the heap, plus one; 0: not running */
	void (*fn)(void *ctx);
	void *ctx;
};
void loop_timer_start(struct loop *l, struct loop_timer *t, int64_t after_ms, void (*fn)(void *ctx), void *ctx);
void loop_timer_stop(struct loop *l, struct loop_timer *t);
bool loop_timer_is_running(const struct loop_timer *t);

/* Runs after the callbacks of this round, once. Zero it once; queueing a queued task does nothing. */
struct loop_task {
	struct list_node node;
	void (*fn)(void *ctx);
	void *ctx;
};
void loop_task_queue(struct loop *l, struct loop_task *t, void (*fn)(void *ctx), void *ctx);
void loop_task_cancel(struct loop_task *t);
/* The same, but not before the loop would sleep, or has gone round LOOP_IDLE_ROUNDS times: for what gets cheaper the more has come together. */
#define LOOP_IDLE_ROUNDS 8
void loop_task_when_idle(struct loop *l, struct loop_task *t, void (*fn)(void *ctx), void *ctx);

/* Signals by signalfd: blocks `signo` for the process and calls fn in the loop. One fn a signal; the last one counts. */
void loop_signal(struct loop *l, int signo, void (*fn)(void *ctx, int signo), void *ctx);

#endif
