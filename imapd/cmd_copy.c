/*
 * imapd/cmd_copy.c - COPY and MOVE (RFC 3501 6.4.7, 6851; COPYUID: RFC 4315). All of the messages or none.
 */
#include <inttypes.h>

#include "imapd/imap.h"

static void put_copyuid(struct imap *s, const uint32_t *seqs, size_t n, const struct mbox *dst, struct uid_range uids, struct buf *out)
{
	struct imap_set from = { NULL, 0, false };
	size_t cap = 0;

	for (size_t i = 0; i < n; i++)
		imap_set_add(&from, &cap, view_get(s->view, seqs[i])->uid, s->cmd);
	buf_putf(out, "[COPYUID %" PRIu32 " ", mbox_uidvalidity(dst));
	imap_set_put(&from, out);
	buf_putf(out, " %" PRIu32, uids.first);
	if (uids.last != uids.first)
		buf_putf(out, ":%" PRIu32, uids.last);
	buf_puts(out, "]");
}

static void tell_copied(struct imap *s, const uint32_t *seqs, size_t n, const struct mbox *dst, struct uid_range uids, bool move, struct buf *out)
{
	struct buf code;

	buf_init(&code, BUF_UNBOUNDED);
	put_copyuid(s, seqs, n, dst, uids, &code);
	if (move) {                                                   /* the code comes before the messages go (RFC 6851 4.3) */
		buf_putf(out, "* OK %s moved\r\n", buf_str(&code));
		imap_sync(s, true, out);
		s->n_expunged += (uint32_t)n;
		imap_ok(s, out, "moved");
	} else {
		imap_sync_after(s, out);
		imap_ok(s, out, "%s copied", buf_str(&code));
	}
	buf_done(&code);
}

static void copy_or_move(struct imap *s, struct imap_text *t, bool move, struct buf *out)
{
	struct imap_set set;
	struct slice name;
	struct mbox *dst = NULL;
	struct uid_range uids = { 0, 0 };
	uint32_t *seqs;
	struct err e = ERR_INIT;

	if (imap_space(t) != 0 || imap_set(t, &set) != 0) {
		imap_bad(s, out, "%s: %s", move ? "MOVE" : "COPY", t->why);
		return;
	}
	if (imap_mailbox_arg(s, t, &name, out) != 0 || !imap_at_end_or_bad(s, t, out) || imap_seqs(s, &set, out) != 0)
		return;
	size_t n = imap_seq_array(s, &set, &seqs);

	if (mbox_open(&dst, s->env->box, name, &e) != 0) {
		imap_no_err(s, out, &e, true);
		return;
	}
	if (n == 0) {                                                 /* nothing to do is done (RFC 3501 6.4.8) */
		imap_sync_after(s, out);
		imap_ok(s, out, "there were no such messages");
	} else if (move && dst == s->mbox) {
		imap_no(s, out, "[CANNOT] the messages are in that mailbox already");
	} else if ((move ? view_move(s->view, seqs, n, dst, &uids, &e) : view_copy(s->view, seqs, n, dst, &uids, &e)) != 0) {
		imap_sync_after(s, out);
		if (e.kind == ERR_NOTFOUND)
			imap_no(s, out, "[EXPUNGEISSUED] some of the messages are gone; nothing was %s", move ? "moved" : "copied");
		else
			imap_no_err(s, out, &e, false);
	} else {
		tell_copied(s, seqs, n, dst, uids, move, out);
	}
	mbox_close(&dst);
}

void imap_cmd_copy(struct imap *s, struct imap_text *t, struct buf *out)
{
	copy_or_move(s, t, false, out);
}

void imap_cmd_move(struct imap *s, struct imap_text *t, struct buf *out)
{
	copy_or_move(s, t, true, out);
}
