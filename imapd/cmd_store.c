/*
 * imapd/cmd_store.c - STORE (RFC 3501 6.4.6, UNCHANGEDSINCE: RFC 7162 3.1.3), as a job: flags change in portions, then the new ones are told.
 */
#include <inttypes.h>

#include "imapd/imap.h"

enum { PORTION = 20000 };

struct store {
	struct flag_change change;
	bool silent, conditional;
	uint32_t *seqs;
	size_t n, changed, told;
	struct imap_set modified;                                     /* refused: somebody was faster */
	size_t modified_cap;
};

/* One portion, and whom it left out. */
static int change_portion(struct imap *s, struct store *st, struct err *e)
{
	size_t n = st->n - st->changed > PORTION ? PORTION : st->n - st->changed;
	uint32_t *refused = NULL;
	size_t n_refused = 0;

	if (view_store_flags(s->view, st->seqs + st->changed, n, &st->change, s->cmd, &refused, &n_refused, e) != 0)
		return -1;
	for (size_t i = 0; i < n_refused; i++)
		imap_set_add(&st->modified, &st->modified_cap, s->uid ? view_get(s->view, refused[i])->uid : refused[i], s->cmd);
	st->changed += n;
	return 0;
}

static bool was_refused(struct imap *s, const struct store *st, uint32_t seq)
{
	return st->modified.n > 0 && imap_set_has(&st->modified, s->uid ? view_get(s->view, seq)->uid : seq);
}

static void store_end(struct imap *s, struct store *st, struct buf *out)
{
	imap_sync_after(s, out);
	if (st->modified.n == 0) {
		imap_ok(s, out, "stored");
		return;
	}
	struct buf set;

	buf_init(&set, BUF_UNBOUNDED);
	imap_set_put(&st->modified, &set);
	imap_ok(s, out, "[MODIFIED %s] these were changed by others since", buf_str(&set));
	buf_done(&set);
}

static bool store_step(struct imap *s, void *job, struct buf *out)
{
	struct store *st = job;
	const struct slice *names;
	size_t full = out->len + IMAP_STEP;
	bool tell = !st->silent || (s->enabled & ENABLED_CONDSTORE) != 0;
	struct err e = ERR_INIT;

	if (st->changed < st->n) {
		if (change_portion(s, st, &e) != 0) {
			imap_sync_after(s, out);
			imap_no_err(s, out, &e, false);
			return true;
		}
		if (st->changed < st->n)
			return false;
		if (mbox_keywords(s->mbox, &names) != s->keywords_told)
			imap_put_flag_list(s, out);
	}
	for (; tell && st->told < st->n; st->told++) {
		if (out->len >= full)
			return false;
		if (!was_refused(s, st, st->seqs[st->told]))
			imap_put_changed(s, st->seqs[st->told], !st->silent, out);
	}
	store_end(s, st, out);
	return true;
}

static int read_condition(struct imap_text *t, struct store *st)
{
	if (!imap_peek(t, '('))
		return 0;
	if (imap_open(t) != 0 || !imap_word(t, "UNCHANGEDSINCE")) {
		t->why = "the modifier of STORE is (UNCHANGEDSINCE number)";
		return -1;
	}
	st->conditional = true;
	if (imap_space(t) != 0 || imap_number64(t, &st->change.unchangedsince) != 0 || imap_close(t) != 0)
		return -1;
	return imap_space(t);
}

static int read_change(struct imap_text *t, struct store *st)
{
	struct imap_flags flags;

	st->change.op = imap_char(t, '+') == 0 ? FLAGS_ADD : imap_char(t, '-') == 0 ? FLAGS_REMOVE : FLAGS_SET;
	st->silent = imap_word(t, "FLAGS.SILENT");
	if (!st->silent && !imap_word(t, "FLAGS")) {
		t->why = "FLAGS, +FLAGS or -FLAGS was expected, with .SILENT if you like";
		return -1;
	}
	if (imap_space(t) != 0 || imap_flags(t, false, &flags) != 0)
		return -1;
	st->change.flags = flags.flags;
	st->change.keywords = flags.keywords;
	st->change.n_keywords = flags.n_keywords;
	return 0;
}

void imap_cmd_store(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct store *st = arena_alloc(s->cmd, sizeof *st);
	struct imap_set set;

	if (imap_space(t) != 0 || imap_set(t, &set) != 0 || imap_space(t) != 0 || read_condition(t, st) != 0 || read_change(t, st) != 0) {
		imap_bad(s, out, "STORE: %s", t->why);
		return;
	}
	if (!imap_at_end_or_bad(s, t, out) || imap_seqs(s, &set, out) != 0)
		return;
	if (st->conditional)
		imap_enable(s, ENABLED_CONDSTORE, out);
	st->n = imap_seq_array(s, &set, &st->seqs);
	if (st->conditional && st->change.unchangedsince == 0) {      /* RFC 7162 3.1.3: 0 is older than every message, so all are refused */
		for (size_t i = 0; i < st->n; i++)
			imap_set_add(&st->modified, &st->modified_cap, s->uid ? view_get(s->view, st->seqs[i])->uid : st->seqs[i], s->cmd);
		st->changed = st->told = st->n;
	}
	imap_start_job(s, store_step, st, NULL);
}
