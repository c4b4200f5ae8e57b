/*
 * store/view_read.c - the octets of a message, and what is cached of it.
 */
#include "store/folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "store/preview.h"

#define CACHE_OCTETS (64u << 20)                                      /* larger messages are parsed when somebody asks */

static int read_named(struct mbox *m, uint32_t slot, struct blob *out, struct err *e)
{
	char path[MNAME_MAX + 1];
	struct slice name;
	struct mname n;

	if (mbox_is_gone(m, slot) || !mbox_slot_name(m, slot, &name) || name.n > MNAME_MAX)
		return err_set(e, ERR_NOTFOUND, 0, "the message was expunged");
	if (mname_parse(name, &n) != 0 || n.uid != mbox_rec(m, slot)->uid)
		return err_set(e, ERR_NOTFOUND, 0, "the index does not know the message's file");
	memcpy(path, name.p, name.n);
	path[name.n] = '\0';
	return store_blob_read(m->shelf, BAY_CUR, path, BLOB_FD, out, e);
}

/* Looks again where it has another name by now: lazily renamed by another process of ours, or by another program. */
static int read_blob(struct mbox *m, uint32_t slot, struct blob *out, struct err *e)
{
	for (int turn = 0; turn < 3; turn++) {
		if (read_named(m, slot, out, e) == 0)
			return 0;
		if (e->kind != ERR_NOTFOUND || mbox_is_gone(m, slot))
			return -1;
		if (turn == 1)
			m->stamp_cur = 0;                             /* the directory looked unchanged, and yet: read it */
		if (mbox_refresh(m, e) != 0)
			return -1;
	}
	return -1;
}

/* A message with bare LFs, as other programs write it, becomes what goes over the wire. */
static void to_wire(struct mbody *b)
{
	struct buf wire;
	struct slice rest = b->octets, line;

	buf_init(&wire, BUF_UNBOUNDED);
	while (rest.n > 0) {
		const char *lf = memchr(rest.p, '\n', rest.n);

		line = lf == NULL ? rest : slice_head(rest, (size_t)(lf - rest.p));
		rest = slice_from(rest, line.n + (lf != NULL));
		if (lf != NULL && line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		buf_put(&wire, line);
		if (lf != NULL)
			buf_puts(&wire, "\r\n");
	}
	store_blob_done(&b->blob);
	*b = (struct mbody){ .octets = buf_view(&wire), .fd = -1, .blob = { .fd = -1 }, .wire = wire.p };
}

static int read_slot(struct mbox *m, uint32_t slot, struct mbody *out, struct err *e)
{
	struct blob b;

	if (read_blob(m, slot, &b, e) != 0)
		return -1;
	*out = (struct mbody){ .octets = b.octets, .fd = b.fd, .blob = b };
	if ((mbox_slot_state(m, slot) & SLOT_LF) != 0)
		to_wire(out);
	return 0;
}

int view_read(struct view *v, uint32_t seq, struct mbody *out, struct err *e)
{
	struct err why;

	if (e == NULL)                                                /* we ask it ourselves what went wrong */
		e = &why;
	return read_slot(v->m, view_slot(v, seq), out, e);
}

void mbody_done(struct mbody *b)
{
	store_blob_done(&b->blob);
	free(b->wire);
	*b = (struct mbody){ .fd = -1 };
}

/* ---- cache ---- */

bool mcache_has_header(struct slice name)
{
	/* What Thunderbird asks for when it opens a folder, and Outlook, Apple Mail, K-9 and mutt besides. */
	static const char *const names[] = {
		"Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Message-ID", "In-Reply-To", "References", "Newsgroups",
		"Content-Type", "Content-Transfer-Encoding", "MIME-Version", "Priority", "X-Priority", "Importance", "X-MSMail-Priority", "X-Label",
		"List-Id", "List-Post", "List-Unsubscribe", "Disposition-Notification-To", "Followup-To", "X-Message-Flag", "Auto-Submitted",
		"Received", "Content-Description", "Lines", "List-Subscribe", "X-Original-To", "Delivered-To",
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (slice_ieqs(name, names[i]))
			return true;
	return false;
}

static void put_headers(struct slice header, struct buf *out)
{
	struct slice name, value, raw;

	while (header_next(&header, &name, &value, &raw))
		if (mcache_has_header(name))
			buf_put(out, raw);
}

struct texts { struct buf b[SCACHE_TEXTS]; struct slice s[SCACHE_TEXTS]; };

static void make_texts(struct slice octets, struct texts *t)
{
	struct arena *a = arena_new(4096);
	struct slice body, header;
	bool has_end;
	const struct mime_part *root = mime_parse(octets, a);

	for (size_t i = 0; i < SCACHE_TEXTS; i++)
		buf_init(&t->b[i], BUF_UNBOUNDED);
	header = header_split(octets, &body, &has_end);
	mime_put_envelope(header, &t->b[MCACHE_ENVELOPE]);
	mime_put_structure(octets, root, true, &t->b[MCACHE_BODYSTRUCTURE]);
	mime_put_structure(octets, root, false, &t->b[MCACHE_BODY]);
	put_headers(header, &t->b[MCACHE_HEADERS]);
	preview_put(octets, root, &t->b[MCACHE_PREVIEW]);
	for (size_t i = 0; i < SCACHE_TEXTS; i++)
		t->s[i] = buf_view(&t->b[i]);
	arena_free(&a);
}

static void texts_done(struct texts *t)
{
	for (size_t i = 0; i < SCACHE_TEXTS; i++)
		buf_done(&t->b[i]);
}

uint64_t cache_fill(struct mbox *m, uint32_t uid, struct slice octets)
{
	struct err ignored;
	struct texts t;
	uint64_t at = 0;

	if (octets.n > CACHE_OCTETS)
		return 0;
	make_texts(octets, &t);
	if (scache_append(&m->cache, m->shelf, m->uidvalidity, uid, t.s, &at, &ignored) != 0)
		at = 0;
	texts_done(&t);
	return at;
}

/* Keeps what had to be computed, if that can be done; the caller has it anyway. */
static void keep(struct view *v, uint32_t slot, const struct slice texts[SCACHE_TEXTS])
{
	struct mbox *m = v->m;
	struct err ignored;
	uint64_t at;
	struct txn t;

	if (v->read_only || mbox_begin(m, &ignored) != 0)
		return;
	txn_init(m, &t);
	t.modseq = m->modseq;
	if (!mbox_is_gone(m, slot) && scache_append(&m->cache, m->shelf, m->uidvalidity, mbox_rec(m, slot)->uid, texts, &at, &ignored) == 0) {
		txn_cache(&t, mbox_rec(m, slot)->uid, at);
		if (mbox_commit_quietly(m, &t, &ignored) != 0) {}
	}
	txn_done(&t);
	mbox_end(m);
}

int view_cached(struct view *v, uint32_t seq, enum mcache what, struct arena *a, struct slice *out, struct err *e)
{
	uint32_t slot = view_slot(v, seq);
	struct mbox *m = v->m;
	struct slice texts[SCACHE_TEXTS];
	struct mbody b;
	struct texts t;
	struct err why;

	if (e == NULL)
		e = &why;
	if (scache_get(&m->cache, m->shelf, mbox_slot_cache(m, slot), m->uidvalidity, mbox_rec(m, slot)->uid, a, texts) == 0) {
		*out = texts[what];
		return 0;
	}
	if (read_slot(m, slot, &b, e) != 0)
		return -1;
	make_texts(b.octets, &t);
	mbody_done(&b);
	*out = arena_dup(a, t.s[what]);
	keep(v, slot, t.s);
	texts_done(&t);
	return 0;
}

/* ---- flags as text ---- */

void mrec_put_flags(const struct mbox *m, const struct mrec *r, bool recent, struct buf *out)
{
	static const struct { uint32_t flag; const char *text; } names[] = {
		{ MSG_ANSWERED, "\\Answered" }, { MSG_FLAGGED, "\\Flagged" }, { MSG_DELETED, "\\Deleted" }, { MSG_SEEN, "\\Seen" }, { MSG_DRAFT, "\\Draft" },
		{ MSG_FORWARDED, "$Forwarded" },
	};
	const char *blank = "";

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if ((r->flags & names[i].flag) != 0) {
			buf_putf(out, "%s%s", blank, names[i].text);
			blank = " ";
		}
	for (size_t i = 0; i < m->n_keywords; i++)
		if ((r->keywords >> i & 1) != 0 && m->keyword_name[i].n > 0) {
			buf_putf(out, "%s%s", blank, m->keyword[i]);
			blank = " ";
		}
	if (recent)
		buf_putf(out, "%s\\Recent", blank);
}
