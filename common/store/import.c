/*
 * store/import.c - a Maildir that Dovecot or Courier served before: on first open their UIDs, UIDVALIDITY, keywords and subscriptions become ours, so that
 * no client fetches anything again. Each file is renamed to bear its UID; posthouse.folder is written last, so a crash in between begins again
 * and finds the renamed ones done.
 */
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "store/box.h"
#include "store/uidlist.h"

#define LIST_MAX (1u << 30)

static int read_any(struct shelf *h, const char *const *names, struct buf *out, struct err *e)
{
	for (; *names != NULL; names++) {
		struct err why;

		if (store_kv_get(h, *names, out, &why) == 0)
			return 0;
		if (why.kind != ERR_NOTFOUND) {
			*e = why;
			return -1;
		}
	}
	return 1;
}

/* The date that the old server showed is the file's; sizes are in the name, or must be counted. */
static int complete(struct mbox *m, struct found *f, struct err *e)
{
	struct blob_info st;
	int64_t mtime;
	bool has_wire = slice_find(f->name, SLICE(",W=")) > 0;

	if (store_blob_stat(m->shelf, f->bay, f->name.p, &st, e) != 0)
		return -1;
	mtime = st.mtime;
	if ((!f->n.has_size || !has_wire || f->n.file_size != st.size) &&
	    message_measure(m->shelf, f->bay, f->name.p, &f->n.file_size, &f->n.size, &mtime, e) != 0)
		return -1;
	f->n.has_size = true;
	f->n.has_lf = f->n.size != f->n.file_size;
	f->n.date = mtime < 0 ? 0 : mtime;
	return 0;
}

static int rename_one(struct mbox *m, struct found *f, uint32_t uid, struct err *e)
{
	struct err why;
	struct buf name;
	int rc = 0;

	if (complete(m, f, &why) != 0)
		return 0;                                             /* not to be read: it stays, without a UID */
	f->n.has_uid = true;
	f->n.uidvalidity = m->uidvalidity;
	f->n.uid = uid;
	buf_init(&name, BUF_UNBOUNDED);
	if (mname_put(&f->n, &name) == 0 && store_blob_move(m->shelf, f->bay, f->name.p, m->shelf, buf_str(&name), e) != 0 && e->kind != ERR_NOTFOUND)
		rc = err_context(e, "taking over a message of %s", m->name);
	buf_done(&name);
	return rc;
}

static int rename_listed(struct mbox *m, const struct uidlist *l, struct arena *a, struct err *e)
{
	struct hmap *uids = hmap_new();
	int rc = 0;

	for (size_t i = 0; i < l->n; i++)
		(void)hmap_put(uids, l->v[i].base, &l->v[i]);
	for (int in_new = 0; in_new < 2 && rc == 0; in_new++) {
		struct found *f;
		size_t n;

		rc = dirlist(m->shelf, in_new ? BAY_NEW : BAY_CUR, a, &f, &n, e);
		for (size_t i = 0; rc == 0 && i < n; i++) {
			ptrdiff_t colon = slice_rchr(f[i].name, ':');
			const struct uidlist_entry *x = hmap_get(uids, colon < 0 ? f[i].name : slice_head(f[i].name, (size_t)colon));

			if (x != NULL)
				rc = rename_one(m, &f[i], x->uid, e);
		}
	}
	hmap_free(&uids);
	return rc;
}

static int import_keywords(struct mbox *m, struct err *e)
{
	static const char *const names[] = { "dovecot-keywords", NULL };
	struct slice words[MNAME_LETTERS];
	struct buf text;
	int rc;

	buf_init(&text, 65536);
	rc = read_any(m->shelf, names, &text, e);
	for (size_t i = 0, n = rc == 0 ? uidlist_keywords(buf_view(&text), words, MNAME_LETTERS) : 0; i < n && m->n_keywords == i; i++) {
		m->keyword[i] = mem_new(words[i].n + 1);
		memcpy(m->keyword[i], words[i].p, words[i].n);
		m->keyword_name[i] = slice_of(m->keyword[i]);
		m->n_keywords++;
	}
	buf_done(&text);
	return rc < 0 ? -1 : 0;
}

int import_uidlist(struct mbox *m, struct err *e)
{
	static const char *const names[] = { "dovecot-uidlist", "courierimapuiddb", NULL };
	struct arena *a;
	struct uidlist l;
	struct buf text;
	int rc;

	if (store_kv_has(m->shelf, FOLDER_NAME))
		return 0;
	buf_init(&text, LIST_MAX);
	a = arena_new(1u << 20);
	rc = read_any(m->shelf, names, &text, e);
	if (rc == 0 && uidlist_parse(buf_view(&text), a, &l) == 0) {
		m->uidvalidity = l.uidvalidity;
		m->reserved = l.uidnext;
		rc = rename_listed(m, &l, a, e);
		if (rc == 0)
			rc = import_keywords(m, e);
		if (rc == 0)
			rc = meta_save(m, e);
	}
	arena_free(&a);
	buf_done(&text);
	return rc < 0 ? -1 : 0;
}

/* ---- subscriptions ---- */

static int import_line(struct box *b, struct slice line, bool version2, struct arena *a, struct err *e)
{
	struct slice disk = uidlist_subscription(line, version2, a);
	struct err why;
	struct buf name;
	int rc = 0;

	buf_init(&name, BUF_UNBOUNDED);
	if (disk.n > 0 && folder_name_from_disk(disk, &name) == 0 && box_subscribe(b, buf_view(&name), true, &why) != 0 && why.kind == ERR_TEMP) {
		*e = why;
		rc = -1;
	}
	buf_done(&name);
	return rc;
}

int import_subscriptions(struct box *b, struct err *e)
{
	static const char *const names[] = { "subscriptions", "courierimapsubscribed", NULL };
	struct arena *a = arena_new(0);
	struct slice rest, line;
	struct buf text;
	bool version2;
	int rc;

	buf_init(&text, 4u << 20);
	rc = read_any(b->top, names, &text, e);
	rest = buf_view(&text);
	version2 = slice_starts(rest, SLICE("V\t2\n"));
	if (version2)
		rest = slice_from(rest, 4);
	for (size_t n = 0; rc == 0 && n < LIMIT_FOLDERS && slice_next(&rest, '\n', &line); n++)
		rc = import_line(b, line, version2, a, e);
	arena_free(&a);
	buf_done(&text);
	return rc < 0 ? -1 : 0;
}
