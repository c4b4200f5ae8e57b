/*
 * store/local_tally.c - rows of numbers in a file that everybody maps: looked up and changed without a system call. A row has a CRC, because a process
 * may be killed, or another one read it, in the middle of a change. A row is made and taken away under a lock, so that no number ever has two.
 */
#include "store/local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"

#define ROWS_FIRST 63
#define ROWS_MAX ((size_t)LIMIT_FOLDERS * 2)                          /* it grows no more from here on */

struct entry {
	_Atomic uint64_t key;                                         /* 0: free */
	uint32_t crc, zero;
	uint64_t v[TALLY_NUMBERS];
	_Atomic uint64_t busy;
	uint64_t zero1;
};

struct head { _Atomic uint64_t note[TALLY_NOTES]; };

_Static_assert(sizeof(struct entry) == 64 && sizeof(struct head) == 64, "the disk format");

struct local_tally {
	struct tally base;
	int fd;
	struct head *h;
	struct entry *v;
	size_t n, map_len;
	bool locked[TALLY_LOCKS];
};

static struct local_tally *tally_of(struct tally *t)
{
	return (struct local_tally *)(void *)t;
}

static uint32_t crc_of(const uint64_t v[TALLY_NUMBERS], uint64_t key)
{
	return hash_crc32c(hash_crc32c(0, &key, sizeof key), v, TALLY_NUMBERS * sizeof *v) | 1;
}

/* ---- the mapping ---- */

static off_t size_for(size_t n)
{
	return (off_t)(sizeof(struct head) + n * sizeof(struct entry));
}

static bool may_be_ours(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_size <= size_for(2 * ROWS_MAX + 1);
}

static int map(struct local_tally *t, const struct stat *st)
{
	off_t size = st->st_size;
	void *p;

	if (!may_be_ours(st))
		return -1;
	if (size < size_for(ROWS_FIRST)) {
		size = size_for(ROWS_FIRST);
		if (ftruncate(t->fd, size) != 0)
			return -1;
	}
	p = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (p == MAP_FAILED)
		return -1;
	if (t->h != NULL)
		munmap(t->h, t->map_len);
	t->h = p;
	t->map_len = (size_t)size;
	t->v = (struct entry *)(t->h + 1);
	t->n = (t->map_len - sizeof(struct head)) / sizeof(struct entry);
	return 0;
}

static int refuse(struct shelf *h, const char *name, int why, struct err *e)
{
	struct stat st;

	if (fstatat(local_shelf_of(h)->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !may_be_ours(&st))
		return err_set(e, ERR_TEMP, 0, "%s is %s: remove it, all is counted anew", name, S_ISREG(st.st_mode) ? "too large to be ours" : "not a plain file");
	return err_set(e, err_kind_of(why), why, "%s", name);
}

int local_tally_open(struct shelf *h, const char *name, struct tally **out, struct err *e)
{
	struct local_tally *t = mem_new(sizeof *t);
	struct stat st;
	int why;

	t->base.ops = h->ops;
	t->fd = openat(local_shelf_of(h)->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (t->fd >= 0 && fstat(t->fd, &st) == 0 && map(t, &st) == 0) {
		*out = &t->base;
		return 0;
	}
	why = errno;
	local_tally_close(&t->base);
	return refuse(h, name, why, e);
}

void local_tally_close(struct tally *base)
{
	struct local_tally *t = tally_of(base);

	if (t->h != NULL)
		munmap(t->h, t->map_len);
	file_close(&t->fd);
	free(t);
}

bool local_tally_look(struct tally *base)
{
	struct local_tally *t = tally_of(base);
	struct stat st;

	return fstat(t->fd, &st) == 0 && (st.st_nlink > 0 || t->locked[TALLY_ROOM]) && ((size_t)st.st_size == t->map_len || map(t, &st) == 0);
}

bool local_tally_lock(struct tally *base, enum tally_lock which, bool on)
{
	struct local_tally *t = tally_of(base);
	struct flock fl = { .l_type = on ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)which, .l_len = 1 };
	int rc;

	do
		rc = fcntl(t->fd, on ? F_OFD_SETLKW : F_OFD_SETLK, &fl);
	while (rc != 0 && errno == EINTR);
	t->locked[which] = on && rc == 0;
	return rc == 0;
}

/* ---- rows ---- */

static struct entry *entry_find(struct local_tally *t, uint64_t key)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].key == key)
			return &t->v[i];
	return NULL;
}

static struct entry *entry_add(struct local_tally *t, uint64_t key)
{
	struct entry *x = entry_find(t, key);

	if (x != NULL)
		return x;
	x = entry_find(t, 0);
	if (x == NULL) {
		size_t had = t->n;

		if (had >= ROWS_MAX || ftruncate(t->fd, size_for(had * 2 + 1)) != 0 || !local_tally_look(&t->base) || t->n <= had)
			return NULL;
		x = &t->v[had];
	}
	memset((char *)x + sizeof x->key, 0, sizeof *x - sizeof x->key);
	x->crc = crc_of(x->v, key);
	x->busy = 1;
	x->key = key;
	return x;
}

static struct entry *entry_of(struct local_tally *t, uint64_t key)
{
	struct entry *x = entry_find(t, key);
	bool locked = t->locked[TALLY_ROOM];

	if (x != NULL)
		return x;
	if (!locked)
		(void)local_tally_lock(&t->base, TALLY_ROOM, true);
	if (local_tally_look(&t->base))
		x = entry_add(t, key);
	if (!locked)
		(void)local_tally_lock(&t->base, TALLY_ROOM, false);
	return x;
}

static struct tally_row row_of(const struct entry *x, uint64_t key)
{
	struct tally_row row = { .key = key, .busy = x->busy != 0 };
	uint32_t crc = x->crc;

	memcpy(row.v, x->v, sizeof row.v);
	row.sound = crc == crc_of(row.v, key);
	return row;
}

int local_tally_get(struct tally *t, uint64_t key, struct tally_row *out)
{
	const struct entry *x = key == 0 ? NULL : entry_find(tally_of(t), key);

	if (x == NULL)
		return -1;
	*out = row_of(x, key);
	return 0;
}

int local_tally_put(struct tally *t, const struct tally_row *row)
{
	struct entry *x = row->key == 0 ? NULL : entry_of(tally_of(t), row->key);

	if (x == NULL)
		return -1;
	if (row->busy) {
		x->busy = 1;
		return 0;
	}
	memcpy(x->v, row->v, sizeof x->v);
	x->crc = crc_of(row->v, row->key);
	x->busy = 0;
	return 0;
}

void local_tally_delete(struct tally *base, uint64_t key)
{
	struct local_tally *t = tally_of(base);
	bool locked = t->locked[TALLY_ROOM];
	struct entry *x;

	if (!locked)
		(void)local_tally_lock(base, TALLY_ROOM, true);
	x = entry_find(t, key);
	if (x != NULL)
		x->key = 0;
	if (!locked)
		(void)local_tally_lock(base, TALLY_ROOM, false);
}

size_t local_tally_rows(struct tally *base, struct arena *a, struct tally_row **out)
{
	struct local_tally *t = tally_of(base);
	struct tally_row *v = arena_array(a, t->n + 1, sizeof *v);
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		uint64_t key = t->v[i].key;

		if (key != 0)
			v[n++] = row_of(&t->v[i], key);
	}
	*out = v;
	return n;
}

uint64_t local_tally_note(struct tally *t, unsigned which)
{
	return tally_of(t)->h->note[which];
}

void local_tally_set_note(struct tally *t, unsigned which, uint64_t value)
{
	tally_of(t)->h->note[which] = value;
}
