/*
 * serve/landlock.c - one ruleset: what is not listed is refused.
 *
 * Below ABI 2 (Linux 5.19) a file could not be renamed or linked into another directory at all, and mail is renamed from tmp/ to new/:
 * there paths stay free and seccomp stands alone.
 */
#include "serve/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	LL_CREATE = 444, LL_ADD_RULE = 445, LL_RESTRICT = 446,        /* the same on every architecture */
	LL_VERSION = 1, LL_RULE_PATH = 1,
	LL_ABI_RENAME = 2, LL_ABI_TRUNCATE = 3, LL_ABI_NET = 4, LL_ABI_IOCTL = 5, LL_ABI_SCOPE = 6
};

enum {
	LL_EXECUTE = 1 << 0, LL_WRITE_FILE = 1 << 1, LL_READ_FILE = 1 << 2, LL_READ_DIR = 1 << 3, LL_REMOVE_DIR = 1 << 4,
	LL_REMOVE_FILE = 1 << 5, LL_MAKE_CHAR = 1 << 6, LL_MAKE_DIR = 1 << 7, LL_MAKE_REG = 1 << 8, LL_MAKE_SOCK = 1 << 9,
	LL_MAKE_FIFO = 1 << 10, LL_MAKE_BLOCK = 1 << 11, LL_MAKE_SYM = 1 << 12, LL_REFER = 1 << 13, LL_TRUNCATE = 1 << 14,
	LL_IOCTL_DEV = 1 << 15
};

#define LL_ALL_OF_ABI2 ((1u << 14) - 1)
#define LL_READ (LL_READ_FILE | LL_READ_DIR)
#define LL_WRITE (LL_READ | LL_WRITE_FILE | LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_DIR | LL_MAKE_REG | LL_MAKE_SOCK | LL_MAKE_SYM \
	| LL_REFER | LL_TRUNCATE)
#define LL_OF_A_FILE (LL_EXECUTE | LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE | LL_IOCTL_DEV)
#define LL_TCP_BIND_CONNECT 3u
#define LL_SCOPE_ABSTRACT_UNIX_SIGNAL 3u

struct landlock_rules {
	uint64_t fs, net, scoped;
};

/* Read by every library sooner or later. */
static const char *const landlock_common_read[] = { "/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom", "/dev/null", NULL };

int landlock_abi(void)
{
	long abi = syscall(LL_CREATE, NULL, (size_t)0, LL_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static struct landlock_rules landlock_handled(int abi, unsigned needs)
{
	struct landlock_rules r = { .fs = LL_ALL_OF_ABI2 };

	if (abi >= LL_ABI_TRUNCATE)
		r.fs |= LL_TRUNCATE;
	if (abi >= LL_ABI_IOCTL)
		r.fs |= LL_IOCTL_DEV;
	if (abi >= LL_ABI_NET && !(needs & SANDBOX_NET_OUT))
		r.net = LL_TCP_BIND_CONNECT;
	if (abi >= LL_ABI_SCOPE)
		r.scoped = LL_SCOPE_ABSTRACT_UNIX_SIGNAL;
	return r;
}

/* A rule on what is no directory may name the rights of files only. The kernel's struct is packed: 8 octets of rights, 4 of descriptor. */
static int landlock_add(int rules_fd, int path_fd, uint64_t rights)
{
	char rule[sizeof(rights) + sizeof(path_fd)];
	struct stat st;

	if (fstat(path_fd, &st) < 0)
		return -1;
	if (!S_ISDIR(st.st_mode))
		rights &= LL_OF_A_FILE;
	memcpy(rule, &rights, sizeof(rights));
	memcpy(rule + sizeof(rights), &path_fd, sizeof(path_fd));
	return (int)syscall(LL_ADD_RULE, rules_fd, LL_RULE_PATH, rule, 0);
}

static int landlock_allow(int rules_fd, const char *path, uint64_t rights, bool must_exist, struct err *e)
{
	int rc, path_fd = open(path, O_PATH | O_CLOEXEC);

	if (path_fd < 0 && !must_exist && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return 0;
	if (path_fd < 0)
		return err_set(e, err_kind_of(errno), errno, "sandbox: %s", path);
	rc = landlock_add(rules_fd, path_fd, rights);
	if (rc < 0)
		err_set(e, ERR_TEMP, errno, "sandbox: landlock rule for %s", path);
	close(path_fd);
	return rc;
}

static int landlock_allow_all(int rules_fd, const char *const *paths, uint64_t rights, bool must_exist, struct err *e)
{
	for (; paths != NULL && *paths != NULL; paths++)
		if (landlock_allow(rules_fd, *paths, rights, must_exist, e) < 0)
			return -1;
	return 0;
}

static int landlock_fill(int rules_fd, const struct sandbox *sb, const struct landlock_rules *r, struct err *e)
{
	uint64_t read = r->fs & LL_READ, write = r->fs & LL_WRITE;

	if (sb->needs & SANDBOX_EXEC)
		read |= LL_EXECUTE;
	if (landlock_allow_all(rules_fd, landlock_common_read, read, false, e) < 0
	    || landlock_allow(rules_fd, "/dev/null", r->fs & (LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE), false, e) < 0
	    || landlock_allow_all(rules_fd, sandbox_build_paths(), read, false, e) < 0
	    || landlock_allow_all(rules_fd, sb->read_paths, read, false, e) < 0)
		return -1;
	return landlock_allow_all(rules_fd, sb->write_paths, write, true, e);
}

int landlock_enter(const struct sandbox *sb, const char **told_out, struct err *e)
{
	int abi = landlock_abi(), fd, rc;
	struct landlock_rules r = landlock_handled(abi, sb->needs);

	if (told_out != NULL)
		*told_out = abi < LL_ABI_RENAME ? "this kernel has no Landlock (Linux 5.19 or later), so paths are not confined" : "";
	if (abi < LL_ABI_RENAME)
		return 0;
	/* Older kernels take a shorter struct, and a longer one as long as its tail is zero. */
	fd = (int)syscall(LL_CREATE, &r, sizeof(r), 0);
	if (fd < 0)
		return err_set(e, ERR_TEMP, errno, "sandbox: landlock ruleset");
	rc = landlock_fill(fd, sb, &r, e);
	if (rc == 0 && syscall(LL_RESTRICT, fd, 0) < 0)
		rc = err_set(e, ERR_TEMP, errno, "sandbox: landlock");
	close(fd);
	return rc;
}
