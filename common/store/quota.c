/*
 * store/quota.c - what a user's mail adds up to, exactly, without looking at more than one folder.
 *
 * posthouse.quota is mapped by every process that has the box open: a header and one entry a folder, keyed by UIDVALIDITY, with that folder's totals
 * and the position in its log at which they were true. Totals, not differences, are written, under the folder's lock: whatever a crash left out is put
 * right by the next change or opening of that folder. After a restart of the machine, or where an entry does not check, all folders are counted again.
 * Where there is a limit, the lock of this file is held from the check until the change is in the log, so that two folders can't both take the last room.
 */
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

#define QUOTA_NAME "posthouse.quota"
#define MAGIC 0x315f51485fu

struct entry {
	_Atomic uint32_t uidvalidity;                                 /* 0: free */
	uint32_t crc;
	uint64_t octets, messages, log_id, log_end;
	uint64_t zero[3];
};

struct head { uint64_t magic; int64_t boot; uint64_t zero[6]; };

_Static_assert(sizeof(struct entry) == 64 && sizeof(struct head) == 64, "the disk format");

struct quota {
	int fd;
	struct head *h;
	struct entry *v;
	size_t n, map_len;
	bool locked;
};

static uint32_t entry_crc(const struct entry *x, uint32_t uidvalidity)
{
	return hash_crc32c(hash_crc32c(0, &uidvalidity, sizeof uidvalidity), &x->octets, 4 * sizeof(uint64_t)) | 1;
}

/* ---- the mapping ---- */

static size_t size_for(size_t n)
{
	return sizeof(struct head) + n * sizeof(struct entry);
}

static int map(struct quota *q)
{
	struct stat st;
	size_t least = size_for(63);
	void *p;

	if (fstat(q->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return -1;
	if ((size_t)st.st_size < least) {
		if (ftruncate(q->fd, (off_t)least) != 0)
			return -1;
		st.st_size = (off_t)least;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, 0);
	if (p == MAP_FAILED)
		return -1;
	if (q->h != NULL)
		munmap(q->h, q->map_len);
	q->h = p;
	q->map_len = (size_t)st.st_size;
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

static struct quota *quota_open(struct box *b)
{
	struct quota *q;

	if (b->quota != NULL)
		return b->quota;
	q = b->quota = mem_new(sizeof *q);
	q->fd = openat(b->dirfd, QUOTA_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (q->fd >= 0 && map(q) == 0)
		return q;
	quota_close(b);
	return NULL;
}

static bool is_current(struct box *b, const struct quota *q)
{
	return q->h->magic == MAGIC && box_is_same_boot(b, q->h->boot);
}

static struct entry *entry_of(struct quota *q, uint32_t uidvalidity, bool make)
{
	for (size_t i = 0; i < q->n; i++)
		if (q->v[i].uidvalidity == uidvalidity)
			return &q->v[i];
	for (size_t i = 0; make && i < q->n; i++) {
		uint32_t none = 0;

		if (atomic_compare_exchange_strong(&q->v[i].uidvalidity, &none, uidvalidity))
			return &q->v[i];
	}
	if (!make || q->n >= LIMIT_FOLDERS * 2 || ftruncate(q->fd, (off_t)size_for(q->n * 2 + 1)) != 0 || map(q) != 0)
		return NULL;
	return entry_of(q, uidvalidity, true);
}

/* ---- a folder's totals ---- */

void quota_set(struct mbox *m)
{
	struct quota *q = quota_open(m->box);
	struct entry *x = q == NULL ? NULL : entry_of(q, m->uidvalidity, true);

	if (x == NULL)
		return;
	if (!m->log.locked && x->log_id == m->log.id && x->log_end >= m->log.end)
		return;                                               /* somebody knows better */
	x->octets = m->octets;
	x->messages = mbox_count(m);
	x->log_id = m->log.id;
	x->log_end = m->log.end;
	x->crc = entry_crc(x, m->uidvalidity);
}

void quota_drop(struct box *b, uint32_t uidvalidity)
{
	struct quota *q = quota_open(b);
	struct entry *x = q == NULL || uidvalidity == 0 ? NULL : entry_of(q, uidvalidity, false);

	if (x != NULL)
		x->uidvalidity = 0;
}

/* -1: an entry does not check (twice: it may have been in the middle of a change). */
static int sum(struct quota *q, uint64_t *octets_out, uint64_t *messages_out)
{
	uint64_t octets = 0, messages = 0;

	for (size_t i = 0; i < q->n; i++) {
		uint32_t uidvalidity = q->v[i].uidvalidity;
		struct entry x;
		int turn = 0;

		if (uidvalidity == 0)
			continue;
		do
			memcpy(&x.crc, &q->v[i].crc, sizeof x - sizeof x.uidvalidity);
		while (x.crc != entry_crc(&x, uidvalidity) && ++turn < 100);
		if (turn == 100 && q->v[i].uidvalidity != 0)
			return -1;
		octets += x.octets;
		messages += x.messages;
	}
	*octets_out = octets;
	*messages_out = messages;
	return 0;
}

/* ---- all of them ---- */

static int recount(struct box *b, struct quota *q, struct err *e)
{
	struct arena *a = arena_new(0);
	struct folder *list;
	size_t n;
	int rc = box_list(b, a, &list, &n, e);

	q->h->magic = 0;
	for (size_t i = 0; rc == 0 && i < q->n; i++)
		q->v[i].uidvalidity = 0;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct mbox *m;

		if ((list[i].attrs & FOLDER_NOSELECT) != 0)
			continue;
		rc = mbox_open(&m, b, list[i].name, e);
		if (rc == 0) {
			quota_set(m);
			mbox_close(&m);
		}
	}
	if (rc == 0) {
		q->h->boot = b->boot;
		q->h->magic = MAGIC;
	}
	arena_free(&a);
	return rc;
}

/* Before any folder is locked: counting opens all of them. */
int quota_prepare(struct box *b, struct err *e)
{
	struct quota *q = quota_open(b);
	uint64_t octets, messages;

	if (q == NULL)
		return err_set(e, err_kind_of(errno), errno, QUOTA_NAME);
	return is_current(b, q) && sum(q, &octets, &messages) == 0 ? 0 : recount(b, q, e);
}

int box_quota(struct box *b, uint64_t *octets_out, uint64_t *messages_out, struct err *e)
{
	if (quota_prepare(b, e) != 0)
		return -1;
	return sum(b->quota, octets_out, messages_out) == 0 ? 0 : err_set(e, ERR_TEMP, 0, QUOTA_NAME " is damaged");
}

int box_recount(struct box *b, struct err *e)
{
	struct quota *q = quota_open(b);

	return q == NULL ? err_set(e, err_kind_of(errno), errno, QUOTA_NAME) : recount(b, q, e);
}

static void lock_file(struct quota *q, short type)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET };

	while (fcntl(q->fd, type == F_WRLCK ? F_OFD_SETLKW : F_OFD_SETLK, &fl) != 0 && errno == EINTR)
		continue;
	q->locked = type == F_WRLCK;
}

int quota_check(struct mbox *m, uint64_t octets, uint64_t messages, struct err *e)
{
	uint64_t have_octets = 0, have_messages = 0;
	struct box *b = m->box;

	if ((b->quota_storage == 0 && b->quota_messages == 0) || b->quota == NULL)
		return 0;
	if (m->log.locked && !b->quota->locked)
		lock_file(b->quota, F_WRLCK);
	if (sum(b->quota, &have_octets, &have_messages) != 0)
		return err_set(e, ERR_TEMP, 0, QUOTA_NAME " is damaged; it is counted anew at the next try");
	if (b->quota_storage != 0 && (octets > b->quota_storage || have_octets > b->quota_storage - octets))
		return err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu octets are used", (unsigned long long)have_octets, (unsigned long long)b->quota_storage);
	if (b->quota_messages != 0 && (messages > b->quota_messages || have_messages > b->quota_messages - messages))
		return err_set(e, ERR_LIMIT, 0, "over quota: %llu of %llu messages are there", (unsigned long long)have_messages, (unsigned long long)b->quota_messages);
	return 0;
}

void quota_release(struct box *b)
{
	if (b->quota != NULL && b->quota->locked)
		lock_file(b->quota, F_UNLCK);
}
