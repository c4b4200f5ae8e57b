/*
 * queue/deferred.c - see deferred.h.
 */
#include "queue/deferred.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "queue/record.h"
#include "queue/spool.h"

static int write_file(const char *path, struct slice content, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || file_write_all(fd, content) < 0 || close(fd) < 0) {
		int sys = errno;

		if (fd >= 0) {
			close(fd);
			unlink(path);
		}
		return err_set(e, err_kind_of(sys), sys, "cannot write %s", path);
	}
	return 0;
}

static int write_env(const char *spool, const struct envelope *env, const char *ext, struct err *e)
{
	struct buf path, text;
	int rc;

	buf_init(&path, BUF_UNBOUNDED);
	buf_init(&text, BUF_UNBOUNDED);
	spool_path_deferred(spool, env->id, ext, &path);
	envelope_put(env, &text);
	rc = write_file(buf_str(&path), buf_view(&text), e);
	buf_done(&text);
	buf_done(&path);
	return rc;
}

int deferred_store(const char *spool, const struct envelope *env, struct slice message, struct err *e)
{
	struct buf path;
	int rc;

	buf_init(&path, BUF_UNBOUNDED);
	spool_path_deferred(spool, env->id, ".eml", &path);
	rc = write_file(buf_str(&path), message, e);
	buf_done(&path);
	return rc < 0 ? -1 : write_env(spool, env, ".env", e);
}

int deferred_store_large(const char *spool, const struct envelope *env, struct err *e)
{
	struct buf from, to;
	int rc = 0;

	buf_init(&from, BUF_UNBOUNDED);
	buf_init(&to, BUF_UNBOUNDED);
	spool_path_large(spool, env->id, &from);
	spool_path_deferred(spool, env->id, ".eml", &to);
	if (link(buf_str(&from), buf_str(&to)) < 0 && errno != EEXIST)
		rc = err_set(e, err_kind_of(errno), errno, "cannot link %s to %s", buf_str(&from), buf_str(&to));
	buf_done(&from);
	buf_done(&to);
	return rc < 0 ? -1 : write_env(spool, env, ".env", e);
}

int deferred_update(const char *spool, const struct envelope *env, struct err *e)
{
	return write_env(spool, env, ".env.new", e);
}

static int rename_in(const char *spool, const char *id, const char *from_ext, const char *to_ext, struct err *e)
{
	struct buf from, to;
	int rc = 0;

	buf_init(&from, BUF_UNBOUNDED);
	buf_init(&to, BUF_UNBOUNDED);
	spool_path_deferred(spool, id, from_ext, &from);
	spool_path_deferred(spool, id, to_ext, &to);
	if (rename(buf_str(&from), buf_str(&to)) < 0)
		rc = err_set(e, err_kind_of(errno), errno, "cannot rename %s", buf_str(&from));
	buf_done(&from);
	buf_done(&to);
	return rc;
}

int deferred_commit(const char *spool, const char *id, struct err *e)
{
	return rename_in(spool, id, ".env.new", ".env", e);
}

void deferred_remove(const char *spool, const char *id)
{
	static const char *const exts[] = { ".env.new", ".env", ".eml" };
	struct buf path;

	buf_init(&path, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(exts) / sizeof(*exts); i++) {
		buf_reset(&path);
		spool_path_deferred(spool, id, exts[i], &path);
		unlink(buf_str(&path));                               /* what stays is swept at the next start */
	}
	buf_done(&path);
}

int deferred_to_corrupt(const char *spool, const char *id, struct err *e)
{
	static const char *const exts[] = { ".eml", ".env" };
	struct buf from, to;
	int rc = 0;

	buf_init(&from, BUF_UNBOUNDED);
	buf_init(&to, BUF_UNBOUNDED);
	for (size_t i = 0; i < 2; i++) {
		buf_reset(&from);
		buf_reset(&to);
		spool_path_deferred(spool, id, exts[i], &from);
		buf_putf(&to, "%s/corrupt/%s%s", spool, id, exts[i]);
		if (rename(buf_str(&from), buf_str(&to)) < 0 && errno != ENOENT)
			rc = err_set(e, err_kind_of(errno), errno, "cannot move %s to corrupt/", buf_str(&from));
	}
	buf_done(&from);
	buf_done(&to);
	return rc;
}

/* ---- the walk ---- */

static bool id_from_name(const char *name, const char *ext, char id_out[QUEUE_ID_MAX])
{
	struct slice s = slice_of(name);
	size_t ext_len = strlen(ext);

	if (!slice_ends(s, slice_of(ext)) || s.n - ext_len >= QUEUE_ID_MAX || s.n == ext_len)
		return false;
	memcpy(id_out, name, s.n - ext_len);
	id_out[s.n - ext_len] = '\0';
	return true;
}

static bool exists(int dir, const char *id, const char *ext)
{
	char name[QUEUE_ID_MAX + 16];

	snprintf(name, sizeof(name), "%s%s", id, ext);
	return faccessat(dir, name, F_OK, 0) == 0;
}

static void walk_one(const char *spool, int dir, const char *name, void (*fn)(void *ctx, struct slice text, const char *id), void *ctx)
{
	char id[QUEUE_ID_MAX];
	struct buf path, text;

	if (id_from_name(name, ".env.new", id) || (id_from_name(name, ".eml", id) && !exists(dir, id, ".env"))) {
		unlinkat(dir, name, 0);
		return;
	}
	if (!id_from_name(name, ".env", id))
		return;
	buf_init(&path, BUF_UNBOUNDED);
	buf_init(&text, LIMIT_RECORD_ENVELOPE);
	spool_path_deferred(spool, id, ".env", &path);
	if (!exists(dir, id, ".eml") || file_read(buf_str(&path), &text, NULL) < 0)
		buf_reset(&text);
	fn(ctx, buf_view(&text), id);
	buf_done(&text);
	buf_done(&path);
}

void deferred_each(const char *spool, unsigned directory, void (*fn)(void *ctx, struct slice envelope_text, const char *id), void *ctx)
{
	struct buf path;
	DIR *d;

	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/deferred/%02x", spool, directory & 0xff);
	d = opendir(buf_str(&path));
	buf_done(&path);
	if (d == NULL)
		return;
	for (struct dirent *ent; (ent = readdir(d)) != NULL; ) {
		if (ent->d_name[0] != '.')
			walk_one(spool, dirfd(d), ent->d_name, fn, ctx);
	}
	closedir(d);
}
