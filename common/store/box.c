/*
 * store/box.c - a user: the tree's root, its small file, opening folders, and what goes over all of them.
 *
 *     posthouse.box:             posthouse-box 1 / last-uidvalidity N / special ATTR NAME ... / folders-made / end
 *     posthouse.subscriptions:   a name a line, UTF-8
 */
#include "store/box.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"

#define BOX_MAX (4u << 20)

static const struct { const char *word; unsigned attr; } specials[] = {
	{ "Drafts", FOLDER_DRAFTS }, { "Sent", FOLDER_SENT }, { "Junk", FOLDER_JUNK }, { "Trash", FOLDER_TRASH }, { "Archive", FOLDER_ARCHIVE },
};
#define N_SPECIALS (sizeof specials / sizeof *specials)
#define SPECIAL_MASK (FOLDER_DRAFTS | FOLDER_SENT | FOLDER_JUNK | FOLDER_TRASH | FOLDER_ARCHIVE)

unsigned special_of(struct slice word)
{
	for (size_t i = 0; i < N_SPECIALS; i++)
		if (slice_ieqs(word, specials[i].word))
			return specials[i].attr;
	return 0;
}

/* ---- posthouse.box ---- */

void boxfile_init(struct boxfile *f)
{
	*f = (struct boxfile){ .a = arena_new(0) };
}

void boxfile_done(struct boxfile *f)
{
	arena_free(&f->a);
}

void boxfile_set_special(struct boxfile *f, struct slice name, unsigned attr)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++)
		if (!slice_eq(f->special[i].name, name) && f->special[i].attrs != attr)
			f->special[kept++] = f->special[i];
	f->n = kept;
	if (attr != 0)
		f->special[f->n++] = (struct folder){ arena_dup(f->a, name), attr };
}

static int boxfile_line(struct boxfile *f, struct slice line, bool *ended)
{
	struct slice word, name;
	unsigned attr;

	if (!slice_next(&line, ' ', &word) || *ended)
		return -1;
	if (slice_eqs(word, "last-uidvalidity"))
		return num_u32(line, UINT32_MAX, &f->last_uidvalidity);
	if (slice_eqs(word, "end")) {
		*ended = true;
		return 0;
	}
	if (slice_eqs(word, "folders-made")) {
		f->made = true;
		return 0;
	}
	if (!slice_eqs(word, "special") || !slice_next(&line, ' ', &name) || (attr = special_of(name)) == 0 || line.n == 0)
		return -1;
	boxfile_set_special(f, line, attr);
	return 0;
}

int boxfile_parse(struct slice text, struct boxfile *f)
{
	struct slice line;
	bool ended = false;

	if (!slice_next(&text, '\n', &line) || !slice_eqs(line, "posthouse-box 1"))
		return -1;
	while (slice_next(&text, '\n', &line) && line.n > 0)
		if (boxfile_line(f, line, &ended) != 0)
			return -1;
	return ended ? 0 : -1;
}

int boxfile_load(struct box *b, struct boxfile *f, struct err *e)
{
	struct buf text;
	int rc;

	buf_init(&text, BOX_MAX);
	rc = store_kv_get(b->top, BOX_NAME, &text, e);
	if (rc == 0 && boxfile_parse(buf_view(&text), f) != 0)
		rc = err_set(e, ERR_SYNTAX, 0, BOX_NAME " is damaged");
	buf_done(&text);
	return rc;
}

int boxfile_save(struct box *b, const struct boxfile *f, struct err *e)
{
	struct buf text;
	int rc;

	buf_init(&text, BUF_UNBOUNDED);
	buf_putf(&text, "posthouse-box 1\nlast-uidvalidity %u\n", f->last_uidvalidity);
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < N_SPECIALS; k++)
			if (specials[k].attr == f->special[i].attrs)
				buf_putf(&text, "special %s %.*s\n", specials[k].word, SLICE_FMT(f->special[i].name));
	buf_puts(&text, f->made ? "folders-made\nend\n" : "end\n");
	rc = store_kv_put(b->top, BOX_NAME, buf_view(&text), !b->making, e);
	buf_done(&text);
	return rc;
}

/* Changes of the box's own texts are rare; one lease, of the whole box, orders them. */
int box_lock(struct box *b, struct err *e)
{
	return store_lease_take(b->top, e);
}

void box_unlock(struct box *b)
{
	store_lease_drop(b->top);
}

/* Never one that a folder of this user had before: a folder made again under an old name must look new to every client. */
uint32_t box_next_uidvalidity(struct box *b)
{
	uint32_t now = (uint32_t)clock_wall_s();
	struct boxfile f;
	struct err ignored;

	boxfile_init(&f);
	if (boxfile_load(b, &f, &ignored) == 0 && f.last_uidvalidity > b->last_uidvalidity)
		b->last_uidvalidity = f.last_uidvalidity;
	b->last_uidvalidity = now > b->last_uidvalidity ? now : b->last_uidvalidity + 1;
	f.last_uidvalidity = b->last_uidvalidity;
	if (boxfile_save(b, &f, &ignored) != 0) {}                    /* the clock does the same by the next second */
	boxfile_done(&f);
	return b->last_uidvalidity;
}

int box_note_uidvalidity(struct box *b, uint32_t uidvalidity, struct err *e)
{
	struct boxfile f;
	int rc;

	boxfile_init(&f);
	rc = boxfile_load(b, &f, e);
	if (rc == 0 && f.last_uidvalidity < uidvalidity) {
		f.last_uidvalidity = uidvalidity;
		rc = boxfile_save(b, &f, e);
	}
	boxfile_done(&f);
	return rc;
}

/* ---- making a folder ---- */

/* The log says that UIDs begin at 1; a folder that has lost it does not know that, and goes on behind the reserved block. */
static int begin_log(struct mbox *m, struct err *e)
{
	bool replaced;
	struct txn t;
	int rc;

	if (slog_open(&m->log, m->shelf, LOG_NAME, true, e) != 0 || slog_lock(&m->log, &replaced, e) != 0)
		return -1;
	if (m->log.id != 0)
		return 0;
	m->modseq = (uint64_t)clock_wall_us();
	if (slog_begin(&m->log, m->modseq | 1, 0, m->uidvalidity, e) != 0)
		return -1;
	m->stamp_new = store_blob_stamp(m->shelf, BAY_NEW);
	m->stamp_cur = store_blob_stamp(m->shelf, BAY_CUR);
	txn_init(m, &t);
	txn_next(&t, 1, m->box->boot);
	rc = mbox_commit(m, &t, NULL, e);
	txn_done(&t);
	return rc;
}

static int stop_at_first(void *ctx, const char *name)
{
	(void)name;
	*(bool *)ctx = false;
	return -1;
}

static bool is_empty(struct shelf *h, enum bay bay)
{
	struct err ignored;
	bool empty = true;

	return store_blob_list(h, bay, stop_at_first, &empty, &ignored) == 0 && empty;
}

/* Another server's mail lies here, with its own list of UIDs, or at least mail. */
static bool is_somebody_elses(struct shelf *h)
{
	return !is_empty(h, BAY_CUR) || !is_empty(h, BAY_NEW) || store_kv_has(h, "dovecot-uidlist") || store_kv_has(h, "courierimapuiddb");
}

/* A new Maildir with its log and its posthouse.folder, unless somebody else's mail is in it: that is for mbox_rebuild() to take over. */
int folder_init(struct mbox *m, struct err *e)
{
	int rc = 0;

	if (store_kv_has(m->shelf, FOLDER_NAME) || is_somebody_elses(m->shelf))
		return 0;
	m->uidvalidity = box_next_uidvalidity(m->box);
	m->reserved = UID_BLOCK;
	m->uidnext = 1;
	rc = begin_log(m, e);
	if (rc == 0)
		rc = meta_save(m, e);
	slog_close(&m->log);
	return rc;
}

/* ---- opening a folder ---- */

static void mbox_free(struct mbox *m)
{
	mbox_clear_state(m);
	while (m->n_keywords > 0)
		free(m->keyword[--m->n_keywords]);
	slog_close(&m->log);
	scache_close(&m->cache);
	store_shelf_close(&m->shelf);
	free(m->events);
	free(m->name);
	free(m->disk);
	free(m);
}

static struct mbox *mbox_new(struct box *b, const struct buf *name, const struct buf *disk)
{
	struct mbox *m = mem_new(sizeof *m);

	m->box = b;
	m->refs = 1;
	m->name = mem_str(buf_str(name));
	m->disk = mem_str(buf_str(disk));
	slog_init(&m->log);
	scache_init(&m->cache);
	return m;
}

static int load(struct mbox *m, bool make, struct err *e)
{
	if (store_shelf_child(m->box->top, m->disk, make, &m->shelf, e) != 0)
		return err_context(e, "folder %s", m->name);
	if (!store_kv_has(m->shelf, FOLDER_NAME)) {
		int rc = box_lock(m->box, e);

		if (rc == 0)
			rc = folder_init(m, e);
		box_unlock(m->box);
		if (rc != 0)
			return -1;
	}
	return mbox_load(m, e) != 0 || mbox_refresh(m, e) != 0 ? -1 : 0;
}

int mbox_open_disk(struct mbox **m_out, struct box *b, const struct buf *name, const struct buf *disk, bool make, struct err *e)
{
	struct mbox *m = mbox_new(b, name, disk);
	struct err ignored;

	if (load(m, make, e) != 0) {
		mbox_free(m);
		return -1;
	}
	m->next = b->folders;
	b->folders = m;
	if (quota_is_behind(m) && mbox_begin(m, &ignored) == 0) {     /* what a killed process could not */
		quota_set(m);
		mbox_end(m);
	}
	*m_out = m;
	return 0;
}

int mbox_open(struct mbox **m_out, struct box *b, struct slice name, struct err *e)
{
	struct buf canonical, disk;
	struct mbox *m;
	int rc;

	for (m = b->folders; m != NULL; m = m->next)                  /* the common case: as it was written before */
		if (slice_eqs(name, m->name)) {
			m->refs++;
			*m_out = m;
			return 0;
		}
	buf_init(&canonical, BUF_UNBOUNDED);
	buf_init(&disk, BUF_UNBOUNDED);
	rc = folder_name_check(name, &canonical, e) != 0 || folder_name_to_disk(buf_view(&canonical), &disk, e) != 0 ? -1 : 0;
	if (rc == 0 && !slice_eq(name, buf_view(&canonical)))
		rc = mbox_open(m_out, b, buf_view(&canonical), e);
	else if (rc == 0)
		rc = mbox_open_disk(m_out, b, &canonical, &disk, disk.len == 0, e);
	buf_done(&canonical);
	buf_done(&disk);
	return rc;
}

void mbox_close(struct mbox **mp)
{
	struct mbox *m = *mp, **at;
	struct err ignored;

	*mp = NULL;
	if (m == NULL || --m->refs > 0)
		return;
	if ((m->dirty > 0 || mbox_wants_fold(m)) && mbox_begin(m, &ignored) == 0) {
		if (mbox_flush_names(m, 4096, &ignored) != 0) {}      /* the next one to close does */
		mbox_end(m);
	}
	for (at = &m->box->folders; *at != m; at = &(*at)->next)
		continue;
	*at = m->next;
	mbox_free(m);
}

int mbox_sync(struct mbox *m, struct err *e)
{
	/* The names too: a message that comes back after a power cut would be one again. */
	return store_shelf_flush(m->shelf, FLUSH_NAMES, e) != 0 || slog_flush(&m->log, e) != 0 ? -1 : 0;
}

/* ---- the user ---- */

static char *plain_host(const char *host)
{
	char *p = mem_str(host == NULL || host[0] == '\0' ? "localhost" : host);

	for (char *c = p; *c != '\0'; c++)
		if (!ascii_is_alnum(*c) && *c != '-' && *c != '.')
			*c = '_';
	if (strlen(p) > 64)
		p[64] = '\0';
	return p;
}

/* 1: that has been done. */
static int begin_box(struct box *b, struct err *e)
{
	struct boxfile f;
	struct err why;
	int rc;

	boxfile_init(&f);
	if (boxfile_load(b, &f, &why) == 0)
		rc = f.made ? 1 : 0;
	else
		rc = why.kind == ERR_TEMP ? err_set(e, ERR_TEMP, why.sys, "%s", why.text) : store_shelf_make(b->top, "", e) != 0 ? -1 : boxfile_save(b, &f, e);
	boxfile_done(&f);
	return rc;
}

static int end_box(struct box *b, struct err *e)
{
	struct boxfile f;
	int rc;

	boxfile_init(&f);
	rc = boxfile_load(b, &f, e);
	f.made = true;
	if (rc == 0)
		rc = boxfile_save(b, &f, e);
	boxfile_done(&f);
	if (rc == 0)
		rc = store_shelf_flush(b->top, FLUSH_ALL, e);
	return rc;
}

/* Whoever comes first makes the special folders; one who was killed halfway is followed by one who makes the rest. */
static int first_open(struct box *b, struct err *e)
{
	struct boxfile f;
	struct err ignored;
	int rc;

	boxfile_init(&f);
	rc = boxfile_load(b, &f, &ignored) == 0 && f.made ? 1 : 0;
	boxfile_done(&f);
	if (rc == 1)
		return 0;
	b->making = true;
	if (box_lock(b, e) != 0)
		return -1;
	rc = begin_box(b, e);
	box_unlock(b);
	if (rc == 0)
		rc = box_first_folders(b, e);
	if (rc == 0 && (rc = box_lock(b, e)) == 0) {
		rc = end_box(b, e);
		box_unlock(b);
	}
	b->making = false;
	return rc < 0 ? -1 : 0;
}

int box_open(struct box **b_out, const char *dir, bool create, const struct box_options *opt, struct err *e)
{
	struct box *b;

	b = mem_new(sizeof *b);
	b->dir = mem_str(dir);
	b->hostname = plain_host(opt->hostname);
	b->special = mem_str(opt->special_folders == NULL ? "" : opt->special_folders);
	b->quota_storage = opt->quota_storage;
	b->quota_messages = opt->quota_messages;
	b->knows_limits = !opt->limits_unknown;
	b->boot = mbox_boot_now();
	if (store_shelf_open(opt->store != NULL ? opt->store : store_local(), dir, create, &b->top, e) != 0 || first_open(b, e) != 0) {
		box_close(&b);
		return -1;
	}
	*b_out = b;
	return 0;
}

bool box_is_there(struct box *b)
{
	return store_shelf_look(b->top);
}

void box_close(struct box **bp)
{
	struct box *b = *bp;

	if (b == NULL)
		return;
	while (b->folders != NULL) {                                  /* views of it are the caller's to close before */
		struct mbox *m = b->folders;

		m->refs = 1;
		mbox_close(&m);
	}
	quota_close(b);
	store_shelf_close(&b->top);
	free(b->dir);
	free(b->hostname);
	free(b->special);
	free(b);
	*bp = NULL;
}
