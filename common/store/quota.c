/*
 * store/quota.c - what a user's mail adds up to, exactly, without looking at more than one folder; the limits, and since when the user is over them.
 *
 * posthouse.quota is mapped by every process that has the box open: a header and one entry a folder, keyed by the folder's inode (UIDVALIDITY of
 * folders that came from another server may be the same), with that folder's totals and the position in its log at which they were true. Totals, not differences, are written, and only under the folder's lock. An entry says that it is
 * busy from before the log grows until it is right again: whoever meets one that stays busy, or opens a folder whose log is longer than its entry knows, counts
 * that folder again, so a kill -9 anywhere leaves nothing wrong. After a restart of the machine, or where an entry does not check, all are counted again.
 * Where there is a limit, the lock of this file is held from the check until the change is in the log, so that two folders can't both take the last room.
 *
 * Locks, in this order: byte 1 of this file (a count of all folders), a folder, byte 0 (entries are made and dropped; room is taken).
 */
#include "store/folder.h"
#include "store/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

#define QUOTA_NAME "posthouse.quota"
#define ENTRIES_MAX ((size_t)LIMIT_FOLDERS * 2)                       /* it grows no more from here on */
#define MAGIC 0x335f51485fu

enum { SLOTS_FIRST = 63, LOCK_ENTRIES = 0, LOCK_COUNTING = 1, BUSY_LOOKS = 40, BUSY_LOOK_US = 50 };

struct entry {
	_Atomic uint64_t key;                                         /* 0: free */
	uint32_t crc, zero;
	uint64_t octets, messages, log_id, log_end;
	_Atomic uint64_t busy;                                        /* the log is being written */
	uint64_t zero1;
};

struct head {
	uint64_t magic;                                               /* 0: not all folders are counted */
	int64_t boot;
	_Atomic uint64_t slots;                                       /* entries behind it */
	_Atomic uint64_t limits_known, limit_octets, limit_messages;
	_Atomic int64_t full_since;                                   /* when something was refused, and nothing was removed since; 0: has room */
	uint64_t home;                                                /* the box's inode: another one is a copy, whose folders have other keys */
};

_Static_assert(sizeof(struct entry) == 64 && sizeof(struct head) == 64, "the disk format");

struct quota {
	int fd;
	struct head *h;
	struct entry *v;
	size_t n, map_len;
	bool locked;
};

static uint32_t entry_crc(const struct entry *x, uint64_t key)
{
	return hash_crc32c(hash_crc32c(0, &key, sizeof key), &x->octets, 4 * sizeof(uint64_t)) | 1;
}

/* ---- the mapping ---- */

static off_t size_for(size_t n)
{
	return (off_t)(sizeof(struct head) + n * sizeof(struct entry));
}

static bool may_be_ours(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size <= size_for(2 * ENTRIES_MAX + 1);
}

/* Says why quota_open() gave NULL. */
static int no_quota(struct box *b, struct err *e)
{
	int why = errno;
	struct stat st;

	if (fstatat(local_bay(local_shelf_of(b->top), BAY_OWN), QUOTA_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 && !may_be_ours(&st))
		return err_set(e, ERR_TEMP, 0, QUOTA_NAME " is %s: remove it, all is counted anew", S_ISREG(st.st_mode) ? "too large to be ours" : "not a plain file");
	return err_set(e, err_kind_of(why), why, QUOTA_NAME);
}

static int map(struct quota *q, const struct stat *st)
{
	off_t size = st->st_size;
	void *p;

	if (!may_be_ours(st))
		return -1;
	if (size < size_for(SLOTS_FIRST)) {
		size = size_for(SLOTS_FIRST);
		if (ftruncate(q->fd, size) != 0)
			return -1;
	}
	p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	if (p == MAP_FAILED)
		return -1;
	if (q->h != NULL)
		munmap(q->h, q->map_len);
	q->h = p;
	q->map_len = (size_t)size;
	q->v = (struct entry *)(q->h + 1);
	q->n = (q->map_len - sizeof(struct head)) / sizeof(struct entry);
	return 0;
}

void quota_close(struct box *b)
{
	struct quota *q = b->quota;

	if (q == NULL)
		return;
	if (q->h != NULL)
		munmap(q->h, q->map_len);
	file_close(&q->fd);
	free(q);
	b->quota = NULL;
}

static void put_limits(struct box *b, struct quota *q)
{
	if (!b->knows_limits || (q->h->limits_known != 0 && q->h->limit_octets == b->quota_storage && q->h->limit_messages == b->quota_messages))
		return;
	q->h->limit_octets = b->quota_storage;
	q->h->limit_messages = b->quota_messages;
	q->h->limits_known = 1;
	q->h->full_since = 0;
}

/* As it is on disk now: others may have made it longer; somebody may have removed it. NULL: can't be had. */
static struct quota *quota_open(struct box *b)
{
	struct quota *q = b->quota;
	struct stat st;

	if (q != NULL && fstat(q->fd, &st) == 0 && (st.st_nlink > 0 || q->locked) && ((size_t)st.st_size == q->map_len || map(q, &st) == 0))
		return q;
	quota_close(b);
	q = b->quota = mem_new(sizeof *q);
	q->fd = openat(local_bay(local_shelf_of(b->top), BAY_OWN), QUOTA_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (q->fd >= 0 && fstat(q->fd, &st) == 0 && map(q, &st) == 0) {
		put_limits(b, q);
		return q;
	}
	quota_close(b);
	return NULL;
}

static uint64_t inode_of(struct shelf *h)
{
	struct stat st;

	return fstat(local_bay(local_shelf_of(h), BAY_OWN), &st) != 0 ? 0 : (uint64_t)st.st_ino;
}

static bool is_current(struct box *b, const struct quota *q)
{
	return q->h->magic == MAGIC && box_is_same_boot(b, q->h->boot) && q->h->home == inode_of(b->top);
}

uint64_t quota_key(struct mbox *m)
{
	if (m->quota_key == 0)
		m->quota_key = inode_of(m->shelf);
	return m->quota_key;
}

/* False: interrupted for good, or no such thing on this file system. */
static bool lock_byte(struct quota *q, short type, off_t byte)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
	int rc;

	while ((rc = fcntl(q->fd, type == F_WRLCK ? F_OFD_SETLKW : F_OFD_SETLK, &fl)) != 0 && errno == EINTR)
		continue;
	return rc == 0;
}

static void lock_entries(struct quota *q)
{
	q->locked = lock_byte(q, F_WRLCK, LOCK_ENTRIES);
}

static void unlock_entries(struct quota *q)
{
	q->locked = false;
	(void)lock_byte(q, F_UNLCK, LOCK_ENTRIES);
}

static struct entry *entry_find(struct quota *q, uint64_t key)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i].key == key)
			return &q->v[i];
	return NULL;
}

static struct entry *entry_add(struct box *b, uint64_t key)
{
	struct quota *q = b->quota;
	struct entry *x = entry_find(q, key);

	if (x != NULL)
		return x;
	x = entry_find(q, 0);
	if (x == NULL) {
		size_t had = q->n;

		if (had >= ENTRIES_MAX || ftruncate(q->fd, size_for(had * 2 + 1)) != 0 || (q = quota_open(b)) == NULL || q->n <= had)
			return NULL;
		x = &q->v[had];
	}
	memset((char *)x + sizeof x->key, 0, sizeof *x - sizeof x->key);
	x->crc = entry_crc(x, key);
	x->busy = 1;
	x->key = key;
	return x;
}

/* Made only under the lock, so that a folder never has two. */
static struct entry *entry_of(struct box *b, uint64_t key)
{
	struct quota *q = quota_open(b);
	struct entry *x = q == NULL ? NULL : entry_find(q, key);
	bool locked;

	if (q == NULL || x != NULL)
		return x;
	locked = q->locked;
	if (!locked)
		lock_entries(q);
	x = entry_add(b, key);
	if (!locked && b->quota != NULL)
		unlock_entries(b->quota);
	return x;
}

/* ---- a folder's totals: its lock is held ---- */

void quota_touch(struct mbox *m)
{
	struct entry *x = entry_of(m->box, quota_key(m));

	if (x != NULL)
		x->busy = 1;
}

void quota_set(struct mbox *m)
{
	struct entry *x = entry_of(m->box, quota_key(m));
	uint64_t messages = mbox_count(m);

	if (x == NULL)
		return;
	if (x->log_id == 0 && messages > 0)                           /* put back by hand, perhaps in the place of one that we count still */
		m->box->quota->h->magic = 0;
	if (m->octets < x->octets || messages < x->messages)
		m->box->quota->h->full_since = 0;
	x->octets = m->octets;
	x->messages = messages;
	x->log_id = m->log.id;
	x->log_end = m->log.end;
	x->crc = entry_crc(x, quota_key(m));
	x->busy = 0;
}

/* Not locked. Right as it is, but for what a killed process left. */
bool quota_is_behind(struct mbox *m)
{
	struct quota *q = quota_open(m->box);
	const struct entry *x = q == NULL ? NULL : entry_find(q, quota_key(m));

	if (q == NULL)
		return false;
	return x == NULL || x->busy != 0 || x->log_id != m->log.id || x->log_end < m->log.end || x->crc != entry_crc(x, quota_key(m));
}

void quota_drop(struct box *b, uint64_t key)
{
	struct quota *q = quota_open(b);
	struct entry *x;

	if (q == NULL || key == 0)
		return;
	lock_entries(q);
	x = entry_find(q, key);
	if (x != NULL)
		x->key = 0;
	unlock_entries(q);
	q->h->full_since = 0;
}

enum sum { SUM_FINE, SUM_UNSURE, SUM_DAMAGED };

/* Unsure: one entry stays busy; damaged: one does not check. Each is looked at for a while, it may be in the middle of a change. */
static enum sum sum(struct quota *q, uint64_t *octets_out, uint64_t *messages_out)
{
	uint64_t octets = 0, messages = 0;
	enum sum result = SUM_FINE;

	for (size_t i = 0; i < q->n; i++) {
		struct entry *x = &q->v[i], copy;
		uint64_t key = x->key;
		bool busy = false, sound = true;

		for (int look = 0; key != 0 && look < BUSY_LOOKS; look++) {
			memcpy(&copy, x, sizeof copy);
			busy = x->busy != 0;
			sound = copy.crc == entry_crc(&copy, key);
			if ((!busy && sound) || (key = x->key) == 0)
				break;
			usleep(BUSY_LOOK_US);
		}
		if (key == 0)
			continue;
		result = !sound ? SUM_DAMAGED : busy && result == SUM_FINE ? SUM_UNSURE : result;
		octets += copy.octets;
		messages += copy.messages;
	}
	*octets_out = octets;
	*messages_out = messages;
	return result;
}

/* ---- all of them ---- */

struct counting { uint64_t *before; size_t n_before; uint64_t *seen; size_t n_seen; unsigned wrong; };

static bool has(const uint64_t *v, size_t n, uint64_t x)
{
	for (size_t i = 0; i < n; i++)
		if (v[i] == x)
			return true;
	return false;
}

/* Locked, so that nobody is in the middle of a change. */
static bool is_wrong(struct mbox *m)
{
	struct quota *q = quota_open(m->box);
	const struct entry *x = q == NULL ? NULL : entry_find(q, quota_key(m));

	return x != NULL && (x->octets != m->octets || x->messages != mbox_count(m));
}

static int count_folder(struct box *b, struct slice name, struct counting *c, struct err *e)
{
	struct mbox *m;
	int rc = mbox_open(&m, b, name, e);

	if (rc != 0)
		return e->kind == ERR_NOTFOUND ? 0 : -1;              /* deleted meanwhile */
	rc = mbox_begin(m, e);
	if (rc == 0) {
		c->wrong += is_wrong(m);
		quota_set(m);
		c->seen[c->n_seen++] = quota_key(m);
		mbox_end(m);
	}
	mbox_close(&m);
	return rc;
}

static int count_all(struct box *b, struct arena *a, struct counting *c, struct err *e)
{
	struct folder *list;
	size_t n;

	if (box_list(b, a, &list, &n, e) != 0)
		return -1;
	c->seen = arena_array(a, n + 1, sizeof *c->seen);
	for (size_t i = 0; i < n; i++)
		if ((list[i].attrs & FOLDER_NOSELECT) == 0 && count_folder(b, list[i].name, c, e) != 0)
			return -1;
	return 0;
}

/* Everything anew where nothing can be trusted; else the folders one by one in place, then what belongs to no folder goes. */
static void forget(struct quota *q, struct counting *c, bool all)
{
	lock_entries(q);
	for (size_t i = 0; i < q->n; i++)
		if (all || (has(c->before, c->n_before, q->v[i].key) && !has(c->seen, c->n_seen, q->v[i].key))) {
			c->wrong += !all && q->v[i].messages > 0;
			q->v[i].key = 0;
		}
	unlock_entries(q);
}

static int recount_locked(struct box *b, struct quota *q, bool damaged, unsigned *wrong_out, struct err *e)
{
	struct arena *a = arena_new(0);
	struct counting c = { .before = arena_array(a, q->n, sizeof *c.before) };
	int rc;

	if (damaged) {
		q->h->magic = 0;
		forget(q, &c, true);
	}
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i].key != 0)
			c.before[c.n_before++] = q->v[i].key;
	rc = count_all(b, a, &c, e);
	q = rc == 0 ? quota_open(b) : NULL;
	if (q != NULL) {
		forget(q, &c, false);
		q->h->boot = b->boot;
		q->h->home = inode_of(b->top);
		q->h->magic = MAGIC;
	}
	arena_free(&a);
	if (q != NULL)
		*wrong_out = c.wrong + damaged;
	return q != NULL ? 0 : rc != 0 ? -1 : no_quota(b, e);
}

/* Right already: another process has counted while we waited for our turn. */
static bool is_right(struct box *b, struct quota *q, enum sum *how)
{
	uint64_t octets, messages;

	*how = is_current(b, q) ? sum(q, &octets, &messages) : SUM_DAMAGED;
	return *how == SUM_FINE;
}

static int recount(struct box *b, bool always, unsigned *wrong_out, struct err *e)
{
	struct quota *q = quota_open(b);
	enum sum how;
	int rc, fd;

	if (q == NULL)
		return no_quota(b, e);
	fd = fcntl(q->fd, F_DUPFD_CLOEXEC, 0);                        /* the lock stays whatever becomes of q; it is of the open file, not of the descriptor */
	if (fd < 0 || !lock_byte(q, F_WRLCK, LOCK_COUNTING)) {
		file_close(&fd);
		return err_set(e, ERR_TEMP, errno, "locking " QUOTA_NAME);
	}
	rc = is_right(b, q, &how) && !always ? 0 : recount_locked(b, q, how == SUM_DAMAGED, wrong_out, e);
	(void)lock_byte(&(struct quota){ .fd = fd }, F_UNLCK, LOCK_COUNTING);
	file_close(&fd);
	return rc;
}

/* Before any folder is locked: counting opens all of them. */
int quota_prepare(struct box *b, struct err *e)
{
	struct quota *q = quota_open(b);
	unsigned wrong;
	enum sum how;

	if (q == NULL)
		return no_quota(b, e);
	return is_right(b, q, &how) ? 0 : recount(b, false, &wrong, e);
}

int box_quota(struct box *b, uint64_t *octets_out, uint64_t *messages_out, struct err *e)
{
	if (quota_prepare(b, e) != 0)
		return -1;
	return sum(b->quota, octets_out, messages_out) != SUM_DAMAGED ? 0 : err_set(e, ERR_TEMP, 0, QUOTA_NAME " is damaged");
}

int box_recount(struct box *b, unsigned *wrong_out, struct err *e)
{
	return recount(b, true, wrong_out, e);
}

/* ---- limits and room ---- */

void box_set_limits(struct box *b, uint64_t octets, uint64_t messages)
{
	struct quota *q;

	b->knows_limits = true;
	b->quota_storage = octets;
	b->quota_messages = messages;
	q = quota_open(b);
	if (q != NULL)
		put_limits(b, q);
}

void box_limits(struct box *b, uint64_t *octets_out, uint64_t *messages_out)
{
	const struct quota *q = quota_open(b);

	*octets_out = q != NULL && q->h->limits_known != 0 ? q->h->limit_octets : b->quota_storage;
	*messages_out = q != NULL && q->h->limits_known != 0 ? q->h->limit_messages : b->quota_messages;
}

static bool fits(uint64_t have, uint64_t more, uint64_t limit)
{
	return limit == 0 || (more <= limit && have <= limit - more);
}

/* Octets 0: some message. */
static int find_room(struct box *b, uint64_t octets, uint64_t messages, struct err *e)
{
	uint64_t have_octets, have_messages, limit_octets, limit_messages;

	box_limits(b, &limit_octets, &limit_messages);
	if (b->quota == NULL || (limit_octets == 0 && limit_messages == 0))
		return 0;
	if (!is_current(b, b->quota) || sum(b->quota, &have_octets, &have_messages) == SUM_DAMAGED)
		return err_set(e, ERR_TEMP, 0, QUOTA_NAME " is being counted; try again");
	if (!fits(have_octets, octets > 0 ? octets : 1, limit_octets))
		(void)err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu octets are used", (unsigned long long)have_octets, (unsigned long long)limit_octets);
	else if (!fits(have_messages, messages, limit_messages))
		(void)err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu messages are there", (unsigned long long)have_messages, (unsigned long long)limit_messages);
	else
		return 0;
	if (b->quota->h->full_since == 0)
		b->quota->h->full_since = clock_wall_s();
	return -1;
}

int box_room(struct box *b, uint64_t octets, struct box_room *out, struct err *e)
{
	uint64_t limit_octets, limit_messages;
	struct err why = ERR_INIT;

	if (quota_prepare(b, e) != 0)
		return -1;
	box_limits(b, &limit_octets, &limit_messages);
	*out = (struct box_room){ .fits = find_room(b, octets, 1, &why) == 0, .never = limit_octets != 0 && octets > limit_octets };
	if (!out->fits && why.kind != ERR_LIMIT)
		return err_set(e, why.kind, why.sys, "%s", why.text);
	out->full_since = out->fits ? 0 : b->quota->h->full_since;
	return 0;
}

int quota_check(struct mbox *m, uint64_t octets, uint64_t messages, struct err *e)
{
	struct box *b = m->box;
	uint64_t limit_octets, limit_messages;

	box_limits(b, &limit_octets, &limit_messages);
	if (limit_octets == 0 && limit_messages == 0)
		return 0;
	if (m->log.locked && b->quota != NULL && !b->quota->locked)
		lock_entries(b->quota);
	return find_room(b, octets, messages, e);
}

void quota_release(struct box *b)
{
	if (b->quota != NULL && b->quota->locked)
		unlock_entries(b->quota);
}
