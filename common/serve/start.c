/*
 * serve/start.c
 */
#include "serve/start.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "serve/accounts.h"
#include "serve/sandbox.h"
#include "serve/systemd.h"

#define START_REPORT_MAX 1024
#define START_GOOD "+"

/*
 * Options
 */

static int start_usage(const char *program)
{
	fprintf(stderr, "usage: %s [-f] [-T] [-C settings-file] [-o name=value]...\n"
	    "  -f  stay in the foreground (as under systemd)\n"
	    "  -T  check the settings and exit\n"
	    "  -C  the settings file, default " PATH_SYSCONF "/posthouse.conf\n"
	    "  -o  a setting that overrides the file's; may be repeated\n", program);
	return -1;
}

/* Absolute, so that a reload finds it after chdir("/"). */
static int start_settings_file(struct start_options *o, const char *path, struct err *e)
{
	o->settings_file = realpath(path, NULL);
	if (o->settings_file == NULL)
		return err_set(e, err_kind_of(errno), errno, "settings file %s", path);
	return 0;
}

int start_options_read(struct start_options *o, int argc, char **argv, struct err *e)
{
	const char *path = PATH_SYSCONF "/posthouse.conf";
	size_t n = 0;
	int c;

	*o = (struct start_options){ .overrides = mem_array((size_t)argc + 1, sizeof(*o->overrides)), .foreground = systemd_is_parent() };
	optind = 1;
	while ((c = getopt(argc, argv, "fTC:o:")) != -1)
		switch (c) {
		case 'f': o->foreground = true; break;
		case 'T': o->test = true; break;
		case 'C': path = optarg; break;
		case 'o': o->overrides[n++] = optarg; break;
		default:
			start_usage(argv[0]);
			return err_set(e, ERR_SYNTAX, 0, "unknown option");
		}
	if (optind < argc) {
		start_usage(argv[0]);
		return err_set(e, ERR_SYNTAX, 0, "\"%s\" is no option", argv[optind]);
	}
	return start_settings_file(o, path, e);
}

void start_options_done(struct start_options *o)
{
	union { const char *in; char *out; } file = { .in = o->settings_file };

	free(file.out);
	free(o->overrides);
	*o = (struct start_options){ .test = false };
}

/*
 * Background
 */

/* In the process that the shell waits for. */
NORETURN static void start_wait_for_report(const char *name, int fd)
{
	char text[START_REPORT_MAX + 1];
	size_t n = 0;
	ssize_t got;

	while (n < START_REPORT_MAX && ((got = read(fd, text + n, START_REPORT_MAX - n)) > 0 || (got < 0 && errno == EINTR)))
		n += got > 0 ? (size_t)got : 0;
	text[n] = '\0';
	if (strcmp(text, START_GOOD) == 0)
		_exit(0);
	fprintf(stderr, "%s: %s\n", name, n > 0 ? text : "died while it was starting; the log may say why");
	_exit(1);
}

/* The shell's terminal or pipe is not ours any more. */
static void start_let_go_of_terminal(bool keep_stderr)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!keep_stderr)
		dup2(null, STDERR_FILENO);
	if (null > STDERR_FILENO)
		close(null);
}

int start_detach(const char *name, bool keep_stderr, struct err *e)
{
	int p[2];
	pid_t pid;

	fflush(NULL);
	if (pipe2(p, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return err_set(e, ERR_TEMP, errno, "cannot go into the background");
	if (pid > 0) {
		close(p[1]);
		start_wait_for_report(name, p[0]);
	}
	close(p[0]);
	setsid();
	if (chdir("/") < 0)
		return err_set(e, ERR_TEMP, errno, "chdir /");
	start_let_go_of_terminal(keep_stderr || sandbox_build_is_sanitized());   /* what a sanitizer finds, it writes there */
	return p[1];
}

void start_report(int *fd, const char *text)
{
	if (*fd >= 0)
		(void)!file_write_all(*fd, text != NULL ? slice_of(text) : SLICE(START_GOOD));
	file_close(fd);
}

/*
 * Directories and the pid file
 */

static int start_directory(const char *path, mode_t mode, const struct passwd *owner, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : err_set(e, ERR_EXISTS, 0, "%s is there, but no directory", path);
	if (file_mkdirs(path, mode, e) < 0)
		return -1;
	if (owner != NULL && chown(path, owner->pw_uid, owner->pw_gid) < 0)
		return err_set(e, err_kind_of(errno), errno, "chown %s", path);
	return 0;
}

int start_directory_of_owner(const struct settings *s, const char *path, mode_t mode, struct err *e)
{
	const struct passwd *owner = NULL;

	if (geteuid() == 0 && s->mail_owner[0] != '\0' && (owner = getpwnam(s->mail_owner)) == NULL)
		return err_set(e, ERR_NOTFOUND, 0, "no user \"%s\" on this machine: make it (useradd --system %s) or change mail_owner", s->mail_owner, s->mail_owner);
	return start_directory(path, mode, owner, e);
}

int start_directory_of_file(const struct settings *s, const char *file, mode_t mode, struct err *e)
{
	char *dir = mem_str(file), *slash = strrchr(dir, '/');
	int rc = 0;

	if (slash != NULL && slash != dir) {
		*slash = '\0';
		if (access(dir, F_OK) != 0)
			rc = start_directory_of_owner(s, dir, mode, e) == 0 && chmod(dir, mode) == 0 ? 0 : err_context(e, "%s", file);
	}
	free(dir);
	return rc;
}

int start_directories(const struct settings *s, struct err *e)
{
	if (start_directory_of_owner(s, s->runtime_directory, 0755, e) < 0 || start_directory_of_owner(s, s->state_directory, 0755, e) < 0 ||
	    start_directory_of_owner(s, s->mail_directory, 0700, e) < 0 || start_directory_of_owner(s, s->spool_directory, 0700, e) < 0)
		return -1;
	if (s->drac && start_directory_of_file(s, s->drac_table, 0755, e) < 0)   /* other programs read there */
		return -1;
	return accounts_make_directories(s, e);
}

static void start_pid_path(const struct settings *s, const char *name, struct buf *out)
{
	buf_init(out, BUF_UNBOUNDED);
	buf_putf(out, "%s/%s.pid", s->runtime_directory, name);
}

/* An open file description lock: it is the supervisor's alone as long as children close their copy. */
static int start_pid_lock(int fd, const char *name, const char *path, struct err *e)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char text[24];
	ssize_t n;

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return err_set(e, ERR_TEMP, errno, "lock %s", path);
	n = pread(fd, text, sizeof(text) - 1, 0);
	return err_set(e, ERR_EXISTS, 0, "%s runs already (%s: process %.*s)", name, path, SLICE_FMT(slice_trim(slice_mem(text, n > 0 ? (size_t)n : 0))));
}

static int start_pid_write(int fd, const char *path, struct err *e)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		return err_set(e, err_kind_of(errno), errno, "write %s", path);
	return 0;
}

int start_pid_file(const struct settings *s, const char *name, int *fd_out, struct err *e)
{
	struct buf path;
	int fd, rc;

	start_pid_path(s, name, &path);
	fd = open(buf_str(&path), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		rc = err_set(e, err_kind_of(errno), errno, "%s", buf_str(&path));
	else if ((rc = start_pid_lock(fd, name, buf_str(&path), e)) == 0)
		rc = start_pid_write(fd, buf_str(&path), e);
	buf_done(&path);
	if (rc == 0)
		*fd_out = fd;
	else
		file_close(&fd);
	return rc;
}

void start_pid_file_remove(const struct settings *s, const char *name, int *fd)
{
	struct buf path;

	if (*fd < 0)
		return;
	start_pid_path(s, name, &path);
	unlink(buf_str(&path));
	buf_done(&path);
	file_close(fd);
}
