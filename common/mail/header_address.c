/*
 * mail/header_address.c - address lists (RFC 5322 3.4 and 4.4), in one pass without looking back, so that time grows as the text does.
 *
 * The words of an element are written twice while they are read: as a display name (a blank where blanks or comments stood) and as a local
 * part (none). What follows, '<' or '@' or ':' or ',', tells which it was.
 */
#include <string.h>

#include "base/limits.h"
#include "mail/header.h"

struct reader {
	struct slice rest;
	struct arena *a;
	struct address *list;
	size_t n, room;
	bool in_group;
	char *phrase, *compact;                                       /* where the words of this element begin; both as long as the value at most */
	size_t phrase_n, compact_n;
	struct slice comment;                                         /* the last one of this element */
	bool blank;                                                   /* blanks or a comment stood before this token */
};

/* A comment, its parentheses included; one without end takes the rest. */
static size_t comment_length(struct slice s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return s.n;
}

static void skip_cfws(struct reader *r)
{
	r->blank = false;
	while (r->rest.n > 0) {
		char c = r->rest.p[0];
		size_t n = 1;

		if (c == '(') {
			n = comment_length(r->rest);
			r->comment = slice_mem(r->rest.p + 1, n > 2 ? n - 2 : 0);
		} else if (!ascii_is_blank(c) && c != '\r' && c != '\n') {
			return;
		}
		r->blank = true;
		r->rest = slice_from(r->rest, n);
	}
}

static bool is_special(char c)
{
	return c != '\0' && strchr("()<>[]:;@,\"\\", c) != NULL;
}

static bool is_atom_octet(char c)
{
	return !is_special(c) && c != '.' && ((unsigned char)c > 0x20 || (c >= 0 && c < 0x20 && !ascii_is_blank(c) && c != '\r' && c != '\n'));
}

static void add(struct reader *r, char c)
{
	r->phrase[r->phrase_n++] = c;
	r->compact[r->compact_n++] = c;
}

/* A quoted string with its quotes, written without them. */
static void take_quoted(struct reader *r)
{
	size_t i = 1;

	for (; i < r->rest.n && r->rest.p[i] != '"'; i++) {
		char c = r->rest.p[i];

		if (c == '\r' || c == '\n')
			continue;
		if (c == '\\' && i + 1 < r->rest.n)
			c = r->rest.p[++i];
		add(r, c);
	}
	r->rest = slice_from(r->rest, i + 1);
}

/* "[192.0.2.1]" as it stands. */
static void take_literal(struct reader *r)
{
	size_t i = 0;

	for (; i < r->rest.n && r->rest.p[i] != ']'; i++)
		add(r, r->rest.p[i]);
	if (i < r->rest.n)
		add(r, r->rest.p[i++]);
	r->rest = slice_from(r->rest, i);
}

/* Words and dots up to the next special, which is returned (still there); '\0' at the end. */
static char take_words(struct reader *r, bool literals)
{
	for (;;) {
		char c;

		skip_cfws(r);
		if (r->rest.n == 0)
			return '\0';
		c = r->rest.p[0];
		if (c != '.' && c != '"' && !is_atom_octet(c) && (c != '[' || !literals))
			return c;
		if (r->blank && r->phrase_n > 0)
			r->phrase[r->phrase_n++] = ' ';
		if (c == '"') {
			take_quoted(r);
		} else if (c == '[') {
			take_literal(r);
		} else {
			add(r, c);
			r->rest = slice_from(r->rest, 1);
			while (r->rest.n > 0 && is_atom_octet(r->rest.p[0])) {
				add(r, r->rest.p[0]);
				r->rest = slice_from(r->rest, 1);
			}
		}
	}
}

static void drop_words(struct reader *r)
{
	r->phrase += r->phrase_n;
	r->compact += r->compact_n;
	r->phrase_n = r->compact_n = 0;
}

static struct slice words_as_name(struct reader *r)
{
	return slice_mem(r->phrase, r->phrase_n);
}

/* The words so far without blanks; the next ones begin afresh. */
static struct slice cut_compact(struct reader *r)
{
	struct slice s = slice_mem(r->compact, r->compact_n);

	drop_words(r);
	return s;
}

static void emit(struct reader *r, struct address made)
{
	struct address *list;

	if (r->n == r->room) {
		r->room = r->room == 0 ? 4 : r->room * 2;
		list = arena_array(r->a, r->room, sizeof(*list));
		if (r->n > 0)
			memcpy(list, r->list, r->n * sizeof(*list));
		r->list = list;
	}
	r->list[r->n++] = made;
}

/* Junk: to the next comma, or the end of the group, but not out of a quoted string or comment. */
static void skip_junk(struct reader *r)
{
	for (;;) {
		char c = take_words(r, true);

		if (c == '\0' || c == ',' || c == ';')
			break;
		r->rest = slice_from(r->rest, 1);
	}
	drop_words(r);
}

static void skip_char(struct reader *r)
{
	r->rest = slice_from(r->rest, 1);
}

/* "<@a,@b:local@domain>" behind its bracket. */
static void take_angle(struct reader *r, struct slice name)
{
	struct address made = { .name = name, .kind = ADDRESS_MAILBOX };
	const char *route_from;
	char c;

	skip_cfws(r);
	route_from = r->rest.p;
	c = take_words(r, false);
	if (c == '@' && r->compact_n == 0) {
		while (c == '@' || c == ',') {
			skip_char(r);
			c = take_words(r, true);
		}
		if (c != ':') {
			skip_junk(r);
			return;
		}
		made.route = slice_mem(route_from, (size_t)(r->rest.p - route_from));
		drop_words(r);
		skip_char(r);
		c = take_words(r, false);
	}
	made.local = cut_compact(r);
	if (c == '@') {
		skip_char(r);
		c = take_words(r, true);
		made.domain = cut_compact(r);
	}
	if (c == '>')
		skip_char(r);
	else if (c != '\0')
		skip_junk(r);
	if (c == '>' || c == '\0')
		emit(r, made);
}

/* "local@domain (Name)" or a bare word. */
static void take_bare(struct reader *r, char c)
{
	struct address made = { .local = cut_compact(r), .kind = ADDRESS_MAILBOX };

	if (c == '@') {
		skip_char(r);
		c = take_words(r, true);
		made.domain = cut_compact(r);
	}
	if (c != '\0' && c != ',' && c != ';') {
		skip_junk(r);
		return;
	}
	made.name = slice_trim(r->comment);
	if (made.local.n > 0 || made.domain.n > 0)
		emit(r, made);
}

static void end_group(struct reader *r)
{
	if (r->in_group)
		emit(r, (struct address){ .kind = ADDRESS_GROUP_END });
	r->in_group = false;
}

/* One element with its comma or semicolon. */
static void take_element(struct reader *r)
{
	char c;

	r->comment = SLICE_NONE;
	c = take_words(r, false);
	if (c == '<') {
		struct slice name = words_as_name(r);

		drop_words(r);
		skip_char(r);
		take_angle(r, name);
		skip_junk(r);                                         /* comments, mostly */
	} else if (c == ':' && !r->in_group && r->n + 2 <= LIMIT_ADDRESSES) {
		emit(r, (struct address){ .name = words_as_name(r), .kind = ADDRESS_GROUP_START });
		r->in_group = true;
		drop_words(r);
		skip_char(r);
		return;
	} else if (c == '@' || c == ',' || c == ';' || c == '\0') {
		take_bare(r, c);
	} else {
		skip_junk(r);
	}
	if (slice_starts(r->rest, SLICE(";")))
		end_group(r);
	skip_char(r);
}

size_t address_list(struct slice value, struct arena *a, struct address **list_out)
{
	struct reader r = { .rest = value, .a = a, .phrase = arena_alloc(a, value.n + 1), .compact = arena_alloc(a, value.n + 1) };

	while (r.rest.n > 0 && r.n + r.in_group < LIMIT_ADDRESSES)
		take_element(&r);
	end_group(&r);
	*list_out = r.list;
	return r.n;
}
