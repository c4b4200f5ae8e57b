/*
 * queue/segments.c - see segments.h.
 */
#include "queue/segments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "queue/spool.h"

enum { SEGS_MAX = 64, SEGS_FREE_MAX = 8, ZERO_CHUNK = 1 << 20 };

struct segs {
	struct loop *loop;
	char *spool;
	uint64_t segment_size, last_number;
	struct list_node all;
	size_t n;
	struct flusher *maker;
	size_t want_free;
	void (*ready)(void *ctx);
	void *ready_ctx;
	/* the maker thread's while it is busy */
	uint64_t making;
	struct err made;
};

struct list_node *segs_all(struct segs *s)
{
	return &s->all;
}

struct seg *segs_find(struct segs *s, uint64_t number)
{
	LIST_EACH(n, &s->all) {
		struct seg *seg = LIST_OF(n, struct seg, node);

		if (seg->number == number)
			return seg;
	}
	return NULL;
}

static struct seg *seg_add(struct segs *s, const struct segment_head *h)
{
	struct seg *seg = mem_new(sizeof(*seg));

	*seg = (struct seg){ .state = h->in_use ? SEG_CLOSED : SEG_FREE, .number = h->number, .generation = h->generation, .size = h->size,
		.seen_to = SEGMENT_BLOCK, .good_to = UINT64_MAX, .unscanned = h->in_use };
	if (h->number > s->last_number)
		s->last_number = h->number;
	list_append(&s->all, &seg->node);
	s->n++;
	return seg;
}

static void seg_drop(struct segs *s, struct seg *seg)
{
	list_remove(&seg->node);
	free(seg->settled);
	free(seg);
	s->n--;
}

static int open_segment(struct segs *s, uint64_t number, int flags)
{
	struct buf path;
	int fd;

	buf_init(&path, BUF_UNBOUNDED);
	spool_path_segment(s->spool, number, &path);
	fd = open(buf_str(&path), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
	buf_done(&path);
	return fd;
}

static int write_head(int fd, const struct seg *seg, bool in_use)
{
	struct segment_head h = { seg->number, seg->generation, seg->size, in_use };
	char block[SEGMENT_BLOCK];

	segment_head_put(&h, block);
	return pwrite(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block) && fdatasync(fd) == 0 ? 0 : -1;
}

/* ---- what is there ---- */

static bool set_aside(struct segs *s, uint64_t number, const char *ext)
{
	struct buf from, to;
	bool done;

	buf_init(&from, BUF_UNBOUNDED);
	buf_init(&to, BUF_UNBOUNDED);
	spool_path_segment(s->spool, number, &from);
	buf_putf(&to, "%s/journal/%llu.%s", s->spool, (unsigned long long)number, ext);
	done = rename(buf_str(&from), buf_str(&to)) == 0;
	if (!done)
		log_error("cannot rename %s: %s", buf_str(&from), strerror(errno));
	buf_done(&from);
	buf_done(&to);
	return done;
}

/* ---- N.mark: "GENERATION GOOD_TO" of a suspect segment; a number may be used again, a generation is not ---- */

static void path_mark(const struct segs *s, uint64_t number, struct buf *out)
{
	buf_putf(out, "%s/journal/%llu.mark", s->spool, (unsigned long long)number);
}

int segs_mark_suspect(struct segs *s, struct seg *seg, uint64_t good_to, struct err *e)
{
	struct buf path, text;
	int rc;

	seg->suspect = true;
	seg->good_to = good_to;
	buf_init(&path, BUF_UNBOUNDED);
	buf_init(&text, BUF_UNBOUNDED);
	path_mark(s, seg->number, &path);
	buf_putf(&text, "%llx %llu\n", (unsigned long long)seg->generation, (unsigned long long)good_to);
	rc = file_replace(buf_str(&path), buf_view(&text), 0600, e);
	buf_done(&text);
	buf_done(&path);
	return rc;
}

static void load_mark(const struct segs *s, struct seg *seg)
{
	struct buf path, text;
	struct slice rest, generation_text;
	uint64_t generation, good_to;

	buf_init(&path, BUF_UNBOUNDED);
	buf_init(&text, 100);
	path_mark(s, seg->number, &path);
	if (file_read(buf_str(&path), &text, NULL) == 0) {
		rest = slice_trim(buf_view(&text));
		if (slice_next(&rest, ' ', &generation_text) && num_hex(generation_text, &generation) == 0 && generation == seg->generation &&
		    num_u64(rest, UINT64_MAX, &good_to) == 0) {
			seg->suspect = true;
			seg->good_to = good_to;
		}
	}
	buf_done(&text);
	buf_done(&path);
}

static void remove_mark(const struct segs *s, uint64_t number)
{
	struct buf path;

	buf_init(&path, BUF_UNBOUNDED);
	path_mark(s, number, &path);
	unlink(buf_str(&path));
	buf_done(&path);
}

static void load_one(struct segs *s, const char *name)
{
	struct slice base = slice_of(name);
	char block[SEGMENT_BLOCK];
	struct segment_head h;
	uint64_t number;
	struct stat st;
	int fd;

	if (slice_ends(base, SLICE(".new"))) {                        /* was not finished; nobody ever wrote to it */
		struct buf path;

		buf_init(&path, BUF_UNBOUNDED);
		buf_putf(&path, "%s/journal/%s", s->spool, name);
		unlink(buf_str(&path));
		buf_done(&path);
		return;
	}
	if (!slice_ends(base, SLICE(".jnl")) || num_u64(slice_head(base, base.n - 4), UINT64_MAX, &number) < 0)
		return;
	fd = open_segment(s, number, O_RDONLY);
	if (fd >= 0 && pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block) && segment_head_parse(slice_mem(block, sizeof(block)), &h) == 0 &&
	    h.number == number && fstat(fd, &st) == 0 && (uint64_t)st.st_size >= h.size) {
		struct seg *seg = seg_add(s, &h);

		if (h.in_use)
			load_mark(s, seg);
	} else {
		log_error("journal segment %llu has no good head; it is kept as %llu.bad", (unsigned long long)number, (unsigned long long)number);
		set_aside(s, number, "bad");
	}
	file_close(&fd);
}

int segs_open(struct segs **s_out, struct loop *l, const char *spool_directory, uint64_t segment_size, struct err *e)
{
	struct segs *s = mem_new(sizeof(*s));
	struct buf path;
	DIR *d;

	s->loop = l;
	s->spool = mem_str(spool_directory);
	s->segment_size = segment_size / SEGMENT_BLOCK * SEGMENT_BLOCK;
	list_init(&s->all);
	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/journal", spool_directory);
	d = opendir(buf_str(&path));
	if (d == NULL) {
		err_set(e, err_kind_of(errno), errno, "cannot read %s", buf_str(&path));
		buf_done(&path);
		segs_close(&s);
		return -1;
	}
	buf_done(&path);
	for (struct dirent *ent; (ent = readdir(d)) != NULL; ) {
		if (ent->d_name[0] != '.')
			load_one(s, ent->d_name);
	}
	closedir(d);
	*s_out = s;
	return 0;
}

void segs_close(struct segs **sp)
{
	struct segs *s = *sp;
	struct list_node *n;

	if (s == NULL)
		return;
	flusher_free(&s->maker);
	while ((n = list_first(&s->all)) != NULL)
		seg_drop(s, LIST_OF(n, struct seg, node));
	free(s->spool);
	free(s);
	*sp = NULL;
}

/* ---- making ---- */

static int fill_with_zeros(int fd, const struct seg *seg)
{
	char *chunk = mem_new(ZERO_CHUNK);
	uint64_t at = SEGMENT_BLOCK;
	int rc = 0;

	while (rc == 0 && at < seg->size) {
		size_t n = seg->size - at < ZERO_CHUNK ? (size_t)(seg->size - at) : ZERO_CHUNK;
		ssize_t w = pwrite(fd, chunk, n, (off_t)at);

		if (w <= 0)
			rc = -1;
		else
			at += (uint64_t)w;
	}
	free(chunk);
	return rc;
}

/* N.new full of zeros and flushed, then renamed: a segment that has its name is whole. Runs in the maker's thread or, when there is none yet, in the loop. */
static int make_segment(struct segs *s, uint64_t number, struct err *e)
{
	struct seg seg = { .number = number, .size = s->segment_size };
	struct buf from, to;
	int fd, dir = -1, rc = 0;

	buf_init(&from, BUF_UNBOUNDED);
	buf_init(&to, BUF_UNBOUNDED);
	buf_putf(&from, "%s/journal/%llu.new", s->spool, (unsigned long long)number);
	spool_path_segment(s->spool, number, &to);
	fd = open(buf_str(&from), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || fill_with_zeros(fd, &seg) < 0 || write_head(fd, &seg, false) < 0 || fsync(fd) < 0 || rename(buf_str(&from), buf_str(&to)) < 0) {
		rc = err_set(e, err_kind_of(errno), errno, "cannot make journal segment %s", buf_str(&to));
		unlink(buf_str(&from));
	}
	buf_reset(&from);
	buf_putf(&from, "%s/journal", s->spool);
	if (rc == 0 && ((dir = open(buf_str(&from), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(dir) < 0))
		rc = err_set(e, err_kind_of(errno), errno, "cannot flush %s", buf_str(&from));
	file_close(&dir);
	file_close(&fd);
	buf_done(&from);
	buf_done(&to);
	return rc;
}

static size_t count_free(const struct segs *s)
{
	size_t n = 0;

	LIST_EACH(node, &s->all)
		n += LIST_OF(node, struct seg, node)->state == SEG_FREE;
	return n;
}

static void made_work(void *ctx)
{
	struct segs *s = ctx;

	s->made = (struct err)ERR_INIT;
	if (make_segment(s, s->making, &s->made) < 0 && s->made.kind == ERR_NONE)
		s->made.kind = ERR_TEMP;
}

static void make_next(struct segs *s);

static void made_done(void *ctx)
{
	struct segs *s = ctx;

	if (s->made.kind != ERR_NONE) {
		log_error("%s", s->made.text);
		return;                                               /* asked again when the next one is needed */
	}
	seg_add(s, &(struct segment_head){ s->making, 0, s->segment_size, false });
	s->ready(s->ready_ctx);
	make_next(s);
}

static void make_next(struct segs *s)
{
	if (flusher_is_busy(s->maker) || s->n >= SEGS_MAX || count_free(s) >= s->want_free)
		return;
	s->making = ++s->last_number;
	flusher_start(s->maker, made_work, made_done, s);
}

void segs_prepare(struct segs *s, size_t n_free, void (*ready)(void *ctx), void *ctx)
{
	if (s->maker == NULL)
		s->maker = flusher_new(s->loop);
	s->want_free = n_free < SEGS_FREE_MAX ? n_free : SEGS_FREE_MAX;
	s->ready = ready;
	s->ready_ctx = ctx;
	make_next(s);
}

/* ---- giving ---- */

int segs_take(struct segs *s, struct seg **seg_out, int *fd_out, struct err *e)
{
	struct seg *seg = NULL;
	int fd;

	LIST_EACH(n, &s->all) {
		if (LIST_OF(n, struct seg, node)->state == SEG_FREE) {
			seg = LIST_OF(n, struct seg, node);
			break;
		}
	}
	if (seg == NULL && s->n >= SEGS_MAX)
		return err_set(e, ERR_LIMIT, 0, "all %d journal segments are in use: delivery is behind", SEGS_MAX);
	if (seg == NULL)
		return err_set(e, ERR_NOTFOUND, 0, "a journal segment is being made");
	fd = open_segment(s, seg->number, O_RDWR);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "cannot open journal segment %llu", (unsigned long long)seg->number);
	text_random(&seg->generation, sizeof(seg->generation));
	seg->seen_to = SEGMENT_BLOCK;
	seg->good_to = UINT64_MAX;
	seg->live = seg->n_settled = seg->n_covered = 0;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || write_head(fd, seg, true) < 0) {
		err_set(e, err_kind_of(errno), errno, "cannot begin journal segment %llu", (unsigned long long)seg->number);
		close(fd);
		return -1;
	}
	seg->state = SEG_GIVEN;
	*seg_out = seg;
	*fd_out = fd;
	return 0;
}

bool segs_is_open_elsewhere(struct segs *s, const struct seg *seg)
{
	int fd = open_segment(s, seg->number, O_RDONLY);
	bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;

	file_close(&fd);
	return held;
}

int segs_scan(struct segs *s, struct seg *seg, void (*fn)(void *ctx, const struct record *r), void *ctx, struct record_scan *scan_out, struct err *e)
{
	int fd = open_segment(s, seg->number, O_RDONLY);
	uint64_t size = seg->good_to < seg->size ? seg->good_to : seg->size;
	void *map;

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "cannot open journal segment %llu", (unsigned long long)seg->number);
	map = mmap(NULL, (size_t)seg->size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return err_set(e, ERR_TEMP, errno, "cannot map journal segment %llu", (unsigned long long)seg->number);
	*scan_out = record_scan(slice_mem(map, (size_t)size), seg->generation, seg->seen_to, fn, ctx);
	munmap(map, (size_t)seg->size);
	seg->seen_to = scan_out->end;
	seg->unscanned = false;
	return 0;
}

/* ---- recycling ---- */

void seg_settle(struct seg *seg, const char *id, bool moved)
{
	if (seg->n_settled == seg->cap_settled) {
		seg->cap_settled = seg->cap_settled == 0 ? 256 : 2 * seg->cap_settled;
		seg->settled = mem_grow(seg->settled, seg->cap_settled * sizeof(*seg->settled));
	}
	memcpy(seg->settled[seg->n_settled].id, id, QUEUE_ID_MAX);
	seg->settled[seg->n_settled++].moved = moved;
	seg->live--;
}

int segs_write_free(struct segs *s, struct seg *seg, struct err *e)
{
	int fd, rc = 0;

	if (seg->suspect) {
		if (set_aside(s, seg->number, "suspect"))
			remove_mark(s, seg->number);
		return 0;
	}
	fd = open_segment(s, seg->number, O_RDWR);
	if (fd < 0 || write_head(fd, seg, false) < 0)
		rc = err_set(e, err_kind_of(errno), errno, "cannot free journal segment %llu", (unsigned long long)seg->number);
	file_close(&fd);
	return rc;
}

void segs_freed(struct segs *s, struct seg *seg)
{
	struct buf path;

	if (seg->suspect) {
		seg_drop(s, seg);
		return;
	}
	seg->state = SEG_FREE;
	seg->owner = NULL;
	seg->n_settled = seg->n_covered = 0;
	if (count_free(s) <= SEGS_FREE_MAX)
		return;
	buf_init(&path, BUF_UNBOUNDED);
	spool_path_segment(s->spool, seg->number, &path);
	unlink(buf_str(&path));                                       /* the pool grew in a busy hour */
	buf_done(&path);
	seg_drop(s, seg);
}
