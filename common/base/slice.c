#include "base/slice.h"

#include <string.h>

struct slice slice_of(const char *str)
{
	return str == NULL ? SLICE_NONE : (struct slice){ str, strlen(str) };
}

bool slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_ieq(struct slice a, struct slice b)
{
	return a.n == b.n && slice_icmp(a, b) == 0;
}

bool slice_eqs(struct slice a, const char *b)
{
	return slice_eq(a, slice_of(b));
}

bool slice_ieqs(struct slice a, const char *b)
{
	return slice_ieq(a, slice_of(b));
}

bool slice_starts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_eq(slice_head(s, prefix.n), prefix);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && slice_ieq(slice_head(s, prefix.n), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && slice_eq(slice_from(s, s.n - suffix.n), suffix);
}

bool slice_iends(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && slice_ieq(slice_from(s, s.n - suffix.n), suffix);
}

int slice_cmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

int slice_icmp(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		unsigned char x = (unsigned char)ascii_lower(a.p[i]), y = (unsigned char)ascii_lower(b.p[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return (a.n > b.n) - (a.n < b.n);
}

static bool is_trimmed(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice slice_trim(struct slice s)
{
	while (s.n > 0 && is_trimmed(s.p[0]))
		s = slice_from(s, 1);
	while (s.n > 0 && is_trimmed(s.p[s.n - 1]))
		s.n--;
	return s;
}

ptrdiff_t slice_chr(struct slice s, char c)
{
	const char *at = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return at == NULL ? -1 : at - s.p;
}

ptrdiff_t slice_rchr(struct slice s, char c)
{
	const char *at = s.n > 0 ? memrchr(s.p, c, s.n) : NULL;

	return at == NULL ? -1 : at - s.p;
}

ptrdiff_t slice_find(struct slice s, struct slice needle)
{
	const char *at;

	if (needle.n == 0)
		return 0;
	at = s.n >= needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return at == NULL ? -1 : at - s.p;
}

ptrdiff_t slice_ifind(struct slice s, struct slice needle)
{
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (slice_istarts(slice_from(s, i), needle))
			return (ptrdiff_t)i;
	return -1;
}

bool slice_next(struct slice *rest, char sep, struct slice *field_out)
{
	ptrdiff_t at;

	if (rest->p == NULL)
		return false;
	at = slice_chr(*rest, sep);
	if (at < 0) {
		*field_out = *rest;
		*rest = SLICE_NONE;
	} else {
		*field_out = slice_head(*rest, (size_t)at);
		*rest = slice_from(*rest, (size_t)at + 1);
	}
	return true;
}

bool slice_word(struct slice *rest, struct slice *word_out)
{
	size_t at = 0, end;

	while (at < rest->n && ascii_is_blank(rest->p[at]))
		at++;
	if (at == rest->n)
		return false;
	for (end = at; end < rest->n && !ascii_is_blank(rest->p[end]);)
		end++;
	*word_out = slice_mem(rest->p + at, end - at);
	*rest = slice_from(*rest, end);
	return true;
}
