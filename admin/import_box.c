/*
 * admin/import_box.c - the user's mailbox of an import or export, who we are meanwhile, and files of others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/import.h"
#include "auth/auth_server.h"
#include "auth/users.h"
#include "base/file.h"
#include "serve/accounts.h"
#include "serve/boxdir.h"

int import_who_init(struct import_who *w, const char *mail_directory, struct err *e)
{
	struct stat st;

	*w = (struct import_who){ .both = false };
	if (geteuid() != 0)
		return 0;
	if (stat(mail_directory, &st) != 0)
		return err_set(e, err_kind_of(errno), errno, "%s", mail_directory);
	*w = (struct import_who){ st.st_uid, st.st_gid, st.st_uid != 0 };
	return 0;
}

int import_be_owner(const struct import_who *w, struct err *e)
{
	if (!w->both || (setegid(w->gid) == 0 && seteuid(w->uid) == 0))
		return 0;
	return err_set(e, ERR_TEMP, errno, "becoming the owner of the mail directory");
}

int import_be_self(const struct import_who *w, struct err *e)
{
	if (!w->both || (seteuid(0) == 0 && setegid(0) == 0))
		return 0;
	return err_set(e, ERR_TEMP, errno, "becoming root again");
}

int import_status(const struct err *e)
{
	switch (e->kind) {
	case ERR_NONE: return EX_OK;
	case ERR_NOTFOUND: return EX_NOINPUT;
	case ERR_DENIED: return EX_NOPERM;
	case ERR_LIMIT: case ERR_EXISTS: return EX_CANTCREAT;
	case ERR_TEMP: return EX_TEMPFAIL;
	default: return EX_DATAERR;
	}
}

/* An account, or what has a mailbox from another source of accounts (PAM). */
static int check_user(struct import_box *x, struct slice user, struct box_options *opt)
{
	struct users *users = NULL;
	struct err ignored;
	struct user u;
	bool known = users_open(&users, x->s->users_db, &ignored) == 0 && users_get(users, user, x->a, &u, &ignored) == 1;

	accounts_limits(x->s, known ? &u : NULL, &opt->quota_storage, &opt->quota_messages);
	users_close(&users);
	if (known || access(buf_str(&x->dir), F_OK) == 0)
		return EX_OK;
	return command_fail(EX_NOUSER, "%.*s is no account in %s and has no mailbox yet: make the account first (posthouse user add)", SLICE_FMT(user), x->s->users_db);
}

int import_box_open(struct import_box *x, const struct settings *s, const char *name, bool create, bool dry)
{
	struct box_options opt = { .special_folders = s->special_folders, .hostname = s->myhostname };
	struct err e = ERR_INIT;
	struct slice user;
	int rc;

	*x = (struct import_box){ .s = s, .a = arena_new(0) };
	buf_init(&x->dir, 4096);
	if (users_canonical(slice_of(name), auth_default_domain(s, x->a), x->a, &user) != 0 || boxdir_of(s, user, &x->dir) != 0)
		return command_fail(EX_USAGE, "'%s' is not a user name", name);
	rc = check_user(x, user, &opt);
	if (rc != EX_OK)
		return rc;
	if (import_who_init(&x->who, s->mail_directory, &e) != 0 || import_be_owner(&x->who, &e) != 0 ||
	    (box_open(&x->b, buf_str(&x->dir), create && !dry, &opt, &e) != 0 && (!dry || e.kind != ERR_NOTFOUND)))
		return command_fail(import_status(&e), "%.*s: %s", SLICE_FMT(user), e.text);
	return EX_OK;
}

void import_box_close(struct import_box *x)
{
	box_close(&x->b);
	buf_done(&x->dir);
	arena_free(&x->a);
}

/* What a program is just delivering into the file is not read half. */
static int wait_for_writers(int fd, const char *name, struct err *e)
{
	struct flock l = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	while (fcntl(fd, F_SETLKW, &l) != 0)
		if (errno != EINTR)
			return err_set(e, ERR_TEMP, errno, "locking %s", name);
	return 0;
}

int import_file_open(struct import_file *f, int dirfd, const char *name, bool by_hand, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (by_hand ? 0 : O_NOFOLLOW));
	struct import_file g = { .fd = fd };
	struct stat st;

	if (fd < 0)
		return err_set(e, errno == ELOOP ? ERR_DENIED : err_kind_of(errno), errno, "%s", name);
	if (by_hand && wait_for_writers(fd, name, e) != 0) {
		close(fd);
		return -1;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(e, ERR_SYNTAX, 0, "%s is not a plain file", name);
	}
	g.mtime = (int64_t)st.st_mtim.tv_sec;
	g.map_len = (size_t)st.st_size;
	g.octets = SLICE("");
	if (g.map_len > 0) {
		g.map = mmap(NULL, g.map_len, PROT_READ, MAP_PRIVATE, fd, 0);
		if (g.map == MAP_FAILED) {
			(void)err_set(e, ERR_TEMP, errno, "reading %s", name);
			close(fd);
			return -1;
		}
		g.octets = slice_mem(g.map, g.map_len);
	}
	*f = g;
	return 0;
}

void import_file_close(struct import_file *f)
{
	if (f->map_len > 0)
		munmap(f->map, f->map_len);
	file_close(&f->fd);
	f->map_len = 0;
}
