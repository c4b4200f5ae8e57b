/*
 * imapd/search_read.c - the keys of SEARCH, read. Nesting and number are capped: `NO [LIMIT] search too complex`.
 */
#include <string.h>

#include "imapd/search.h"
#include "mail/charset.h"

enum { DEPTH_MAX = 50, KEYS_MAX = 2000 };

struct reading {
	struct imap *s;
	struct imap_text *t;
	struct search *q;
	struct slice charset;
	unsigned depth, keys;
	bool too_complex, bad_set;
	struct buf *reply;
};

enum arg { A_NONE, A_TEXT, A_HEADER, A_DATE, A_NUMBER, A_WORD };

static const struct row {
	const char *word;
	enum search_kind kind;
	enum arg arg;
	uint32_t flag;
	bool negate;
	const char *header;
	unsigned cost;
} rows[] = {
	{ "ALL", KEY_ALL, A_NONE, 0, false, NULL, 0 },
	{ "ANSWERED", KEY_FLAG, A_NONE, MSG_ANSWERED, false, NULL, 0 },
	{ "BCC", KEY_HEADER, A_TEXT, 0, false, "Bcc", 1 },
	{ "BEFORE", KEY_BEFORE, A_DATE, 0, false, NULL, 0 },
	{ "BODY", KEY_BODY, A_TEXT, 0, false, NULL, 2 },
	{ "CC", KEY_HEADER, A_TEXT, 0, false, "Cc", 1 },
	{ "DELETED", KEY_FLAG, A_NONE, MSG_DELETED, false, NULL, 0 },
	{ "DRAFT", KEY_FLAG, A_NONE, MSG_DRAFT, false, NULL, 0 },
	{ "FLAGGED", KEY_FLAG, A_NONE, MSG_FLAGGED, false, NULL, 0 },
	{ "FROM", KEY_HEADER, A_TEXT, 0, false, "From", 1 },
	{ "HEADER", KEY_HEADER, A_HEADER, 0, false, NULL, 1 },
	{ "KEYWORD", KEY_KEYWORD, A_WORD, 0, false, NULL, 0 },
	{ "LARGER", KEY_LARGER, A_NUMBER, 0, false, NULL, 0 },
	{ "OLD", KEY_RECENT, A_NONE, 0, true, NULL, 0 },
	{ "OLDER", KEY_OLDER, A_NUMBER, 0, false, NULL, 0 },
	{ "ON", KEY_ON, A_DATE, 0, false, NULL, 0 },
	{ "RECENT", KEY_RECENT, A_NONE, 0, false, NULL, 0 },
	{ "SEEN", KEY_FLAG, A_NONE, MSG_SEEN, false, NULL, 0 },
	{ "SENTBEFORE", KEY_SENTBEFORE, A_DATE, 0, false, NULL, 1 },
	{ "SENTON", KEY_SENTON, A_DATE, 0, false, NULL, 1 },
	{ "SENTSINCE", KEY_SENTSINCE, A_DATE, 0, false, NULL, 1 },
	{ "SINCE", KEY_SINCE, A_DATE, 0, false, NULL, 0 },
	{ "SMALLER", KEY_SMALLER, A_NUMBER, 0, false, NULL, 0 },
	{ "SUBJECT", KEY_HEADER, A_TEXT, 0, false, "Subject", 1 },
	{ "TEXT", KEY_TEXT, A_TEXT, 0, false, NULL, 2 },
	{ "TO", KEY_HEADER, A_TEXT, 0, false, "To", 1 },
	{ "UNANSWERED", KEY_FLAG, A_NONE, MSG_ANSWERED, true, NULL, 0 },
	{ "UNDELETED", KEY_FLAG, A_NONE, MSG_DELETED, true, NULL, 0 },
	{ "UNDRAFT", KEY_FLAG, A_NONE, MSG_DRAFT, true, NULL, 0 },
	{ "UNFLAGGED", KEY_FLAG, A_NONE, MSG_FLAGGED, true, NULL, 0 },
	{ "UNKEYWORD", KEY_KEYWORD, A_WORD, 0, true, NULL, 0 },
	{ "UNSEEN", KEY_FLAG, A_NONE, MSG_SEEN, true, NULL, 0 },
	{ "YOUNGER", KEY_YOUNGER, A_NUMBER, 0, false, NULL, 0 },
};

static int fail(struct reading *r, const char *why)
{
	r->t->why = why;
	return -1;
}

static struct search_key *new_key(struct reading *r, enum search_kind kind)
{
	struct search_key *k = arena_alloc(r->t->a, sizeof *k);

	k->kind = kind;
	if (++r->keys > KEYS_MAX)
		r->too_complex = true;
	return k;
}

static struct search_key *negated(struct reading *r, struct search_key *k)
{
	struct search_key *not = new_key(r, KEY_NOT);

	not->first = k;
	not->cost = k->cost;
	return not;
}

static int read_text(struct reading *r, struct slice *out)
{
	struct slice s;
	struct buf b;

	if (imap_space(r->t) != 0 || imap_astring(r->t, &s) != 0)
		return -1;
	buf_init(&b, BUF_UNBOUNDED);
	if (charset_to_utf8(r->charset, s, &b) != 0)
		buf_put(&b, s);
	*out = search_fold(arena_dup(r->t->a, buf_view(&b)), r->t->a);
	buf_done(&b);
	return 0;
}

static int read_arg(struct reading *r, const struct row *row, struct search_key *k)
{
	switch (row->arg) {
	case A_NONE:
		return 0;
	case A_HEADER:
		if (imap_space(r->t) != 0 || imap_astring(r->t, &k->name) != 0)
			return -1;
		break;
	case A_DATE:
		return imap_space(r->t) != 0 ? -1 : imap_date(r->t, &k->when);
	case A_NUMBER:
		if (imap_space(r->t) != 0 || imap_number64(r->t, &k->number) != 0)
			return -1;
		return k->number == 0 && (k->kind == KEY_OLDER || k->kind == KEY_YOUNGER) ? fail(r, "an interval is 1 second or more") : 0;
	case A_WORD:
		return imap_space(r->t) != 0 ? -1 : imap_atom(r->t, &k->name);
	case A_TEXT:
		k->name = slice_of(row->header);
		break;
	}
	if (k->kind == KEY_HEADER && !mcache_has_header(k->name))
		k->cost = 2;
	return read_text(r, &k->text);
}

/* MODSEQ ["entry" type] number (RFC 7162 3.1.5): we keep one mod-sequence a message, so the entry is read and not used. */
static int read_modseq(struct reading *r, struct search_key *k)
{
	struct slice entry;

	if (imap_space(r->t) != 0)
		return -1;
	if (imap_peek(r->t, '"')) {
		if (imap_string(r->t, &entry) != 0 || imap_space(r->t) != 0)
			return -1;
		if (!imap_word(r->t, "priv") && !imap_word(r->t, "shared") && !imap_word(r->t, "all"))
			return fail(r, "priv, shared or all was expected");
		if (imap_space(r->t) != 0)
			return -1;
	}
	r->q->has_modseq = true;
	return imap_number64(r->t, &k->number);
}

static int read_seqs(struct reading *r, struct search_key *k, bool uid)
{
	bool was = r->s->uid;

	if (imap_set(r->t, &k->set) != 0)
		return -1;
	r->s->uid = uid;
	r->bad_set = imap_seqs(r->s, &k->set, r->reply) != 0;
	r->s->uid = was;
	return r->bad_set ? -1 : 0;
}

static int read_key(struct reading *r, struct search_key **out);

/* Cheap ones first: the list stays sorted by cost. */
static void add_child(struct search_key *parent, struct search_key *k)
{
	struct search_key **at = &parent->first;

	while (*at != NULL && (*at)->cost <= k->cost)
		at = &(*at)->next;
	k->next = *at;
	*at = k;
	parent->cost = k->cost > parent->cost ? k->cost : parent->cost;
}

static int read_list(struct reading *r, struct search_key *and)
{
	struct search_key *k;

	if (imap_open(r->t) != 0)
		return -1;
	for (;;) {
		if (read_key(r, &k) != 0)
			return -1;
		add_child(and, k);
		if (imap_close(r->t) == 0)
			return 0;
		if (imap_space(r->t) != 0)
			return fail(r, "a closing parenthesis is missing");
	}
}

static int read_table_key(struct reading *r, struct search_key **out)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if (!imap_word(r->t, rows[i].word))
			continue;
		struct search_key *k = new_key(r, rows[i].kind);

		k->flag = rows[i].flag;
		k->cost = rows[i].cost;
		if (read_arg(r, &rows[i], k) != 0)
			return -1;
		*out = rows[i].negate ? negated(r, k) : k;
		return 0;
	}
	return fail(r, "there is no such search key");
}

static int read_two(struct reading *r, struct search_key *or)
{
	struct search_key *a, *b;

	if (imap_space(r->t) != 0 || read_key(r, &a) != 0 || imap_space(r->t) != 0 || read_key(r, &b) != 0)
		return -1;
	add_child(or, a);
	add_child(or, b);
	return 0;
}

static int read_inner(struct reading *r, struct search_key **out)
{
	struct search_key *k;

	if (imap_peek(r->t, '('))
		return read_list(r, *out = new_key(r, KEY_AND));
	if (imap_peek(r->t, '*') || imap_peek(r->t, '$') || (r->t->rest.n > 0 && ascii_is_digit(r->t->rest.p[0])))
		return read_seqs(r, *out = new_key(r, KEY_SEQS), false);
	if (imap_word(r->t, "UID"))
		return imap_space(r->t) != 0 ? -1 : read_seqs(r, *out = new_key(r, KEY_SEQS), true);
	if (imap_word(r->t, "MODSEQ"))
		return read_modseq(r, *out = new_key(r, KEY_MODSEQ));
	if (imap_word(r->t, "OR"))
		return read_two(r, *out = new_key(r, KEY_OR));
	if (imap_word(r->t, "NOT")) {
		if (imap_space(r->t) != 0 || read_key(r, &k) != 0)
			return -1;
		*out = negated(r, k);
		return 0;
	}
	if (imap_word(r->t, "NEW")) {                                 /* RECENT UNSEEN */
		*out = new_key(r, KEY_AND);
		add_child(*out, new_key(r, KEY_RECENT));
		k = new_key(r, KEY_FLAG);
		k->flag = MSG_SEEN;
		add_child(*out, negated(r, k));
		return 0;
	}
	return read_table_key(r, out);
}

static int read_key(struct reading *r, struct search_key **out)
{
	int bad;

	if (++r->depth > DEPTH_MAX)
		r->too_complex = true;
	if (r->too_complex)
		return -1;
	bad = read_inner(r, out);
	r->depth--;
	return bad;
}

/* Replies; returns -1. */
static int tell_bad(struct reading *r)
{
	if (r->too_complex)
		imap_no(r->s, r->reply, "[LIMIT] search too complex: at most %d keys, nested %d deep", KEYS_MAX, DEPTH_MAX);
	else if (!r->bad_set)
		imap_bad(r->s, r->reply, "SEARCH: %s", r->t->why);
	return -1;
}

static int read_charset(struct reading *r, const struct slice *given)
{
	r->charset = given != NULL ? *given : SLICE("UTF-8");         /* also without: what else would 8-bit octets be */
	if (given == NULL && !imap_word(r->t, "CHARSET"))
		return 0;
	if (given == NULL && (imap_space(r->t) != 0 || imap_astring(r->t, &r->charset) != 0 || imap_space(r->t) != 0))
		return tell_bad(r);
	if (charset_is_known(r->charset))
		return 0;
	imap_no(r->s, r->reply, "[BADCHARSET (UTF-8 US-ASCII ISO-8859-1)] that charset is not known here");
	return -1;
}

int search_read(struct imap *s, struct imap_text *t, const struct slice *charset, struct search *out, struct buf *reply)
{
	struct reading r = { .s = s, .t = t, .q = out, .reply = reply };
	struct search_key *k;

	*out = (struct search){ .msg = arena_new(2048) };
	if (read_charset(&r, charset) != 0)
		return -1;
	out->root = new_key(&r, KEY_AND);
	do {
		if (read_key(&r, &k) != 0)
			return tell_bad(&r);
		add_child(out->root, k);
	} while (!imap_at_end(t) && imap_space(t) == 0);
	return imap_at_end(t) ? 0 : tell_bad(&r);
}
