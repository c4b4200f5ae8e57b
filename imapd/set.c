/*
 * imapd/set.c - sequence sets (RFC 3501 sequence-set, RFC 5182 "$"), see parse.h. 10^5 items cost one sort.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "imapd/parse.h"

static int fail(struct imap_text *t, const char *why)
{
	t->why = why;
	return -1;
}

static int take_seq(struct imap_text *t, uint32_t *out)
{
	if (imap_char(t, '*') == 0) {
		*out = IMAP_STAR;
		return 0;
	}
	if (imap_number(t, out) != 0)
		return -1;
	return *out == 0 ? fail(t, "message numbers begin at 1") : 0;
}

static void put_range(struct imap_set *s, size_t *cap, struct imap_range r, struct arena *a)
{
	if (s->n == *cap) {
		struct imap_range *more = arena_array(a, *cap * 2 + 4, sizeof *more);

		if (s->n > 0)
			memcpy(more, s->r, s->n * sizeof *more);
		s->r = more;
		*cap = *cap * 2 + 4;
	}
	s->r[s->n++] = r;
}

int imap_set(struct imap_text *t, struct imap_set *out)
{
	struct imap_text start = *t;
	struct imap_set s = { NULL, 0, false };
	struct imap_range r;
	size_t cap = 0;

	if (imap_char(t, '$') == 0) {
		*out = (struct imap_set){ NULL, 0, true };
		return 0;
	}
	do {
		if (take_seq(t, &r.first) != 0 || (r.last = r.first, imap_char(t, ':') == 0 && take_seq(t, &r.last) != 0)) {
			start.why = t->why;
			*t = start;
			return -1;
		}
		put_range(&s, &cap, r, t->a);
	} while (imap_char(t, ',') == 0);
	*out = s;
	return 0;
}

static int by_first(const void *pa, const void *pb)
{
	const struct imap_range *a = pa, *b = pb;

	return a->first < b->first ? -1 : a->first > b->first;
}

void imap_set_tidy(struct imap_set *s)
{
	size_t n = 0;

	if (s->n > 1)
		qsort(s->r, s->n, sizeof *s->r, by_first);
	for (size_t i = 0; i < s->n; i++) {
		struct imap_range *prev = n == 0 ? NULL : &s->r[n - 1];

		if (prev == NULL || (prev->last < UINT32_MAX && s->r[i].first > prev->last + 1))
			s->r[n++] = s->r[i];
		else if (s->r[i].last > prev->last)
			prev->last = s->r[i].last;
	}
	s->n = n;
}

void imap_set_resolve(struct imap_set *s, uint32_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct imap_range r = s->r[i];

		if (max == 0 && (r.first == IMAP_STAR || r.last == IMAP_STAR))
			continue;
		r.first = r.first == IMAP_STAR ? max : r.first;
		r.last = r.last == IMAP_STAR ? max : r.last;
		if (r.first > r.last)
			r = (struct imap_range){ r.last, r.first };
		s->r[n++] = r;
	}
	s->n = n;
	imap_set_tidy(s);
}

bool imap_set_has(const struct imap_set *s, uint32_t v)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v < s->r[mid].first)
			hi = mid;
		else if (v > s->r[mid].last)
			lo = mid + 1;
		else
			return true;
	}
	return false;
}

void imap_set_add(struct imap_set *s, size_t *cap, uint32_t n, struct arena *a)
{
	if (s->n > 0 && s->r[s->n - 1].last + 1 == n)
		s->r[s->n - 1].last = n;
	else
		put_range(s, cap, (struct imap_range){ n, n }, a);
}

void imap_set_put(const struct imap_set *s, struct buf *out)
{
	for (size_t i = 0; i < s->n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		buf_putf(out, "%" PRIu32, s->r[i].first);
		if (s->r[i].last != s->r[i].first)
			buf_putf(out, ":%" PRIu32, s->r[i].last);
	}
}
