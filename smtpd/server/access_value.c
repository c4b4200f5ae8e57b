/*
 * server/access_value.c - what the value of an entry says. Pure.
 */
#include "server/access.h"

#include "base/num.h"

static void set_hit(struct access_hit *hit, enum access_verb verb, enum code why, const char *status, struct slice text)
{
	hit->verb = verb;
	hit->why = why;
	hit->status = status;
	hit->text = text;
}

static bool is_code(struct slice s)
{
	return s.n == 3 && (s.p[0] == '4' || s.p[0] == '5') && ascii_is_digit(s.p[1]) && ascii_is_digit(s.p[2]);
}

/* RFC 3463: class.subject.detail */
static bool is_dsn(struct slice s)
{
	struct slice part;
	size_t parts = 0;
	uint64_t n;

	while (slice_next(&s, '.', &part)) {
		if (num_u64(part, 999, &n) != 0)
			return false;
		parts++;
	}
	return parts == 3;
}

/* sendmail says "450 5.0.0" where one writes ERROR:450; we keep the class of both codes the same. */
static const char *join_codes(struct slice code, struct slice dsn, struct arena *ar)
{
	if (!is_dsn(dsn) || dsn.p[0] != code.p[0])
		return arena_printf(ar, "%.*s %c.%s", SLICE_FMT(code), code.p[0], is_dsn(dsn) ? arena_str(ar, slice_from(dsn, 2)) : "0.0");
	return arena_printf(ar, "%.*s %.*s", SLICE_FMT(code), SLICE_FMT(dsn));
}

/* "nnn text" or "nnn d.s.n text"; dsn where it was given before. */
static bool read_reply(struct slice s, struct slice dsn, struct arena *ar, struct access_hit *hit)
{
	struct slice code, word, after;

	if (!slice_word(&s, &code) || !is_code(code))
		return false;
	after = s;
	if (slice_word(&after, &word) && is_dsn(word)) {
		dsn = word;
		s = after;
	}
	s = slice_trim(s);
	set_hit(hit, code.p[0] == '4' ? ACCESS_DEFER : ACCESS_REJECT, CODE_ACCESS_WORDS, join_codes(code, dsn, ar), s.n > 0 ? arena_dup(ar, s) : SLICE("Access denied"));
	return true;
}

/* ERROR:D.S.N:nnn text, ERROR:nnn text, ERROR:"nnn text" */
static bool read_error(struct slice s, struct arena *ar, struct access_hit *hit)
{
	ptrdiff_t colon = slice_chr(s, ':');
	struct slice dsn = SLICE_NONE;

	if (colon > 0 && is_dsn(slice_head(s, (size_t)colon))) {
		dsn = slice_head(s, (size_t)colon);
		s = slice_from(s, (size_t)colon + 1);
	}
	s = slice_trim(s);
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		s = slice_mem(s.p + 1, s.n - 2);
	return read_reply(s, dsn, ar, hit);
}

static bool is_all_digits(struct slice s)
{
	uint64_t n;

	return s.n > 3 && num_u64(s, UINT64_MAX, &n) == 0;            /* a DRAC table read as an access map: Postfix takes it as OK */
}

void access_read_value(struct slice value, struct arena *ar, struct access_hit *hit_out)
{
	static const struct { const char *word; enum access_verb verb; enum code why; const char *text; } words[] = {
		{ "OK", ACCESS_OK, CODE_NONE, "" }, { "RELAY", ACCESS_RELAY, CODE_NONE, "" }, { "REJECT", ACCESS_REJECT, CODE_ACCESS_DENIED, "Access denied" },
		{ "DISCARD", ACCESS_DISCARD, CODE_NONE, "" }, { "SKIP", ACCESS_SKIP, CODE_NONE, "" }, { "DUNNO", ACCESS_SKIP, CODE_NONE, "" },
		{ "HOLD", ACCESS_HOLD, CODE_NONE, "" }, { "QUARANTINE", ACCESS_HOLD, CODE_NONE, "" },
		{ "DEFER", ACCESS_DEFER, CODE_ACCESS_DEFER, "Access denied for now, try again" },
	};
	struct slice v = slice_trim(value), word = v;
	ptrdiff_t colon = slice_chr(v, ':');

	if (colon > 0 && slice_ieqs(slice_head(v, (size_t)colon), "ERROR")) {
		if (read_error(slice_from(v, (size_t)colon + 1), ar, hit_out))
			return;
	} else if (read_reply(v, SLICE_NONE, ar, hit_out)) {
		return;
	}
	if (colon > 0 && (slice_istarts(v, SLICE("QUARANTINE:")) || slice_istarts(v, SLICE("DISCARD:"))))
		word = slice_head(v, (size_t)colon);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_ieqs(word, words[i].word)) {
			set_hit(hit_out, words[i].verb, words[i].why, words[i].why == CODE_NONE ? "" : code_row(words[i].why)->status, slice_of(words[i].text));
			return;
		}
	if (is_all_digits(v)) {
		set_hit(hit_out, ACCESS_OK, CODE_NONE, "", SLICE_NONE);
		return;
	}
	set_hit(hit_out, ACCESS_BROKEN, CODE_ACCESS_BROKEN, code_row(CODE_ACCESS_BROKEN)->status, SLICE("The access map has a value here that nobody understands; the postmaster has been told"));
}
