/*
 * serve/accounts.c - see the header.
 */
#include "serve/accounts.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "serve/sandbox.h"
#include "serve/start.h"

const char *accounts_directory(const struct settings *s, struct arena *a)
{
	struct slice path = slice_of(s->accounts_db);
	ptrdiff_t slash = slice_rchr(path, '/');

	return slash <= 0 ? "/" : arena_str(a, slice_head(path, (size_t)slash));
}

int accounts_make_directories(const struct settings *s, struct err *e)
{
	if (start_directory_of_owner(s, s->state_directory, 0755, e) != 0 || start_directory_of_file(s, s->users_db, 0700, e) != 0)
		return -1;
	return start_directory_of_file(s, s->accounts_db, 0755, e);
}

static bool must_become(const struct settings *s)
{
	return geteuid() == 0 && s->mail_owner[0] != '\0';
}

int accounts_become_owner(const struct settings *s, struct err *e)
{
	if (accounts_make_directories(s, e) != 0)
		return -1;
	return must_become(s) ? sandbox_become(s->mail_owner, "", e) : 0;
}

static int mend(const struct settings *s, struct err *e)
{
	if (access(s->users_db, R_OK) != 0 && errno == EACCES)
		return 0;
	return users_accounts_mend(s->users_db, s->accounts_db, e);
}

/* The words of its error come by a pipe; none is success. */
static int mend_in_child(const struct settings *s, struct err *e)
{
	char text[sizeof(e->text)];
	int p[2], status = 0;
	ssize_t n;
	pid_t pid;

	if (pipe(p) != 0 || (pid = fork()) < 0)
		return err_set(e, ERR_TEMP, errno, "accounts_db: no child to mend it");
	if (pid == 0) {
		struct err own = ERR_INIT;
		if (sandbox_become(s->mail_owner, "", &own) == 0 && mend(s, &own) == 0)
			_exit(0);
		(void)!file_write_all(p[1], slice_of(own.text));
		_exit(1);
	}
	close(p[1]);
	n = read(p[0], text, sizeof(text) - 1);
	close(p[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	text[n > 0 ? n : 0] = '\0';
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : err_set(e, ERR_TEMP, 0, "%s", text[0] ? text : "accounts_db could not be mended");
}

int accounts_mend(const struct settings *s, struct err *e)
{
	struct err own = ERR_INIT;

	if (access(s->users_db, F_OK) != 0 && access(s->accounts_db, F_OK) != 0)
		return 0;                                             /* no account yet: nothing is made */
	if ((must_become(s) ? mend_in_child(s, &own) : mend(s, &own)) != 0)
		return err_set(e, own.kind, 0, "accounts_db: %s", own.text);
	return 0;
}

static uint64_t limit_of(uint64_t own, uint64_t usual)
{
	return own == USER_QUOTA_NONE ? 0 : own != 0 ? own : usual;
}

void accounts_limits(const struct settings *s, const struct user *u, uint64_t *octets_out, uint64_t *messages_out)
{
	*octets_out = limit_of(u == NULL ? 0 : u->quota_storage, s->quota_storage);
	*messages_out = limit_of(u == NULL ? 0 : u->quota_messages, s->quota_messages);
}

void accounts_limits_of(const struct settings *s, struct users *users, struct slice name, uint64_t *octets_out, uint64_t *messages_out)
{
	struct arena *a = arena_new(0);
	struct err ignored;
	struct user u;

	accounts_limits(s, users != NULL && users_get(users, name, a, &u, &ignored) == 1 ? &u : NULL, octets_out, messages_out);
	arena_free(&a);
}
