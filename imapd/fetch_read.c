/*
 * imapd/fetch_read.c - the items of FETCH, read; and HEADER.FIELDS, cut out.
 */
#include "imapd/fetch.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/num.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "store/mbox.h"

enum { ITEMS_MAX = 512, NAMES_MAX = 256 };

static int fail(struct imap_text *t, const char *why)
{
	t->why = why;
	return -1;
}

struct fetch_item *fetch_add(struct fetch_items *items, enum fetch_kind kind, struct arena *a)
{
	if (items->n == items->cap) {
		size_t cap = items->cap * 2 + 8;
		struct fetch_item *more = arena_array(a, cap, sizeof *more);

		if (items->n > 0)
			memcpy(more, items->list, items->n * sizeof *more);
		items->list = more;
		items->cap = cap;
	}
	struct fetch_item *it = &items->list[items->n++];

	memset(it, 0, sizeof *it);
	it->kind = kind;
	it->label = kind == FETCH_ENVELOPE ? SLICE("ENVELOPE") : kind == FETCH_BODY ? SLICE("BODY") : SLICE("BODYSTRUCTURE");
	it->numbers = SLICE("");
	return it;
}

bool fetch_has(const struct fetch_items *items, enum fetch_kind kind)
{
	for (size_t i = 0; i < items->n; i++)
		if (items->list[i].kind == kind)
			return true;
	return false;
}

static const struct plain { const char *word; enum fetch_kind kind; enum fetch_what what; bool section, peek; } plain[] = {
	{ "UID", FETCH_UID, WHAT_ALL, false, true },
	{ "FLAGS", FETCH_FLAGS, WHAT_ALL, false, true },
	{ "MODSEQ", FETCH_MODSEQ, WHAT_ALL, false, true },
	{ "INTERNALDATE", FETCH_INTERNALDATE, WHAT_ALL, false, true },
	{ "ENVELOPE", FETCH_ENVELOPE, WHAT_ALL, false, true },
	{ "BODYSTRUCTURE", FETCH_BODYSTRUCTURE, WHAT_ALL, false, true },
	{ "RFC822.SIZE", FETCH_SIZE, WHAT_ALL, false, true },
	{ "RFC822.HEADER", FETCH_SECTION, WHAT_HEADER, true, true },
	{ "RFC822.TEXT", FETCH_SECTION, WHAT_TEXT, true, false },
	{ "RFC822", FETCH_SECTION, WHAT_ALL, true, false },
	{ "BODY", FETCH_BODY, WHAT_ALL, false, true },
};

static const struct { const char *word; enum fetch_kind kinds[5]; size_t n; } macros[] = {
	{ "ALL", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE }, 4 },
	{ "FAST", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE }, 3 },
	{ "FULL", { FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY }, 5 },
};

static bool is_atom(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] == 0x7f || strchr("(){%*\"\\]", s.p[i]) != NULL)
			return false;
	return s.n > 0;
}

static int read_names(struct imap_text *t, struct fetch_item *it)
{
	struct slice names[NAMES_MAX];
	size_t n = 0;

	if (imap_space(t) != 0 || imap_open(t) != 0)
		return fail(t, "HEADER.FIELDS is followed by a list of names");
	it->cached = it->what == WHAT_FIELDS;
	while (imap_close(t) != 0) {
		if (n == NAMES_MAX)
			return fail(t, "HEADER.FIELDS has more than 256 names");
		if ((n > 0 && imap_space(t) != 0) || imap_astring(t, &names[n]) != 0)
			return -1;
		it->cached = it->cached && mcache_has_header(names[n]);
		it->name_lengths |= (uint64_t)1 << names[n].n % 64;
		n++;
	}
	it->names = arena_array(t->a, n + 1, sizeof *names);
	memcpy(it->names, names, n * sizeof *names);
	it->n_names = n;
	return 0;
}

static const struct { const char *word; enum fetch_what what; } texts[] = {      /* longer words first */
	{ "HEADER.FIELDS.NOT", WHAT_FIELDS_NOT }, { "HEADER.FIELDS", WHAT_FIELDS }, { "HEADER", WHAT_HEADER }, { "TEXT", WHAT_TEXT }, { "MIME", WHAT_MIME },
};

/* "1.2." off the front; the dot is left out of numbers. */
static struct slice take_numbers(struct imap_text *t)
{
	size_t n = 0;

	while (n < t->rest.n && (ascii_is_digit(t->rest.p[n]) || t->rest.p[n] == '.'))
		n++;
	struct slice numbers = slice_head(t->rest, n);

	t->rest = slice_from(t->rest, n);
	return numbers;
}

/* section-part = nz-number *("." nz-number), each of 32 bits (RFC 3501 section 9). */
static bool are_part_numbers(struct slice numbers)
{
	while (numbers.n > 0) {
		ptrdiff_t dot = slice_find(numbers, SLICE("."));
		struct slice one = dot < 0 ? numbers : slice_head(numbers, (size_t)dot);
		uint32_t number = 0;

		if (num_u32(one, UINT32_MAX, &number) != 0 || number == 0)
			return false;
		numbers = slice_from(numbers, dot < 0 ? numbers.n : (size_t)dot + 1);
	}
	return true;
}

static int read_what(struct imap_text *t, struct fetch_item *it)
{
	if (imap_peek(t, ']'))
		return 0;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (!slice_istarts(t->rest, slice_of(texts[i].word)))
			continue;
		t->rest = slice_from(t->rest, strlen(texts[i].word));
		it->what = texts[i].what;
		return it->what == WHAT_FIELDS || it->what == WHAT_FIELDS_NOT ? read_names(t, it) : 0;
	}
	return fail(t, "a section is part numbers, HEADER, HEADER.FIELDS (...), TEXT or MIME");
}

static int read_partial(struct imap_text *t, struct fetch_item *it)
{
	if (imap_char(t, '<') != 0)
		return 0;
	it->partial = true;
	if (imap_number(t, &it->offset) != 0 || imap_char(t, '.') != 0 || imap_number(t, &it->length) != 0 || imap_char(t, '>') != 0)
		return fail(t, "a partial fetch is <offset.length>");
	return it->length == 0 ? fail(t, "the length of a partial fetch is not 0") : 0;
}

static void make_label(struct imap_text *t, struct fetch_item *it, const char *head)
{
	static const char *const words[] = {
		[WHAT_ALL] = "", [WHAT_HEADER] = "HEADER", [WHAT_FIELDS] = "HEADER.FIELDS", [WHAT_FIELDS_NOT] = "HEADER.FIELDS.NOT", [WHAT_TEXT] = "TEXT", [WHAT_MIME] = "MIME",
	};
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	buf_putf(&b, "%s[%.*s%s%s", head, SLICE_FMT(it->numbers), it->numbers.n > 0 && it->what != WHAT_ALL ? "." : "", words[it->what]);
	for (size_t i = 0; i < it->n_names; i++) {
		buf_puts(&b, i == 0 ? " (" : " ");
		if (is_atom(it->names[i]))
			buf_put(&b, it->names[i]);
		else
			imap_put_string(it->names[i], &b);
	}
	if (it->what == WHAT_FIELDS || it->what == WHAT_FIELDS_NOT)
		buf_puts(&b, it->n_names == 0 ? " ()" : ")");
	buf_putc(&b, ']');
	if (it->partial)
		buf_putf(&b, "<%" PRIu32 ">", it->offset);
	it->label = arena_dup(t->a, buf_view(&b));
	buf_done(&b);
}

/* Behind "[": numbers and text, "]", perhaps "<0.100>". */
static int read_section(struct imap_text *t, struct fetch_item *it, const char *label)
{
	it->numbers = take_numbers(t);
	bool dot = slice_ends(it->numbers, SLICE("."));

	if (dot)
		it->numbers.n--;
	if (slice_ends(it->numbers, SLICE(".")) || slice_starts(it->numbers, SLICE(".")) || (dot && imap_peek(t, ']')))
		return fail(t, "part numbers are apart by single dots");
	if (!are_part_numbers(it->numbers))
		return fail(t, "part numbers go from 1 to 4294967295, apart by single dots");
	if (!dot && it->numbers.n > 0 && !imap_peek(t, ']'))
		return fail(t, "a dot is missing behind the part numbers");
	if (it->kind == FETCH_SECTION && read_what(t, it) != 0)
		return -1;
	if (it->what == WHAT_MIME && it->numbers.n == 0)
		return fail(t, "MIME needs part numbers before it");
	if (imap_char(t, ']') != 0)
		return fail(t, "a section ends with ]");
	if (it->kind != FETCH_BINARY_SIZE && read_partial(t, it) != 0)
		return -1;
	make_label(t, it, label);
	return 0;
}

static const struct { const char *word, *label; enum fetch_kind kind; bool peek; } bracketed[] = {
	{ "BODY[", "BODY", FETCH_SECTION, false }, { "BODY.PEEK[", "BODY", FETCH_SECTION, true }, { "BINARY[", "BINARY", FETCH_BINARY, false },
	{ "BINARY.PEEK[", "BINARY", FETCH_BINARY, true }, { "BINARY.SIZE[", "BINARY.SIZE", FETCH_BINARY_SIZE, true },
};

static int read_item(struct imap_text *t, struct fetch_items *out)
{
	if (out->n >= ITEMS_MAX)
		return fail(t, "more than 512 items");
	for (size_t i = 0; i < sizeof bracketed / sizeof *bracketed; i++) {
		if (!slice_istarts(t->rest, slice_of(bracketed[i].word)))
			continue;
		t->rest = slice_from(t->rest, strlen(bracketed[i].word));
		struct fetch_item *it = fetch_add(out, bracketed[i].kind, t->a);

		it->peek = bracketed[i].peek;
		return read_section(t, it, bracketed[i].label);
	}
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
		if (!imap_word(t, plain[i].word))
			continue;
		struct fetch_item *it = fetch_add(out, plain[i].kind, t->a);

		it->what = plain[i].what;
		it->peek = plain[i].peek;
		it->label = slice_of(plain[i].word);
		return 0;
	}
	return fail(t, "there is no such item to fetch");
}

static bool read_macro(struct imap_text *t, struct fetch_items *out)
{
	for (size_t i = 0; i < sizeof macros / sizeof *macros; i++) {
		if (!imap_word(t, macros[i].word))
			continue;
		for (size_t k = 0; k < macros[i].n; k++)
			fetch_add(out, macros[i].kinds[k], t->a)->peek = true;
		return true;
	}
	return false;
}

int fetch_read(struct imap_text *t, struct fetch_items *out)
{
	*out = (struct fetch_items){ NULL, 0, 0 };
	if (!imap_peek(t, '('))
		return read_macro(t, out) ? 0 : read_item(t, out);
	if (imap_open(t) != 0)
		return -1;
	while (imap_close(t) != 0) {
		if ((out->n > 0 && imap_space(t) != 0) || read_item(t, out) != 0)
			return -1;
	}
	return out->n > 0 ? 0 : fail(t, "a list of items is empty");
}

static bool is_named(const struct fetch_item *it, struct slice name)
{
	if ((it->name_lengths & (uint64_t)1 << name.n % 64) == 0)
		return false;
	for (size_t i = 0; i < it->n_names; i++)
		if (it->names[i].n == name.n && slice_ieq(it->names[i], name))
			return true;
	return false;
}

struct slice fetch_filter(struct slice header, const struct fetch_item *it, struct arena *a)
{
	char *out = arena_alloc(a, header.n + 3);
	struct slice rest = header, name, value, raw;
	size_t n = 0;

	while (header_next(&rest, &name, &value, &raw)) {
		if (is_named(it, name) != (it->what == WHAT_FIELDS))
			continue;
		memcpy(out + n, raw.p, raw.n);
		n += raw.n;
	}
	if (n > 0 && out[n - 1] != '\n') {
		memcpy(out + n, "\r\n", 2);                           /* the message ends in that field */
		return slice_mem(out, n + 2);
	}
	memcpy(out + n, "\r\n", 2);
	return slice_mem(out, n + 2);
}
