/*
 * store/meta.c - posthouse.folder: the few facts of a folder that no file name bears, as text, always durable.
 *
 *     posthouse-folder 1
 *     uidvalidity 1795318194
 *     uid-reserved 4097          no UID from here on was ever handed out
 *     keyword $Label1            in the order of their bits; the first 26 are the letters a to z in file names
 *     end                        a file without it was cut short
 */
#include "store/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

#define META_MAX 65536

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
	if (line.n == 0 || line.n > LIMIT_KEYWORD || m->n_keywords == LIMIT_KEYWORDS)
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
	rc = store_kv_get(m->shelf, FOLDER_NAME, &b, e);
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
	rc = store_kv_put(m->shelf, FOLDER_NAME, buf_view(&b), !m->box->making, e);
	buf_done(&b);
	return rc;
}
