/*
 * store/append.c - new messages: APPEND in pieces, and delivery from memory or by a link to another user's copy.
 *
 * The octets go to a file without a name (O_TMPFILE), or, where the file system has no such thing, into tmp/; it gets its name in cur/ under the lock.
 * So nothing half-written is ever seen, and a crash leaves nothing behind.
 */
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"

/* ---- files ---- */

void unique_stem(struct box *b, int64_t date, const char *id, struct buf *out)
{
	uint64_t r;

	buf_putf(out, "%lld.", (long long)(date < 0 ? 0 : date));
	if (id != NULL) {
		buf_puts(out, id);
	} else {
		text_random(&r, sizeof r);
		buf_putf(out, "P%ldQ%lluR%08lx", (long)getpid(), (unsigned long long)++b->counter, (unsigned long)(r & 0xffffffffu));
	}
	buf_putf(out, ".%s", b->hostname);
}

struct draft { int fd; char tmp[64]; };                               /* tmp is "" for a file without a name */

static int draft_open(struct mbox *m, struct draft *d, struct err *e)
{
	d->tmp[0] = '\0';
	d->fd = openat(m->curfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (d->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return err_set(e, err_kind_of(errno), errno, "making a message file in %s", m->name);
	snprintf(d->tmp, sizeof d->tmp, "tmp/%lld.P%ldQ%llu", (long long)clock_wall_us(), (long)getpid(), (unsigned long long)++m->box->counter);
	d->fd = openat(m->dirfd, d->tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return d->fd >= 0 ? 0 : err_set(e, err_kind_of(errno), errno, "making a message file in %s", m->name);
}

static int draft_place(struct mbox *m, struct draft *d, const char *name, struct err *e)
{
	char self[40];

	if (d->tmp[0] != '\0') {
		if (renameat(m->dirfd, d->tmp, m->curfd, name) != 0)
			return err_set(e, err_kind_of(errno), errno, "placing a message in %s", m->name);
		d->tmp[0] = '\0';
		return 0;
	}
	if (linkat(d->fd, "", m->curfd, name, AT_EMPTY_PATH) == 0)
		return 0;
	snprintf(self, sizeof self, "/proc/self/fd/%d", d->fd);        /* kernels before 6.10 want a privilege for the other way */
	if (linkat(AT_FDCWD, self, m->curfd, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return err_set(e, err_kind_of(errno), errno, "placing a message in %s", m->name);
}

static void draft_drop(struct mbox *m, struct draft *d)
{
	if (d->tmp[0] != '\0')
		(void)unlinkat(m->dirfd, d->tmp, 0);
	d->tmp[0] = '\0';
	file_close(&d->fd);
}

static int write_all(int fd, struct slice s, struct err *e)
{
	return file_write_all(fd, s) == 0 ? 0 : err_set(e, err_kind_of(errno), errno, "writing a message");
}

/* ---- a message that has its file: UID, name, log ---- */

struct arrival {
	struct mname n;                                               /* stem, date, size, flags, keywords */
	struct slice octets;                                          /* for the cache */
	uint64_t id_hash;
	const struct slice *keyword_names;
	size_t n_keyword_names;
	struct buf name;                                              /* out */
	uint32_t uid;                                                 /* out */
};

/* Puts the name into the directory by place(); the lock is held. Nothing is left behind on failure. */
static int arrive(struct mbox *m, struct arrival *v, int (*place)(void *ctx, const char *name, struct err *e), void *ctx, struct err *e)
{
	struct slot s = { 0 };
	struct txn t;
	int rc = -1;

	txn_init(m, &t);
	if (quota_check(m, v->n.size, 1, e) != 0 || mbox_take_uids(m, 1, &v->uid, e) != 0)
		goto out;
	if (v->n_keyword_names > 0 && mbox_keyword_bits(m, v->keyword_names, v->n_keyword_names, &t, &v->n.keywords, e) != 0)
		goto out;
	v->n.has_uid = true;
	v->n.uidvalidity = m->uidvalidity;
	v->n.uid = v->uid;
	buf_reset(&v->name);
	if (mname_put(&v->n, &v->name) != 0) {
		(void)err_set(e, ERR_TEMP, 0, "the file name of a message would be too long (hostname?)");
		goto out;
	}
	if (place(ctx, buf_str(&v->name), e) != 0)
		goto out;
	m->stamps_moved = true;
	s.m = (struct mrec){ v->uid, v->n.flags, v->n.keywords, t.modseq, v->n.size, v->n.date };
	s.cache_at = v->octets.p == NULL ? 0 : cache_fill(m, v->uid, v->octets);
	txn_add(&t, &s, buf_view(&v->name), v->id_hash);
	rc = mbox_commit(m, &t, NULL, e);
	if (rc != 0)
		(void)unlinkat(m->curfd, buf_str(&v->name), 0);
out:
	txn_done(&t);
	return rc;
}

/* ---- APPEND ---- */

struct mappend {
	struct mbox *m;
	struct draft d;
	uint64_t octets;
};

int mappend_begin(struct mappend **a_out, struct mbox *m, uint64_t size_hint, struct err *e)
{
	struct mappend *a = mem_new(sizeof *a);

	a->m = m;
	if (quota_prepare(m->box, e) != 0 || (size_hint > 0 && quota_check(m, size_hint, 1, e) != 0) || draft_open(m, &a->d, e) != 0) {
		free(a);
		return -1;
	}
	m->refs++;
	*a_out = a;
	return 0;
}

int mappend_write(struct mappend *a, struct slice octets, struct err *e)
{
	a->octets += octets.n;
	return write_all(a->d.fd, octets, e);
}

static int place_draft(void *ctx, const char *name, struct err *e)
{
	struct mappend *a = ctx;

	return draft_place(a->m, &a->d, name, e);
}

static void expunge_locked(struct mbox *m, uint32_t uid)
{
	struct err ignored;
	struct txn t;

	txn_init(m, &t);
	txn_expunge(&t, uid);
	if (mbox_commit(m, &t, NULL, &ignored) == 0 && mbox_finish_unlinks(m, &ignored) != 0) {}
	txn_done(&t);
}

/* Takes a message that could not be made durable out again. */
static void take_back(struct mbox *m, uint32_t uid)
{
	struct err ignored;

	if (mbox_begin(m, &ignored) != 0)
		return;
	expunge_locked(m, uid);
	mbox_end(m);
}

static int commit_append(struct mappend *a, struct arrival *v, struct err *e)
{
	struct mbox *m = a->m;
	void *map = a->octets == 0 ? MAP_FAILED : mmap(NULL, a->octets, PROT_READ, MAP_SHARED, a->d.fd, 0);
	struct timespec when[2] = { { .tv_sec = v->n.date }, { .tv_sec = v->n.date } };
	int rc = -1;

	if (map != MAP_FAILED)
		v->octets = slice_mem(map, a->octets);
	if (futimens(a->d.fd, when) != 0) {}                          /* for people who look with ls; the name has the date */
	if (mbox_begin(m, e) == 0) {
		rc = arrive(m, v, place_draft, a, e);
		mbox_end(m);
	}
	if (map != MAP_FAILED)
		munmap(map, a->octets);
	if (rc != 0)
		return -1;
	/* One flush brings the name along on ext4, XFS and btrfs (reliability.md 1.6); elsewhere the directory has its own. */
	if (fsync(a->d.fd) == 0 && (!m->box->dir_sync || fsync(m->curfd) == 0))
		return 0;
	(void)err_set(e, ERR_TEMP, errno, "flushing a message");
	take_back(m, v->uid);
	return -1;
}

int mappend_commit(struct mappend **ap, uint32_t flags, const struct slice *keywords, size_t n_keywords, int64_t internaldate, uint32_t *uid_out, struct err *e)
{
	struct mappend *a = *ap;
	struct arrival v = { .keyword_names = keywords, .n_keyword_names = n_keywords };
	struct buf stem;
	int rc;

	buf_init(&stem, BUF_UNBOUNDED);
	buf_init(&v.name, BUF_UNBOUNDED);
	v.n.date = internaldate < 0 ? 0 : internaldate;
	unique_stem(a->m->box, v.n.date, NULL, &stem);
	v.n.stem = buf_view(&stem);
	v.n.size = v.n.file_size = a->octets;
	v.n.flags = flags;
	rc = commit_append(a, &v, e);
	if (rc == 0)
		*uid_out = v.uid;
	buf_done(&stem);
	buf_done(&v.name);
	mappend_drop(ap);
	return rc;
}

void mappend_drop(struct mappend **ap)
{
	struct mappend *a = *ap;

	if (a == NULL)
		return;
	draft_drop(a->m, &a->d);
	mbox_close(&a->m);
	free(a);
	*ap = NULL;
}

/* ---- delivery ---- */

struct placing { struct mbox *m; struct draft d; const char *link_from; };

/* From another user's copy where that goes; a copy that was renamed, or lies elsewhere, or has too many names already, is written anew. */
static int place_delivery(void *ctx, const char *name, struct err *e)
{
	struct placing *p = ctx;

	if (p->link_from != NULL)
		return linkat(AT_FDCWD, p->link_from, p->m->curfd, name, 0) == 0 ? 0 : err_set(e, ERR_EXISTS, errno, "no link");
	return draft_place(p->m, &p->d, name, e);
}

static bool was_delivered(const struct mbox *m, uint64_t id_hash)
{
	for (size_t i = 0; i < m->n_done; i++)
		if (m->done[i].id_hash == id_hash)
			return true;
	for (size_t i = 0; m->base.h != NULL && i < m->base.h->n_done; i++)
		if (m->base.done[i].id_hash == id_hash)
			return true;
	return false;
}

static bool file_is(const struct mbox *m, const char *name, struct slice octets)
{
	int fd = openat(m->curfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *map = MAP_FAILED;
	bool same = false;

	if (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size == octets.n && octets.n > 0)
		map = mmap(NULL, octets.n, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map != MAP_FAILED) {
		same = memcmp(map, octets.p, octets.n) == 0;
		munmap(map, octets.n);
	}
	if (fd >= 0)
		close(fd);
	return same;
}

/* After a power cut log and directory may each know what the other lost, and a file may be torn: the file decides. A torn one goes. */
static bool is_there_whole(struct mbox *m, const struct delivery *d)
{
	char part[80];
	struct slice name;

	if (snprintf(part, sizeof part, ".%s.", d->queue_id) >= (int)sizeof part)
		return false;
	for (uint32_t slot = mbox_slots(m); slot-- > 0;) {
		char *path;
		bool same;

		if (mbox_is_gone(m, slot) || !mbox_slot_name(m, slot, &name) || slice_find(name, slice_of(part)) < 0)
			continue;
		path = mem_new(name.n + 1);
		memcpy(path, name.p, name.n);
		same = file_is(m, path, d->octets);
		free(path);
		if (same)
			return true;
		expunge_locked(m, mbox_rec(m, slot)->uid);
	}
	return false;
}

static int deliver_locked(struct mbox *m, const struct delivery *d, struct arrival *v, struct placing *p, bool *there_out, struct err *e)
{
	*there_out = d->maybe_again && (d->unclean ? is_there_whole(m, d) : was_delivered(m, v->id_hash));
	if (*there_out)
		return 0;
	p->link_from = d->link_from;
	if (d->link_from != NULL && arrive(m, v, place_delivery, p, e) == 0)
		return 0;
	if (d->link_from != NULL && e->kind != ERR_EXISTS)
		return -1;
	p->link_from = NULL;
	if (p->d.fd < 0 && (draft_open(m, &p->d, e) != 0 || write_all(p->d.fd, d->octets, e) != 0))
		return -1;
	return arrive(m, v, place_delivery, p, e);
}

static int deliver_to(struct mbox *m, const struct delivery *d, struct arrival *v, bool *there_out, struct err *e)
{
	struct placing p = { .m = m, .d = { .fd = -1 } };
	int rc = -1;

	/* The writing, which may take long, is done before the lock is taken; a link costs nothing inside. */
	if (d->link_from == NULL && (draft_open(m, &p.d, e) != 0 || write_all(p.d.fd, d->octets, e) != 0)) {
		draft_drop(m, &p.d);
		return -1;
	}
	if (mbox_begin(m, e) == 0) {
		rc = deliver_locked(m, d, v, &p, there_out, e);
		mbox_end(m);
	}
	draft_drop(m, &p.d);
	return rc;
}

int box_deliver(struct box *b, struct slice folder, const struct delivery *d, struct arena *a, const char **path_out, struct err *e)
{
	struct arrival v = {
		.octets = d->octets, .id_hash = hash_stable(slice_of(d->queue_id)), .keyword_names = d->keywords, .n_keyword_names = d->n_keywords,
	};
	struct buf stem;
	struct mbox *m;
	bool there = false;
	int rc;

	if (!mname_id_is_valid(slice_of(d->queue_id)))
		return err_set(e, ERR_DENIED, 0, "queue id has octets that may not be in a file name");
	if (quota_prepare(b, e) != 0 || mbox_open(&m, b, folder.n == 0 ? SLICE("INBOX") : folder, e) != 0)
		return -1;
	buf_init(&stem, BUF_UNBOUNDED);
	buf_init(&v.name, BUF_UNBOUNDED);
	v.n.date = d->internaldate < 0 ? 0 : d->internaldate;
	unique_stem(b, v.n.date, d->queue_id, &stem);
	v.n.stem = buf_view(&stem);
	v.n.size = v.n.file_size = d->octets.n;
	v.n.flags = d->flags;
	rc = deliver_to(m, d, &v, &there, e);
	if (rc == 0)
		*path_out = there ? NULL : arena_printf(a, "%s/%s%scur/%s", b->dir, m->disk, m->disk[0] == '\0' ? "" : "/", buf_str(&v.name));
	buf_done(&stem);
	buf_done(&v.name);
	mbox_close(&m);
	return rc;
}

void mbox_each_id(struct mbox *m, void (*fn)(void *ctx, struct slice id), void *ctx)
{
	for (uint32_t slot = 0; slot < mbox_slots(m); slot++) {
		struct slice rest, field;

		if (!mbox_is_gone(m, slot) && mbox_slot_name(m, slot, &rest) && slice_next(&rest, '.', &field) && slice_next(&rest, '.', &field))
			fn(ctx, field);
	}
}

int store_checkpoint(const char *mail_directory, struct err *e)
{
	int fd = open(mail_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", mail_directory);
	rc = syncfs(fd);
	if (rc != 0)
		(void)err_set(e, ERR_TEMP, errno, "flushing %s", mail_directory);
	close(fd);
	return rc;
}
