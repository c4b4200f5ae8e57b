/*
 * admin/import_imap.c - all folders of a user of another IMAP server into a mailbox. The server is only read from (EXAMINE, BODY.PEEK).
 *
 * First the list of a folder's messages without their octets, then the octets of those that are missing, in order of their UIDs. What a message is called here
 * depends on what the other server says of it, not on its octets, so that a second run does not fetch what is there.
 */
#include <stdlib.h>
#include <string.h>

#include "admin/import.h"
#include "base/limits.h"
#include "base/num.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "store/mboxfile.h"

enum { BATCH_MESSAGES = 64, BATCH_OCTETS = 16 << 20, KEYWORDS = 64, FOLDERS_MOST = LIMIT_FOLDERS };

struct remote_folder {
	struct slice wire, name;                                      /* as the server writes it; as ours is called */
	unsigned special;
	bool subscribed, selectable;
};

struct remote_message {
	uint32_t uid, flags;
	struct slice keywords[KEYWORDS];
	size_t n_keywords;
	int64_t date;
	uint64_t size;
	bool has_flags, has_date;
};

struct imap_import {
	struct import *im;
	struct imap_client *c;
	struct slice root, prefix;                                    /* prefix of the personal namespace, "INBOX." */
	struct arena *a, *folder_a;
	struct remote_folder folders[FOLDERS_MOST];
	size_t n_folders;
	bool by_lsub;

	uint32_t uidvalidity, uidnext;
	struct remote_message **v;
	size_t n, cap, done;
	struct buf octets;
};

/* ---- folders ---- */

static const struct { const char *word; unsigned attr; } specials[] = {
	{ "\\Drafts", FOLDER_DRAFTS }, { "\\Sent", FOLDER_SENT }, { "\\Junk", FOLDER_JUNK }, { "\\Trash", FOLDER_TRASH }, { "\\Archive", FOLDER_ARCHIVE },
};

static void note_attribute(struct slice word, struct remote_folder *f)
{
	for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++)
		if (slice_ieqs(word, specials[i].word))
			f->special = specials[i].attr;
	if (slice_ieqs(word, "\\Noselect") || slice_ieqs(word, "\\NonExistent"))
		f->selectable = false;
	if (slice_ieqs(word, "\\Subscribed"))
		f->subscribed = true;
}

/* One level: modified UTF-7; a name that is none is taken as it is. A '/' inside would be two levels here. */
static void put_level(struct slice level, struct buf *out)
{
	struct buf utf8;

	buf_init(&utf8, BUF_UNBOUNDED);
	if (utf7_to_utf8(level, &utf8) != 0)
		buf_put(&utf8, level);
	for (size_t i = 0; i < utf8.len; i++)
		if (utf8.p[i] == '/')
			utf8.p[i] = '_';
	if (out->len > 0)
		buf_putc(out, '/');
	buf_put(out, buf_view(&utf8));
	buf_done(&utf8);
}

static struct slice our_name(struct imap_import *x, struct slice wire, struct slice separator)
{
	struct slice level, name;
	struct buf out;

	buf_init(&out, BUF_UNBOUNDED);
	if (!slice_ieqs(x->root, "INBOX"))
		buf_put(&out, x->root);
	if (x->prefix.n > 0 && slice_istarts(wire, x->prefix) && wire.n > x->prefix.n)
		wire = slice_from(wire, x->prefix.n);
	if (slice_ieqs(wire, "INBOX"))
		wire = out.len > 0 ? SLICE("") : SLICE("INBOX");
	if (separator.n != 1)
		put_level(wire, &out);
	else
		while (wire.n > 0 && slice_next(&wire, separator.p[0], &level))
			put_level(level, &out);
	name = arena_dup(x->a, buf_view(&out));
	buf_done(&out);
	return name;
}

static struct remote_folder *find_folder(struct imap_import *x, struct slice wire)
{
	for (size_t i = 0; i < x->n_folders; i++)
		if (slice_eq(x->folders[i].wire, wire))
			return &x->folders[i];
	return NULL;
}

/* LIST (\Attributes) "." name */
static int on_list(void *ctx, struct slice response, struct arena *a, struct err *e)
{
	struct imap_import *x = ctx;
	struct remote_folder f = { .selectable = true }, *known;
	struct slice rest = response, separator;
	struct imap_piece p = imap_piece_next(&rest, a);

	if (!slice_ieqs(p.text, "LIST") && !slice_ieqs(p.text, "LSUB"))
		return 0;
	if (imap_piece_next(&rest, a).kind != IMAP_PIECE_OPEN)
		return 0;
	while ((p = imap_piece_next(&rest, a)).kind == IMAP_PIECE_ATOM)
		note_attribute(p.text, &f);
	p = imap_piece_next(&rest, a);
	separator = p.kind == IMAP_PIECE_STRING ? p.text : SLICE("");
	p = imap_piece_next(&rest, a);
	if (p.kind != IMAP_PIECE_ATOM && p.kind != IMAP_PIECE_STRING)
		return 0;
	known = find_folder(x, p.text);
	if (x->by_lsub && known != NULL)
		known->subscribed = true;
	if (x->by_lsub || known != NULL)
		return 0;
	if (x->n_folders == FOLDERS_MOST)
		return err_set(e, ERR_LIMIT, 0, "the server lists more than %d folders", FOLDERS_MOST);
	f.wire = arena_dup(x->a, p.text);
	f.name = our_name(x, f.wire, separator);
	x->folders[x->n_folders++] = f;
	return 0;
}

/* NAMESPACE (("INBOX." ".")) NIL NIL */
static int on_namespace(void *ctx, struct slice response, struct arena *a, struct err *e)
{
	struct imap_import *x = ctx;
	struct slice rest = response;
	struct imap_piece p = imap_piece_next(&rest, a);

	(void)e;
	if (!slice_ieqs(p.text, "NAMESPACE"))
		return 0;
	if (imap_piece_next(&rest, a).kind == IMAP_PIECE_OPEN && imap_piece_next(&rest, a).kind == IMAP_PIECE_OPEN) {
		p = imap_piece_next(&rest, a);
		if (p.kind == IMAP_PIECE_STRING)
			x->prefix = arena_dup(x->a, p.text);
	}
	return 0;
}

static int list_folders(struct imap_import *x, struct err *e)
{
	bool special = imap_client_has(x->c, "SPECIAL-USE");

	if (imap_client_has(x->c, "NAMESPACE") && imap_client_do(x->c, on_namespace, x, e, "NAMESPACE") != 0)
		return -1;
	if (imap_client_has(x->c, "LIST-EXTENDED"))
		return imap_client_do(x->c, on_list, x, e, "LIST \"\" \"*\" RETURN (SUBSCRIBED%s)", special ? " SPECIAL-USE" : "");
	if (imap_client_do(x->c, on_list, x, e, "LIST \"\" \"*\"") != 0)
		return -1;
	x->by_lsub = true;
	return imap_client_do(x->c, on_list, x, e, "LSUB \"\" \"*\"");
}

/* The one with that use here makes way, where it was never used: its users know the other name. */
static int take_special(struct imap_import *x, const struct remote_folder *f, struct err *e)
{
	struct box *b = x->im->x->b;
	struct folder *list, *old = NULL;
	struct folder_status st;
	size_t n;

	if (f->special == 0 || x->im->dry)
		return 0;
	if (box_list(b, x->folder_a, &list, &n, e) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (slice_eq(list[i].name, f->name))
			return 0;
		if ((list[i].attrs & f->special) != 0)
			old = &list[i];
	}
	if (old != NULL && box_status(b, old->name, &st, e) != 0)
		return -1;
	if (old != NULL && (st.messages > 0 || st.uidnext > 1))
		return 0;
	if (old != NULL && (box_subscribe(b, old->name, false, e) != 0 || box_delete(b, old->name, e) != 0))
		return -1;
	if (box_create(b, f->name, f->special, e) != 0)
		return -1;
	return f->subscribed ? box_subscribe(b, f->name, true, e) : 0;
}

/* ---- what is in a folder ---- */

static uint32_t number_behind(struct slice response, const char *word)
{
	ptrdiff_t at = slice_ifind(response, slice_of(word));
	struct slice rest, number;
	uint32_t n = 0;

	if (at < 0)
		return 0;
	rest = slice_from(response, (size_t)at + strlen(word));
	return slice_next(&rest, ']', &number) && num_u32(slice_trim(number), UINT32_MAX, &n) == 0 ? n : 0;
}

static int on_examine(void *ctx, struct slice response, struct arena *a, struct err *e)
{
	struct imap_import *x = ctx;
	uint32_t uidvalidity = number_behind(response, "OK [UIDVALIDITY "), uidnext = number_behind(response, "OK [UIDNEXT ");

	(void)a;
	(void)e;
	x->uidvalidity = uidvalidity != 0 ? uidvalidity : x->uidvalidity;
	x->uidnext = uidnext != 0 ? uidnext : x->uidnext;
	return 0;
}

static const struct { const char *word; uint32_t flag; } flag_words[] = {
	{ "\\Seen", MSG_SEEN }, { "\\Answered", MSG_ANSWERED }, { "\\Flagged", MSG_FLAGGED }, { "\\Deleted", MSG_DELETED }, { "\\Draft", MSG_DRAFT },
	{ "$Forwarded", MSG_FORWARDED },
};

static void note_flag(struct imap_import *x, struct slice word, struct remote_message *m)
{
	for (size_t i = 0; i < sizeof flag_words / sizeof flag_words[0]; i++)
		if (slice_ieqs(word, flag_words[i].word)) {
			m->flags |= flag_words[i].flag;
			return;
		}
	if (word.n > 0 && word.p[0] != '\\' && m->n_keywords < KEYWORDS)
		m->keywords[m->n_keywords++] = arena_dup(x->folder_a, word);
}

/* " 1-Feb-2024 12:00:00 +0000": what RFC 5322 calls a date, but for the hyphens. */
static int64_t read_when(struct slice text)
{
	char copy[64];
	int64_t when = 0;
	size_t n = text.n < sizeof copy ? text.n : sizeof copy;

	for (size_t i = 0; i < n; i++)
		copy[i] = text.p[i] == '-' && i < 12 ? ' ' : text.p[i];
	return date_parse(slice_trim(slice_mem(copy, n)), &when, NULL) == 0 ? when : 0;
}

/* One item of FETCH and its value; false: the end. */
static bool read_item(struct imap_import *x, struct slice *rest, struct arena *a, struct remote_message *m, struct slice *body_out)
{
	struct imap_piece name = imap_piece_next(rest, a), value;

	if (name.kind != IMAP_PIECE_ATOM)
		return false;
	value = imap_piece_next(rest, a);
	if (value.kind == IMAP_PIECE_OPEN) {
		m->has_flags = m->has_flags || slice_ieqs(name.text, "FLAGS");
		for (unsigned depth = 1; depth > 0;) {
			value = imap_piece_next(rest, a);
			if (value.kind == IMAP_PIECE_END)
				return false;
			depth += value.kind == IMAP_PIECE_OPEN;
			depth -= value.kind == IMAP_PIECE_CLOSE;
			if (value.kind == IMAP_PIECE_ATOM && slice_ieqs(name.text, "FLAGS"))
				note_flag(x, value.text, m);
		}
		return true;
	}
	if (slice_ieqs(name.text, "UID") && num_u32(value.text, UINT32_MAX - 2, &m->uid) != 0)
		m->uid = 0;
	if (slice_ieqs(name.text, "INTERNALDATE")) {
		m->date = read_when(value.text);
		m->has_date = true;
	}
	if (slice_ieqs(name.text, "RFC822.SIZE") && num_u64(value.text, UINT64_MAX, &m->size) != 0)
		m->size = 0;
	if (slice_ieqs(name.text, "BODY[]") && value.kind == IMAP_PIECE_STRING)
		*body_out = value.text;
	return value.kind != IMAP_PIECE_END;
}

/* "12 FETCH (...)". False: something else. */
static bool read_fetch(struct imap_import *x, struct slice response, struct arena *a, struct remote_message *m, struct slice *body_out)
{
	struct slice rest = response;
	uint32_t seq;

	if (num_u32(imap_piece_next(&rest, a).text, UINT32_MAX, &seq) != 0 || !slice_ieqs(imap_piece_next(&rest, a).text, "FETCH") ||
	    imap_piece_next(&rest, a).kind != IMAP_PIECE_OPEN)
		return false;
	while (read_item(x, &rest, a, m, body_out))
		continue;
	return m->uid != 0;
}

static int on_message(void *ctx, struct slice response, struct arena *a, struct err *e)
{
	struct imap_import *x = ctx;
	struct remote_message *m = arena_alloc(x->folder_a, sizeof *m);
	struct slice body = SLICE_NONE;

	(void)e;
	*m = (struct remote_message){ .uid = 0 };
	if (!read_fetch(x, response, a, m, &body) || !m->has_flags || !m->has_date)
		return 0;
	if (x->n == x->cap) {
		size_t cap = x->cap == 0 ? 1024 : x->cap * 2;
		struct remote_message **more = arena_array(x->folder_a, cap, sizeof *more);

		if (x->n > 0)
			memcpy(more, x->v, x->n * sizeof *more);
		x->v = more;
		x->cap = cap;
	}
	x->v[x->n++] = m;
	return 0;
}

static int by_uid(const void *a, const void *b)
{
	const struct remote_message *const *x = a, *const *y = b;

	return (*x)->uid < (*y)->uid ? -1 : (*x)->uid > (*y)->uid;
}

/* ---- messages ---- */

static int has(struct imap_import *x, const struct remote_message *m, const char **id_out, bool *has_out, struct err *e)
{
	struct buf what;
	int rc;

	buf_init(&what, 256);
	buf_putf(&what, "imap %u %u %llu %lld", x->uidvalidity, m->uid, (unsigned long long)m->size, (long long)m->date);
	rc = import_has(x->im, buf_view(&what), id_out, has_out, e);
	buf_done(&what);
	return rc;
}

static int on_body(void *ctx, struct slice response, struct arena *a, struct err *e)
{
	struct imap_import *x = ctx;
	struct remote_message got = { .uid = 0 }, *key = &got, **found;
	struct import_message msg;
	struct slice body = SLICE_NONE;
	const char *id;
	bool there;

	if (!read_fetch(x, response, a, &got, &body) || body.p == NULL)
		return 0;
	found = bsearch(&key, x->v, x->n, sizeof *x->v, by_uid);
	if (found == NULL || has(x, *found, &id, &there, e) != 0)
		return found == NULL ? 0 : -1;
	if (there)
		return 0;
	buf_reset(&x->octets);
	mboxfile_to_crlf(body, &x->octets);
	msg = (struct import_message){ .octets = buf_view(&x->octets), .flags = (*found)->flags, .keywords = (*found)->keywords,
	                               .n_keywords = (*found)->n_keywords, .date = (*found)->date, .uid = (*found)->uid, .id = id };
	x->done++;
	return import_one(x->im, &msg, e);
}

static int fetch_batch(struct imap_import *x, struct buf *uids, struct err *e)
{
	int rc = uids->len == 0 ? 0 : imap_client_do(x->c, on_body, x, e, "UID FETCH %s (UID BODY.PEEK[])", buf_str(uids));

	buf_reset(uids);
	return rc;
}

static int fetch_missing(struct imap_import *x, const char *name, struct err *e)
{
	uint64_t octets = 0;
	unsigned n = 0;
	struct buf uids;
	int rc = 0;

	buf_init(&uids, BUF_UNBOUNDED);
	for (size_t i = 0; i < x->n && rc == 0; i++) {
		const char *id;
		bool there;

		import_progress(x->im, name, i, x->n);
		rc = has(x, x->v[i], &id, &there, e);
		if (rc != 0 || there)
			continue;
		if (x->im->dry) {
			x->im->added++;
			continue;
		}
		buf_putf(&uids, "%s%u", uids.len > 0 ? "," : "", x->v[i]->uid);
		octets += x->v[i]->size;
		if (++n < BATCH_MESSAGES && octets < BATCH_OCTETS)
			continue;
		rc = fetch_batch(x, &uids, e);
		octets = n = 0;
	}
	if (rc == 0)
		rc = fetch_batch(x, &uids, e);
	buf_done(&uids);
	return rc;
}

static int import_one_folder(struct imap_import *x, const struct remote_folder *f, struct err *e)
{
	struct buf wire;
	int rc;

	arena_reset(x->folder_a);
	x->v = NULL;
	x->n = x->cap = x->done = 0;
	x->uidvalidity = x->uidnext = 0;
	buf_init(&wire, BUF_UNBOUNDED);
	imap_client_quote(f->wire, &wire);
	rc = imap_client_do(x->c, on_examine, x, e, "EXAMINE %s", buf_str(&wire));
	buf_done(&wire);
	if (rc == 0)
		rc = imap_client_do(x->c, on_message, x, e, "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)");
	if (rc != 0)
		return -1;
	if (x->n > 0)
		qsort(x->v, x->n, sizeof *x->v, by_uid);
	if (x->uidnext == 0)
		x->uidnext = x->n == 0 ? 1 : x->v[x->n - 1]->uid + 1;
	if (take_special(x, f, e) != 0 || import_folder(x->im, f->name, f->subscribed, e) != 0 || import_keep_uids(x->im, x->uidvalidity, x->uidnext, e) != 0)
		return -1;
	return fetch_missing(x, arena_str(x->folder_a, f->name), e);
}

int import_imap(struct import *im, struct slice folder, const struct imap_source *src, struct err *e)
{
	struct arena *a = arena_new(0);
	struct imap_import *x = arena_alloc(a, sizeof *x);
	int rc;

	*x = (struct imap_import){ .im = im, .root = folder, .prefix = SLICE(""), .a = a, .folder_a = arena_new(0) };
	buf_init(&x->octets, BUF_UNBOUNDED);
	rc = imap_client_open(&x->c, src, e);
	if (rc == 0)
		rc = list_folders(x, e);
	for (size_t i = 0; i < x->n_folders && rc == 0; i++)
		if (x->folders[i].selectable && import_one_folder(x, &x->folders[i], e) != 0)
			rc = err_context(e, "folder %.*s", SLICE_FMT(x->folders[i].name));
	imap_client_close(&x->c);
	buf_done(&x->octets);
	arena_free(&x->folder_a);
	arena_free(&a);
	return rc;
}
