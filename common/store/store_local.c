/*
 * store/store_local.c - the local backend: a place is a Maildir++ tree, a shelf one Maildir of it, with its logs and texts beside cur/, new/ and tmp/.
 */
#include "store/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

int local_failed(struct err *e, const char *name)
{
	return err_set(e, err_kind_of(errno), errno, "%s", name);
}

void local_tmp_name(const char *purpose, char out[128])
{
	uint64_t r;

	text_random(&r, sizeof r);
	snprintf(out, 128, "tmp/%.80s.%016llx", purpose, (unsigned long long)r);
}

int local_bay(struct local_shelf *h, enum bay bay)
{
	switch (bay) {
	case BAY_CUR:
		return h->cur;
	case BAY_NEW:
		return h->fresh;
	case BAY_TMP:
		if (h->tmp < 0)
			h->tmp = openat(h->dir, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		return h->tmp;
	default:
		return h->dir;
	}
}

/* ---- shelves ---- */

/* fsync of a file brings its new name along on ext4, XFS and btrfs; on btrfs the directory then has the name, but its old time. */
static void know_file_system(struct local_shelf *h)
{
	enum { EXT4 = 0xef53, XFS = 0x58465342, BTRFS = (int)0x9123683e };
	struct statfs fs;
	int type = fstatfs(h->dir, &fs) != 0 ? 0 : (int)fs.f_type;

	h->base.stamps_last = type == EXT4 || type == XFS;
	h->dir_sync = !h->base.stamps_last && type != BTRFS;
}

static struct local_shelf *shelf_new(const struct store_ops *ops, const char *path)
{
	struct local_shelf *h = mem_new(sizeof *h);

	h->base.ops = ops;
	h->path = mem_str(path);
	h->dir = h->cur = h->fresh = h->tmp = -1;
	local_notifier_init(&h->notifier);
	return h;
}

static void shelf_close(struct shelf *s)
{
	struct local_shelf *h = local_shelf_of(s);

	local_notifier_close(&h->notifier);
	file_close(&h->cur);
	file_close(&h->fresh);
	file_close(&h->tmp);
	file_close(&h->dir);
	free(h->path);
	free(h);
}

static char *absolute(const char *dir)
{
	char *path = dir[0] == '/' ? mem_str(dir) : realpath(dir, NULL);

	return path != NULL ? path : mem_str(dir);
}

static int shelf_open(const struct store *s, const char *path, bool make, struct shelf **out, struct err *e)
{
	struct local_shelf *h;
	char *whole;

	if (make && file_mkdirs(path, 0700, e) != 0)
		return -1;
	whole = absolute(path);
	h = shelf_new(s->ops, whole);
	free(whole);
	h->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (h->dir < 0) {
		(void)local_failed(e, path);
		shelf_close(&h->base);
		return -1;
	}
	know_file_system(h);
	*out = &h->base;
	return 0;
}

static int open_bays(struct local_shelf *h, bool make, struct err *e)
{
	for (int turn = 0; turn < 2; turn++) {
		h->cur = openat(h->dir, "cur", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		h->fresh = openat(h->dir, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (h->cur >= 0 && h->fresh >= 0 && faccessat(h->dir, "tmp", F_OK, 0) == 0)
			return 0;
		make = make || h->cur >= 0;                           /* a Maildir that lacks what nobody needed so far */
		file_close(&h->cur);
		file_close(&h->fresh);
		if (!make || local_make_bays(h->dir, e) != 0)
			break;
	}
	return err_set(e, ERR_NOTFOUND, 0, "it is no Maildir (cur, new and tmp)");
}

static int shelf_child(struct shelf *top, const char *name, bool make, struct shelf **out, struct err *e)
{
	struct local_shelf *t = local_shelf_of(top), *h = shelf_new(top->ops, name);
	int rc = 0;

	h->top = t;
	h->base.stamps_last = top->stamps_last;
	h->dir_sync = t->dir_sync;
	h->dir = openat(t->dir, name[0] == '\0' ? "." : name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (h->dir < 0)
		rc = local_failed(e, "no such folder");
	if (rc == 0)
		rc = open_bays(h, make, e);
	if (rc == 0)
		*out = &h->base;
	else
		shelf_close(&h->base);
	return rc;
}

static uint64_t shelf_number(struct shelf *h)
{
	struct stat st;

	return fstat(local_shelf_of(h)->dir, &st) != 0 ? 0 : (uint64_t)st.st_ino;
}

static bool shelf_look(struct shelf *top)
{
	const struct local_shelf *t = local_shelf_of(top);
	struct stat now, had;

	return stat(t->path, &now) == 0 && fstat(t->dir, &had) == 0 && now.st_ino == had.st_ino && now.st_dev == had.st_dev;
}

static int shelf_flush(struct shelf *s, enum flush what, struct err *e)
{
	struct local_shelf *h = local_shelf_of(s);
	int rc = what == FLUSH_ALL ? syncfs(h->dir) : fsync(what == FLUSH_NAMES ? h->cur : h->dir);

	return rc == 0 ? 0 : err_set(e, ERR_TEMP, errno, "flushing %s", h->path[0] == '\0' ? "INBOX" : h->path);
}

static int flush_all(const struct store *s, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	(void)s;
	if (fd < 0)
		return local_failed(e, path);
	rc = syncfs(fd);
	if (rc != 0)
		(void)err_set(e, ERR_TEMP, errno, "flushing %s", path);
	close(fd);
	return rc;
}

static const struct store_ops local_ops = {
	.name = "local", .shelf_open = shelf_open, .shelf_child = shelf_child, .shelf_close = shelf_close, .shelf_look = shelf_look, .shelf_number = shelf_number, .shelf_make = local_shelf_make,
	.shelf_has = local_shelf_has, .shelf_list = local_shelf_list, .shelf_rename = local_shelf_rename, .shelf_remove = local_shelf_remove,
	.shelf_flush = shelf_flush, .flush_all = flush_all,
	.draft_open = local_draft_open, .draft_write = local_draft_write, .draft_map = local_draft_map, .draft_date = local_draft_date,
	.draft_place = local_draft_place, .draft_flush = local_draft_flush, .draft_drop = local_draft_drop,
	.blob_read = local_blob_read, .blob_stat = local_blob_stat, .blob_pour = local_blob_pour, .blob_odd = local_blob_odd, .blob_link = local_blob_link, .blob_ref = local_blob_ref,
	.blob_link_ref = local_blob_link_ref, .blob_move = local_blob_move, .blob_delete = local_blob_delete, .blob_flush = local_blob_flush,
	.blob_list = local_blob_list, .blob_stamp = local_blob_stamp,
	.log_open = local_log_open, .log_close = local_log_close, .log_lock = local_log_lock, .log_unlock = local_log_unlock, .log_look = local_log_look,
	.log_read = local_log_read, .log_append = local_log_append, .log_cut = local_log_cut, .log_flush = local_log_flush, .log_swap = local_log_swap,
	.kv_get = local_kv_get, .kv_put = local_kv_put, .kv_has = local_kv_has,
	.tally_open = local_tally_open, .tally_close = local_tally_close, .tally_look = local_tally_look, .tally_lock = local_tally_lock,
	.tally_get = local_tally_get, .tally_put = local_tally_put, .tally_delete = local_tally_delete, .tally_rows = local_tally_rows,
	.tally_note = local_tally_note, .tally_set_note = local_tally_set_note,
	.lease_take = local_lease_take, .lease_drop = local_lease_drop, .notify = local_notify, .listen = local_listen, .unlisten = local_unlisten,
};

const struct store *store_local(void)
{
	static const struct store local = { &local_ops };

	return &local;
}
