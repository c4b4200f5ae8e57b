/*
 * tests/unit/store/test_sweep.c - each operation of the store, killed at every system call in turn, and with every system call failing in turn.
 *
 * The operation runs in a traced child. Afterwards no message is missing or there twice, what was acknowledged is there, UIDs ascend, UIDVALIDITY
 * stays, and the mailbox goes on working. Skipped where tracing is not allowed or the machine is no x86-64.
 */
#include "store_env.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "store/folder.h"

#define BASE 6

static const char *const names[] = { "INBOX", "Archive" };

struct op {
	const char *name;
	int (*run)(struct env *v);
	int least, most;                                              /* copies in all of the message concerned */
	int acked;                                                    /* and how many when it said that it was done; -1: as before */
	int target;                                                   /* message number */
};

static int op_deliver(struct env *v)
{
	struct delivery d = { .queue_id = "NEW", .octets = SLICE_INIT("Subject: m99\r\n\r\nx\r\n"), .internaldate = 1700000000, .maybe_again = true };
	const char *path;

	return box_deliver(v->b, SLICE("INBOX"), &d, v->a, &path, &v->e);
}

static int op_append(struct env *v)
{
	struct mappend *a;
	struct mbox *m;
	uint32_t uid;
	struct slice label = SLICE("$New");
	int rc;

	if (mbox_open(&m, v->b, SLICE("INBOX"), &v->e) != 0)
		return -1;
	rc = mappend_begin(&a, m, 10, &v->e);
	if (rc == 0 && mappend_write(a, SLICE("Subject: m99\r\n\r\nx\r\n"), &v->e) != 0) {
		mappend_drop(&a);
		rc = -1;
	}
	if (rc == 0)
		rc = mappend_commit(&a, MSG_SEEN, &label, 1, 1700000000, &uid, &v->e);
	mbox_close(&m);
	return rc;
}

static int with_view(struct env *v, int (*fn)(struct env *v, struct view *x, struct mbox *archive))
{
	struct mbox *m, *d;
	struct view *x;
	int rc;

	if (mbox_open(&m, v->b, SLICE("INBOX"), &v->e) != 0)
		return -1;
	if (mbox_open(&d, v->b, SLICE("Archive"), &v->e) != 0) {
		mbox_close(&m);
		return -1;
	}
	x = view_open(m, false);
	rc = view_count(x) >= BASE ? fn(v, x, d) : -1;
	view_close(&x);
	mbox_close(&m);
	mbox_close(&d);
	return rc;
}

static const uint32_t second = 2;

static int do_copy(struct env *v, struct view *x, struct mbox *d)
{
	struct uid_range r;

	return view_copy(x, &second, 1, d, &r, &v->e);
}

static int do_move(struct env *v, struct view *x, struct mbox *d)
{
	struct uid_range r;

	return view_move(x, &second, 1, d, &r, &v->e);
}

static int do_remove(struct env *v, struct view *x, struct mbox *d)
{
	(void)d;
	return view_remove(x, &second, 1, &v->e) != 0 || mbox_sync(x->m, &v->e) != 0 ? -1 : 0;
}

static int do_flags(struct env *v, struct view *x, struct mbox *d)
{
	struct slice label = SLICE("$L");
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_FLAGGED, .keywords = &label, .n_keywords = 1 };

	(void)d;
	return view_store_flags(x, &second, 1, &ch, v->a, NULL, NULL, &v->e) != 0 || mbox_sync(x->m, &v->e) != 0 ? -1 : 0;
}

static int do_fold(struct env *v, struct view *x, struct mbox *d)
{
	int rc;

	(void)d;
	if (mbox_begin(x->m, &v->e) != 0)
		return -1;
	rc = mbox_fold(x->m, &v->e);
	mbox_end(x->m);
	return rc;
}

static int op_copy(struct env *v) { return with_view(v, do_copy); }
static int op_move(struct env *v) { return with_view(v, do_move); }
static int op_remove(struct env *v) { return with_view(v, do_remove); }
static int op_flags(struct env *v) { return with_view(v, do_flags); }
static int op_fold(struct env *v) { return with_view(v, do_fold); }

static int op_rebuild(struct env *v)
{
	struct folder_status s;
	char path[512];

	snprintf(path, sizeof path, "%s/office.test/u1/posthouse.log", v->dir);
	unlink(path);
	return box_status(v->b, SLICE("INBOX"), &s, &v->e);
}

static int op_create(struct env *v)
{
	return box_create(v->b, SLICE("New/Folder"), 0, &v->e);
}

static const struct op ops[] = {
	{ "deliver", op_deliver, 0, 1, 1, 99 }, { "append", op_append, 0, 1, 1, 99 }, { "copy", op_copy, 1, 2, 2, 1 }, { "move", op_move, 1, 1, 1, 1 },
	{ "remove", op_remove, 0, 1, 0, 1 }, { "flags", op_flags, 1, 1, 1, 1 }, { "fold", op_fold, 1, 1, 1, 1 }, { "rebuild", op_rebuild, 1, 1, 1, 1 },
	{ "create", op_create, 1, 1, 1, 1 },
};

/* ---- the traced child ---- */

struct fault { int at; int fail; };                                   /* fail 0: SIGKILL, otherwise the errno */

enum { RUN_OK = 0, RUN_FAILED = 7 };

static bool may_fail(long nr)
{
	static const long those[] = {
		SYS_openat, SYS_pread64, SYS_write, SYS_pwrite64, SYS_fstat, SYS_newfstatat, SYS_rename, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_unlink,
		SYS_unlinkat, SYS_ftruncate, SYS_fsync, SYS_fdatasync, SYS_syncfs, SYS_lseek, SYS_getdents64, SYS_mkdirat, SYS_fcntl, SYS_utimensat, SYS_flock,
	};

	for (size_t i = 0; i < sizeof those / sizeof *those; i++)
		if (those[i] == nr)
			return true;
	return false;
}

/* Returns the wait status, or -1 when the child made fewer calls than fault->at. */
static int trace(pid_t pid, const struct fault *f)
{
	int status, calls = 0;
	bool entering = true, pending = false;

	waitpid(pid, &status, 0);                                     /* its SIGSTOP */
	ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
	for (;;) {
		struct user_regs_struct r;

		ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
		waitpid(pid, &status, 0);
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return calls < f->at ? -1 : status;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		ptrace(PTRACE_GETREGS, pid, NULL, &r);
		if (entering && (f->fail == 0 || may_fail((long)r.orig_rax)) && ++calls == f->at) {
			if (f->fail == 0) {
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
				return status;
			}
			r.orig_rax = (unsigned long long)-1;
			ptrace(PTRACE_SETREGS, pid, NULL, &r);
			pending = true;
		} else if (!entering && pending) {
			r.rax = (unsigned long long)-f->fail;
			ptrace(PTRACE_SETREGS, pid, NULL, &r);
			pending = false;
		}
		entering = !entering;
	}
}

static int run(struct env *v, const struct op *op, const struct fault *f)
{
	pid_t pid = fork();
	int rc;

	if (pid != 0)
		return trace(pid, f);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(9);
	raise(SIGSTOP);
	{
		char path[256];

		snprintf(path, sizeof path, "%s/office.test/u1", v->dir);
		if (box_open(&v->b, path, true, &v->opt, &v->e) != 0)
			_exit(RUN_FAILED);
	}
	rc = op->run(v);
	box_close(&v->b);
	_exit(rc == 0 ? RUN_OK : RUN_FAILED);
}

/* ---- what must be true ---- */

static void check(struct env *v, const struct op *op, const struct fault *f, bool acked, uint32_t uidvalidity)
{
	int seen[100] = { 0 }, copies;

	env_open(v);
	for (int k = 0; k < 2; k++) {
		struct mbox *m = env_folder(v, names[k]);
		struct view *x = view_open(m, false);
		uint32_t last = 0;

		if (k == 0)
			assert_int_equal(mbox_uidvalidity(m), uidvalidity);
		for (uint32_t i = 1; i <= view_count(x); i++) {
			struct mbody b;
			int n;

			assert_true(view_get(x, i)->uid > last);
			last = view_get(x, i)->uid;
			OK(v, view_read(x, i, &b, &v->e));
			assert_int_equal(sscanf(b.octets.p, "Subject: m%d", &n), 1);
			assert_int_equal(b.octets.n, view_get(x, i)->size);
			seen[n]++;
			mbody_done(&b);
		}
		assert_true(mbox_uidnext(m) > last);
		view_close(&x);
		mbox_close(&m);
	}
	copies = seen[op->target];
	if (copies < op->least || copies > op->most || (acked && copies != op->acked))
		fail_msg("%s, %s at call %d: %d copies, %s", op->name, f->fail == 0 ? "killed" : strerror(f->fail), f->at, copies, acked ? "acknowledged" : "not acknowledged");
	for (int i = 0; i < BASE; i++)
		if (i != op->target && seen[i] != 1)
			fail_msg("%s, %s at call %d: message %d is there %d times", op->name, f->fail == 0 ? "killed" : strerror(f->fail), f->at, i, seen[i]);
	env_deliver(v, "INBOX", "LAST", "Subject: m50\r\n\r\nx\r\n");
	box_close(&v->b);
}

static uint32_t prepare(struct env *v)
{
	struct folder_status s;

	v->opt.special_folders = "Archive";
	env_open(v);
	for (int i = 0; i < BASE; i++) {
		char id[16], text[64];

		snprintf(id, sizeof id, "B%d", i);
		snprintf(text, sizeof text, "Subject: m%d\r\n\r\nx\r\n", i);
		env_deliver(v, "INBOX", id, text);
	}
	OK(v, box_status(v->b, SLICE("INBOX"), &s, &v->e));
	box_close(&v->b);
	return s.uidvalidity;
}

/* false: the operation makes fewer calls than that. */
static bool one(void **state, const struct op *op, const struct fault *f)
{
	struct env *v = *state;
	uint32_t uidvalidity = prepare(v);
	int status = run(v, op, f);

	if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 9)
		skip();
	if (status != -1 && !WIFEXITED(status) && WTERMSIG(status) != SIGKILL)
		fail_msg("%s, %s at call %d: died of signal %d", op->name, strerror(f->fail), f->at, WTERMSIG(status));
	check(v, op, f, status == -1 || (WIFEXITED(status) && WEXITSTATUS(status) == RUN_OK), uidvalidity);
	env_teardown(state);
	env_setup(state);
	return status != -1;
}

static void sweep(void **state, int fail, int step)
{
	int points = 0;

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		struct fault f = { .at = 1, .fail = fail };

		for (; one(state, &ops[i], &f); f.at += step)
			points++;
	}
	print_message("%d points\n", points);
}

static int step_of(void)
{
	const char *s = getenv("SWEEP_STEP");                         /* 1: all; a sample otherwise */

	return s != NULL && atoi(s) > 0 ? atoi(s) : 8;
}

static void test_killed(void **state)
{
	sweep(state, 0, step_of());
}

static void test_io_error(void **state)
{
	sweep(state, EIO, step_of());
}

static void test_disk_full(void **state)
{
	sweep(state, ENOSPC, step_of());
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
	const struct CMUnitTest tests[] = { T(test_killed), T(test_io_error), T(test_disk_full) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
