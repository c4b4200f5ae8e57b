/*
 * queue/qlog.c - see qlog.h.
 */
#include "queue/qlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

struct qlog {
	struct loop *loop;
	struct loop_task flush;
	char *path, *new_path, *dir, *boot_id;
	int fd;
	uint64_t size;
	struct buf lines, fresh;                                      /* waiting for the file; of the one that is to replace it */
	bool stuck, spoilt, torn, failed, rewriting;                  /* torn: half a line is at its end and stays there */
};

/* ---- writing ---- */

static void flush_task(void *ctx)
{
	struct qlog *q = ctx;
	struct err e = ERR_INIT;
	bool before = q->stuck;

	if (qlog_write(q, &e) < 0 && !before)
		log_error("%s: no journal segment is released until it can be; mail is not lost", e.text);
}

static void put_line(struct qlog *q, const char *verb, const char *id, const char *class, struct slice address)
{
	struct buf *b = q->rewriting ? &q->fresh : &q->lines;
	char crc[10];
	size_t at = b->len;

	buf_puts(b, "00000000 ");
	buf_puts(b, verb);
	if (id != NULL)
		buf_putf(b, " %s", id);
	if (class != NULL) {
		buf_putf(b, " %s ", class);
		text_escape(address, b);
	}
	snprintf(crc, sizeof(crc), "%08x", hash_crc32c(0, b->p + at + 9, b->len - at - 9));
	memcpy(b->p + at, crc, 8);
	buf_putc(b, '\n');
	if (!q->rewriting)
		loop_task_queue(q->loop, &q->flush, flush_task, q);
}

void qlog_rcpt(struct qlog *q, const char *id, bool remote, struct slice address)
{
	put_line(q, "rcpt", id, remote ? "remote" : "local", address);
}

void qlog_moved(struct qlog *q, const char *id)
{
	put_line(q, "moved", id, NULL, SLICE_NONE);
}

void qlog_done(struct qlog *q, const char *id)
{
	put_line(q, "done", id, NULL, SLICE_NONE);
}

void qlog_checkpoint(struct qlog *q)
{
	put_line(q, "checkpoint", NULL, NULL, SLICE_NONE);
}

int qlog_write(struct qlog *q, struct err *e)
{
	if (q->lines.len == 0)
		return 0;
	if (q->failed) {
		buf_reset(&q->lines);                                 /* nobody will ever take them */
		return err_set(e, ERR_TEMP, 0, "%s failed earlier", q->path);
	}
	if (q->torn || file_write_all(q->fd, buf_view(&q->lines)) < 0) {
		int sys = q->torn ? EIO : errno;

		q->stuck = true;
		q->torn = q->torn || ftruncate(q->fd, (off_t)q->size) < 0;
		q->spoilt = q->spoilt || q->torn || (sys != ENOSPC && sys != EDQUOT);
		return err_set(e, err_kind_of(sys), sys, "cannot write %s", q->path);
	}
	q->stuck = false;
	q->size += q->lines.len;
	buf_reset(&q->lines);
	return 0;
}

int qlog_fd(const struct qlog *q)
{
	return q->fd;
}

uint64_t qlog_size(const struct qlog *q)
{
	return q->size;
}

bool qlog_is_stuck(const struct qlog *q)
{
	return q->stuck;
}

bool qlog_has_failed(const struct qlog *q)
{
	return q->failed;
}

bool qlog_must_renew(const struct qlog *q)
{
	return q->spoilt;
}

void qlog_spoil(struct qlog *q)
{
	q->spoilt = true;
}

int qlog_open(struct qlog **q_out, struct loop *l, const char *spool_directory, const char *boot_id, struct err *e)
{
	struct qlog *q = mem_new(sizeof(*q));
	struct buf b;
	struct stat st;

	buf_init(&b, BUF_UNBOUNDED);
	buf_putf(&b, "%s/queue.log", spool_directory);
	q->path = mem_str(buf_str(&b));
	buf_puts(&b, ".new");
	q->new_path = mem_str(buf_str(&b));
	buf_done(&b);
	q->dir = mem_str(spool_directory);
	q->boot_id = mem_str(boot_id);
	q->loop = l;
	buf_init(&q->lines, BUF_UNBOUNDED);
	buf_init(&q->fresh, BUF_UNBOUNDED);
	q->fd = open(q->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (q->fd < 0 || fstat(q->fd, &st) < 0) {
		err_set(e, err_kind_of(errno), errno, "cannot open %s", q->path);
		qlog_close(&q);
		return -1;
	}
	q->size = (uint64_t)st.st_size;
	q->spoilt = q->size > 0;
	buf_puts(&q->lines, "\n");                                    /* ends a line that a crash cut */
	put_line(q, "boot", q->boot_id, NULL, SLICE_NONE);
	*q_out = q;
	return 0;
}

void qlog_close(struct qlog **qp)
{
	struct qlog *q = *qp;
	struct err e = ERR_INIT;

	if (q == NULL)
		return;
	if (q->fd >= 0 && qlog_write(q, &e) < 0)
		log_error("%s", e.text);
	loop_task_cancel(&q->flush);
	file_close(&q->fd);
	buf_done(&q->lines);
	buf_done(&q->fresh);
	free(q->path);
	free(q->new_path);
	free(q->dir);
	free(q->boot_id);
	free(q);
	*qp = NULL;
}

void qlog_rewrite_begin(struct qlog *q)
{
	q->rewriting = true;
	buf_reset(&q->fresh);
	put_line(q, "boot", q->boot_id, NULL, SLICE_NONE);
}

/* The new file takes the name. A flush of it that fails is not tried again: the next try is another file. */
static int put_in_place(const struct qlog *q, int *fd_out)
{
	int fd = open(q->new_path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);

	if (fd >= 0 && file_write_all(fd, buf_view(&q->fresh)) == 0 && fsync(fd) == 0 && rename(q->new_path, q->path) == 0) {
		*fd_out = fd;
		return 0;
	}
	int sys = errno;

	unlink(q->new_path);
	file_close(&fd);
	errno = sys;
	return -1;
}

int qlog_rewrite_end(struct qlog *q, struct err *e)
{
	int fd = -1, dir = -1, rc = 0;

	q->rewriting = false;
	if (q->failed)
		return err_set(e, ERR_TEMP, 0, "%s failed earlier", q->path);
	if (put_in_place(q, &fd) < 0)
		return err_set(e, err_kind_of(errno), errno, "cannot renew %s", q->path);
	file_close(&q->fd);
	q->fd = fd;
	q->size = q->fresh.len;
	q->stuck = q->spoilt = q->torn = false;
	buf_reset(&q->lines);                                         /* the new file says it all */
	if ((dir = open(q->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fsync(dir) < 0) {
		rc = err_set(e, err_kind_of(errno), errno, "cannot flush the renaming of %s", q->path);
		q->failed = true;                                     /* which of the two files is there after a crash is not known */
	}
	file_close(&dir);
	return rc;
}

/* ---- reading back ---- */

struct fact {
	unsigned done_boot, moved_boot;                               /* number of the boot line above, counted from 1; 0: not said */
	uint64_t done_line, moved_line;
	struct known_rcpt { struct known_rcpt *next; struct slice address; bool remote; unsigned boot; uint64_t line; } *rcpts;
};

struct qlog_story {
	struct arena *arena;
	struct hmap *facts;
	uint64_t checkpoint_line;
	unsigned now_boot;                                            /* boot lines with number >= this are of the present run */
	unsigned n_boots;
};

static bool believed(const struct qlog_story *s, unsigned boot, uint64_t line)
{
	return boot != 0 && (line < s->checkpoint_line || boot >= s->now_boot);
}

static struct fact *fact_of(struct qlog_story *s, struct slice id)
{
	struct fact *f = hmap_get(s->facts, id);

	if (f == NULL) {
		f = arena_alloc(s->arena, sizeof(*f));
		hmap_put(s->facts, id, f);
	}
	return f;
}

static bool line_is_whole(struct slice line, struct slice *text_out)
{
	uint64_t crc;

	if (line.n < 10 || line.p[8] != ' ' || num_hex(slice_head(line, 8), &crc) < 0)
		return false;
	*text_out = slice_from(line, 9);
	return crc == hash_crc32c(0, text_out->p, text_out->n);
}

static void read_rcpt(struct qlog_story *s, struct fact *f, struct slice rest, unsigned boot, uint64_t number)
{
	struct known_rcpt *r = arena_alloc(s->arena, sizeof(*r));
	struct slice class;

	if (!slice_next(&rest, ' ', &class))
		return;
	*r = (struct known_rcpt){ f->rcpts, arena_dup(s->arena, rest), slice_eqs(class, "remote"), boot, number };
	f->rcpts = r;
}

struct qlog_story *qlog_parse(struct slice text, const char *boot_id)
{
	struct qlog_story *s = mem_new(sizeof(*s));
	struct slice line, rest, verb, id = SLICE_NONE;
	unsigned boot = 0;
	bool present = false;

	s->arena = arena_new(0);
	s->facts = hmap_new();
	s->now_boot = UINT32_MAX;
	for (uint64_t number = 1; slice_next(&text, '\n', &line); number++) {
		if (!line_is_whole(line, &rest) || !slice_next(&rest, ' ', &verb))
			continue;
		if (slice_eqs(verb, "checkpoint")) {
			s->checkpoint_line = number;
			continue;
		}
		if (!slice_next(&rest, ' ', &id))
			continue;
		if (slice_eqs(verb, "boot")) {
			s->n_boots = ++boot;
			present = boot_id[0] != '\0' && slice_eqs(id, boot_id);
			if (!present)
				s->now_boot = UINT32_MAX;
			else if (s->now_boot == UINT32_MAX)
				s->now_boot = boot;
			continue;
		}
		if (slice_eqs(verb, "done"))
			fact_of(s, id)->done_boot = boot, fact_of(s, id)->done_line = number;
		else if (slice_eqs(verb, "moved"))
			fact_of(s, id)->moved_boot = boot, fact_of(s, id)->moved_line = number;
		else if (slice_eqs(verb, "rcpt"))
			read_rcpt(s, fact_of(s, id), rest, boot, number);
	}
	return s;
}

int qlog_read(struct qlog_story **s_out, const char *spool_directory, const char *boot_id, struct err *e)
{
	struct buf path, text;
	struct err why = ERR_INIT;
	int rc = 0;

	buf_init(&path, BUF_UNBOUNDED);
	buf_init(&text, BUF_UNBOUNDED);
	buf_putf(&path, "%s/queue.log", spool_directory);
	if (file_read(buf_str(&path), &text, &why) < 0 && why.kind != ERR_NOTFOUND) {
		*e = why;
		rc = -1;
	} else {
		*s_out = qlog_parse(buf_view(&text), boot_id);
	}
	buf_done(&text);
	buf_done(&path);
	return rc;
}

void qlog_story_free(struct qlog_story **s)
{
	if (*s == NULL)
		return;
	hmap_free(&(*s)->facts);
	arena_free(&(*s)->arena);
	free(*s);
	*s = NULL;
}

bool qlog_story_is_unclean(const struct qlog_story *s)
{
	return s->now_boot == UINT32_MAX && s->n_boots > 0;
}

bool qlog_story_done(const struct qlog_story *s, const char *id)
{
	const struct fact *f = hmap_get(s->facts, slice_of(id));

	return f != NULL && believed(s, f->done_boot, f->done_line);
}

bool qlog_story_moved(const struct qlog_story *s, const char *id)
{
	const struct fact *f = hmap_get(s->facts, slice_of(id));

	return f != NULL && believed(s, f->moved_boot, f->moved_line);
}

bool qlog_story_rcpt(const struct qlog_story *s, const char *id, struct slice address)
{
	const struct fact *f = hmap_get(s->facts, slice_of(id));
	struct buf escaped;
	bool found = false;

	if (f == NULL)
		return false;
	buf_init(&escaped, BUF_UNBOUNDED);
	text_escape(address, &escaped);
	for (const struct known_rcpt *r = f->rcpts; r != NULL && !found; r = r->next)
		found = slice_eq(r->address, buf_view(&escaped)) && (r->remote || believed(s, r->boot, r->line));
	buf_done(&escaped);
	return found;
}

void qlog_boot_id(char out[64])
{
	struct buf b;

	out[0] = '\0';
	buf_init(&b, 63);
	if (file_read("/proc/sys/kernel/random/boot_id", &b, NULL) == 0) {
		struct slice id = slice_trim(buf_view(&b));

		memcpy(out, id.p, id.n);
		out[id.n] = '\0';
	}
	buf_done(&b);
}
