/*
 * mail/header_words.c - encoded words (RFC 2047). Words of one charset that follow each other are put together before they are converted,
 * because many mail programs cut in the middle of a character.
 */
#include <stdlib.h>

#include "base/num.h"
#include "base/text.h"
#include "mail/charset.h"
#include "mail/header.h"

struct word {
	struct slice charset, text;
	char encoding;                                                /* 'q' or 'b' */
	size_t n;                                                     /* octets of all of it */
};

/* "=?charset*language?Q?text?=" at the start of s. */
static bool read_word(struct slice s, struct word *out)
{
	struct slice rest, charset, encoding;
	ptrdiff_t end, star;

	if (!slice_starts(s, SLICE("=?")))
		return false;
	rest = slice_from(s, 2);
	if (slice_chr(slice_head(rest, 64), '?') < 0 || !slice_next(&rest, '?', &charset))
		return false;
	if (rest.n < 2 || rest.p[1] != '?' || !slice_next(&rest, '?', &encoding))
		return false;
	end = slice_chr(rest, '?');
	if (end < 0 || (size_t)end + 1 >= rest.n || rest.p[end + 1] != '=')
		return false;
	star = slice_chr(charset, '*');
	out->charset = star < 0 ? charset : slice_head(charset, (size_t)star);
	out->encoding = ascii_lower(encoding.p[0]);
	out->text = slice_head(rest, (size_t)end);
	out->n = (size_t)(rest.p - s.p) + (size_t)end + 2;
	return (out->encoding == 'q' || out->encoding == 'b') && charset_is_known(out->charset);
}

static void decode_q(struct slice s, struct buf *out)
{
	uint64_t v;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '=' && i + 2 < s.n && num_hex(slice_mem(s.p + i + 1, 2), &v) == 0) {
			buf_putc(out, (char)v);
			i += 2;
		} else {
			buf_putc(out, s.p[i] == '_' ? ' ' : s.p[i]);
		}
}

/* Padding that is missing is what cut lines look like: it is made up for. */
static bool decode_b(struct slice s, struct buf *out)
{
	struct buf padded;
	bool ok;

	while (s.n > 0 && s.p[s.n - 1] == '=')
		s.n--;
	buf_init(&padded, BUF_UNBOUNDED);
	buf_put(&padded, s);
	while (padded.len % 4 != 0)
		buf_putc(&padded, '=');
	ok = text_unbase64(buf_view(&padded), out) == 0;
	buf_done(&padded);
	return ok;
}

static bool decode_word(const struct word *w, struct buf *out)
{
	if (w->encoding == 'b')
		return decode_b(w->text, out);
	decode_q(w->text, out);
	return true;
}

static size_t blanks_at(struct slice s)
{
	size_t n = 0;

	while (n < s.n && ascii_is_blank(s.p[n]))
		n++;
	return n;
}

/* A run of words of one charset and the blanks between them; 0: the first is none. */
static size_t take_run(struct slice s, struct buf *octets, struct buf *out)
{
	struct word first, next;
	size_t n, blanks;

	buf_reset(octets);
	if (!read_word(s, &first) || !decode_word(&first, octets))
		return 0;
	for (n = first.n;; n += blanks + next.n) {
		size_t was = octets->len;

		blanks = blanks_at(slice_from(s, n));
		if (!read_word(slice_from(s, n + blanks), &next) || !slice_ieq(next.charset, first.charset))
			break;
		if (!decode_word(&next, octets)) {
			buf_cut(octets, was);
			break;
		}
	}
	if (charset_to_utf8(first.charset, buf_view(octets), out) < 0)
		return 0;
	/* Blanks before a word of another charset belong to no text either. */
	blanks = blanks_at(slice_from(s, n));
	return read_word(slice_from(s, n + blanks), &next) ? n + blanks : n;
}

struct slice header_decode(struct slice value, struct arena *a)
{
	struct slice s = header_unfold(value, a);
	struct buf out, octets;

	if (slice_find(s, SLICE("=?")) < 0)
		return s;
	buf_init(&out, BUF_UNBOUNDED);
	buf_init(&octets, BUF_UNBOUNDED);
	while (s.n > 0) {
		ptrdiff_t at = slice_find(s, SLICE("=?"));
		size_t plain = at < 0 ? s.n : (size_t)at, n;

		buf_put(&out, slice_head(s, plain));
		s = slice_from(s, plain);
		n = take_run(s, &octets, &out);
		if (n == 0) {
			n = s.n < 2 ? s.n : 2;
			buf_put(&out, slice_head(s, n));
		}
		s = slice_from(s, n);
	}
	s = arena_dup(a, buf_view(&out));
	buf_done(&out);
	buf_done(&octets);
	return s;
}
