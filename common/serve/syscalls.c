/*
 * serve/syscalls.c - an allow-list, written from what our processes and their libraries do (strace of each role, glibc 2.36, OpenSSL 3).
 *
 * What is neither allowed nor deadly gets EPERM, so that a probe of a library does not take mail down. What only an attacker does kills.
 * A process that may exec runs the code of others (PAM modules, procmail): there all is allowed but the deadly calls.
 */
#include "serve/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

#define SYSCALLS_NEW_NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

#define PR_SET_VMA_NAMES 0x53564d41                                   /* PR_SET_VMA: glibc names its arenas so */

struct syscalls_rule {
	unsigned needs;                                               /* any of these; 0: always */
	const char *names[48];                                        /* by name: libseccomp leaves out what an architecture lacks */
};

static const struct syscalls_rule syscalls_allowed[] = {
	{ 0, { "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "close", "close_range", "lseek",
	       "dup", "dup2", "dup3", "fcntl", "pipe", "pipe2", "eventfd2", "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl",
	       "epoll_wait", "epoll_pwait", "epoll_pwait2", "signalfd4", "timerfd_create", "timerfd_settime" } },
	{ 0, { "open", "openat", "creat", "stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
	       "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir", "umask", "mkdir", "mkdirat", "rmdir", "unlink",
	       "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "utimensat",
	       "utime", "utimes", "futimesat" } },
	{ 0, { "fsync", "fdatasync", "sync_file_range", "syncfs", "fallocate", "ftruncate", "truncate", "flock", "fadvise64", "readahead",
	       "sendfile", "splice", "copy_file_range", "name_to_handle_at" } },
	{ 0, { "mmap", "mprotect", "munmap", "mremap", "madvise", "msync", "brk", "mlock", "munlock", "mincore" } },
	{ 0, { "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "restart_syscall", "tgkill",
	       "exit", "exit_group", "getpid", "getppid", "gettid", "getpgid", "getpgrp", "getsid", "getuid", "geteuid", "getgid", "getegid",
	       "getresuid", "getresgid", "getgroups", "getrusage", "getrlimit", "times", "uname", "sysinfo", "getcpu", "getrandom", "getpriority" } },
	{ 0, { "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "futex", "futex_waitv", "set_robust_list",
	       "get_robust_list", "set_tid_address", "rseq", "membarrier", "sched_yield", "sched_getaffinity", "sched_getparam",
	       "sched_getscheduler", "alarm", "setitimer", "getitimer" } },
	{ 0, { "accept", "accept4", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "shutdown", "getsockname", "getpeername",
	       "getsockopt", "setsockopt", "socketpair" } },
	{ SANDBOX_NET_OUT | SANDBOX_UNIX | SANDBOX_DGRAM, { "connect", "bind" } },
	{ SANDBOX_UNIX, { "listen" } },
	{ SANDBOX_FORK, { "fork", "vfork", "wait4", "waitid", "kill", "setpgid", "setsid", "landlock_create_ruleset", "landlock_add_rule",
	       "landlock_restrict_self", "seccomp", "setpriority" } },
	{ SANDBOX_THREADS, { "sched_setaffinity", "sched_setscheduler" } },
};

static const char *const syscalls_deadly[] = {
	"ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "bpf", "perf_event_open", "userfaultfd", "mount", "umount2",
	"mount_setattr", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "fspick", "pivot_root", "chroot", "setns", "unshare",
	"add_key", "request_key", "keyctl", "io_uring_setup", "io_uring_enter", "io_uring_register", "init_module", "finit_module",
	"delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "iopl", "ioperm", "open_by_handle_at", "modify_ldt",
	"acct", "quotactl", "lookup_dcookie", "personality", NULL
};
static const char *const syscalls_exec[] = { "execve", "execveat", NULL };

/* ioctls of stdio, of the loop, and of libraries that look whether a descriptor is a terminal. */
static const unsigned long syscalls_ioctls[] = { FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ, TIOCGPGRP };
static const int syscalls_prctls[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_SET_DUMPABLE, PR_GET_DUMPABLE,
	PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_SET_VMA_NAMES, PR_GET_SECCOMP, PR_SET_SECCOMP, PR_CAPBSET_READ };

static int syscalls_allow(scmp_filter_ctx f, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
}

static int syscalls_allow_table(scmp_filter_ctx f, unsigned needs)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(syscalls_allowed) / sizeof(syscalls_allowed[0]); i++) {
		const struct syscalls_rule *r = &syscalls_allowed[i];

		if (r->needs == 0 || (r->needs & needs) != 0)
			for (const char *const *name = r->names; *name != NULL && rc == 0; name++)
				rc = syscalls_allow(f, *name);
	}
	return rc;
}

static int syscalls_allow_family(scmp_filter_ctx f, int family)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family, 0));
}

/* Whoever has dracd's uid is its administrator there: a process that asks dracd nothing must not get as far as its door. */
static int syscalls_allow_datagrams(scmp_filter_ctx f)
{
	enum { KIND = 0xf };                                          /* without SOCK_CLOEXEC and SOCK_NONBLOCK */

	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)AF_UNIX, 0),
	    SCMP_A1(SCMP_CMP_MASKED_EQ, KIND, (scmp_datum_t)SOCK_DGRAM));
}

static int syscalls_allow_sockets(scmp_filter_ctx f, unsigned needs)
{
	int rc = 0;

	if (needs & SANDBOX_NET_OUT)
		rc = syscalls_allow_family(f, AF_INET) < 0 ? -1 : syscalls_allow_family(f, AF_INET6);
	if (rc == 0 && (needs & SANDBOX_UNIX))
		rc = syscalls_allow_family(f, AF_UNIX);
	else if (rc == 0 && (needs & SANDBOX_DGRAM))
		rc = syscalls_allow_datagrams(f);
	return rc;
}

/* Threads are made with CLONE_THREAD, processes without; neither may come in a namespace of its own. clone3 hides its flags in memory, where
   a filter can't look: ENOSYS makes glibc take clone. */
static int syscalls_allow_clone(scmp_filter_ctx f, unsigned needs)
{
	int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (rc == 0 && (needs & SANDBOX_FORK))
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, SYSCALLS_NEW_NAMESPACES, 0));
	else if (rc == 0 && (needs & SANDBOX_THREADS))
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, SYSCALLS_NEW_NAMESPACES | CLONE_THREAD, CLONE_THREAD));
	return rc;
}

static int syscalls_allow_by_argument(scmp_filter_ctx f)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(syscalls_ioctls) / sizeof(syscalls_ioctls[0]); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, syscalls_ioctls[i], 0));
	for (size_t i = 0; rc == 0 && i < sizeof(syscalls_prctls) / sizeof(syscalls_prctls[0]); i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)syscalls_prctls[i], 0));
	if (rc == 0)                                                  /* to read a limit, not to set one, and of no other process */
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0, 0), SCMP_A2(SCMP_CMP_EQ, 0, 0));
	return rc;
}

static int syscalls_kill(scmp_filter_ctx f, const char *const *names)
{
	int rc = 0;

	for (; *names != NULL && rc == 0; names++) {
		int nr = seccomp_syscall_resolve_name(*names);

		if (nr != __NR_SCMP_ERROR && !sandbox_build_needs(*names))
			rc = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, nr, 0);
	}
	return rc;
}

static int syscalls_fill(scmp_filter_ctx f, unsigned needs)
{
	int rc = syscalls_kill(f, syscalls_deadly);

	if (rc != 0 || (needs & SANDBOX_EXEC))
		return rc;
	if ((rc = syscalls_kill(f, syscalls_exec)) != 0 || (rc = syscalls_allow_table(f, needs)) != 0 || (rc = syscalls_allow_sockets(f, needs)) != 0
	    || (rc = syscalls_allow_by_argument(f)) != 0)
		return rc;
	for (const char *const *name = sandbox_build_calls(); *name != NULL && rc == 0; name++)
		rc = syscalls_allow(f, *name);
	return rc != 0 || sandbox_build_needs("clone") ? rc : syscalls_allow_clone(f, needs);
}

/* NULL: *e says why. */
static scmp_filter_ctx syscalls_build(unsigned needs, struct err *e)
{
	scmp_filter_ctx f = seccomp_init(needs & SANDBOX_EXEC ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (f == NULL) {
		err_set(e, ERR_TEMP, 0, "sandbox: seccomp_init");
		return NULL;
	}
	/* With no-new-privs set by the caller already, or as root without it (SANDBOX_EXEC). */
	rc = seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0);
	if (rc == 0)                                                  /* a tree, not a chain, of the hundred and fifty calls */
		(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = syscalls_fill(f, needs);
	if (rc == 0)
		return f;
	seccomp_release(f);
	err_set(e, ERR_TEMP, -rc, "sandbox: seccomp");
	return NULL;
}

static bool syscalls_kernel_has_seccomp(void)
{
	return prctl(PR_GET_SECCOMP) >= 0 || errno != EINVAL;
}

int syscalls_enter(unsigned needs, const char **told_out, struct err *e)
{
	scmp_filter_ctx f;
	int rc;

	*told_out = "";
	if (!syscalls_kernel_has_seccomp()) {
		*told_out = "this kernel has no seccomp, so system calls are not confined";
		return 0;
	}
	f = syscalls_build(needs, e);
	if (f == NULL)
		return -1;
	rc = seccomp_load(f);
	seccomp_release(f);
	return rc == 0 ? 0 : err_set(e, ERR_TEMP, -rc, "sandbox: seccomp");
}

/*
 * Compiled once, entered often
 */

struct sandbox_calls {
	struct sock_fprog program;
};

/* The program comes out of libseccomp through a descriptor; a pipe holds 64 KiB, the longest program is half of that. */
static int syscalls_export(scmp_filter_ctx f, struct sock_fprog *out, struct err *e)
{
	size_t size = 0, max = BPF_MAXINSNS * sizeof(struct sock_filter);
	struct sock_filter *code = mem_new(max);
	ssize_t n = 1;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) < 0) {
		free(code);
		return err_set(e, ERR_TEMP, errno, "sandbox: pipe");
	}
	rc = seccomp_export_bpf(f, fds[1]);
	close(fds[1]);
	while (rc == 0 && size < max && (n = read(fds[0], (char *)code + size, max - size)) > 0)
		size += (size_t)n;
	close(fds[0]);
	if (rc < 0 || n < 0 || size == 0) {
		free(code);
		return err_set(e, ERR_TEMP, -rc, "sandbox: seccomp_export_bpf");
	}
	out->filter = code;
	out->len = (unsigned short)(size / sizeof(*code));
	return 0;
}

int sandbox_compile(struct sandbox_calls **out, unsigned needs, struct err *e)
{
	struct sandbox_calls *c;
	scmp_filter_ctx f;
	int rc;

	if (!syscalls_kernel_has_seccomp()) {
		*out = NULL;
		return 0;
	}
	f = syscalls_build(needs, e);
	if (f == NULL)
		return -1;
	c = mem_new(sizeof(*c));
	rc = syscalls_export(f, &c->program, e);
	seccomp_release(f);
	if (rc == 0)
		*out = c;
	else
		free(c);
	return rc;
}

int syscalls_enter_compiled(const struct sandbox_calls *c, struct err *e)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &c->program) == 0)
		return 0;
	return err_set(e, ERR_TEMP, errno, "sandbox: seccomp");
}

void sandbox_calls_free(struct sandbox_calls **c)
{
	if (*c != NULL)
		free((*c)->program.filter);
	free(*c);
	*c = NULL;
}
