/*
 * imapd/subject.c - RFC 5256 2.1, as a cursor at either end that only moves inwards.
 */
#include "imapd/subject.h"

#include <string.h>

enum { SUBJECT_MAX = 2000 };                                          /* blobs make the work square: this bounds it */

/* Step 1: runs of blanks become one, outer ones go. */
static struct slice squeeze(struct slice s, struct arena *a)
{
	s = slice_head(s, SUBJECT_MAX);
	char *p = arena_alloc(a, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		bool blank = ascii_is_blank(s.p[i]) || s.p[i] == '\r' || s.p[i] == '\n';

		if (!blank)
			p[n++] = s.p[i];
		else if (n > 0 && p[n - 1] != ' ')
			p[n++] = ' ';
	}
	while (n > 0 && p[n - 1] == ' ')
		n--;
	return slice_mem(p, n);
}

static bool cut_tail(struct slice *s)
{
	size_t before = s->n;

	if (slice_iends(*s, SLICE("(fwd)")))
		s->n -= 5;
	while (s->n > 0 && s->p[s->n - 1] == ' ')
		s->n--;
	return s->n != before;
}

/* "[" no brackets "]" blanks at the front; 0: none. */
static size_t blob(struct slice s)
{
	if (s.n == 0 || s.p[0] != '[')
		return 0;
	size_t i = 1;

	while (i < s.n && s.p[i] != ']' && s.p[i] != '[')
		i++;
	if (i == s.n || s.p[i] == '[')
		return 0;
	i++;
	while (i < s.n && s.p[i] == ' ')
		i++;
	return i;
}

/* ("re" / "fw" / "fwd") blanks [blob] ":" at the front; 0: none. */
static size_t refwd(struct slice s)
{
	size_t i = slice_istarts(s, SLICE("fwd")) ? 3 : slice_istarts(s, SLICE("re")) || slice_istarts(s, SLICE("fw")) ? 2 : 0;

	if (i == 0)
		return 0;
	while (i < s.n && s.p[i] == ' ')
		i++;
	i += blob(slice_from(s, i));
	return i < s.n && s.p[i] == ':' ? i + 1 : 0;
}

/* Step 3 and 4: one leader or blob. */
static bool cut_head(struct slice *s, bool *is_reply)
{
	struct slice rest = *s;
	size_t n;

	while (rest.n > 0 && rest.p[0] == ' ')
		rest = slice_from(rest, 1);
	if (rest.n != s->n) {
		*s = rest;
		return true;
	}
	while ((n = blob(rest)) > 0)                                  /* blobs before "Re:" belong to it */
		rest = slice_from(rest, n);
	n = refwd(rest);
	if (n > 0) {
		*s = slice_from(rest, n);
		*is_reply = true;
		return true;
	}
	n = blob(*s);
	if (n > 0 && n < s->n) {
		*s = slice_from(*s, n);
		return true;
	}
	return false;
}

struct slice subject_base(struct slice decoded, struct arena *a, bool *is_reply_out)
{
	struct slice s = squeeze(decoded, a);
	bool is_reply = false, again = true;

	while (again) {
		again = false;
		while (cut_tail(&s))
			;
		while (cut_head(&s, &is_reply))
			;
		if (slice_istarts(s, SLICE("[fwd:")) && slice_ends(s, SLICE("]"))) {
			s = slice_mem(s.p + 5, s.n - 6);
			is_reply = again = true;
		}
	}
	*is_reply_out = is_reply;
	return s;
}
