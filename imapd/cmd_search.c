/*
 * imapd/cmd_search.c - SEARCH (RFC 3501 6.4.4), its RETURN options (RFC 4731, 5182), as a job.
 */
#include <inttypes.h>

#include "imapd/search.h"

enum { RETURN_MIN = 1, RETURN_MAX = 2, RETURN_ALL = 4, RETURN_COUNT = 8, RETURN_SAVE = 16, EXTENDED = 32 };

struct searching {
	struct search q;
	unsigned options;
	struct imap_set found;                                        /* sequence numbers, or UIDs for UID SEARCH */
	struct imap_set uids;                                         /* for SAVE */
	size_t found_cap, uids_cap;
	uint32_t count;
	uint64_t modseq;                                              /* highest among the found */
};

static int read_return(struct imap_text *t, unsigned *options_out)
{
	static const struct { const char *word; unsigned bit; } rows[] = {
		{ "MIN", RETURN_MIN }, { "MAX", RETURN_MAX }, { "ALL", RETURN_ALL }, { "COUNT", RETURN_COUNT }, { "SAVE", RETURN_SAVE },
	};
	unsigned options = EXTENDED;

	if (!imap_word(t, "RETURN"))
		return 0;
	if (imap_space(t) != 0 || imap_open(t) != 0)
		return -1;
	while (imap_close(t) != 0) {
		size_t i = 0, n = sizeof rows / sizeof *rows;

		if (imap_peek(t, ' ') && imap_space(t) != 0)
			return -1;
		while (i < n && !imap_word(t, rows[i].word))
			i++;
		if (i == n) {
			t->why = "the options of RETURN are MIN MAX ALL COUNT SAVE";
			return -1;
		}
		options |= rows[i].bit;
	}
	*options_out = options == EXTENDED ? EXTENDED | RETURN_ALL : options;
	return imap_space(t);
}

static void put_plain(const struct searching *j, struct buf *out)
{
	struct imap_walk w = { &j->found, 0, 0 };

	buf_puts(out, "* SEARCH");
	for (uint32_t n; (n = imap_walk_next(&w)) != 0;) {
		buf_putc(out, ' ');
		imap_put_number(n, out);
	}
	if (j->q.has_modseq && j->count > 0)
		buf_putf(out, " (MODSEQ %" PRIu64 ")", j->modseq);
	buf_puts(out, "\r\n");
}

static void put_extended(const struct imap *s, const struct searching *j, struct buf *out)
{
	if ((j->options & (RETURN_MIN | RETURN_MAX | RETURN_ALL | RETURN_COUNT)) == 0)
		return;                                               /* SAVE alone is silent (RFC 5182 2.1) */
	buf_putf(out, "* ESEARCH (TAG \"%.*s\")%s", SLICE_FMT(s->tag), s->uid ? " UID" : "");
	if ((j->options & RETURN_MIN) != 0 && j->count > 0)
		buf_putf(out, " MIN %" PRIu32, j->found.r[0].first);
	if ((j->options & RETURN_MAX) != 0 && j->count > 0)
		buf_putf(out, " MAX %" PRIu32, j->found.r[j->found.n - 1].last);
	if ((j->options & RETURN_COUNT) != 0)
		buf_putf(out, " COUNT %" PRIu32, j->count);
	if ((j->options & RETURN_ALL) != 0 && j->count > 0) {
		buf_puts(out, " ALL ");
		imap_set_put(&j->found, out);
	}
	if (j->q.has_modseq && j->count > 0)
		buf_putf(out, " MODSEQ %" PRIu64, j->modseq);
	buf_puts(out, "\r\n");
}

/* RFC 5182 2.1 table 1: with MIN and MAX alone, those are what is saved. */
static void save(struct imap *s, const struct searching *j)
{
	struct imap_set *to = &s->saved;
	size_t cap = 0;

	arena_reset(s->saved_arena);
	*to = (struct imap_set){ NULL, 0, false };
	if (j->count == 0)
		return;
	uint32_t min = j->uids.r[0].first, max = j->uids.r[j->uids.n - 1].last;
	unsigned few = j->options & (RETURN_MIN | RETURN_MAX);

	if (few == 0 || (j->options & (RETURN_ALL | RETURN_COUNT)) != 0) {
		struct imap_walk w = { &j->uids, 0, 0 };

		for (uint32_t n; (n = imap_walk_next(&w)) != 0;)
			imap_set_add(to, &cap, n, s->saved_arena);
		return;
	}
	if ((few & RETURN_MIN) != 0)
		imap_set_add(to, &cap, min, s->saved_arena);
	if ((few & RETURN_MAX) != 0 && (max != min || (few & RETURN_MIN) == 0))
		imap_set_add(to, &cap, max, s->saved_arena);
}

static void add_found(struct imap *s, void *job, uint32_t seq)
{
	struct searching *j = job;
	const struct mrec *r = view_get(s->view, seq);

	imap_set_add(&j->found, &j->found_cap, s->uid ? r->uid : seq, s->cmd);
	if ((j->options & RETURN_SAVE) != 0)
		imap_set_add(&j->uids, &j->uids_cap, r->uid, s->cmd);
	j->count++;
	j->modseq = r->modseq > j->modseq ? r->modseq : j->modseq;
}

static bool answer_step(struct imap *s, void *job, struct buf *out)
{
	struct searching *j = job;

	if (!search_step(s, &j->q, add_found, j))
		return false;
	if ((j->options & EXTENDED) != 0)
		put_extended(s, j, out);
	else
		put_plain(j, out);
	if ((j->options & RETURN_SAVE) != 0)
		save(s, j);
	imap_sync_after(s, out);
	imap_ok(s, out, "searched");
	return true;
}

static void search_drop(void *job)
{
	search_done(&((struct searching *)job)->q);
}

void imap_cmd_search(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct searching *j = arena_alloc(s->cmd, sizeof *j);

	if (imap_space(t) != 0 || read_return(t, &j->options) != 0) {
		imap_bad(s, out, "SEARCH: %s", t->why);
		return;
	}
	if (search_read(s, t, NULL, &j->q, out) != 0) {
		search_done(&j->q);
		if ((j->options & RETURN_SAVE) != 0)                  /* RFC 5182 2.1: a search that fails saves nothing */
			s->saved.n = 0;
		return;
	}
	if (j->q.has_modseq)
		imap_enable(s, ENABLED_CONDSTORE, out);
	imap_start_job(s, answer_step, j, search_drop);
}
