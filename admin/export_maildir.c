/*
 * admin/export_maildir.c - a mailbox, or one folder, as a new Maildir++ tree that any other program reads: lines end in LF, keywords lie in dovecot-keywords.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/import.h"
#include "store/mboxfile.h"
#include "base/file.h"
#include "store/name.h"

struct target { struct import_box *x; const char *dir; struct buf octets, name, uids; };

static int make_dirs(const char *dir, struct arena *a, struct err *e)
{
	static const char *const subs[] = { "", "/cur", "/new", "/tmp" };

	for (size_t i = 0; i < sizeof subs / sizeof subs[0]; i++) {
		const char *path = arena_printf(a, "%s%s", dir, subs[i]);

		if (mkdir(path, 0700) != 0)
			return err_set(e, err_kind_of(errno), errno, "%s", path);
	}
	return 0;
}

static int put_file(int curfd, const char *name, struct slice octets, int64_t date, struct err *e)
{
	struct timespec when[2] = { { .tv_sec = date }, { .tv_sec = date } };
	int fd = openat(curfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = 0;

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", name);
	if (file_write_all(fd, octets) != 0 || futimens(fd, when) != 0)
		rc = err_set(e, err_kind_of(errno), errno, "writing %s", name);
	if (close(fd) != 0 && rc == 0)
		rc = err_set(e, err_kind_of(errno), errno, "writing %s", name);
	return rc;
}

static int export_one(struct target *t, int curfd, struct view *v, uint32_t seq, struct err *e)
{
	const struct mrec *r = view_get(v, seq);
	struct mname n = { .date = r->internaldate, .has_size = true, .flags = r->flags, .keywords = r->keywords };
	char stem[160];
	struct mbody body;
	struct err ignored;
	int rc;

	if (view_read(v, seq, &body, e) != 0)
		return -1;
	buf_reset(&t->octets);
	mboxfile_to_lf(body.octets, &t->octets);
	n.size = body.octets.n;
	mbody_done(&body);
	snprintf(stem, sizeof stem, "%lld.%lu.%.100s", (long long)r->internaldate, (unsigned long)r->uid, t->x->s->myhostname);
	n.stem = slice_of(stem);
	n.file_size = t->octets.len;
	n.has_lf = n.size != n.file_size;
	buf_reset(&t->name);
	if (mname_put(&n, &t->name) != 0)
		return err_set(e, ERR_SYNTAX, 0, "the name of a message would be too long");
	buf_putf(&t->uids, "%u :%.*s\n", r->uid, SLICE_FMT(slice_head(buf_view(&t->name), (size_t)slice_rchr(buf_view(&t->name), ':'))));
	if (import_be_self(&t->x->who, e) != 0)
		return -1;
	rc = put_file(curfd, buf_str(&t->name), buf_view(&t->octets), r->internaldate, e);
	return import_be_owner(&t->x->who, rc == 0 ? e : &ignored) == 0 ? rc : -1;
}

static int export_messages(struct target *t, int curfd, struct mbox *m, uint64_t *n_out, struct err *e)
{
	struct view *v = view_open(m, true);
	int rc = 0;

	for (uint32_t seq = 1; seq <= view_count(v) && rc == 0; seq++) {
		rc = export_one(t, curfd, v, seq, e);
		*n_out += rc == 0;
		if (rc != 0 && e->kind == ERR_NOTFOUND)               /* expunged meanwhile */
			rc = 0;
		else if (rc != 0)
			(void)err_context(e, "message %lu", (unsigned long)seq);
	}
	view_close(&v);
	return rc;
}

/* dovecot-uidlist, version 3: what clients know of the messages goes along to a Dovecot or to another server of ours. */
static int put_uids(struct target *t, const char *dir, const struct mbox *m, struct arena *a, struct err *e)
{
	struct slice list = buf_view(&t->uids);
	struct buf text;
	struct err ignored;
	int rc;

	buf_init(&text, BUF_UNBOUNDED);
	buf_putf(&text, "3 V%u N%u\n%.*s", mbox_uidvalidity(m), mbox_uidnext(m), SLICE_FMT(list));
	rc = import_be_self(&t->x->who, e);
	if (rc == 0)
		rc = file_replace(arena_printf(a, "%s/dovecot-uidlist", dir), buf_view(&text), 0600, e);
	buf_done(&text);
	return import_be_owner(&t->x->who, rc == 0 ? e : &ignored) == 0 ? rc : -1;
}

static int put_keywords(const char *dir, const struct mbox *m, struct arena *a, struct err *e)
{
	const struct slice *names;
	size_t n = mbox_keywords(m, &names);
	struct buf text;
	int rc = 0;

	buf_init(&text, BUF_UNBOUNDED);
	for (size_t i = 0; i < n; i++)
		buf_putf(&text, "%zu %.*s\n", i, SLICE_FMT(names[i]));
	if (n > 0)
		rc = file_replace(arena_printf(a, "%s/dovecot-keywords", dir), buf_view(&text), 0600, e);
	buf_done(&text);
	return rc;
}

static int export_folder(struct target *t, const char *dir, struct slice name, uint64_t *n_out, struct err *e)
{
	struct err ignored;
	struct mbox *m;
	int fd = -1, rc;

	if (mbox_open(&m, t->x->b, name, e) != 0)
		return err_context(e, "folder %.*s", SLICE_FMT(name));
	rc = import_be_self(&t->x->who, e);
	if (rc == 0 && make_dirs(dir, t->x->a, e) == 0 && put_keywords(dir, m, t->x->a, e) == 0)
		fd = open(arena_printf(t->x->a, "%s/cur", dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	else
		rc = -1;
	if (rc == 0 && fd < 0)
		rc = err_set(e, err_kind_of(errno), errno, "%s/cur", dir);
	if (import_be_owner(&t->x->who, rc == 0 ? e : &ignored) != 0)
		rc = -1;
	buf_reset(&t->uids);
	if (rc == 0 && (export_messages(t, fd, m, n_out, e) != 0 || put_uids(t, dir, m, t->x->a, e) != 0))
		rc = err_context(e, "folder %.*s", SLICE_FMT(name));
	if (rc == 0 && syncfs(fd) != 0)
		rc = err_set(e, ERR_TEMP, errno, "flushing %s", dir);
	file_close(&fd);
	mbox_close(&m);
	return rc;
}

static int put_subscriptions(struct target *t, const struct folder *list, size_t n, struct err *e)
{
	struct err ignored;
	struct buf text, disk;
	int rc = 0;

	buf_init(&text, BUF_UNBOUNDED);
	buf_init(&disk, BUF_UNBOUNDED);
	for (size_t i = 0; i < n; i++) {
		buf_reset(&disk);
		if ((list[i].attrs & FOLDER_SUBSCRIBED) != 0 && folder_name_to_disk(list[i].name, &disk, &ignored) == 0 && disk.len > 0)
			buf_putf(&text, "%s\n", buf_str(&disk) + 1);
	}
	if (import_be_self(&t->x->who, e) != 0 || file_replace(arena_printf(t->x->a, "%s/subscriptions", t->dir), buf_view(&text), 0600, e) != 0)
		rc = -1;
	buf_done(&text);
	buf_done(&disk);
	return import_be_owner(&t->x->who, rc == 0 ? e : &ignored) == 0 ? rc : -1;
}

static int export_all(struct target *t, uint64_t *n_out, struct err *e)
{
	struct arena *a = t->x->a;
	struct folder *list;
	size_t n;
	int rc = box_list(t->x->b, a, &list, &n, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct buf disk;

		if ((list[i].attrs & FOLDER_NOSELECT) != 0)
			continue;
		buf_init(&disk, BUF_UNBOUNDED);
		rc = folder_name_to_disk(list[i].name, &disk, e);
		if (rc == 0)
			rc = export_folder(t, arena_printf(a, "%s%s%s", t->dir, disk.len > 0 ? "/" : "", buf_str(&disk)), list[i].name, n_out, e);
		buf_done(&disk);
	}
	return rc == 0 ? put_subscriptions(t, list, n, e) : rc;
}

int export_maildir(struct import_box *x, struct slice folder, const char *path, uint64_t *n_out, struct err *e)
{
	struct target t = { .x = x, .dir = path };
	int rc;

	buf_init(&t.octets, BUF_UNBOUNDED);
	buf_init(&t.name, BUF_UNBOUNDED);
	buf_init(&t.uids, BUF_UNBOUNDED);
	rc = folder.n > 0 ? export_folder(&t, path, folder, n_out, e) : export_all(&t, n_out, e);
	buf_done(&t.octets);
	buf_done(&t.name);
	buf_done(&t.uids);
	return rc;
}
