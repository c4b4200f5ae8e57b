/*
 * imapd/seqs.c - from the set that a command names to sequence numbers of the view.
 */
#include "imapd/imap.h"

static void uids_to_seqs(const struct imap *s, struct imap_set *set)
{
	uint32_t count = view_count(s->view);
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		uint32_t first = view_seq_from(s->view, set->r[i].first);
		uint32_t behind = set->r[i].last == UINT32_MAX ? count + 1 : view_seq_from(s->view, set->r[i].last + 1);

		if (first < behind)
			set->r[n++] = (struct imap_range){ first, behind - 1 };
	}
	set->n = n;
}

static void copy_saved(struct imap *s, struct imap_set *set)
{
	*set = (struct imap_set){ arena_array(s->cmd, s->saved.n + 1, sizeof *set->r), s->saved.n, false };
	for (size_t i = 0; i < s->saved.n; i++)
		set->r[i] = s->saved.r[i];
}

int imap_seqs(struct imap *s, struct imap_set *set, struct buf *out)
{
	uint32_t count = view_count(s->view);

	if (set->saved) {
		copy_saved(s, set);
		uids_to_seqs(s, set);
		return 0;
	}
	if (s->uid) {
		imap_set_resolve(set, count == 0 ? 0 : view_get(s->view, count)->uid);
		uids_to_seqs(s, set);
		return 0;
	}
	imap_set_resolve(set, count);
	if (set->n > 0 && set->r[set->n - 1].last > count) {
		imap_bad(s, out, "there is no message %u, the folder has %u", set->r[set->n - 1].last, count);
		return -1;
	}
	return 0;
}

uint32_t imap_walk_next(struct imap_walk *w)
{
	if (w->at >= w->set->n)
		return 0;
	const struct imap_range *r = &w->set->r[w->at];
	uint32_t seq = w->next == 0 ? r->first : w->next;

	w->next = seq + 1;
	if (seq == r->last) {
		w->at++;
		w->next = 0;
	}
	return seq;
}

size_t imap_seq_array(struct imap *s, const struct imap_set *seqs, uint32_t **out)
{
	struct imap_walk w = { seqs, 0, 0 };
	size_t total = 0, n = 0;

	for (size_t i = 0; i < seqs->n; i++)
		total += seqs->r[i].last - seqs->r[i].first + 1;
	*out = arena_array(s->cmd, total + 1, sizeof **out);
	for (uint32_t seq; (seq = imap_walk_next(&w)) != 0;)
		(*out)[n++] = seq;
	return n;
}

void imap_put_vanished(struct imap *s, const struct imap_set *uids, bool earlier, struct buf *out)
{
	(void)s;
	if (uids->n == 0)
		return;
	buf_puts(out, earlier ? "* VANISHED (EARLIER) " : "* VANISHED ");
	imap_set_put(uids, out);
	buf_puts(out, "\r\n");
}

/* The gaps of the view within first..last. */
static void add_gaps(struct imap *s, struct imap_range in, struct imap_set *missing, size_t *cap)
{
	uint32_t count = view_count(s->view), from = in.first;

	for (uint32_t seq = view_seq_from(s->view, in.first); from <= in.last; seq++) {
		uint32_t uid = seq > count ? UINT32_MAX : view_get(s->view, seq)->uid;
		uint32_t end = uid > in.last ? in.last : uid - 1;

		if (from <= end) {
			imap_set_add(missing, cap, from, s->cmd);
			missing->r[missing->n - 1].last = end;
		}
		if (uid >= in.last)
			return;
		from = uid + 1;
	}
}

void imap_missing_uids(struct imap *s, const struct imap_set *uids, struct imap_set *missing_out)
{
	const struct imap_range all = { 1, mbox_uidnext(s->mbox) - 1 };
	size_t cap = 0;

	*missing_out = (struct imap_set){ NULL, 0, false };
	if (uids == NULL && all.last > 0)
		add_gaps(s, all, missing_out, &cap);
	for (size_t i = 0; uids != NULL && i < uids->n; i++) {
		struct imap_range r = uids->r[i];

		r.last = r.last > all.last ? all.last : r.last;
		if (r.first <= r.last)
			add_gaps(s, r, missing_out, &cap);
	}
}
