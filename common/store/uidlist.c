/*
 * store/uidlist.c - see uidlist.h.
 */
#include "store/uidlist.h"

#include <string.h>

#include "base/num.h"

static int read_header(struct slice line, struct uidlist *l)
{
	struct slice version, word;

	if (!slice_word(&line, &version))
		return -1;
	if (slice_eqs(version, "1")) {
		if (!slice_word(&line, &word) || num_u32(word, UINT32_MAX, &l->uidvalidity) != 0 || !slice_word(&line, &word))
			return -1;
		return num_u32(word, UINT32_MAX - 1, &l->uidnext);
	}
	if (!slice_eqs(version, "3"))
		return -1;
	while (slice_word(&line, &word)) {
		if (word.p[0] == 'V' && num_u32(slice_from(word, 1), UINT32_MAX, &l->uidvalidity) != 0)
			return -1;
		if (word.p[0] == 'N' && num_u32(slice_from(word, 1), UINT32_MAX - 1, &l->uidnext) != 0)
			return -1;
	}
	return 0;
}

/* "12 S100 W104 :1700000000.M1P2.host,S=100" or "12 1700000000.M1P2.host" */
static bool read_entry(struct slice line, struct uidlist_entry *out)
{
	struct slice word;
	ptrdiff_t colon;

	if (!slice_word(&line, &word) || num_u32(word, UINT32_MAX - 1, &out->uid) != 0 || out->uid == 0)
		return false;
	colon = slice_find(line, SLICE(" :"));
	out->base = colon >= 0 ? slice_from(line, (size_t)colon + 2) : slice_trim(line);
	colon = slice_rchr(out->base, ':');
	if (colon > 0)
		out->base = slice_head(out->base, (size_t)colon);
	return out->base.n > 0;
}

int uidlist_parse(struct slice text, struct arena *a, struct uidlist *out)
{
	struct uidlist l = { 0 };
	struct slice line, rest;
	size_t lines = 0;

	if (!slice_next(&text, '\n', &line) || read_header(line, &l) != 0 || l.uidvalidity == 0)
		return -1;
	for (rest = text; slice_next(&rest, '\n', &line);)
		lines++;
	l.v = arena_array(a, lines + 1, sizeof *l.v);
	while (slice_next(&text, '\n', &line))
		if (read_entry(line, &l.v[l.n])) {
			if (l.v[l.n].uid >= l.uidnext)
				l.uidnext = l.v[l.n].uid + 1;
			l.n++;
		}
	if (l.uidnext == 0)
		l.uidnext = 1;
	*out = l;
	return 0;
}

size_t uidlist_keywords(struct slice text, struct slice *names_out, size_t most)
{
	struct slice line, word;
	size_t n = 0;
	uint32_t at;

	while (slice_next(&text, '\n', &line))
		if (slice_word(&line, &word) && num_u32(word, (uint32_t)most - 1, &at) == 0 && at == n && slice_word(&line, &word))
			names_out[n++] = word;
	return n;
}

struct slice uidlist_subscription(struct slice line, bool version2, struct arena *a)
{
	struct slice s = slice_trim(line);
	char *p;

	if (slice_starts(s, SLICE("INBOX.")) || slice_starts(s, SLICE("INBOX/")))
		s = slice_from(s, 6);
	if (s.n == 0 || slice_ieqs(s, "INBOX"))
		return SLICE_NONE;
	p = arena_printf(a, ".%.*s", SLICE_FMT(s));
	for (char *c = p + 1; *c != '\0'; c++)
		if (*c == (version2 ? '\t' : '/'))
			*c = '.';
	return slice_of(p);
}
