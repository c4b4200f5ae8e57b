/*
 * mail/mime.c - one pass over a message's lines, with the open multiparts on a list (RFC 2046 5.1.1).
 *
 *	level (innermost) -> level -> ... -> NULL       each waits for its delimiter lines
 *	cur                                             the part whose header or body the present line belongs to
 *
 * A line that begins with "--" is compared with at most LIMIT_MIME_DEPTH boundaries of at most BOUNDARY_MAX octets; every other line costs one memchr.
 */
#include "mail/mime.h"

#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/num.h"
#include "mail/mime_field.h"

#define BOUNDARY_MAX 256                                              /* RFC 2046 says 70 */

struct level {
	struct level *outer;
	struct mime_part *part, *last;                                /* the multipart and its newest child */
	struct slice boundary;
};

struct scan {
	struct slice msg;
	struct arena *a;
	struct level *top;
	struct mime_part *cur;
	size_t lines;                                                 /* line ends passed so far */
	unsigned parts;
	bool in_header;
};

bool mime_is_multipart(const struct mime_part *p)
{
	return slice_eqs(p->type, "multipart");
}

bool mime_is_message(const struct mime_part *p)
{
	return p->first != NULL && !mime_is_multipart(p);
}

static struct mime_part *new_part(struct scan *s, struct mime_part *parent, size_t at)
{
	struct mime_part *p = arena_alloc(s->a, sizeof *p);

	p->parent = parent;
	p->depth = parent == NULL ? 0 : parent->depth + 1;
	p->header_at = p->body_at = at;
	s->parts++;
	if (parent != NULL)
		parent->n_children++;
	return p;
}

static void add_child(struct scan *s, struct level *l, size_t at)
{
	struct mime_part *p = new_part(s, l->part, at);

	if (l->last == NULL)
		l->part->first = p;
	else
		l->last->next = p;
	l->last = s->cur = p;
	s->in_header = true;
}

/* The part's tree below it cannot be read, or not by us: a plain leaf. */
static void make_leaf(struct mime_part *p)
{
	p->type = SLICE("text");
	p->subtype = SLICE("plain");
	p->n_params = 0;
}

static void push_level(struct scan *s, struct mime_part *p)
{
	struct slice boundary = mime_field_param(p->params, p->n_params, SLICE("boundary"));

	if (boundary.n == 0 || boundary.n > BOUNDARY_MAX) {
		make_leaf(p);
		return;
	}
	struct level *l = arena_alloc(s->a, sizeof *l);

	l->outer = s->top;
	l->part = p;
	l->boundary = boundary;
	s->top = l;
}

/* The header of the current part ends before `end`; what follows is its body. */
static void header_done(struct scan *s, size_t end)
{
	struct mime_part *p = s->cur;
	bool in_digest = p->parent != NULL && mime_is_multipart(p->parent) && slice_eqs(p->parent->subtype, "digest");

	p->header_len = end - p->header_at;
	p->body_at = end;
	p->body_lines = s->lines;                                     /* where it starts, until close_part() */
	s->in_header = false;
	mime_field_read(p, slice_mem(s->msg.p + p->header_at, p->header_len), in_digest, s->a);
	bool container = mime_is_multipart(p), message = slice_eqs(p->type, "message") && slice_eqs(p->subtype, "rfc822");

	if ((container || message) && (p->depth + 1 >= LIMIT_MIME_DEPTH || s->parts >= LIMIT_MIME_PARTS)) {
		make_leaf(p);
	} else if (container) {
		push_level(s, p);
	} else if (message) {
		s->cur = p->first = new_part(s, p, end);
		s->in_header = true;
	}
}

static void close_part(struct scan *s, struct mime_part *p, size_t end, size_t lines)
{
	p->body_len = end > p->body_at ? end - p->body_at : 0;
	p->body_lines = lines > p->body_lines ? lines - p->body_lines : 0;
	if (!mime_is_multipart(p) || p->first != NULL)
		return;
	struct mime_part *empty = new_part(s, p, p->body_at + p->body_len);

	mime_field_read(empty, SLICE_NONE, false, s->a);
	p->first = empty;
}

/* Ends everything inside `outer` (NULL: everything), at the octet `end`. */
static void close_inside(struct scan *s, const struct mime_part *outer, size_t end, size_t lines)
{
	for (; s->cur != outer; s->cur = s->cur->parent)
		close_part(s, s->cur, end, lines);
}

static bool is_padding(struct slice s)
{
	return slice_trim(s).n == 0;
}

/* Which open multipart does this delimiter line (without its "--") belong to? */
static struct level *match_level(const struct scan *s, struct slice line, bool *close_out)
{
	for (struct level *l = s->top; l != NULL; l = l->outer) {
		if (!slice_starts(line, l->boundary))
			continue;
		struct slice rest = slice_from(line, l->boundary.n);

		*close_out = slice_starts(rest, SLICE("--"));
		if (is_padding(slice_from(rest, *close_out ? 2 : 0)))
			return l;
	}
	return NULL;
}

/* Length of the line end before `at`: it belongs to the delimiter. */
static size_t line_end_before(struct slice msg, size_t at)
{
	if (at == 0 || msg.p[at - 1] != '\n')
		return 0;
	return at > 1 && msg.p[at - 2] == '\r' ? 2 : 1;
}

/* True if the line at `at`, up to `next`, is a delimiter that somebody waits for. */
static bool delimiter(struct scan *s, size_t at, size_t next)
{
	bool close = false;
	struct slice line = slice_mem(s->msg.p + at, next - at);
	struct level *l = s->parts < LIMIT_MIME_PARTS ? match_level(s, slice_from(line, 2), &close) : NULL;

	if (l == NULL)
		return false;
	while (s->in_header)
		header_done(s, at);
	size_t eol = line_end_before(s->msg, at);

	close_inside(s, l->part, at - eol, s->lines - (eol > 0 ? 1 : 0));
	s->top = close ? l->outer : l;
	if (!close)
		add_child(s, l, next);
	return true;
}

struct mime_part *mime_parse(struct slice message, struct arena *a)
{
	struct scan s = { .msg = message, .a = a, .in_header = true };
	struct mime_part *root = s.cur = new_part(&s, NULL, 0);

	for (size_t at = 0, next; at < message.n; at = next) {
		const char *p = message.p + at, *lf = memchr(p, '\n', message.n - at);

		next = lf == NULL ? message.n : (size_t)(lf + 1 - message.p);
		bool found = next - at > 2 && p[0] == '-' && p[1] == '-' && delimiter(&s, at, next);

		s.lines += lf != NULL;
		if (!found && s.in_header && lf != NULL && (lf == p || (lf == p + 1 && *p == '\r')))
			header_done(&s, next);
	}
	while (s.in_header)
		header_done(&s, message.n);
	close_inside(&s, NULL, message.n, s.lines);
	return root;
}

static struct mime_part *nth_child(struct mime_part *p, uint32_t n)
{
	struct mime_part *c = p->first;

	while (c != NULL && --n > 0)
		c = c->next;
	return c;
}

/* One number down. Where there is no multipart, "1" is the body itself (RFC 3501 6.4.5). */
static struct mime_part *descend(struct mime_part *p, uint32_t n, bool at_root)
{
	if (mime_is_message(p) && !at_root)
		p = p->first;
	else if (!mime_is_multipart(p) && !at_root)
		return NULL;
	if (mime_is_multipart(p))
		return nth_child(p, n);
	return n == 1 ? p : NULL;
}

struct mime_part *mime_section(struct mime_part *root, struct slice section, struct slice *tail_out)
{
	struct mime_part *p = root;
	bool at_root = true;

	while (section.n > 0 && ascii_is_digit(section.p[0])) {
		ptrdiff_t dot = slice_chr(section, '.');
		struct slice word = dot < 0 ? section : slice_head(section, (size_t)dot);
		uint32_t n;

		if (num_u32(word, UINT32_MAX, &n) != 0 || n == 0)
			return NULL;
		p = descend(p, n, at_root);
		if (p == NULL)
			return NULL;
		at_root = false;
		section = dot < 0 ? SLICE("") : slice_from(section, (size_t)dot + 1);
	}
	*tail_out = section;
	return p;
}
