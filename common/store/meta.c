/*
 * store/meta.c - posthouse.folder: the few facts of a folder that no file name bears, as text, replaced by rename, always durable.
 *
 *     posthouse-folder 1
 *     uidvalidity 1795318194
 *     uid-reserved 4097          no UID from here on was ever handed out
 *     keyword $Label1            in the order of their bits; the first 26 are the letters a to z in file names
 *     end                        a file without it was cut short
 */
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

#define META_MAX 65536

int meta_read(int dirfd, const char *name, struct buf *out, struct err *e)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t got = -1;

	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", name);
	for (;;) {
		char *room = buf_room(out, 4096);

		if (room == NULL || (got = read(fd, room, 4096)) <= 0)
			break;
		buf_filled(out, (size_t)got);
	}
	close(fd);
	return got == 0 ? 0 : err_set(e, ERR_TEMP, errno, "reading %s", name);
}

int meta_replace(int dirfd, const char *name, struct slice content, bool durable, struct err *e)
{
	char tmp[80];
	int fd, why = 0;

	snprintf(tmp, sizeof tmp, "%s.tmp.%ld", name, (long)getpid());
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", tmp);
	/* Renamed first, then flushed: one journal commit makes content and name durable (and a reader of the cache sees the content at once). */
	if (file_write_all(fd, content) != 0 || renameat(dirfd, tmp, dirfd, name) != 0)
		why = errno;
	if (why != 0)
		(void)unlinkat(dirfd, tmp, 0);
	else if (durable && (fsync(fd) != 0 || fsync(dirfd) != 0))
		why = errno;
	close(fd);
	return why == 0 ? 0 : err_set(e, err_kind_of(why), why, "writing %s", name);
}

struct meta { uint32_t uidvalidity, reserved; bool ended; };

static int take_line(struct slice line, struct meta *f, struct mbox *m)
{
	struct slice word;

	if (!slice_next(&line, ' ', &word) || f->ended)
		return -1;
	if (slice_eqs(word, "uidvalidity"))
		return num_u32(line, UINT32_MAX, &f->uidvalidity);
	if (slice_eqs(word, "uid-reserved"))
		return num_u32(line, UINT32_MAX, &f->reserved);
	if (slice_eqs(word, "end")) {
		f->ended = true;
		return 0;
	}
	if (!slice_eqs(word, "keyword"))
		return -1;
	if (line.n == 0 || line.n > LIMIT_KEYWORD || m->n_keywords == KEYWORDS_MAX)
		return -1;
	m->keyword[m->n_keywords] = mem_new(line.n + 1);
	memcpy(m->keyword[m->n_keywords], line.p, line.n);
	m->keyword_name[m->n_keywords] = slice_of(m->keyword[m->n_keywords]);
	m->n_keywords++;
	return 0;
}

int meta_parse(struct slice text, struct mbox *m)
{
	struct meta f = { 0 };
	struct slice line;

	while (m->n_keywords > 0)
		free(m->keyword[--m->n_keywords]);
	if (!slice_next(&text, '\n', &line) || !slice_eqs(line, "posthouse-folder 1"))
		return -1;
	while (slice_next(&text, '\n', &line) && line.n > 0)
		if (take_line(line, &f, m) != 0)
			return -1;
	if (!f.ended || f.uidvalidity == 0 || f.reserved == 0)
		return -1;
	m->uidvalidity = f.uidvalidity;
	m->reserved = f.reserved;
	return 0;
}

int meta_load(struct mbox *m, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, META_MAX);
	rc = meta_read(m->dirfd, FOLDER_NAME, &b, e);
	if (rc == 0 && meta_parse(buf_view(&b), m) != 0)
		rc = err_set(e, ERR_SYNTAX, 0, FOLDER_NAME " is damaged");
	buf_done(&b);
	return rc;
}

int meta_save(struct mbox *m, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, BUF_UNBOUNDED);
	buf_putf(&b, "posthouse-folder 1\nuidvalidity %u\nuid-reserved %u\n", m->uidvalidity, m->reserved);
	for (size_t i = 0; i < m->n_keywords; i++)
		buf_putf(&b, "keyword %s\n", m->keyword[i]);
	buf_puts(&b, "end\n");
	rc = meta_replace(m->dirfd, FOLDER_NAME, buf_view(&b), !m->box->making, e);
	buf_done(&b);
	return rc;
}
