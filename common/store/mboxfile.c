/*
 * store/mboxfile.c - the mbox format, read and written.
 */
#include "store/mboxfile.h"

#include <time.h>

#include "base/num.h"
#include "mail/header.h"
#include "store/mbox.h"

#define FROM_WORDS 32
#define DATE_MAX 253402300799                                         /* the last second of year 9999: four digits */

/* ---- the From line ---- */

static bool is_one_of(struct slice w, const char *names)
{
	ptrdiff_t at = w.n == 3 ? slice_ifind(slice_of(names), w) : -1;

	return at >= 0 && at % 3 == 0;
}

static bool is_numeric_zone(struct slice w)
{
	return w.n == 5 && (w.p[0] == '+' || w.p[0] == '-');
}

/* What stands behind the time: a year, and a zone before or behind it. */
static bool read_tail(const struct slice *w, size_t n, struct slice *year_out, struct slice *zone_out)
{
	uint32_t year;

	*zone_out = SLICE("+0000");
	*year_out = SLICE_NONE;
	for (size_t i = 0; i < n && i < 3; i++) {
		if (w[i].n == 4 && num_u32(w[i], 9999, &year) == 0) {
			if (year_out->n > 0)
				return false;
			*year_out = w[i];
		} else if (is_numeric_zone(w[i]) || (w[i].n <= 5 && ascii_is_alpha(w[i].p[0]))) {
			*zone_out = w[i];
		} else {
			return false;
		}
	}
	return year_out->n > 0;
}

/* w[i] would be the month. */
static bool read_date(const struct slice *w, size_t n, size_t i, int64_t *date_out)
{
	struct slice year, zone;
	struct buf text;
	bool ok;

	if (i + 4 > n || !is_one_of(w[i], "JanFebMarAprMayJunJulAugSepOctNovDec") || slice_chr(w[i + 2], ':') < 1 ||
	    !read_tail(w + i + 3, n - i - 3, &year, &zone))
		return false;
	buf_init(&text, BUF_UNBOUNDED);
	buf_putf(&text, "%.*s %.*s %.*s %.*s %.*s", SLICE_FMT(w[i + 1]), SLICE_FMT(w[i]), SLICE_FMT(year), SLICE_FMT(w[i + 2]), SLICE_FMT(zone));
	ok = date_parse(buf_view(&text), date_out, NULL) == 0;
	buf_done(&text);
	return ok;
}

int mboxfile_from_line(struct slice line, struct slice *sender_out, int64_t *date_out)
{
	struct slice rest = slice_trim(line), w[FROM_WORDS];
	size_t n = 0;

	if (!slice_starts(line, SLICE("From ")))
		return -1;
	while (n < FROM_WORDS && slice_word(&rest, &w[n]))
		n++;
	for (size_t i = 1; i + 4 <= n; i++) {
		if (!read_date(w, n, i, date_out))
			continue;
		if (i > 1 && is_one_of(w[i - 1], "MonTueWedThuFriSatSun"))
			i--;
		*sender_out = i == 1 ? SLICE("") : (struct slice){ w[1].p, (size_t)(w[i - 1].p + w[i - 1].n - w[1].p) };
		return 0;
	}
	return -1;
}

/* ---- messages of a file ---- */

static struct slice line_at(struct slice file, size_t at)             /* with its line end */
{
	struct slice rest = slice_from(file, at);
	ptrdiff_t lf = slice_chr(rest, '\n');

	return lf < 0 ? rest : slice_head(rest, (size_t)lf + 1);
}

static bool is_empty_line(struct slice line)
{
	return slice_eqs(line, "\n") || slice_eqs(line, "\r\n");
}

/* Where the next From line at or behind `at`, the start of a line, begins; file.n: none. */
static size_t find_from(struct slice file, size_t at)
{
	struct slice sender;
	int64_t date;

	for (;;) {
		ptrdiff_t lf;

		if (at >= file.n || mboxfile_from_line(line_at(file, at), &sender, &date) == 0)
			return at;
		lf = slice_find(slice_from(file, at), SLICE("\nFrom "));
		if (lf < 0)
			return file.n;
		at += (size_t)lf + 1;
	}
}

static struct slice without_last_empty_line(struct slice raw)
{
	if (slice_eqs(raw, "\n") || slice_eqs(raw, "\r\n"))
		return slice_head(raw, 0);
	if (slice_ends(raw, SLICE("\n\r\n")))
		return slice_head(raw, raw.n - 2);
	return slice_ends(raw, SLICE("\n\n")) ? slice_head(raw, raw.n - 1) : raw;
}

int mboxfile_next(struct slice file, size_t *at, struct mboxfile_message *out)
{
	struct mboxfile_message m = { .at = *at };
	struct slice line;
	size_t end;

	while (m.at < file.n && is_empty_line(line_at(file, m.at)))
		m.at += line_at(file, m.at).n;
	if (m.at >= file.n)
		return 0;
	line = line_at(file, m.at);
	if (mboxfile_from_line(line, &m.sender, &m.date) != 0)
		return -1;
	end = find_from(file, m.at + line.n);
	m.raw = without_last_empty_line((struct slice){ file.p + m.at + line.n, end - m.at - line.n });
	*at = end;
	*out = m;
	return 1;
}

/* ---- bookkeeping ---- */

enum keeping { KEEP_NOT, KEEP_STATUS, KEEP_KEYWORDS, KEEP_UID, KEEP_FOLDER };

static bool is_made_of(struct slice s, const char *letters)
{
	for (size_t i = 0; i < s.n; i++)
		if (slice_chr(slice_of(letters), s.p[i]) < 0)
			return false;
	return true;
}

/* A field of such a name that holds something else is the message's own. */
static enum keeping keeping_of(struct slice line, struct slice *value_out)
{
	ptrdiff_t colon = slice_chr(line, ':');
	struct slice name;

	if (colon < 0)
		return KEEP_NOT;
	name = slice_head(line, (size_t)colon);
	*value_out = slice_trim(slice_from(line, (size_t)colon + 1));
	if (slice_ieqs(name, "Status") && is_made_of(*value_out, "RONU"))
		return KEEP_STATUS;
	if (slice_ieqs(name, "X-Status") && is_made_of(*value_out, "AFTDRO"))
		return KEEP_STATUS;
	if (slice_ieqs(name, "X-Keywords"))
		return KEEP_KEYWORDS;
	if (slice_ieqs(name, "X-UID") && is_made_of(*value_out, "0123456789 "))
		return KEEP_UID;
	return slice_ieqs(name, "X-IMAP") || slice_ieqs(name, "X-IMAPbase") ? KEEP_FOLDER : KEEP_NOT;
}

static const struct { char letter; bool in_x; uint32_t flag; } status_letters[] = {
	{ 'R', false, MSG_SEEN }, { 'A', true, MSG_ANSWERED }, { 'F', true, MSG_FLAGGED }, { 'T', true, MSG_DRAFT }, { 'D', true, MSG_DELETED },
};
#define N_LETTERS (sizeof status_letters / sizeof status_letters[0])

static void note_status(struct slice value, struct mboxfile_marks *m)
{
	for (size_t i = 0; i < N_LETTERS; i++)
		if (slice_chr(value, status_letters[i].letter) >= 0)
			m->flags |= status_letters[i].flag;
}

static bool is_keyword(struct slice w)                                /* an atom of RFC 3501 */
{
	for (size_t i = 0; i < w.n; i++)
		if (!ascii_is_print(w.p[i]) || slice_chr(SLICE("(){%*\"\\] "), w.p[i]) >= 0)
			return false;
	return w.n > 0;
}

static void note_keywords(struct slice value, struct mboxfile_marks *m)
{
	struct slice word;

	while (slice_word(&value, &word)) {
		word = slice_trim(word);
		if (slice_ieqs(word, "$Forwarded"))
			m->flags |= MSG_FORWARDED;
		else if (is_keyword(word) && m->n_keywords < MBOXFILE_KEYWORDS)
			m->keywords[m->n_keywords++] = word;
	}
}

/* "1700000000 0000000123 keyword ...": UIDVALIDITY, the last UID given. */
static void note_folder(struct slice value, struct mboxfile_marks *m)
{
	uint32_t uidvalidity, last;
	struct slice word;

	if (slice_word(&value, &word) && num_u32(word, UINT32_MAX, &uidvalidity) == 0 && slice_word(&value, &word) && num_u32(word, UINT32_MAX - 2, &last) == 0) {
		m->uidvalidity = uidvalidity;
		m->uidnext = last + 1;
	}
}

static void note_uid(struct slice value, struct mboxfile_marks *m)
{
	if (num_u32(value, UINT32_MAX - 2, &m->uid) != 0)
		m->uid = 0;
}

static void note(enum keeping k, struct slice value, struct mboxfile_marks *m)
{
	if (k == KEEP_STATUS)
		note_status(value, m);
	else if (k == KEEP_KEYWORDS)
		note_keywords(value, m);
	else if (k == KEEP_UID)
		note_uid(value, m);
	else if (k == KEEP_FOLDER && m->uidvalidity == 0)
		note_folder(value, m);
	m->is_internal = m->is_internal || k == KEEP_FOLDER;
}

/* ---- line by line ---- */

/* Walks a message; dropped fields are noted in *marks (may be NULL). */
struct walk { struct slice rest; bool in_body, in_dropped; enum keeping last; struct mboxfile_marks *marks; };

static bool walk_next(struct walk *w, struct slice *line_out)
{
	while (w->rest.n > 0) {
		struct slice line = line_at(w->rest, 0), value = SLICE("");
		bool folded = ascii_is_blank(line.p[0]);

		w->rest = slice_from(w->rest, line.n);
		w->in_body = w->in_body || is_empty_line(line);
		if (!w->in_body && !folded) {
			w->last = keeping_of(line, &value);
			w->in_dropped = w->last != KEEP_NOT;
		} else if (!w->in_body) {
			value = slice_trim(line);
		}
		if (w->in_body || !w->in_dropped) {
			*line_out = line;
			return true;
		}
		if (w->marks != NULL)
			note(w->last, value, w->marks);
	}
	return false;
}

static bool is_quotable(struct slice line)                            /* ^>*From_ */
{
	while (line.n > 0 && line.p[0] == '>')
		line = slice_from(line, 1);
	return slice_starts(line, SLICE("From "));
}

static void put_line(struct slice line, const char *end, struct buf *out)
{
	if (slice_ends(line, SLICE("\n")))
		line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	buf_put(out, line);
	buf_puts(out, end);
}

void mboxfile_clean(struct slice raw, struct mboxfile_marks *marks_out, struct buf *out)
{
	struct walk w = { .rest = raw, .marks = marks_out };
	struct slice line;

	*marks_out = (struct mboxfile_marks){ .flags = 0 };
	while (walk_next(&w, &line))
		put_line(line.p[0] == '>' && is_quotable(line) ? slice_from(line, 1) : line, "\r\n", out);
	if (marks_out->is_internal)                                   /* X-IMAP rides in true first messages too */
		marks_out->is_internal = slice_find(raw, SLICE("DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA")) >= 0;
}

static void put_from(int64_t date, struct buf *out)
{
	time_t t = date < 0 || date > DATE_MAX ? 0 : (time_t)date;
	struct tm tm;
	char text[64];

	if (gmtime_r(&t, &tm) == NULL || strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &tm) == 0)
		buf_puts(out, "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
	else
		buf_putf(out, "From MAILER-DAEMON %s\n", text);
}

static void put_marks(const struct mboxfile_marks *m, struct buf *out)
{
	if (m->uidvalidity != 0)
		buf_putf(out, "X-IMAPbase: %u %010u\n", m->uidvalidity, m->uidnext - 1);
	buf_putf(out, "Status: %sO\n", (m->flags & MSG_SEEN) != 0 ? "R" : "");
	if ((m->flags & (MSG_ANSWERED | MSG_FLAGGED | MSG_DRAFT | MSG_DELETED)) != 0) {
		buf_puts(out, "X-Status: ");
		for (size_t i = 0; i < N_LETTERS; i++)
			if (status_letters[i].in_x && (m->flags & status_letters[i].flag) != 0)
				buf_putc(out, status_letters[i].letter);
		buf_putc(out, '\n');
	}
	if (m->n_keywords > 0 || (m->flags & MSG_FORWARDED) != 0) {
		buf_puts(out, "X-Keywords:");
		if ((m->flags & MSG_FORWARDED) != 0)
			buf_puts(out, " $Forwarded");
		for (size_t i = 0; i < m->n_keywords; i++)
			buf_putf(out, " %.*s", SLICE_FMT(m->keywords[i]));   /* an atom: no NUL in it */
		buf_putc(out, '\n');
	}
	if (m->uid != 0)
		buf_putf(out, "X-UID: %u\n", m->uid);
}

void mboxfile_put(struct slice octets, const struct mboxfile_marks *marks, int64_t date, struct buf *out)
{
	struct walk w = { .rest = octets };
	struct slice line;
	bool marked = false;

	put_from(date, out);
	while (walk_next(&w, &line)) {
		if (w.in_body && !marked) {
			put_marks(marks, out);
			marked = true;
		}
		if (is_quotable(line))
			buf_putc(out, '>');
		put_line(line, "\n", out);
	}
	if (!marked)
		put_marks(marks, out);
	buf_putc(out, '\n');
}

void mboxfile_to_crlf(struct slice s, struct buf *out)
{
	while (s.n > 0) {
		ptrdiff_t lf = slice_chr(s, '\n');
		size_t n = lf < 0 ? s.n : (size_t)lf;

		buf_put(out, slice_head(s, n));
		if (lf >= 0)
			buf_puts(out, n > 0 && s.p[n - 1] == '\r' ? "\n" : "\r\n");
		s = slice_from(s, n + 1);
	}
}

void mboxfile_to_lf(struct slice s, struct buf *out)
{
	while (s.n > 0) {
		ptrdiff_t lf = slice_find(s, SLICE("\r\n"));
		size_t n = lf < 0 ? s.n : (size_t)lf;

		buf_put(out, slice_head(s, n));
		if (lf >= 0)
			buf_putc(out, '\n');
		s = slice_from(s, n + 2);
	}
}
