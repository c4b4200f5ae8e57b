/*
 * imapd/sort.c - SORT (RFC 5256 3), as a job: the keys of each message that matches are taken from index and cached header, then sorted once.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "imapd/search.h"
#include "imapd/subject.h"
#include "mail/header.h"

enum sort_kind { SORT_ARRIVAL, SORT_CC, SORT_DATE, SORT_FROM, SORT_SIZE, SORT_SUBJECT, SORT_TO, SORT_KINDS };
enum { CRITERIA_MAX = 16 };

static const char *const sort_words[SORT_KINDS] = {
	[SORT_ARRIVAL] = "ARRIVAL", [SORT_CC] = "CC", [SORT_DATE] = "DATE", [SORT_FROM] = "FROM", [SORT_SIZE] = "SIZE", [SORT_SUBJECT] = "SUBJECT", [SORT_TO] = "TO",
};

struct value { int64_t number; struct slice text; };
struct line { uint32_t seq; struct value *values; };

struct sort {
	struct search q;
	struct { enum sort_kind kind; bool reverse; } criteria[CRITERIA_MAX];
	size_t n_criteria;
	struct line *lines;
	size_t n, cap, told;
	bool sorted;
};

/* Local part of the first address, folded (RFC 5256 3: "[IMAP] addr-mailbox"). */
static struct slice mailbox_of(struct imap *s, struct sort *j, uint32_t seq, struct slice name)
{
	struct slice value = search_header(s, &j->q, seq, name, false);
	struct address *list;
	size_t n = value.p == NULL ? 0 : address_list(value, j->q.msg, &list);

	return n == 0 ? SLICE("") : search_fold(list[0].local, s->cmd);
}

static struct slice subject_of(struct imap *s, struct sort *j, uint32_t seq)
{
	struct slice value = search_header(s, &j->q, seq, SLICE("Subject"), true);
	bool is_reply;

	return value.p == NULL ? SLICE("") : search_fold(subject_base(value, j->q.msg, &is_reply), s->cmd);
}

int64_t search_sent(struct imap *s, struct search *q, uint32_t seq)
{
	struct slice value = search_header(s, q, seq, SLICE("Date"), false);
	int64_t when;

	return value.p != NULL && date_parse(value, &when, NULL) == 0 ? when : view_get(s->view, seq)->internaldate;
}

static void set_value(struct imap *s, struct sort *j, uint32_t seq, enum sort_kind kind, struct value *v)
{
	const struct mrec *r = view_get(s->view, seq);

	switch (kind) {
	case SORT_ARRIVAL: v->number = r->internaldate; break;
	case SORT_SIZE: v->number = (int64_t)r->size; break;
	case SORT_DATE: v->number = search_sent(s, &j->q, seq); break;
	case SORT_CC: v->text = mailbox_of(s, j, seq, SLICE("Cc")); break;
	case SORT_FROM: v->text = mailbox_of(s, j, seq, SLICE("From")); break;
	case SORT_TO: v->text = mailbox_of(s, j, seq, SLICE("To")); break;
	case SORT_SUBJECT: v->text = subject_of(s, j, seq); break;
	case SORT_KINDS: break;
	}
}

static void add_line(struct imap *s, void *job, uint32_t seq)
{
	struct sort *j = job;

	if (j->n == j->cap) {
		size_t cap = j->cap * 2 + 64;
		struct line *more = arena_array(s->cmd, cap, sizeof *more);

		if (j->n > 0)
			memcpy(more, j->lines, j->n * sizeof *more);
		j->lines = more;
		j->cap = cap;
	}
	struct line *l = &j->lines[j->n++];

	l->seq = seq;
	l->values = arena_array(s->cmd, j->n_criteria, sizeof *l->values);
	for (size_t i = 0; i < j->n_criteria; i++)
		set_value(s, j, seq, j->criteria[i].kind, &l->values[i]);
}

static int compare(const void *pa, const void *pb, void *ctx)
{
	const struct line *a = pa, *b = pb;
	const struct sort *j = ctx;

	for (size_t i = 0; i < j->n_criteria; i++) {
		const struct value *x = &a->values[i], *y = &b->values[i];
		int c = x->number < y->number ? -1 : x->number > y->number ? 1 : slice_cmp(x->text, y->text);

		if (c != 0)
			return j->criteria[i].reverse ? -c : c;
	}
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static bool sort_step(struct imap *s, void *job, struct buf *out)
{
	struct sort *j = job;
	size_t full = out->len + IMAP_STEP;

	if (!search_step(s, &j->q, add_line, j))
		return false;
	if (!j->sorted) {
		if (j->n > 1)
			qsort_r(j->lines, j->n, sizeof *j->lines, compare, j);
		buf_puts(out, "* SORT");
		j->sorted = true;
	}
	for (; j->told < j->n; j->told++) {
		uint32_t seq = j->lines[j->told].seq;

		if (out->len >= full)
			return false;
		buf_putf(out, " %" PRIu32, s->uid ? view_get(s->view, seq)->uid : seq);
	}
	buf_puts(out, "\r\n");
	imap_sync_after(s, out);
	imap_ok(s, out, "sorted");
	return true;
}

static void sort_drop(void *job)
{
	search_done(&((struct sort *)job)->q);
}

static int read_criteria(struct imap_text *t, struct sort *j)
{
	if (imap_space(t) != 0 || imap_open(t) != 0)
		return -1;
	while (imap_close(t) != 0) {
		unsigned k = 0;

		if (j->n_criteria > 0 && imap_space(t) != 0)
			return -1;
		bool reverse = imap_word(t, "REVERSE");

		if (reverse && imap_space(t) != 0)
			return -1;
		while (k < SORT_KINDS && !imap_word(t, sort_words[k]))
			k++;
		if (k == SORT_KINDS || j->n_criteria == CRITERIA_MAX) {
			t->why = "the keys of SORT are ARRIVAL CC DATE FROM SIZE SUBJECT TO, each after REVERSE if you like, 16 at most";
			return -1;
		}
		j->criteria[j->n_criteria].kind = (enum sort_kind)k;
		j->criteria[j->n_criteria++].reverse = reverse;
	}
	return j->n_criteria > 0 ? imap_space(t) : -1;
}

void imap_cmd_sort(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct sort *j = arena_alloc(s->cmd, sizeof *j);
	struct slice charset;

	if (read_criteria(t, j) != 0 || imap_astring(t, &charset) != 0 || imap_space(t) != 0) {
		imap_bad(s, out, "SORT (keys) charset search: %s", t->why);
		return;
	}
	if (search_read(s, t, &charset, &j->q, out) != 0) {
		search_done(&j->q);
		return;
	}
	imap_start_job(s, sort_step, j, sort_drop);
}
