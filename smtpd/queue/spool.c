/*
 * queue/spool.c - see spool.h.
 */
#include "queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

enum { OPEN_SEGMENTS = 16 };

static bool is_directory(const char *spool_directory, const char *name)
{
	struct buf path;
	struct stat st;
	bool is;

	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/%s", spool_directory, name);
	is = stat(buf_str(&path), &st) == 0 && S_ISDIR(st.st_mode);
	buf_done(&path);
	return is;
}

int spool_make(const char *spool_directory, struct err *e)
{
	static const char *const dirs[] = { "journal", "large", "deferred", "corrupt" };
	struct buf path;
	int rc = 0;

	buf_init(&path, BUF_UNBOUNDED);
	for (size_t i = 0; rc == 0 && i < sizeof(dirs) / sizeof(*dirs); i++) {
		buf_reset(&path);
		buf_putf(&path, "%s/%s", spool_directory, dirs[i]);
		rc = file_mkdirs(buf_str(&path), 0700, e);
	}
	for (unsigned i = 256; rc == 0 && i-- > 0; ) {                 /* the last one made is the first one: where it is there all are */
		buf_reset(&path);
		buf_putf(&path, "%s/deferred/%02x", spool_directory, i);
		if (i == 255 && is_directory(spool_directory, "deferred/00"))
			break;
		if (mkdir(buf_str(&path), 0700) < 0 && errno != EEXIST)
			rc = err_set(e, err_kind_of(errno), errno, "cannot make %s", buf_str(&path));
	}
	buf_done(&path);
	return rc;
}

void spool_path_segment(const char *spool, uint64_t number, struct buf *out)
{
	buf_putf(out, "%s/journal/%llu.jnl", spool, (unsigned long long)number);
}

void spool_path_large(const char *spool, const char *id, struct buf *out)
{
	buf_putf(out, "%s/large/%s.eml", spool, id);
}

void spool_path_deferred(const char *spool, const char *id, const char *ext, struct buf *out)
{
	buf_putf(out, "%s/deferred/%02x/%s%s", spool, hash_crc32c(0, id, strlen(id)) & 0xff, id, ext);
}

/* ---- reading ---- */

struct spool_reader {
	char *spool;
	struct { uint64_t number; int fd; uint64_t used; } segs[OPEN_SEGMENTS];
	uint64_t clock;
};

struct spool_reader *spool_reader_new(const char *spool_directory)
{
	struct spool_reader *r = mem_new(sizeof(*r));

	r->spool = mem_str(spool_directory);
	for (size_t i = 0; i < OPEN_SEGMENTS; i++)
		r->segs[i].fd = -1;
	return r;
}

void spool_reader_free(struct spool_reader **rp)
{
	struct spool_reader *r = *rp;

	if (r == NULL)
		return;
	for (size_t i = 0; i < OPEN_SEGMENTS; i++)
		file_close(&r->segs[i].fd);
	free(r->spool);
	free(r);
	*rp = NULL;
}

int spool_reader_segment(struct spool_reader *r, uint64_t number, struct err *e)
{
	size_t oldest = 0;
	struct buf path;

	for (size_t i = 0; i < OPEN_SEGMENTS; i++) {
		if (r->segs[i].fd >= 0 && r->segs[i].number == number) {
			r->segs[i].used = ++r->clock;
			return r->segs[i].fd;
		}
		if (r->segs[i].used < r->segs[oldest].used)
			oldest = i;
	}
	file_close(&r->segs[oldest].fd);
	buf_init(&path, BUF_UNBOUNDED);
	spool_path_segment(r->spool, number, &path);

	int fd = open(buf_str(&path), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err_set(e, err_kind_of(errno), errno, "cannot open %s", buf_str(&path));
	buf_done(&path);
	r->segs[oldest].number = number;
	r->segs[oldest].fd = fd;
	r->segs[oldest].used = ++r->clock;
	return fd;
}

static int map_file(const char *path, struct spool_message *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	void *map = NULL;

	if (fd < 0 || fstat(fd, &st) < 0) {
		err_set(e, err_kind_of(errno), errno, "cannot open %s", path);
		file_close(&fd);
		return -1;
	}
	if (st.st_size > 0 && (map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
		err_set(e, ERR_TEMP, errno, "cannot map %s", path);
		close(fd);
		return -1;
	}
	close(fd);
	*out = (struct spool_message){ slice_mem(map, (size_t)st.st_size), map, (size_t)st.st_size };
	return 0;
}

int spool_message_get(struct spool_reader *r, const char *id, const struct journal_place *place, bool in_large, struct arena *a, struct spool_message *out,
    struct err *e)
{
	struct slice envelope_text, octets;
	struct buf path;
	int rc, fd;

	if (place->segment != 0 && !in_large) {
		if ((fd = spool_reader_segment(r, place->segment, e)) < 0 || journal_read(fd, place, a, &envelope_text, &octets, e) < 0)
			return -1;
		*out = (struct spool_message){ octets, NULL, 0 };
		return 0;
	}
	buf_init(&path, BUF_UNBOUNDED);
	if (in_large)
		spool_path_large(r->spool, id, &path);
	else
		spool_path_deferred(r->spool, id, ".eml", &path);
	rc = map_file(buf_str(&path), out, e);
	buf_done(&path);
	return rc;
}

void spool_message_done(struct spool_message *m)
{
	if (m->map != NULL)
		munmap(m->map, m->map_len);
	*m = (struct spool_message){ SLICE_NONE, NULL, 0 };
}
