/*
 * imapd/reader.c - see reader.h.
 */
#include "imapd/reader.h"

#include <string.h>

#include "base/limits.h"
#include "base/num.h"
#include "imapd/parse.h"
#include "mail/line.h"

const struct imap_caps imap_caps_login = {
	.line = LIMIT_IMAP_LINE_PRELOGIN, .literal = LIMIT_IMAP_LITERAL_PRELOGIN, .swallow = 64u << 10, .where = " before login",
};
const struct imap_caps imap_caps_session = {
	.line = LIMIT_IMAP_LINE, .literal = LIMIT_IMAP_LITERAL, .swallow = 256u << 20, .where = "",
};

void imap_reader_init(struct imap_reader *r, const struct imap_caps *caps)
{
	*r = (struct imap_reader){ .caps = caps };
	buf_init(&r->text, caps->line + caps->literal + 64);
}

void imap_reader_done(struct imap_reader *r)
{
	buf_wipe(&r->text);                                           /* LOGIN's password may have come as a literal */
}

bool imap_reader_is_idle(const struct imap_reader *r)
{
	return r->want == 0 && !r->refused && (r->finished || r->text.len == 0);
}

static void next_command(struct imap_reader *r)
{
	buf_reset(&r->text);
	if (r->text.cap > 4096)
		buf_shrink(&r->text);
	r->lines = r->literals = 0;
	r->finished = r->refused = false;
}

/* BAD with the tag of the command that was begun, where it is one. */
static enum imap_read bad(const struct imap_reader *r, struct slice line, const char *why, struct buf *out)
{
	struct imap_text t;
	struct slice tag;

	imap_text_init(&t, r->text.len > 0 ? buf_view(&r->text) : line, NULL);
	if (imap_tag(&t, &tag) != 0 || !imap_peek(&t, ' ') || tag.n > 100)
		tag = SLICE("*");
	buf_putf(out, "%.*s BAD %s\r\n", SLICE_FMT(tag), why);
	return IMAP_READ_BAD;
}

enum imap_read imap_reader_refuse(struct imap_reader *r, struct buf *out)
{
	if (!r->plus) {                                               /* the client waits for "+", reads the refusal and sends nothing */
		next_command(r);
		return IMAP_READ_BAD;
	}
	if (r->size > r->caps->swallow) {
		buf_puts(out, "* BYE that literal is too large to skip, good-bye\r\n");
		return IMAP_READ_CLOSE;
	}
	buf_reset(&r->text);
	r->want = r->size;
	r->refused = true;
	return IMAP_READ_BAD;
}

void imap_reader_stream(struct imap_reader *r, struct buf *out)
{
	if (!r->plus)
		buf_puts(out, "+ send the message\r\n");
	next_command(r);
}

/* Does the line end with {n}, {n+} or {n-}? A number beyond all bounds is UINT64_MAX. */
static bool ends_with_literal(struct slice line, uint64_t *size_out, bool *plus_out)
{
	ptrdiff_t brace = slice_ends(line, SLICE("}")) ? slice_rchr(line, '{') : -1;

	if (brace < 0)
		return false;
	struct slice digits = slice_mem(line.p + brace + 1, line.n - (size_t)brace - 2);

	*plus_out = slice_ends(digits, SLICE("+")) || slice_ends(digits, SLICE("-"));
	if (*plus_out)
		digits.n--;
	for (size_t i = 0; i < digits.n; i++)
		if (!ascii_is_digit(digits.p[i]))
			return false;
	if (digits.n > 0 && num_u64(digits, UINT64_MAX - 1, size_out) != 0)
		*size_out = UINT64_MAX;
	return digits.n > 0;
}

/* The line in `line` ends with a literal. MORE: go on with it. */
static enum imap_read announced(struct imap_reader *r, struct slice line, struct slice *command_out, struct buf *out)
{
	if (r->refused) {
		enum imap_read end = imap_reader_refuse(r, out);

		return end == IMAP_READ_CLOSE ? end : IMAP_READ_MORE;
	}
	if (buf_add(&r->text, line) != 0)
		return IMAP_READ_CLOSE;                               /* cannot be: the caps are below text.max */
	if (r->streams != NULL && r->streams(r->ctx, buf_view(&r->text))) {
		*command_out = buf_view(&r->text);
		return IMAP_READ_LITERAL;
	}
	if (r->size > r->caps->literal || r->literals + r->size > r->caps->literal) {
		struct buf b;

		buf_init(&b, BUF_UNBOUNDED);
		buf_putf(&b, "literal larger than %zu octets%s", r->caps->literal, r->caps->where);
		bad(r, line, r->size == UINT64_MAX ? "number out of range" : buf_str(&b), out);
		buf_done(&b);
		return imap_reader_refuse(r, out);
	}
	if (buf_adds(&r->text, "\r\n") != 0)
		return IMAP_READ_CLOSE;
	r->literals += (size_t)r->size;
	r->want = r->size;
	if (!r->plus)
		buf_puts(out, "+ go on\r\n");
	return IMAP_READ_MORE;
}

static void take_literal(struct imap_reader *r, struct slice *in, size_t *used)
{
	size_t n = in->n < r->want ? in->n : (size_t)r->want;

	if (!r->refused && buf_add(&r->text, slice_head(*in, n)) != 0)
		r->refused = true;                                    /* cannot be: the caps are below text.max */
	r->want -= n;
	*used += n;
	*in = slice_from(*in, n);
}

static enum imap_read too_long(struct imap_reader *r, struct buf *out)
{
	buf_putf(out, "* BYE command line longer than %zu octets%s, good-bye\r\n", r->caps->line, r->caps->where);
	return IMAP_READ_CLOSE;
}

/* A line that no command may have: it is skipped to its LF, with all of the command. */
static enum imap_read bad_line(struct imap_reader *r, struct slice in, size_t *used, struct buf *out)
{
	ptrdiff_t lf = slice_chr(in, '\n');
	struct slice line = slice_head(in, lf < 0 ? in.n : (size_t)lf);

	*used += lf < 0 ? in.n : (size_t)lf + 1;
	if (!r->refused)
		bad(r, line, slice_chr(line, '\0') >= 0 ? "NUL is not allowed" : "a command line ends with CR LF, and has neither inside", out);
	next_command(r);
	return IMAP_READ_BAD;
}

/* A whole line without literal: the end of the command. */
static enum imap_read last_line(struct imap_reader *r, struct slice line, struct slice *command_out)
{
	if (r->refused) {
		next_command(r);
		return IMAP_READ_MORE;
	}
	r->finished = true;
	*command_out = line;
	if (r->text.len == 0)
		return IMAP_READ_COMMAND;
	if (buf_add(&r->text, line) != 0)
		return IMAP_READ_CLOSE;
	*command_out = buf_view(&r->text);
	return IMAP_READ_COMMAND;
}

enum imap_read imap_reader_input(struct imap_reader *r, struct slice in, size_t *used_out, struct slice *command_out, struct buf *out)
{
	enum imap_read got = IMAP_READ_MORE;
	struct slice line;
	size_t used;

	*used_out = 0;
	if (r->finished)
		next_command(r);
	while (got == IMAP_READ_MORE && (in.n > 0 || r->want > 0)) {
		if (r->want > 0) {
			if (in.n == 0)
				return IMAP_READ_MORE;
			take_literal(r, &in, used_out);
			continue;
		}
		switch (line_take(in, &line, &used)) {
		case PARSE_MORE:
			return in.n >= r->caps->line || r->lines + in.n > r->caps->line ? too_long(r, out) : IMAP_READ_MORE;
		case PARSE_BAD:
			return bad_line(r, in, used_out, out);
		case PARSE_OK:
			break;
		}
		*used_out += used;
		in = slice_from(in, used);
		r->lines += used;
		if (r->lines > r->caps->line)
			return too_long(r, out);
		got = ends_with_literal(line, &r->size, &r->plus) ? announced(r, line, command_out, out) : last_line(r, line, command_out);
	}
	return got;
}
