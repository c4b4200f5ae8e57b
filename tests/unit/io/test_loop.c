/*
 * The loop: order of timers, removal from inside callbacks, tasks, signals, what a forked child may free.
 */
#include "io/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
	struct loop *l;
	char order[64];
	size_t n;
};

struct named {
	struct seen *seen;
	struct loop_timer timer;
	struct loop_task task;
	char name;
	bool last, again;
};

static void note(struct seen *s, char c)
{
	assert_true(s->n + 1 < sizeof(s->order));
	s->order[s->n++] = c;
}

static void on_timer(void *ctx)
{
	struct named *n = ctx;

	note(n->seen, n->name);
	if (n->last)
		loop_stop(n->seen->l);
}

static void test_timers_come_in_order(void **state)
{
	struct seen s = { .l = loop_new() };
	struct named t[] = { { &s, .name = 'c' }, { &s, .name = 'a' }, { &s, .name = 'd', .last = true }, { &s, .name = 'b' }, { &s, .name = 'x' } };
	const int64_t at[] = { 15, 0, 20, 8, 10 };

	(void)state;
	for (size_t i = 0; i < 5; i++)
		loop_timer_start(s.l, &t[i].timer, at[i], on_timer, &t[i]);
	loop_timer_start(s.l, &t[0].timer, 3, on_timer, &t[0]);       /* moved forward ... */
	loop_timer_start(s.l, &t[0].timer, 15, on_timer, &t[0]);      /* ... and back */
	loop_timer_stop(s.l, &t[4].timer);
	assert_false(loop_timer_is_running(&t[4].timer));
	assert_true(loop_timer_is_running(&t[1].timer));
	loop_run(s.l);
	assert_string_equal(s.order, "abcd");
	assert_false(loop_timer_is_running(&t[1].timer));
	loop_free(&s.l);
	assert_null(s.l);
}

static void test_many_timers_keep_the_heap(void **state)
{
	enum { MANY = 500 };
	static struct named t[MANY];
	struct seen s = { .l = loop_new() };

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		memset(&t[i], 0, sizeof(t[i]));
		loop_timer_start(s.l, &t[i].timer, 1000 + (i * 7919) % 1000, on_timer, &t[i]);
	}
	for (unsigned i = 0; i < MANY; i += 3)
		loop_timer_stop(s.l, &t[i].timer);
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(loop_timer_is_running(&t[i].timer), i % 3 != 0);
	loop_free(&s.l);
	assert_false(loop_timer_is_running(&t[1].timer));             /* freeing the loop stops them */
}

struct two {
	struct loop *l;
	struct loop_fd a, b;
	int calls;
};

static void on_either(void *ctx, unsigned events)
{
	struct two *t = ctx;

	assert_true(events & LOOP_READ);
	t->calls++;
	loop_fd_del(t->l, &t->a);
	loop_fd_del(t->l, &t->b);
	loop_stop(t->l);
}

static void test_removed_watch_is_silent_in_the_same_round(void **state)
{
	struct two t = { .l = loop_new() };
	int x[2], y[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, x), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, y), 0);
	loop_fd_add(t.l, &t.a, x[0], LOOP_READ, on_either, &t);
	loop_fd_add(t.l, &t.b, y[0], LOOP_READ, on_either, &t);
	assert_int_equal(write(x[1], "1", 1), 1);
	assert_int_equal(write(y[1], "1", 1), 1);
	loop_run(t.l);
	assert_int_equal(t.calls, 1);
	loop_free(&t.l);
	close(x[0]), close(x[1]), close(y[0]), close(y[1]);
}

static void on_hup(void *ctx, unsigned events)
{
	struct two *t = ctx;

	assert_true(events & LOOP_HUP);
	t->calls++;
	loop_fd_del(t->l, &t->a);
	loop_stop(t->l);
}

static void test_hup_is_told_unasked(void **state)
{
	struct two t = { .l = loop_new() };
	int x[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, x), 0);
	loop_fd_add(t.l, &t.a, x[0], 0, on_hup, &t);
	close(x[1]);
	loop_run(t.l);
	assert_int_equal(t.calls, 1);
	loop_free(&t.l);
	close(x[0]);
}

static void on_task(void *ctx)
{
	struct named *n = ctx;

	note(n->seen, n->name);
	if (n->again && n->seen->n < 5)
		loop_task_queue(n->seen->l, &n->task, on_task, n);
	if (n->last || n->seen->n >= 5)
		loop_stop(n->seen->l);
}

static void test_tasks(void **state)
{
	struct seen s = { .l = loop_new() };
	struct named a = { &s, .name = 'a', .again = true }, b = { &s, .name = 'b' }, c = { &s, .name = 'c' };

	(void)state;
	loop_task_queue(s.l, &a.task, on_task, &a);
	loop_task_queue(s.l, &c.task, on_task, &c);
	loop_task_queue(s.l, &b.task, on_task, &b);
	loop_task_queue(s.l, &b.task, on_task, &b);                   /* once all the same */
	loop_task_cancel(&c.task);
	loop_run(s.l);
	assert_string_equal(s.order, "abaaa");
	loop_free(&s.l);
}

/* After what there is to do; but a loop that always has something to do gets to it too. */
static void test_tasks_that_wait_for_idle(void **state)
{
	struct seen s = { .l = loop_new() };
	struct named a = { &s, .name = 'a' }, b = { &s, .name = 'b' }, busy = { &s, .name = '.', .again = true }, late = { &s, .name = 'i' };

	(void)state;
	loop_task_when_idle(s.l, &late.task, on_task, &late);
	loop_task_queue(s.l, &a.task, on_task, &a);
	loop_task_queue(s.l, &b.task, on_task, &b);
	late.last = true;
	loop_run(s.l);
	assert_string_equal(s.order, "abi");
	memset(&s.order, 0, sizeof(s.order));
	s.n = 0;
	late.last = false;
	loop_task_when_idle(s.l, &late.task, on_task, &late);
	loop_task_cancel(&late.task);
	loop_task_queue(s.l, &busy.task, on_task, &busy);
	loop_run(s.l);
	assert_string_equal(s.order, ".....");
	loop_free(&s.l);
}

static void on_busy(void *ctx)
{
	struct named *n = ctx;

	n->seen->n++;
	loop_task_queue(n->seen->l, &n->task, on_busy, n);
}

static void on_idle_at_last(void *ctx)
{
	loop_stop(ctx);
}

static void test_idle_comes_to_a_busy_loop_too(void **state)
{
	struct seen s = { .l = loop_new() };
	struct named busy = { &s, .name = '.' };
	struct loop_task late = { .fn = NULL };

	(void)state;
	loop_task_queue(s.l, &busy.task, on_busy, &busy);
	loop_task_when_idle(s.l, &late, on_idle_at_last, s.l);
	loop_run(s.l);
	assert_in_range(s.n, 1, LOOP_IDLE_ROUNDS + 1);
	loop_task_cancel(&busy.task);
	loop_free(&s.l);
}

static void on_signal(void *ctx, int signo)
{
	struct seen *s = ctx;

	note(s, signo == SIGUSR1 ? '1' : '2');
	if (signo == SIGUSR2)
		loop_stop(s->l);
}

static void test_signals(void **state)
{
	struct seen s = { .l = loop_new() };
	sigset_t now;

	(void)state;
	loop_signal(s.l, SIGUSR1, on_signal, &s);
	loop_signal(s.l, SIGUSR2, on_signal, &s);
	raise(SIGUSR1);
	raise(SIGUSR2);
	loop_run(s.l);
	assert_string_equal(s.order, "12");
	loop_free(&s.l);
	sigprocmask(SIG_BLOCK, NULL, &now);
	assert_false(sigismember(&now, SIGUSR1));
}

static void test_child_frees_what_it_inherited(void **state)
{
	struct two t = { .l = loop_new() };
	int x[2], status;
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, x), 0);
	loop_fd_add(t.l, &t.a, x[0], LOOP_READ, on_either, &t);
	pid = fork();
	if (pid == 0) {
		loop_after_fork(t.l);
		loop_fd_del(t.l, &t.a);
		loop_free(&t.l);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(write(x[1], "1", 1), 1);
	loop_run(t.l);                                                /* would never end had the child taken the watch away */
	assert_int_equal(t.calls, 1);
	loop_free(&t.l);
	close(x[0]), close(x[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers_come_in_order),
		cmocka_unit_test(test_many_timers_keep_the_heap),
		cmocka_unit_test(test_removed_watch_is_silent_in_the_same_round),
		cmocka_unit_test(test_hup_is_told_unasked),
		cmocka_unit_test(test_tasks), cmocka_unit_test(test_tasks_that_wait_for_idle), cmocka_unit_test(test_idle_comes_to_a_busy_loop_too),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_child_frees_what_it_inherited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
