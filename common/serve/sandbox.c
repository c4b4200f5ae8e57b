/*
 * serve/sandbox.c - the order of things: no-new-privs, not dumpable, Landlock, seccomp last (it refuses the calls of the others).
 */
#include "serve/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/log.h"
#include "serve/landlock.h"
#include "serve/syscalls.h"

/* LeakSanitizer stops the world at exit with a thread that traces us. */
static const char *const sandbox_san_calls[] = { "ptrace", "clone", "clone3", "wait4", "process_vm_readv", "sched_getaffinity", "prctl", "ioctl",
	"kill", "prlimit64", "personality", "pipe", NULL };
static const char *const sandbox_san_paths[] = { "/proc", "/usr/lib", "/lib", "/lib64", NULL };
static const char *const sandbox_nothing[] = { NULL };

extern void __asan_init(void) WEAK;

bool sandbox_build_is_sanitized(void)
{
	return __asan_init != NULL;
}

const char *const *sandbox_build_paths(void)
{
	return sandbox_build_is_sanitized() ? sandbox_san_paths : sandbox_nothing;
}

const char *const *sandbox_build_calls(void)
{
	return sandbox_build_is_sanitized() ? sandbox_san_calls : sandbox_nothing;
}

bool sandbox_build_needs(const char *call)
{
	for (const char *const *c = sandbox_build_calls(); *c != NULL; c++)
		if (strcmp(*c, call) == 0)
			return true;
	return false;
}

static int sandbox_limit_privileges(bool keeps_set_id, struct err *e)
{
	if (!keeps_set_id && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(e, ERR_TEMP, errno, "sandbox: no-new-privs");
	/* No core with other people's mail, and nobody of the same user looks into our memory. */
	if (!sandbox_build_is_sanitized() && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_set(e, ERR_TEMP, errno, "sandbox: not dumpable");
	return 0;
}

int sandbox_enter(const struct sandbox *sb, struct err *e)
{
	return sandbox_enter_compiled(sb, NULL, e);
}

int sandbox_enter_compiled(const struct sandbox *sb, const struct sandbox_calls *calls, struct err *e)
{
	bool runs_others = (sb->needs & SANDBOX_EXEC) != 0;
	const char *paths_told = "", *calls_told = "";

	if (sandbox_limit_privileges(runs_others && geteuid() == 0, e) < 0)
		return -1;
	if (!runs_others && landlock_enter(sb, &paths_told, e) < 0)
		return -1;
	if (calls != NULL ? syscalls_enter_compiled(calls, e) < 0 : syscalls_enter(sb->needs, &calls_told, e) < 0)
		return -1;
	if (*paths_told != '\0')
		log_debug("sandbox: %s", paths_told);
	if (*calls_told != '\0')
		log_debug("sandbox: %s", calls_told);
	return 0;
}

/*
 * Another user
 */

static int sandbox_look_up(const char *user, const char *group, uid_t *uid_out, gid_t *gid_out, struct err *e)
{
	const struct passwd *pw = getpwnam(user);
	const struct group *gr;

	if (pw == NULL)
		return err_set(e, ERR_NOTFOUND, 0, "no user \"%s\" on this machine: make it (useradd --system %s) or change mail_owner", user, user);
	*uid_out = pw->pw_uid;
	*gid_out = pw->pw_gid;
	if (group == NULL || *group == '\0')
		return 0;
	gr = getgrnam(group);
	if (gr == NULL)
		return err_set(e, ERR_NOTFOUND, 0, "no group \"%s\" on this machine", group);
	*gid_out = gr->gr_gid;
	return 0;
}

int sandbox_become(const char *user, const char *group, struct err *e)
{
	return sandbox_become_also(user, group, 0, e);
}

int sandbox_become_also(const char *user, const char *group, gid_t also, struct err *e)
{
	uid_t uid = 0;
	gid_t gid = 0;

	if (geteuid() != 0 || user[0] == '\0')                        /* no owner named: a throwaway appliance that root started */
		return 0;
	if (sandbox_look_up(user, group, &uid, &gid, e) < 0)
		return -1;
	if (uid == 0)
		return err_set(e, ERR_DENIED, 0, "mail_owner \"%s\" is root; mail must belong to a user without power", user);
	if (setgroups(also != 0 ? 1 : 0, &also) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_set(e, err_kind_of(errno), errno, "cannot become user %s", user);
	if (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || setuid(0) == 0 || geteuid() != uid || getegid() != gid)
		return err_set(e, ERR_DENIED, 0, "became user %s, but the way back to root is open", user);
	return 0;
}
