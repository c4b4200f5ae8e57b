/*
 * tests/unit/store/test_sweep.c - each operation of the store, killed at every system call in turn, and with every system call failing in turn: EIO,
 * ENOSPC, EDQUOT, and writes that take half of the octets, alone or with a full disk behind.
 *
 * The operation runs in a traced child. Afterwards no message is missing or there twice, what was acknowledged is there, UIDs ascend, UIDVALIDITY
 * stays, verify has nothing left to mend after its repair, and the mailbox goes on working. Skipped where tracing is not allowed or the machine is no
 * x86-64. SWEEP_STEP=1 in the environment: every point and not a sample (tests/README.md).
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
#include "store/verify.h"

#define BASE 6

struct op {
	const char *name;
	int (*run)(struct env *v);
	int least, most;                                              /* copies in all of the message concerned */
	int acked;                                                    /* and how many when it said that it was done */
	int target;                                                   /* message number */
	int with;                                                     /* another one to which the same happens, or to neither; 0: none */
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

static int do_flags(struct env *v, struct view *x, struct mbox *d)
{
	struct slice label = SLICE("$L");
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_FLAGGED, .keywords = &label, .n_keywords = 1 };

	(void)d;
	return view_store_flags(x, &second, 1, &ch, v->a, NULL, NULL, &v->e) != 0 || mbox_sync(x->m, &v->e) != 0 ? -1 : 0;
}

/* As POP3 QUIT does it: all or none. */
static int do_remove(struct env *v, struct view *x, struct mbox *d)
{
	static const uint32_t two[] = { 2, 4 };

	(void)d;
	return view_remove(x, two, 2, &v->e) != 0 || mbox_sync(x->m, &v->e) != 0 ? -1 : 0;
}

static int do_expunge(struct env *v, struct view *x, struct mbox *d)
{
	struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_DELETED };

	(void)d;
	return view_store_flags(x, &second, 1, &ch, v->a, NULL, NULL, &v->e) != 0 || view_expunge(x, NULL, 0, &v->e) != 0 ? -1 : 0;
}

static int do_names(struct env *v, struct view *x, struct mbox *d)
{
	int rc;

	if (do_flags(v, x, d) != 0 || mbox_begin(x->m, &v->e) != 0)
		return -1;
	rc = mbox_flush_names(x->m, 10, &v->e);
	mbox_end(x->m);
	return rc;
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

static int op_rename(struct env *v)
{
	return box_rename(v->b, SLICE("Archive"), SLICE("Elsewhere"), &v->e);
}

static int op_delete(struct env *v)
{
	return box_delete(v->b, SLICE("Old"), &v->e);
}

/* Another program puts a message into new/, we find it. prepare() has made the file. */
static int op_adopt(struct env *v)
{
	struct folder_status s;
	char from[256], to[512];

	snprintf(from, sizeof from, "%s/foreign", v->dir);
	snprintf(to, sizeof to, "%s/office.test/u1/new/1700000000.77.elsewhere", v->dir);
	if (rename(from, to) != 0)
		return -1;
	return box_status(v->b, SLICE("INBOX"), &s, &v->e);
}

/* To a second folder, by a link to the first one's file. */
static int op_link(struct env *v)
{
	struct delivery d = { .queue_id = "NEW", .octets = SLICE_INIT("Subject: m99\r\n\r\nx\r\n"), .internaldate = 1700000000, .maybe_again = true };
	const char *path;

	if (box_deliver(v->b, SLICE("INBOX"), &d, v->a, &path, &v->e) != 0)
		return -1;
	d.link_from = path;
	return box_deliver(v->b, SLICE("Archive"), &d, v->a, &path, &v->e);
}

static int op_expunge(struct env *v) { return with_view(v, do_expunge); }
static int op_names(struct env *v) { return with_view(v, do_names); }

static const struct op ops[] = {
	/*  name       run      least most acked target with */
	{ "deliver", op_deliver, 0, 1, 1, 99, 0 },
	{ "link",    op_link,    0, 2, 2, 99, 0 },
	{ "adopt",   op_adopt,   0, 1, 1, 99, 0 },
	{ "append",  op_append,  0, 1, 1, 99, 0 },
	{ "copy",    op_copy,    1, 2, 2, 1,  0 },
	{ "move",    op_move,    1, 1, 1, 1,  0 },
	{ "expunge", op_expunge, 0, 1, 0, 1,  0 },
	{ "remove",  op_remove,  0, 1, 0, 1,  3 },
	{ "flags",   op_flags,   1, 1, 1, 1,  0 },
	{ "names",   op_names,   1, 1, 1, 1,  0 },
	{ "fold",    op_fold,    1, 1, 1, 1,  0 },
	{ "rebuild", op_rebuild, 1, 1, 1, 1,  0 },
	{ "create",  op_create,  1, 1, 1, 1,  0 },
	{ "rename",  op_rename,  1, 1, 1, 1,  0 },
	{ "delete",  op_delete,  1, 1, 1, 1,  0 },
};

/* ---- the traced child ---- */

/* fail: SIGKILL when 0, an errno, or SHORT: half of a write's octets are taken; SHORT + errno: and the next write fails with it. */
struct fault { int at; int fail; };
#define SHORT 10000

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

static bool is_write(long nr)
{
	return nr == SYS_write || nr == SYS_pwrite64;
}

static bool counts(const struct fault *f, long nr)
{
	return f->fail == 0 || (f->fail >= SHORT ? is_write(nr) : may_fail(nr));
}

/* The call that is being entered will return -fail. */
static void spoil(pid_t pid, struct user_regs_struct *r)
{
	r->orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, pid, NULL, r);
}

/* On entry. Returns the errno that the call is to end with, or 0. */
static int meddle(pid_t pid, const struct fault *f, int call, struct user_regs_struct *r)
{
	if (f->fail >= SHORT && call == f->at) {
		r->rdx = (r->rdx + 1) / 2;
		ptrace(PTRACE_SETREGS, pid, NULL, r);
		return 0;
	}
	if (call == f->at || (f->fail > SHORT && call == f->at + 1)) {
		spoil(pid, r);
		return f->fail % SHORT;
	}
	return 0;
}

/* Returns the wait status, or -1 when the child made fewer calls than fault->at. */
static int trace(pid_t pid, const struct fault *f)
{
	int status, calls = 0, pending = 0;
	bool entering = true;

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
		if (entering && counts(f, (long)r.orig_rax) && ++calls >= f->at) {
			if (f->fail == 0) {
				kill(pid, SIGKILL);
				waitpid(pid, &status, 0);
				return status;
			}
			pending = meddle(pid, f, calls, &r);
		} else if (!entering && pending != 0) {
			r.rax = (unsigned long long)-pending;
			ptrace(PTRACE_SETREGS, pid, NULL, &r);
			pending = 0;
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

static const char *fault_text(const struct fault *f)
{
	return f->fail == 0 ? "killed" : f->fail == SHORT ? "a short write" : f->fail > SHORT ? "a short write, then a full disk" : strerror(f->fail);
}

/* Counts the messages of a folder, which is Elsewhere where it was renamed. */
static void count_messages(struct env *v, const char *name, uint32_t uidvalidity, int seen[100])
{
	struct mbox *m = NULL;
	struct view *x;
	uint32_t last = 0;

	if (mbox_open(&m, v->b, slice_of(name), &v->e) != 0) {
		assert_int_equal(v->e.kind, ERR_NOTFOUND);
		m = env_folder(v, "Elsewhere");
	}
	if (uidvalidity != 0)
		assert_int_equal(mbox_uidvalidity(m), uidvalidity);
	x = view_open(m, false);
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

static void ignore_line(void *ctx, const char *text) { (void)ctx, (void)text; }
static void fail_line(void *ctx, const char *text) { fail_msg("%s, after a repair: %s", (const char *)ctx, text); }

static void check_verify(struct env *v, const char *op)
{
	char name[32];
	struct verify_report mend = { ignore_line, NULL }, left = { fail_line, name };
	unsigned faults;

	snprintf(name, sizeof name, "%s", op);
	OK(v, box_verify(v->b, true, &mend, &faults, &v->e));
	OK(v, box_verify(v->b, false, &left, &faults, &v->e));
}

static void check(struct env *v, const struct op *op, const struct fault *f, bool acked, uint32_t uidvalidity)
{
	int seen[100] = { 0 }, copies;

	if (op->run == op_adopt)
		usleep(2 * RACY_NS / 1000);                           /* what could not be read then is tried again behind this */
	env_open(v);
	count_messages(v, "INBOX", uidvalidity, seen);
	count_messages(v, "Archive", 0, seen);
	copies = seen[op->target];
	if (copies < op->least || copies > op->most || (acked && copies != op->acked))
		fail_msg("%s, %s at call %d: %d copies, %s", op->name, fault_text(f), f->at, copies, acked ? "acknowledged" : "not acknowledged");
	if (op->with != 0 && seen[op->with] != copies)
		fail_msg("%s, %s at call %d: of two messages %d and %d copies", op->name, fault_text(f), f->at, copies, seen[op->with]);
	for (int i = 0; i < BASE; i++)
		if (i != op->target && (i == 0 || i != op->with) && seen[i] != 1)
			fail_msg("%s, %s at call %d: message %d is there %d times", op->name, fault_text(f), f->at, i, seen[i]);
	check_verify(v, op->name);
	env_deliver(v, "INBOX", "LAST", "Subject: m50\r\n\r\nx\r\n");
	box_close(&v->b);
}

static uint32_t prepare(struct env *v)
{
	struct folder_status s;
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/foreign", v->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs("Subject: m99\r\n\r\nx\r\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	v->opt.special_folders = "Archive";
	env_open(v);
	for (int i = 0; i < BASE; i++) {
		char id[16], text[64];

		snprintf(id, sizeof id, "B%d", i);
		snprintf(text, sizeof text, "Subject: m%d\r\n\r\nx\r\n", i);
		env_deliver(v, "INBOX", id, text);
	}
	OK(v, box_create(v->b, SLICE("Old"), 0, &v->e));
	env_deliver(v, "Old", "OLD", "Subject: m98\r\n\r\nx\r\n");
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
		fail_msg("%s, %s at call %d: died of signal %d", op->name, fault_text(f), f->at, WTERMSIG(status));
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

	return s != NULL && atoi(s) > 0 ? atoi(s) : 24;
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

static void test_over_disk_quota(void **state)
{
	sweep(state, EDQUOT, step_of());
}

static void test_short_writes(void **state)
{
	sweep(state, SHORT, 1 + step_of() / 4);
}

static void test_short_write_then_full(void **state)
{
	sweep(state, SHORT + ENOSPC, 1 + step_of() / 4);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
	const struct CMUnitTest tests[] = {
		T(test_killed), T(test_io_error), T(test_disk_full), T(test_over_disk_quota), T(test_short_writes), T(test_short_write_then_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
