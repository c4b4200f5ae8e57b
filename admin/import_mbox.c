/*
 * admin/import_mbox.c - an mbox file into a folder, and a folder into an mbox file.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "admin/import.h"
#include "store/mboxfile.h"
#include "base/file.h"

/* ---- import ---- */

/* With UIDs to keep there are two passes: those whose UIDs rise come first, the others get new ones behind. */
struct pass { struct import *im; const char *path; struct slice file; struct buf octets; uint32_t last_uid; bool with_uid, by_uid; };

static bool is_of_pass(struct pass *p, uint32_t uid)
{
	bool rises = uid > p->last_uid;

	if (!p->by_uid)
		return true;
	if (rises)
		p->last_uid = uid;
	return rises == p->with_uid;
}

static int import_entry(struct pass *p, const struct mboxfile_message *raw, bool first, struct err *e)
{
	struct mboxfile_marks marks;
	struct import_message msg;

	buf_reset(&p->octets);
	mboxfile_clean(raw->raw, &marks, &p->octets);
	if (first && p->with_uid) {
		if (import_keep_uids(p->im, marks.uidvalidity, marks.uidnext, e) != 0)
			return -1;
		p->by_uid = p->im->uidnext != 0;
	}
	if ((first && marks.is_internal) || !is_of_pass(p, marks.uid))
		return 0;
	msg = (struct import_message){ .octets = buf_view(&p->octets), .flags = marks.flags, .keywords = marks.keywords, .n_keywords = marks.n_keywords,
	                               .date = raw->date, .uid = p->with_uid ? marks.uid : 0 };
	return import_one(p->im, &msg, e);
}

static int import_pass(struct pass *p, struct err *e)
{
	struct mboxfile_message raw;
	size_t at = 0;
	unsigned long long number = 0;
	int rc;

	p->last_uid = 0;
	while ((rc = mboxfile_next(p->file, &at, &raw)) > 0) {
		number++;
		import_progress(p->im, p->path, raw.at, p->file.n);
		rc = import_entry(p, &raw, number == 1, e);
		if (rc != 0)
			return err_context(e, "%s: message %llu (at octet %zu)", p->path, number, raw.at);
	}
	if (rc != 0 && number == 0)
		(void)err_set(e, ERR_SYNTAX, 0, "%s does not begin with a line 'From SENDER DATE': it is no mbox", p->path);
	return rc;
}

static int import_entries(struct import *im, const char *path, struct slice file, struct err *e)
{
	struct pass p = { .im = im, .path = path, .file = file, .with_uid = true };
	int rc;

	buf_init(&p.octets, BUF_UNBOUNDED);
	rc = import_pass(&p, e);
	p.with_uid = false;
	if (rc == 0 && p.by_uid)
		rc = import_pass(&p, e);
	buf_done(&p.octets);
	return rc;
}

int import_mbox(struct import *im, struct slice folder, const char *path, struct err *e)
{
	struct import_file f;
	int rc;

	if (import_be_self(&im->x->who, e) != 0)
		return -1;
	rc = import_file_open(&f, AT_FDCWD, path, true, e);
	if (rc != 0)
		return -1;
	rc = import_be_owner(&im->x->who, e);
	if (rc == 0 && import_folder(im, folder, true, e) != 0)
		rc = err_context(e, "folder %.*s", SLICE_FMT(folder));
	if (rc == 0)
		rc = import_entries(im, path, f.octets, e);
	import_file_close(&f);
	return rc;
}

/* ---- export ---- */

static void export_marks(const struct mbox *m, const struct mrec *r, bool first, struct mboxfile_marks *out)
{
	const struct slice *names;
	size_t n = mbox_keywords(m, &names);

	*out = (struct mboxfile_marks){ .flags = r->flags, .uid = r->uid };
	if (first) {
		out->uidvalidity = mbox_uidvalidity(m);
		out->uidnext = mbox_uidnext(m);
	}
	for (size_t i = 0; i < n && i < MBOXFILE_KEYWORDS; i++)
		if ((r->keywords >> i & 1) != 0)
			out->keywords[out->n_keywords++] = names[i];
}

static int export_entry(const struct mbox *m, struct view *v, uint32_t seq, bool first, struct buf *out, struct err *e)
{
	const struct mrec *r = view_get(v, seq);
	struct mboxfile_marks marks;
	struct mbody body;

	if (view_read(v, seq, &body, e) != 0)
		return -1;
	export_marks(m, r, first, &marks);
	buf_reset(out);
	mboxfile_put(body.octets, &marks, r->internaldate, out);
	mbody_done(&body);
	return 0;
}

static int export_entries(const struct mbox *m, struct view *v, int fd, const char *path, uint64_t *n_out, struct err *e)
{
	struct buf out;
	int rc = 0;

	buf_init(&out, BUF_UNBOUNDED);
	for (uint32_t seq = 1; seq <= view_count(v) && rc == 0; seq++) {
		rc = export_entry(m, v, seq, *n_out == 0, &out, e);
		if (rc != 0 && e->kind == ERR_NOTFOUND) {             /* expunged meanwhile */
			rc = 0;
			continue;
		}
		if (rc != 0)
			(void)err_context(e, "message %lu", (unsigned long)seq);
		else if (file_write_all(fd, buf_view(&out)) != 0)
			rc = err_set(e, err_kind_of(errno), errno, "writing %s", path);
		*n_out += rc == 0;
	}
	buf_done(&out);
	return rc;
}

int export_mbox(struct import_box *x, struct slice folder, const char *path, uint64_t *n_out, struct err *e)
{
	struct mbox *m;
	struct view *v;
	int fd, rc;

	if (mbox_open(&m, x->b, folder.n == 0 ? SLICE("INBOX") : folder, e) != 0)
		return err_context(e, "folder %.*s", SLICE_FMT(folder));
	rc = import_be_self(&x->who, e);
	fd = rc != 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (rc == 0 && fd < 0)
		rc = err_set(e, err_kind_of(errno), errno, "%s", path);
	if (rc == 0)
		rc = import_be_owner(&x->who, e);
	if (rc == 0) {
		v = view_open(m, true);
		rc = export_entries(m, v, fd, path, n_out, e);
		view_close(&v);
	}
	if (rc == 0 && fsync(fd) != 0)
		rc = err_set(e, err_kind_of(errno), errno, "flushing %s", path);
	file_close(&fd);
	mbox_close(&m);
	return rc;
}
