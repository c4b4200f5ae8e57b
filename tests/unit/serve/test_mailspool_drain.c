/*
 * tests/unit/serve/test_mailspool_drain.c - a spool mbox into a mailbox: each message once, whatever the moment at which the process is killed.
 */
#include "../store/store_env.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "base/file.h"
#include "serve/mailspool_drain.h"
#include "serve/mailspool_lock.h"

#define ENTRY(date, subject) "From a@b.test Thu Jan  1 00:00:" date " 1970\nSubject: " subject "\n\nbody\n\n"
#define THREE ENTRY("01", "one") ENTRY("02", "two") ENTRY("02", "two")

static const char *spool_path(struct env *v)
{
	return arena_printf(v->a, "%s/spool", v->dir);
}

static void put(struct env *v, const char *text, int flags)
{
	int fd = open(spool_path(v), O_WRONLY | O_CREAT | flags, 0600);

	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, slice_of(text)), 0);
	close(fd);
}

static int drain(struct env *v, unsigned *n_out)
{
	const char *dir = arena_printf(v->a, "%s/office.test/u1", v->dir);
	int fd = open(spool_path(v), O_RDWR), rc;
	struct box *b = NULL;

	assert_true(fd >= 0);
	v->e = (struct err)ERR_INIT;
	assert_int_equal(box_open(&b, dir, true, &v->opt, &v->e), 0);
	rc = mailspool_drain(fd, b, dir, n_out, &v->e);
	box_close(&b);
	close(fd);
	return rc;
}

static uint32_t count(struct env *v)
{
	struct folder_status st;

	env_open(v);
	OK(v, box_status(v->b, SLICE("INBOX"), &st, &v->e));
	box_close(&v->b);
	return st.messages;
}

static off_t spool_size(struct env *v)
{
	struct stat st;

	return stat(spool_path(v), &st) == 0 ? st.st_size : -1;
}

static void test_all_and_equal_ones(void **state)
{
	struct env *v = *state;
	unsigned n;

	put(v, THREE, O_TRUNC);
	assert_int_equal(drain(v, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(spool_size(v), 0);
	put(v, THREE, O_TRUNC);                                       /* the next filling is not the last one */
	assert_int_equal(drain(v, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(count(v), 6);
	assert_int_equal(drain(v, &n), 0);
	assert_int_equal(n, 0);
}

static void test_no_mbox(void **state)
{
	struct env *v = *state;
	unsigned n;

	put(v, "Subject: x\n\n", O_TRUNC);
	assert_int_equal(drain(v, &n), -1);
	assert_int_equal(v->e.kind, ERR_SYNTAX);
	assert_int_equal(spool_size(v), 12);
}

static void test_no_room(void **state)
{
	struct env *v = *state;
	unsigned n;

	v->opt.quota_messages = 1;
	put(v, THREE, O_TRUNC);
	assert_int_equal(drain(v, &n), -1);                           /* one fits: it is moved, and the next drain knows it */
	assert_int_equal(v->e.kind, ERR_LIMIT);
	assert_int_equal(spool_size(v), (off_t)sizeof THREE - 1);
	v->opt.quota_messages = 0;
	assert_int_equal(drain(v, &n), 0);
	assert_int_equal(count(v), 3);
	v->opt.quota_storage = 10;
	put(v, THREE, O_TRUNC);
	assert_int_equal(drain(v, &n), -1);
	assert_int_equal(n, 0);
	v->opt.quota_storage = 0;
}

/* Drains in a child that is killed when it enters its n-th system call. False: it was done before. */
static bool drain_killed_at(struct env *v, unsigned long n)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		unsigned moved;

		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
			_exit(99);
		raise(SIGSTOP);
		_exit(drain(v, &moved) == 0 ? 0 : 1);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 99);
		skip();
	}
	for (unsigned long i = 0; i < 2 * n; i++) {
		if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0 || waitpid(pid, &status, 0) != pid || WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return false;
		}
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return true;
}

/* After each: the messages that were there, and one that came in between, once. */
static void test_killed_at_each_call(void **state)
{
	struct env *v = *state;
	const char *text = getenv("SWEEP_STEP");
	unsigned long step = text != NULL ? 1 : 7, n = 1 + (unsigned long)getpid() % step;
	uint32_t have = 0;
	bool going = true;

	for (; going; n += step) {
		unsigned moved;

		put(v, THREE, O_TRUNC);
		going = drain_killed_at(v, n);
		put(v, ENTRY("03", "three"), O_APPEND);
		if (drain(v, &moved) != 0)
			fail_msg("killed at call %lu: %s", n, v->e.text);
		have += 4;
		if (count(v) != have)
			fail_msg("killed at call %lu: %u messages, not %u", n, count(v), have);
		assert_int_equal(spool_size(v), 0);
		if (access(arena_printf(v->a, "%s/office.test/u1/posthouse.spool", v->dir), F_OK) == 0)
			fail_msg("killed at call %lu: posthouse.spool stays", n);
	}
	assert_true(have > 40);
}

static void test_locks(void **state)
{
	struct env *v = *state;
	const char *lock = arena_printf(v->a, "%s/spool.lock", v->dir);
	int fd = -1, other;

	assert_int_equal(mailspool_lock(spool_path(v), 0, &fd, &v->e), 1);
	put(v, THREE, O_TRUNC);
	OK(v, mailspool_lock(spool_path(v), 0, &fd, &v->e));
	assert_int_equal(access(lock, F_OK), 0);
	assert_int_equal(mailspool_lock(spool_path(v), 0, &other, &v->e), -1);
	assert_int_equal(v->e.kind, ERR_TEMP);
	mailspool_unlock(spool_path(v), &fd);
	assert_int_equal(fd, -1);
	assert_true(access(lock, F_OK) != 0 && errno == ENOENT);
	OK(v, mailspool_lock(spool_path(v), 0, &fd, &v->e));
	mailspool_unlock(spool_path(v), &fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
	const struct CMUnitTest tests[] = { T(test_all_and_equal_ones), T(test_no_mbox), T(test_no_room), T(test_killed_at_each_call), T(test_locks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
