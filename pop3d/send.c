/*
 * pop3d/send.c - a message on the wire: dot-stuffed from the mapped file, in bounded steps.
 *
 * What clients choke on is mended on the way (shared facts, Outlook): a NUL goes out as 0x80, a bare LF as CRLF, and a message without an empty
 * line after its header gets one. Chunks that need no mending, nearly all, are stuffed where they lie.
 */
#include "pop3d/pop3.h"

#include <string.h>

#include "mail/line.h"

enum {
	CHUNK = 16 << 10,
	FILE_MIN = 32 << 10,                                          /* below it a copy is cheaper than one more system call */
	FILE_MAX = 1 << 20                                            /* looked through in one step */
};

void pop3_send_start(struct pop3_send *t, const struct mbody *body, uint64_t body_lines, bool by_file)
{
	memset(t, 0, sizeof(*t));
	t->body = *body;
	t->active = true;
	t->bol = true;
	t->body_lines_left = body_lines;
	t->by_file = by_file && body->fd >= 0;
}

void pop3_send_done(struct pop3_send *t)
{
	if (t->active)
		mbody_done(&t->body);
	t->active = false;
}

static bool needs_mending(const struct pop3_send *t, struct slice chunk)
{
	const char *end = chunk.p + chunk.n;

	if (memchr(chunk.p, '\0', chunk.n) != NULL)
		return true;
	for (const char *p = chunk.p; p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		if (p == chunk.p ? !t->cr : p[-1] != '\r')
			return true;
	return false;
}

static void put_mended(const struct pop3_send *t, struct slice chunk, bool *bol, struct buf *out)
{
	struct buf clean;
	char last = t->cr ? '\r' : '\0';

	buf_init(&clean, 2 * CHUNK + 2);
	for (size_t i = 0; i < chunk.n; last = chunk.p[i++]) {
		if (chunk.p[i] == '\n' && last != '\r')
			buf_putc(&clean, '\r');
		buf_putc(&clean, chunk.p[i] == '\0' ? (char)0x80 : chunk.p[i]);
	}
	dot_stuff(buf_view(&clean), bol, out);
	buf_done(&clean);
}

static void put(struct pop3_send *t, struct slice chunk, struct buf *out)
{
	if (chunk.n == 0)
		return;
	if (needs_mending(t, chunk))
		put_mended(t, chunk, &t->bol, out);
	else
		dot_stuff(chunk, &t->bol, out);
	t->cr = chunk.p[chunk.n - 1] == '\r';
	t->at += chunk.n;
}

static size_t whole_lines(struct slice s)
{
	return (size_t)(slice_rchr(s, '\n') + 1);
}

/* What comes next of the file; a CR and its LF stay together. */
static struct slice next_chunk(const struct pop3_send *t)
{
	struct slice rest = slice_from(t->body.octets, t->at), chunk = slice_head(rest, CHUNK);

	if (chunk.n < rest.n && chunk.p[chunk.n - 1] == '\r')
		chunk.n++;
	if (t->by_file && whole_lines(chunk) > 0)
		chunk.n = whole_lines(chunk);                         /* behind them a stretch may begin */
	return chunk;
}

/* The next line of the file with its line end, or as much of it as a chunk holds; *whole_out: its LF is there. */
static struct slice next_line(const struct pop3_send *t, bool *whole_out)
{
	struct slice rest = next_chunk(t);
	ptrdiff_t lf = slice_chr(rest, '\n');

	*whole_out = lf >= 0;
	return lf < 0 ? rest : slice_head(rest, (size_t)lf + 1);
}

/* Header lines up to the empty one, or TOP's lines of the body. */
static void put_line(struct pop3_send *t, struct buf *out)
{
	bool whole, at_bol = t->bol;
	struct slice line = next_line(t, &whole);

	put(t, line, out);
	if (!whole)
		return;
	if (t->in_body)
		t->body_lines_left--;
	else if (at_bol && (slice_eqs(line, "\r\n") || slice_eqs(line, "\n")))
		t->in_body = true;
}

static bool is_at_end(const struct pop3_send *t)
{
	return t->at >= t->body.octets.n || (t->in_body && t->body_lines_left == 0);
}

static void put_end(struct pop3_send *t, struct buf *out)
{
	if (!t->bol)
		buf_puts(out, t->cr ? "\n" : "\r\n");
	if (!t->in_body)
		buf_puts(out, "\r\n");
	buf_puts(out, ".\r\n");
	pop3_send_done(t);
}

/* How many octets of whole lines go as they are: no dot in front, no bare LF, no NUL. */
static size_t clean_stretch(struct slice s)
{
	const char *end = s.p + s.n, *line = s.p, *lf, *nul;

	while (line < end && *line != '.' && (lf = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		if (lf == line || lf[-1] != '\r')
			break;
		line = lf + 1;
	}
	nul = memchr(s.p, '\0', (size_t)(line - s.p));
	return nul == NULL ? (size_t)(line - s.p) : whole_lines(slice_head(s, (size_t)(nul - s.p)));
}

static bool goes_by_file(struct pop3_send *t)
{
	struct slice rest = slice_from(t->body.octets, t->at);
	size_t n;

	if (!t->by_file || !t->bol || rest.n < FILE_MIN)
		return false;
	n = clean_stretch(slice_head(rest, FILE_MAX));
	if (n < FILE_MIN)
		return false;
	t->file_at = t->at;
	t->file_n = n;
	t->at += n;
	return true;
}

enum session_want pop3_send_step(struct pop3_send *t, struct buf *out)
{
	size_t stop = out->len + POP3_STEP;

	t->file_n = 0;
	while (out->len < stop && !is_at_end(t)) {
		if (!t->in_body || t->body_lines_left != UINT64_MAX)
			put_line(t, out);
		else if (goes_by_file(t))
			return SESSION_FILE;
		else
			put(t, next_chunk(t), out);
	}
	if (!is_at_end(t))
		return SESSION_MORE;
	put_end(t, out);
	return SESSION_INPUT;
}
