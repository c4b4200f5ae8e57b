/*
 * imapd/cmd_select.c - SELECT to CLOSE, and EXPUNGE (RFC 3501 6.3.1, 6.3.2, 6.4.1 to 6.4.3; RFC 3691, 4315; CONDSTORE and QRESYNC: RFC 7162).
 */
#include <inttypes.h>
#include <string.h>

#include "imapd/imap.h"
#include "mail/mime.h"

struct select_args {
	struct slice name;
	bool condstore, qresync;
	uint32_t uidvalidity;
	uint64_t modseq;
	struct imap_set known;
	bool has_known;
};

/* (uidvalidity modseq [known-uids [(seqs uids)]]): the last pair would only shorten our answer, so it is read and not used. */
static int read_qresync(struct imap_text *t, struct select_args *a)
{
	struct imap_set seqs, uids;

	a->qresync = true;
	if (imap_space(t) != 0 || imap_open(t) != 0 || imap_number(t, &a->uidvalidity) != 0 || imap_space(t) != 0 || imap_number64(t, &a->modseq) != 0)
		return -1;
	if (imap_close(t) == 0)
		return 0;
	if (imap_space(t) != 0)
		return -1;
	if (!imap_peek(t, '(')) {
		if (imap_set(t, &a->known) != 0)
			return -1;
		a->has_known = true;
		if (imap_close(t) == 0)
			return 0;
		if (imap_space(t) != 0)
			return -1;
	}
	return imap_open(t) != 0 || imap_set(t, &seqs) != 0 || imap_space(t) != 0 || imap_set(t, &uids) != 0 || imap_close(t) != 0 || imap_close(t) != 0 ? -1 : 0;
}

static int read_params(struct imap_text *t, struct select_args *a)
{
	if (imap_at_end(t))
		return 0;
	if (imap_space(t) != 0 || imap_open(t) != 0)
		return -1;
	while (imap_close(t) != 0) {
		if (imap_word(t, "CONDSTORE")) {
			a->condstore = true;
		} else if (!imap_word(t, "QRESYNC")) {
			t->why = "the parameters of SELECT are CONDSTORE and QRESYNC";
			return -1;
		} else if (read_qresync(t, a) != 0) {
			return -1;
		}
		if (imap_peek(t, ' ') && imap_space(t) != 0)
			return -1;
	}
	return 0;
}

int imap_select_folder(struct imap *s, struct slice name, bool read_only, struct err *e)
{
	if (mbox_open(&s->mbox, s->env->box, name, e) != 0)
		return -1;
	s->view = view_open(s->mbox, read_only);
	s->read_only = read_only;
	s->told_modseq = mbox_highestmodseq(s->mbox);
	return 0;
}

/* Worth a look at so many messages; in larger folders nobody starts at the first unseen one. */
enum { UNSEEN_LOOK = 20000 };

static void put_first_unseen(const struct imap *s, struct buf *out)
{
	uint32_t count = view_count(s->view);

	for (uint32_t seq = 1; seq <= count && seq <= UNSEEN_LOOK; seq++) {
		if ((view_get(s->view, seq)->flags & MSG_SEEN) != 0)
			continue;
		buf_putf(out, "* OK [UNSEEN %" PRIu32 "] the first unseen message\r\n", seq);
		return;
	}
}

/* RFC 7162 3.2.5: what went and what changed since the client was last here. Without a history "went" is every known UID that is not here. */
static void put_resync(struct imap *s, struct select_args *a, struct buf *out)
{
	uint32_t count = view_count(s->view);
	struct imap_set missing;

	if (a->uidvalidity != mbox_uidvalidity(s->mbox))
		return;
	if (a->has_known)
		imap_set_resolve(&a->known, mbox_uidnext(s->mbox));
	imap_missing_uids(s, a->has_known ? &a->known : NULL, &missing);
	imap_put_vanished(s, &missing, true, out);
	for (uint32_t seq = 1; seq <= count; seq++) {
		const struct mrec *r = view_get(s->view, seq);

		if (r->modseq <= a->modseq || (a->has_known && !imap_set_has(&a->known, r->uid)))
			continue;
		imap_put_changed(s, seq, true, out);
	}
}

static void select_or_examine(struct imap *s, struct imap_text *t, bool read_only, struct buf *out)
{
	struct select_args a = { 0 };
	struct err e = ERR_INIT;
	bool had = s->view != NULL;

	if (imap_mailbox_arg(s, t, &a.name, out) != 0)
		return;
	if (read_params(t, &a) != 0) {
		imap_bad(s, out, "%s", t->why);
		return;
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	if (a.qresync && (s->enabled & ENABLED_QRESYNC) == 0) {
		imap_bad(s, out, "QRESYNC: say ENABLE QRESYNC first (RFC 7162 3.2.5)");
		return;
	}
	imap_unselect(s);                                             /* also where the new one cannot be opened */
	if (had)
		buf_puts(out, "* OK [CLOSED] the mailbox before is closed\r\n");
	if (imap_select_folder(s, a.name, read_only, &e) != 0) {
		imap_no_err(s, out, &e, false);
		return;
	}
	if (a.condstore || a.qresync)
		s->enabled |= ENABLED_CONDSTORE;
	imap_put_flag_list(s, out);
	buf_putf(out, "* %" PRIu32 " EXISTS\r\n* %" PRIu32 " RECENT\r\n", view_count(s->view), view_recent(s->view));
	put_first_unseen(s, out);
	buf_putf(out, "* OK [UIDVALIDITY %" PRIu32 "] UIDs are valid\r\n* OK [UIDNEXT %" PRIu32 "] the next UID\r\n* OK [HIGHESTMODSEQ %" PRIu64 "] the last change\r\n",
	    mbox_uidvalidity(s->mbox), mbox_uidnext(s->mbox), mbox_highestmodseq(s->mbox));
	if (a.qresync)
		put_resync(s, &a, out);
	imap_ok(s, out, read_only ? "[READ-ONLY] opened for reading" : "[READ-WRITE] opened");
}

void imap_cmd_select(struct imap *s, struct imap_text *t, struct buf *out)
{
	select_or_examine(s, t, false, out);
}

void imap_cmd_examine(struct imap *s, struct imap_text *t, struct buf *out)
{
	select_or_examine(s, t, true, out);
}

void imap_cmd_unselect(struct imap *s, struct imap_text *t, struct buf *out)
{
	(void)t;
	imap_unselect(s);
	imap_ok(s, out, "closed, nothing expunged");
}

void imap_cmd_check(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct err e = ERR_INIT;

	(void)t;
	imap_sync_after(s, out);
	if (mbox_sync(s->mbox, &e) != 0)
		imap_no_err(s, out, &e, false);
	else
		imap_ok(s, out, "everything is on disk");
}

void imap_cmd_close(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct err e = ERR_INIT;
	uint32_t before = view_count(s->view);
	int bad = s->read_only ? 0 : view_expunge(s->view, NULL, 0, &e);
	struct buf untold;

	(void)t;
	buf_init(&untold, BUF_UNBOUNDED);
	imap_sync(s, true, &untold);
	buf_done(&untold);
	if (!s->read_only && before > view_count(s->view))
		s->n_expunged += before - view_count(s->view);
	imap_unselect(s);
	if (bad != 0)
		imap_no_err(s, out, &e, false);
	else
		imap_ok(s, out, "closed");
}

void imap_cmd_expunge(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct imap_set set = { NULL, 0, false };
	struct err e = ERR_INIT;
	uint32_t *seqs = NULL, before = view_count(s->view);
	size_t n = 0;

	if (s->uid) {
		if (imap_space(t) != 0 || imap_set(t, &set) != 0) {
			imap_bad(s, out, "UID EXPUNGE takes a set of UIDs");
			return;
		}
		if (imap_seqs(s, &set, out) != 0)
			return;
		n = imap_seq_array(s, &set, &seqs);
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	if ((!s->uid || n > 0) && view_expunge(s->view, seqs, n, &e) != 0) {
		imap_sync_after(s, out);
		imap_no_err(s, out, &e, false);
		return;
	}
	imap_sync_after(s, out);
	s->n_expunged += before > view_count(s->view) ? before - view_count(s->view) : 0;
	if ((s->enabled & ENABLED_QRESYNC) != 0 && before != view_count(s->view))
		imap_ok(s, out, "[HIGHESTMODSEQ %" PRIu64 "] expunged", mbox_highestmodseq(s->mbox));
	else
		imap_ok(s, out, "expunged");
}
