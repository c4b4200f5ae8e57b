/*
 * auth/auth_ledger.c - a hash table of 64-bit cells, changed by compare-and-swap: tag (24 bits), count (8 bits), time of the last change (32 bits).
 *
 * No lock, so that a process that is killed holds nobody up; a cell is one word, so that no reader sees half of it.
 */
#include "auth/auth_ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"

#define BUCKETS 16384u
#define WAYS 4u
#define COUNT_MAX 255u

struct shared {
	char salt[32];                                                /* nobody outside can aim at a bucket */
	_Atomic uint64_t cells[BUCKETS][WAYS];
};

struct auth_ledger {
	struct shared *mem;
};

enum kind { BY_ADDR, BY_USER, GOOD_PAIR };

struct cell { uint32_t tag, count, at; };

static struct cell unpack(uint64_t v)
{
	return (struct cell){ (uint32_t)(v >> 40), (uint32_t)(v >> 32) & 0xff, (uint32_t)v };
}

static uint64_t pack(struct cell c)
{
	return (uint64_t)c.tag << 40 | (uint64_t)(c.count & 0xff) << 32 | c.at;
}

/* What the count is worth now. */
static uint32_t decayed(struct cell c, int64_t now_s)
{
	int64_t age = now_s - (int64_t)c.at;

	if (age < 0 || age >= 8 * LEDGER_HALF_LIFE_S)
		return 0;
	return c.count >> (age / LEDGER_HALF_LIFE_S);
}

static uint64_t key_of(const struct auth_ledger *l, enum kind kind, const struct net_addr *addr, struct slice user)
{
	struct buf b;
	uint64_t h;

	buf_init(&b, BUF_UNBOUNDED);
	buf_put(&b, slice_mem(l->mem->salt, sizeof(l->mem->salt)));
	buf_putc(&b, (char)kind);
	if (kind != BY_USER)
		buf_put(&b, slice_mem(addr->octets, addr->len == 16 ? 8 : addr->len));
	if (kind != BY_ADDR)
		buf_put(&b, user);
	h = hash_stable(buf_view(&b));
	buf_done(&b);
	return h;
}

static uint32_t tag_of(uint64_t h)
{
	uint32_t tag = (uint32_t)(h >> 40);

	return tag ? tag : 1;                                             /* 0 is an empty cell */
}

static struct cell find(const struct auth_ledger *l, uint64_t h)
{
	_Atomic uint64_t *way = l->mem->cells[h % BUCKETS];

	for (unsigned i = 0; i < WAYS; i++) {
		struct cell c = unpack(atomic_load(&way[i]));
		if (c.tag == tag_of(h))
			return c;
	}
	return (struct cell){ 0, 0, 0 };
}

static unsigned pick(_Atomic uint64_t *way, uint32_t tag)
{
	unsigned oldest = 0;

	for (unsigned i = 0; i < WAYS; i++) {
		struct cell c = unpack(atomic_load(&way[i]));
		if (c.tag == tag)
			return i;
		if (c.at < unpack(atomic_load(&way[oldest])).at)
			oldest = i;
	}
	return oldest;
}

/* Adds one; returns the new count. */
static uint32_t add(struct auth_ledger *l, uint64_t h, int64_t now_s)
{
	_Atomic uint64_t *cell = &l->mem->cells[h % BUCKETS][pick(l->mem->cells[h % BUCKETS], tag_of(h))];
	uint64_t old = atomic_load(cell), fresh;
	uint32_t n;

	do {
		struct cell c = unpack(old);
		n = c.tag == tag_of(h) ? decayed(c, now_s) : 0;
		n += n < COUNT_MAX;
		fresh = pack((struct cell){ tag_of(h), n, (uint32_t)now_s });
	} while (!atomic_compare_exchange_weak(cell, &old, fresh));
	return n;
}

static void forget(struct auth_ledger *l, uint64_t h)
{
	_Atomic uint64_t *way = l->mem->cells[h % BUCKETS];

	for (unsigned i = 0; i < WAYS; i++) {
		uint64_t v = atomic_load(&way[i]);
		if (unpack(v).tag == tag_of(h))
			atomic_compare_exchange_strong(&way[i], &v, 0);
	}
}

static struct shared *map_file(const char *path, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct shared *m = MAP_FAILED;
	off_t size;

	if (fd >= 0 && flock(fd, LOCK_EX) == 0) {
		size = lseek(fd, 0, SEEK_END);
		/* All of it for real: where the file system is full, a page without a block would end the process with SIGBUS in the middle of a login. */
		if ((size == (off_t)sizeof(*m) || ftruncate(fd, 0) == 0) && (errno = posix_fallocate(fd, 0, (off_t)sizeof(*m))) == 0)
			m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (m != MAP_FAILED && size != (off_t)sizeof(*m))
			text_random(m->salt, sizeof(m->salt));
	}
	if (m == MAP_FAILED)
		err_set(e, ERR_TEMP, errno, "%s", path);
	if (fd >= 0)
		flock(fd, LOCK_UN);                                       /* the mapping keeps the open file, and with it the lock, beyond close() */
	file_close(&fd);
	return m;
}

struct auth_ledger *auth_ledger_open(const char *path, struct err *e)
{
	struct auth_ledger *l = mem_new(sizeof(*l));

	l->mem = path != NULL ? map_file(path, e) : MAP_FAILED;
	if (l->mem != MAP_FAILED)
		return l;
	l->mem = mmap(NULL, sizeof(*l->mem), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (l->mem == MAP_FAILED)
		abort();
	text_random(l->mem->salt, sizeof(l->mem->salt));
	return l;
}

void auth_ledger_close(struct auth_ledger **l)
{
	if (l == NULL || *l == NULL)
		return;
	munmap((*l)->mem, sizeof(*(*l)->mem));
	free(*l);
	*l = NULL;
}

static bool is_good(const struct auth_ledger *l, const struct net_addr *addr, struct slice user, int64_t now_s)
{
	struct cell c = find(l, key_of(l, GOOD_PAIR, addr, user));

	return c.count != 0 && now_s >= (int64_t)c.at && now_s - (int64_t)c.at < LEDGER_GOOD_S;
}

bool auth_ledger_may_try(const struct auth_ledger *l, const struct net_addr *addr, struct slice user, int64_t now_s)
{
	if (is_good(l, addr, user, now_s))
		return true;
	return (net_addr_is_loopback(addr) || decayed(find(l, key_of(l, BY_ADDR, addr, user)), now_s) < LEDGER_BLOCK_ADDR) &&
	    decayed(find(l, key_of(l, BY_USER, addr, user)), now_s) < LEDGER_BLOCK_USER;
}

uint32_t auth_ledger_failed(struct auth_ledger *l, const struct net_addr *addr, struct slice user, int64_t now_s, uint32_t first_ms)
{
	bool good = is_good(l, addr, user, now_s);
	uint32_t n = net_addr_is_loopback(addr) ? 1 : add(l, key_of(l, BY_ADDR, addr, user), now_s), of_user = good ? 0 : add(l, key_of(l, BY_USER, addr, user), now_s);
	uint64_t delay = first_ms;

	n = n > of_user ? n : of_user;
	for (; n > 1 && delay < LEDGER_DELAY_MAX_MS; n--)
		delay *= 2;
	return delay < LEDGER_DELAY_MAX_MS ? (uint32_t)delay : LEDGER_DELAY_MAX_MS;
}

void auth_ledger_succeeded(struct auth_ledger *l, const struct net_addr *addr, struct slice user, int64_t now_s)
{
	uint64_t h = key_of(l, GOOD_PAIR, addr, user);
	struct cell c = find(l, h);

	if (c.count == 0 || now_s - (int64_t)c.at > 3600) {
		forget(l, h);
		add(l, h, now_s);
	}
}
