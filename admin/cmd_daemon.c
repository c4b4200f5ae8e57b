/*
 * admin/cmd_daemon.c - `posthouse status` and `posthouse reload`: the four daemons by their pid files.
 *
 * A pid file counts only while its supervisor holds it: a number left by a machine that fell over may be anybody's by now.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/commands.h"
#include "admin/tables.h"
#include "base/file.h"
#include "base/num.h"
#include "conf/conf.h"

static const char *const daemons[] = { "dracd", "smtpd", "pop3d", "imapd" };
enum { DAEMONS = sizeof(daemons) / sizeof(daemons[0]) };

/* The supervisor's pid, or 0: it does not run. */
static pid_t supervisor_of(const struct settings *s, const char *name)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct buf path, text;
	uint32_t pid = 0;
	int fd;

	buf_init(&path, BUF_UNBOUNDED);
	buf_init(&text, 64);
	buf_putf(&path, "%s/%s.pid", s->runtime_directory, name);
	fd = open(buf_str(&path), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK || file_read(buf_str(&path), &text, NULL) < 0
	    || num_u32(slice_trim(buf_view(&text)), INT32_MAX, &pid) < 0)
		pid = 0;
	file_close(&fd);
	buf_done(&path);
	buf_done(&text);
	return (pid_t)pid;
}

static bool is_wanted(const struct command_env *env, const char *name)
{
	for (int i = 1; i < env->argc; i++)
		if (strcmp(env->argv[i], name) == 0)
			return true;
	return env->argc == 1;
}

static int check_names(const struct command_env *env)
{
	for (int i = 1; i < env->argc; i++) {
		bool known = false;

		for (size_t d = 0; d < DAEMONS; d++)
			known |= strcmp(env->argv[i], daemons[d]) == 0;
		if (!known)
			return command_fail(EX_USAGE, "no daemon '%s': there are dracd, smtpd, pop3d and imapd", env->argv[i]);
	}
	return EX_OK;
}

static int run_status(const struct command_env *env)
{
	int status = check_names(env);

	for (size_t d = 0; status != EX_USAGE && d < DAEMONS; d++) {
		pid_t pid = is_wanted(env, daemons[d]) ? supervisor_of(env->s, daemons[d]) : -1;

		if (pid > 0)
			printf("%-6s runs, process %ld\n", daemons[d], (long)pid);
		else if (pid == 0)
			status = printf("%-6s does not run\n", daemons[d]) > 0 ? EX_UNAVAILABLE : EX_IOERR;
	}
	return status;
}

static int run_reload(const struct command_env *env)
{
	int status = check_names(env);

	for (size_t d = 0; status != EX_USAGE && d < DAEMONS; d++) {
		pid_t pid = is_wanted(env, daemons[d]) ? supervisor_of(env->s, daemons[d]) : -1;

		if (pid == 0)
			status = command_fail(EX_UNAVAILABLE, "%s does not run", daemons[d]);
		else if (pid > 0 && kill(pid, SIGHUP) < 0)
			status = command_fail(EX_NOPERM, "%s, process %ld: %s", daemons[d], (long)pid, strerror(errno));
	}
	return status;
}

static const struct command rows[] = {
	{ "status", run_status, "[DAEMON ...]", "Says which daemons run. Exit status 69 when one of those asked for does not.", true },
	{ "reload", run_reload, "[DAEMON ...]", "Tells the daemons to read the settings and certificates again. Sessions go on; settings that are wrong change nothing and are logged.", true },
};

const struct command_table cmd_daemon_table = { "The daemons", rows, sizeof(rows) / sizeof(rows[0]) };
