/*
 * An evil process: what an attacker would try from inside each shape of sandbox must fail, what our own code does must work.
 *
 * Each try runs in a child of its own. The child's verdict is its exit status: OK, the errno it got, or the signal that killed it.
 */
#include "serve/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "serve/landlock.h"

enum { OK = 0, KILLED = 200, NOT_ENTERED = 201, NO_CHILD = 202 };

static char dir[] = "/tmp/ph-sandbox-XXXXXX";
static char inside[64], outside[64], sub[64];

static int sys_verdict(long rc)
{
	return rc >= 0 ? OK : errno;
}

static int try_shadow(void)
{
	return sys_verdict(open("/etc/shadow", O_RDONLY));
}

static int try_passwd(void)
{
	return sys_verdict(open("/etc/passwd", O_RDONLY));
}

static int try_exec(void)
{
	return sys_verdict(execl("/bin/true", "true", (char *)NULL));
}

static int try_ptrace(void)
{
	return sys_verdict(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_vm_read(void)
{
	return sys_verdict(syscall(SYS_process_vm_readv, getppid(), NULL, 0L, NULL, 0L, 0L));
}

static int try_bpf(void)
{
	return sys_verdict(syscall(SYS_bpf, 0, NULL, 0));
}

static int try_keyctl(void)
{
	return sys_verdict(syscall(SYS_keyctl, 0, 0, 0));
}

static int try_userfaultfd(void)
{
	return sys_verdict(syscall(SYS_userfaultfd, 0));
}

static int try_io_uring(void)
{
	return sys_verdict(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_mount(void)
{
	return sys_verdict(syscall(SYS_mount, "none", "/mnt", "tmpfs", 0L, NULL));
}

static int try_unshare(void)
{
	return sys_verdict(syscall(SYS_unshare, 0x10000000L));
}

static int try_setuid(void)
{
	return sys_verdict(syscall(SYS_setresuid, 1, 1, 1));
}

static int try_chown(void)
{
	return sys_verdict(chown(inside, 1, 1));
}

static int try_connect(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(1), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? errno : sys_verdict(connect(fd, (struct sockaddr *)&in, sizeof(in)));
}

static int try_udp(void)
{
	return sys_verdict(socket(AF_INET6, SOCK_DGRAM, 0));
}

static int try_netlink(void)
{
	return sys_verdict(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int try_raw(void)
{
	return sys_verdict(socket(AF_PACKET, SOCK_RAW, 0));
}

static int try_unix(void)
{
	return sys_verdict(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_unix_packets(void)
{
	return sys_verdict(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

static int try_datagrams(void)
{
	return sys_verdict(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

static int try_write_inside(void)
{
	int fd = open(inside, O_RDWR | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) < 0 || ftruncate(fd, 0) < 0 || close(fd) < 0)
		return errno;
	return OK;
}

/* As a Maildir lives: write in one directory, rename and link into another, remove. */
static int try_rename_inside(void)
{
	char to[128], third[128];
	int rc = try_write_inside();

	snprintf(to, sizeof(to), "%s/to", sub);
	snprintf(third, sizeof(third), "%s/third", sub);
	if (rc != OK || rename(inside, to) < 0 || link(to, third) < 0 || unlink(to) < 0 || unlink(third) < 0)
		return rc != OK ? rc : errno;
	return OK;
}

static int try_write_outside(void)
{
	return sys_verdict(open(outside, O_WRONLY | O_CREAT, 0600));
}

static int try_write_read_only(void)
{
	return sys_verdict(open("/etc/passwd", O_WRONLY));
}

static int try_leave_by_dotdot(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/../out", sub);
	return sys_verdict(open(path, O_WRONLY | O_CREAT, 0600));
}

static int try_symlink_out(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/leak", sub);
	unlink(path);
	if (symlink("/etc/shadow", path) < 0)
		return errno;
	return sys_verdict(open(path, O_RDONLY));
}

static int try_fork(void)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return errno;
	if (pid == 0)
		_exit(0);
	return waitpid(pid, &status, 0) == pid && status == 0 ? OK : NO_CHILD;
}

static void *thread_body(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t t;
	int rc = pthread_create(&t, NULL, thread_body, NULL);

	return rc != 0 ? rc : pthread_join(t, NULL);
}

static int try_kill_parent(void)
{
	return sys_verdict(kill(getppid(), 0));
}

/* The spawner's child: enters a narrower sandbox of its own. */
static int try_narrower(void)
{
	const char *const write_paths[] = { sub, NULL };
	struct sandbox sb = { .needs = 0, .write_paths = write_paths };
	struct err e = ERR_INIT;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (sandbox_enter(&sb, &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			_exit(NOT_ENTERED);
		}
		if (try_write_inside() != EACCES)                     /* it was the parent's to write, not ours any more */
			_exit(1);
		_exit(try_fork() == EPERM || sandbox_build_is_sanitized() ? OK : 2);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : NO_CHILD;
}

static int try_daily_bread(void)
{
	int p[2];
	char c = 'x';
	FILE *f = fopen("/etc/localtime", "r");

	if (f != NULL)
		fclose(f);
	if (pipe(p) < 0 || write(p[1], &c, 1) != 1 || read(p[0], &c, 1) != 1 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p) < 0)
		return errno;
	free(malloc(10u << 20));
	return time(NULL) > 0 && getpid() > 0 ? OK : 1;
}

static int run(unsigned needs, bool paths, int (*try)(void))
{
	const char *const read_paths[] = { "/etc/passwd", "/nonexistent", NULL };
	const char *const write_paths[] = { dir, NULL };
	struct sandbox sb = { needs, paths ? read_paths : NULL, paths ? write_paths : NULL };
	struct err e = ERR_INIT;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (sandbox_enter(&sb, &e) < 0) {
			fprintf(stderr, "%s\n", e.text);
			_exit(NOT_ENTERED);
		}
		_exit(try());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : WTERMSIG(status) + 128;
	return WEXITSTATUS(status);
}

static const unsigned shapes[] = {
	0, SANDBOX_UNIX, SANDBOX_NET_OUT, SANDBOX_NET_OUT | SANDBOX_UNIX, SANDBOX_THREADS | SANDBOX_UNIX, SANDBOX_FORK | SANDBOX_UNIX,
	SANDBOX_NET_OUT | SANDBOX_UNIX | SANDBOX_THREADS, SANDBOX_DGRAM, SANDBOX_NET_OUT | SANDBOX_DGRAM | SANDBOX_THREADS,
};

static void expect(unsigned needs, bool paths, int (*try)(void), const char *name, int verdict)
{
	int got = run(needs, paths, try);

	if (got != verdict)
		fail_msg("needs %u, paths %d: %s gave %d (%s), expected %d (%s)", needs, paths, name, got, strerror(got), verdict, strerror(verdict));
}

#define EXPECT(needs, paths, try, verdict) expect(needs, paths, try, #try, verdict)

static void test_the_deadly_kills(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		EXPECT(shapes[i], true, try_exec, KILLED);
		EXPECT(shapes[i], true, try_bpf, KILLED);
		EXPECT(shapes[i], true, try_keyctl, KILLED);
		EXPECT(shapes[i], true, try_userfaultfd, KILLED);
		EXPECT(shapes[i], true, try_io_uring, KILLED);
		EXPECT(shapes[i], true, try_mount, KILLED);
		EXPECT(shapes[i], true, try_unshare, KILLED);
		if (sandbox_build_is_sanitized())
			continue;                                     /* LeakSanitizer needs these two */
		EXPECT(shapes[i], true, try_ptrace, KILLED);
		EXPECT(shapes[i], true, try_vm_read, KILLED);
	}
}

static void test_the_rest_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		EXPECT(shapes[i], true, try_netlink, EPERM);
		EXPECT(shapes[i], true, try_raw, EPERM);
		EXPECT(shapes[i], true, try_setuid, EPERM);
		EXPECT(shapes[i], true, try_chown, EPERM);
		EXPECT(shapes[i], true, try_daily_bread, OK);
		EXPECT(shapes[i], true, try_unix, shapes[i] & SANDBOX_UNIX ? OK : EPERM);
		EXPECT(shapes[i], true, try_unix_packets, shapes[i] & SANDBOX_UNIX ? OK : EPERM);
		EXPECT(shapes[i], true, try_datagrams, shapes[i] & (SANDBOX_UNIX | SANDBOX_DGRAM) ? OK : EPERM);
		EXPECT(shapes[i], true, try_connect, shapes[i] & SANDBOX_NET_OUT ? ECONNREFUSED : EPERM);
		EXPECT(shapes[i], true, try_udp, shapes[i] & SANDBOX_NET_OUT ? OK : EPERM);
		if (sandbox_build_is_sanitized())
			continue;
		EXPECT(shapes[i], true, try_fork, shapes[i] & SANDBOX_FORK ? OK : EPERM);
		EXPECT(shapes[i], true, try_thread, shapes[i] & (SANDBOX_THREADS | SANDBOX_FORK) ? OK : EPERM);
		if (!(shapes[i] & SANDBOX_FORK))
			EXPECT(shapes[i], true, try_kill_parent, EPERM);
	}
}

static void test_paths(void **state)
{
	(void)state;
	if (landlock_abi() < 2)
		skip();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		EXPECT(shapes[i], true, try_shadow, EACCES);
		EXPECT(shapes[i], true, try_passwd, OK);
		EXPECT(shapes[i], true, try_write_read_only, EACCES);
		EXPECT(shapes[i], true, try_write_inside, OK);
		EXPECT(shapes[i], true, try_rename_inside, OK);
		EXPECT(shapes[i], true, try_write_outside, EACCES);
		EXPECT(shapes[i], true, try_leave_by_dotdot, OK);     /* still below dir */
		EXPECT(shapes[i], true, try_symlink_out, EACCES);
		EXPECT(shapes[i], false, try_passwd, EACCES);
		EXPECT(shapes[i], false, try_write_inside, EACCES);
	}
}

static void test_narrower_inside(void **state)
{
	(void)state;
	if (landlock_abi() < 2)
		skip();
	EXPECT(SANDBOX_FORK | SANDBOX_UNIX, true, try_narrower, OK);
}

static void test_exec_shape_still_kills(void **state)
{
	(void)state;
	EXPECT(SANDBOX_EXEC, true, try_exec, OK);
	EXPECT(SANDBOX_EXEC, true, try_bpf, KILLED);
	EXPECT(SANDBOX_EXEC, true, try_fork, OK);
}

static void test_missing_write_path_is_told(void **state)
{
	const char *const write_paths[] = { "/nonexistent/mail", NULL };
	struct sandbox sb = { .write_paths = write_paths };
	struct err e = ERR_INIT;
	int status;
	pid_t pid;

	(void)state;
	if (landlock_abi() < 2)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(sandbox_enter(&sb, &e) == -1 && e.kind == ERR_NOTFOUND && strstr(e.text, "/nonexistent/mail") != NULL ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int try_become(const char *user, struct err *e)
{
	if (sandbox_become(user, "", e) < 0)
		return 1;
	return geteuid() != 0 && setuid(0) < 0 && sys_verdict(open("/etc/shadow", O_RDONLY)) == EACCES ? 0 : 2;
}

static void test_become(void **state)
{
	static const struct { const char *user; int verdict; } cases[] = { { "nobody", 0 }, { "no-such-user-here", 1 }, { "root", 1 } };
	struct err e = ERR_INIT;

	(void)state;
	if (geteuid() != 0) {
		assert_int_equal(sandbox_become("no-such-user-here", "", &e), 0);        /* nothing to do */
		return;
	}
	for (size_t i = 0; i < 3; i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(try_become(cases[i].user, &e));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), cases[i].verdict);
	}
}

static int make_dirs(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	if (mkdtemp(dir) == NULL || log_open("stderr", LOG_L_WARN, &e) < 0)
		return -1;
	snprintf(inside, sizeof(inside), "%s/file", dir);
	snprintf(outside, sizeof(outside), "/tmp/ph-outside-%d", (int)getpid());
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	return mkdir(sub, 0700);
}

static int remove_dirs(void **state)
{
	char cmd[100];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -rf %s %s", dir, outside);
	return system(cmd);
}

/* The one supplementary group that is asked for, and no other: that of a spool directory. */
static void test_become_also(void **state)
{
	struct err e = ERR_INIT;
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0) {
		gid_t groups[16];

		_exit(sandbox_become_also("nobody", "", 8, &e) == 0 && getgroups(16, groups) == 1 && groups[0] == 8 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_deadly_kills), cmocka_unit_test(test_the_rest_is_refused), cmocka_unit_test(test_paths),
		cmocka_unit_test(test_narrower_inside), cmocka_unit_test(test_exec_shape_still_kills),
		cmocka_unit_test(test_missing_write_path_is_told), cmocka_unit_test(test_become), cmocka_unit_test(test_become_also),
	};

	return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
