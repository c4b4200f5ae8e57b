/*
 * imapd/idle.c - IDLE (RFC 2177), and sleeping outside of the process: what park() writes, imap_wake() goes on from without the client noticing.
 *
 * Five idle connections a user are the normal case (Thunderbird), so a sleeper is a line of text at the front:
 *
 *	P1 FLAGS ENABLED UIDVALIDITY MODSEQ KEYWORDS LF  tag LF  client LF  folder LF  UIDs of the view as a set
 *
 * At waking the UIDs that are missing are told as expunged, in the numbers that the client still has, then growth, then flags changed since MODSEQ.
 */
#include <inttypes.h>

#include "base/log.h"
#include "base/num.h"
#include "imapd/imap.h"
#include "mail/line.h"

enum { PARK_MAX = 12000, IDLE_LINE = 512 };
enum { PARK_IDLING = 1, PARK_SELECTED = 2, PARK_READ_ONLY = 4 };

void imap_cmd_idle(struct imap *s, struct imap_text *t, struct buf *out)
{
	(void)t;
	buf_reset(&s->idle_tag);
	buf_put(&s->idle_tag, s->tag);
	s->idling = true;
	s->by_number = s->uid = false;
	buf_puts(out, "+ idling\r\n");                                /* also with nothing selected: Outlook does that */
	imap_sync(s, true, out);
}

enum session_want imap_idle_input(struct imap *s, struct slice in, size_t *used_out, struct buf *out)
{
	struct slice line;

	*used_out = 0;
	switch (line_take(in, &line, used_out)) {
	case PARSE_MORE:
		*used_out = 0;
		if (in.n < IDLE_LINE)
			return SESSION_INPUT;
		break;
	case PARSE_BAD:
		break;
	case PARSE_OK:
		s->idling = false;
		imap_sync(s, true, out);
		s->tag = buf_view(&s->idle_tag);
		if (slice_ieqs(line, "DONE"))
			imap_ok(s, out, "idled");
		else
			imap_bad(s, out, "IDLE ends with DONE, and that line was something else");
		arena_reset(s->cmd);
		return SESSION_INPUT;
	}
	buf_puts(out, "* BYE IDLE ends with the line DONE, and what came was no line\r\n");
	return SESSION_CLOSE;
}

static void view_uids(const struct imap *s, struct imap_set *set, struct arena *a)
{
	uint32_t count = view_count(s->view);
	size_t cap = 0;

	*set = (struct imap_set){ NULL, 0, false };
	for (uint32_t seq = 1; seq <= count; seq++)
		imap_set_add(set, &cap, view_get(s->view, seq)->uid, a);
}

/* A selected mailbox outside of IDLE stays: what happened meanwhile could not be told before the client's next command names numbers. */
bool imap_park(struct imap *s, struct buf *state_out)
{
	unsigned flags = (s->idling ? PARK_IDLING : 0u) | (s->view != NULL ? PARK_SELECTED : 0u) | (s->read_only ? PARK_READ_ONLY : 0u);
	struct imap_set uids;
	struct buf b;
	bool fits;

	if (s->step != NULL || s->append != NULL || !imap_reader_is_idle(&s->reader) || (s->view != NULL && !s->idling))
		return false;
	buf_init(&b, BUF_UNBOUNDED);
	buf_putf(&b, "P1 %u %u %" PRIu32 " %" PRIu64 " %zu\n%s\n%s\n", flags, s->enabled, s->mbox != NULL ? mbox_uidvalidity(s->mbox) : 0, s->told_modseq,
	    s->keywords_told, s->idling ? buf_str(&s->idle_tag) : "", buf_str(&s->client));
	if (s->view != NULL) {
		buf_put(&b, mbox_name(s->mbox));
		buf_putc(&b, '\n');
		view_uids(s, &uids, s->cmd);
		imap_set_put(&uids, &b);
	}
	fits = b.len <= PARK_MAX && buf_add(state_out, buf_view(&b)) == 0;
	buf_done(&b);
	arena_reset(s->cmd);
	return fits;
}

struct sleeper {
	unsigned flags;
	uint32_t uidvalidity;
	uint64_t modseq;
	struct slice folder;
	struct imap_set uids;
};

static int next_number(struct slice *line, uint64_t max, uint64_t *out)
{
	struct slice word;

	return slice_word(line, &word) ? num_u64(word, max, out) : -1;
}

static int read_sleeper(struct imap *s, struct slice state, struct sleeper *sl)
{
	struct slice line, tag, client, word;
	struct imap_text t;
	uint64_t flags, enabled, validity, keywords;

	if (!slice_next(&state, '\n', &line) || !slice_next(&state, '\n', &tag) || !slice_next(&state, '\n', &client) || !slice_word(&line, &word) ||
	    !slice_eqs(word, "P1"))
		return -1;
	if (next_number(&line, 7, &flags) != 0 || next_number(&line, 3, &enabled) != 0 || next_number(&line, UINT32_MAX, &validity) != 0 ||
	    next_number(&line, UINT64_MAX, &sl->modseq) != 0 || next_number(&line, SIZE_MAX, &keywords) != 0)
		return -1;
	sl->flags = (unsigned)flags;
	sl->uidvalidity = (uint32_t)validity;
	s->enabled = (unsigned)enabled;
	s->keywords_told = (size_t)keywords;
	s->idling = (flags & PARK_IDLING) != 0;
	if (buf_add(&s->idle_tag, tag) != 0 || buf_add(&s->client, client) != 0)
		return -1;
	if ((flags & PARK_SELECTED) == 0)
		return 0;
	if (!slice_next(&state, '\n', &sl->folder))
		return -1;
	imap_text_init(&t, state.p == NULL ? SLICE("") : state, s->cmd);
	return imap_at_end(&t) || imap_set(&t, &sl->uids) == 0 ? 0 : -1;
}

/* Those of the sleeper's messages that are gone: numbers as the client has them, from the highest down. */
static void tell_gone(struct imap *s, const struct sleeper *sl, struct buf *out)
{
	struct imap_walk w = { &sl->uids, 0, 0 };
	struct imap_set gone = { NULL, 0, false }, uids = { NULL, 0, false };
	size_t cap = 0, uid_cap = 0;
	uint32_t seq = 0;

	for (uint32_t uid; (uid = imap_walk_next(&w)) != 0;) {
		seq++;
		if (view_seq_of(s->view, uid) != 0)
			continue;
		imap_set_add(&gone, &cap, seq, s->cmd);
		imap_set_add(&uids, &uid_cap, uid, s->cmd);
	}
	if ((s->enabled & ENABLED_QRESYNC) != 0) {
		imap_put_vanished(s, &uids, false, out);
		return;
	}
	for (size_t i = gone.n; i-- > 0;)
		for (uint32_t n = gone.r[i].last; n >= gone.r[i].first; n--)
			buf_putf(out, "* %" PRIu32 " EXPUNGE\r\n", n);
}

static void tell_since(struct imap *s, const struct sleeper *sl, struct buf *out)
{
	uint32_t count = view_count(s->view), known = 0;
	const struct slice *names;

	tell_gone(s, sl, out);
	for (; known < count && imap_set_has(&sl->uids, view_get(s->view, known + 1)->uid); known++)
		;
	if (known < count)
		buf_putf(out, "* %" PRIu32 " EXISTS\r\n* %" PRIu32 " RECENT\r\n", count, view_recent(s->view));
	if (mbox_highestmodseq(s->mbox) <= sl->modseq)
		return;
	if (mbox_keywords(s->mbox, &names) != s->keywords_told)
		imap_put_flag_list(s, out);
	for (uint32_t seq = 1; seq <= known; seq++)
		if (view_get(s->view, seq)->modseq > sl->modseq)
			imap_put_changed(s, seq, true, out);
}

int imap_wake(struct imap *s, struct slice state, struct buf *out, struct err *e)
{
	struct sleeper sl = { .flags = 0 };
	size_t keywords;

	if (read_sleeper(s, state, &sl) != 0)
		return err_set(e, ERR_SYNTAX, 0, "the state of a parked session is not in our form");
	if ((sl.flags & PARK_SELECTED) == 0)
		return 0;
	keywords = s->keywords_told;
	if (imap_select_folder(s, sl.folder, (sl.flags & PARK_READ_ONLY) != 0, e) != 0)
		return -1;
	s->keywords_told = keywords;
	if (mbox_uidvalidity(s->mbox) != sl.uidvalidity)
		return err_set(e, ERR_NOTFOUND, 0, "the mailbox was renewed");
	tell_since(s, &sl, out);
	s->told_modseq = mbox_highestmodseq(s->mbox);
	return 0;
}
