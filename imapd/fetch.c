/*
 * imapd/fetch.c - FETCH (RFC 3501 6.4.5, CHANGEDSINCE and VANISHED: RFC 7162, BINARY: RFC 3516), as a job.
 *
 * For each message everything is found first and told then, so that a message that was expunged meanwhile leaves no half reply. Flags, sizes, dates, UIDs,
 * envelopes, structures and the headers that mail programs list come from index and cache: no file is opened. Octets of a body go out straight from
 * its mapping, IMAP_STEP at a time.
 */
#include "imapd/fetch.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "imapd/imap.h"
#include "mail/header.h"
#include "mail/mime.h"

struct fetch {
	struct fetch_items items;
	struct imap_set seqs;
	struct imap_walk walk;
	struct imap_set newly_seen;                                   /* their flags are told too */
	uint64_t changed_since;
	bool has_changed_since, vanished;
	bool needs_octets, sets_seen;

	/* The message being told. */
	struct arena *msg;
	struct mbody body;
	bool has_body;
	struct mime_part *root;                                       /* parsed when first needed */
	uint32_t seq;                                                 /* 0: none */
	size_t item;                                                  /* next to tell */
	struct slice pending;                                         /* octets of the item before, not yet told */
	uint32_t lost;                                                /* messages that were gone */
	bool bad_cte;                                                 /* BINARY of an encoding that is none */
};

static void drop_message(struct fetch *f)
{
	if (f->has_body)
		mbody_done(&f->body);
	f->has_body = false;
	f->root = NULL;
	f->seq = 0;
	f->pending = SLICE_NONE;
	arena_reset(f->msg);
}

static void fetch_drop(void *job)
{
	struct fetch *f = job;

	drop_message(f);
	arena_free(&f->msg);
}

/* ---- finding ---- */

static int need_body(struct imap *s, struct fetch *f, struct err *e)
{
	if (f->has_body)
		return 0;
	if (view_read(s->view, f->seq, &f->body, e) != 0)
		return -1;
	f->has_body = true;
	return 0;
}

static struct slice part_header(const struct fetch *f, const struct mime_part *p)
{
	return slice_mem(f->body.octets.p + p->header_at, p->header_len);
}

static struct slice part_body(const struct fetch *f, const struct mime_part *p)
{
	return slice_mem(f->body.octets.p + p->body_at, p->body_len);
}

static struct mime_part *find_part(struct fetch *f, const struct fetch_item *it)
{
	struct slice tail;

	if (f->root == NULL)
		f->root = mime_parse(f->body.octets, f->msg);
	return mime_section(f->root, it->numbers, &tail);
}

static struct slice partial(const struct fetch_item *it, struct slice octets)
{
	if (octets.p == NULL || !it->partial)
		return octets;
	octets = slice_head(slice_from(octets, it->offset), it->length);
	return octets.p == NULL ? SLICE("") : octets;
}

/* HEADER and TEXT of `header` and `body`. */
static struct slice of_message(const struct fetch_item *it, struct slice header, struct slice body, struct arena *a)
{
	switch (it->what) {
	case WHAT_HEADER: return header;
	case WHAT_FIELDS:
	case WHAT_FIELDS_NOT: return fetch_filter(header, it, a);
	case WHAT_TEXT: return body;
	case WHAT_ALL:
	case WHAT_MIME: break;
	}
	return SLICE_NONE;
}

static struct slice find_in_body(struct fetch *f, const struct fetch_item *it)
{
	if (it->numbers.n == 0) {
		struct slice body;
		bool has_end;

		if (it->what == WHAT_ALL)
			return f->body.octets;
		struct slice header = header_split(f->body.octets, &body, &has_end);

		/* The empty line belongs to the header here, whichever way it was split. */
		header = slice_head(f->body.octets, has_end ? f->body.octets.n - body.n : header.n);
		return of_message(it, header, body.p == NULL ? SLICE("") : body, f->msg);
	}
	const struct mime_part *p = find_part(f, it);

	if (p == NULL)
		return SLICE_NONE;
	if (it->what == WHAT_ALL)
		return part_body(f, p);
	if (it->what == WHAT_MIME)
		return part_header(f, p);
	return mime_is_message(p) ? of_message(it, part_header(f, p->first), part_body(f, p->first), f->msg) : SLICE_NONE;
}

static int find_section(struct imap *s, struct fetch *f, struct fetch_item *it, struct err *e)
{
	struct slice cached;

	if (it->cached && it->numbers.n == 0 && view_cached(s->view, f->seq, MCACHE_HEADERS, f->msg, &cached, NULL) == 0) {
		it->octets = partial(it, fetch_filter(cached, it, f->msg));
		return 0;
	}
	if (need_body(s, f, e) != 0)
		return -1;
	it->octets = partial(it, find_in_body(f, it));
	return 0;
}

static int find_binary(struct imap *s, struct fetch *f, struct fetch_item *it, struct err *e)
{
	struct buf out;
	const struct mime_part *p;

	it->octets = SLICE_NONE;
	if (need_body(s, f, e) != 0)
		return -1;
	if (it->numbers.n == 0) {
		it->octets = partial(it, f->body.octets);
		return 0;
	}
	p = find_part(f, it);
	if (p == NULL)
		return 0;
	buf_init(&out, BUF_UNBOUNDED);
	if (mime_decode(part_body(f, p), p->encoding, &out) == 0)
		it->octets = partial(it, arena_dup(f->msg, buf_view(&out)));
	buf_done(&out);
	return 0;
}

static int find_item(struct imap *s, struct fetch *f, struct fetch_item *it, struct err *e)
{
	switch (it->kind) {
	case FETCH_ENVELOPE:
		return view_cached(s->view, f->seq, MCACHE_ENVELOPE, f->msg, &it->octets, e);
	case FETCH_BODY:
		return view_cached(s->view, f->seq, MCACHE_BODY, f->msg, &it->octets, e);
	case FETCH_BODYSTRUCTURE:
		return view_cached(s->view, f->seq, MCACHE_BODYSTRUCTURE, f->msg, &it->octets, e);
	case FETCH_SECTION:
		return find_section(s, f, it, e);
	case FETCH_BINARY:
	case FETCH_BINARY_SIZE:
		return find_binary(s, f, it, e);
	case FETCH_UID:
	case FETCH_FLAGS:
	case FETCH_MODSEQ:
	case FETCH_INTERNALDATE:
	case FETCH_SIZE:
		break;
	}
	return 0;
}

/* True: everything about f->seq is found, its reply may begin. */
static bool find_message(struct imap *s, struct fetch *f)
{
	struct err e = ERR_INIT;

	for (size_t i = 0; i < f->items.n; i++) {
		if (find_item(s, f, &f->items.list[i], &e) == 0)
			continue;
		if (e.kind != ERR_NOTFOUND)
			log_error("user=<%s>, session=<%s>: message not read: %s", buf_str(&s->user), buf_str(&s->session_id), e.text);
		f->lost++;
		drop_message(f);
		return false;
	}
	return true;
}

/* ---- telling ---- */

static void tell_octets(struct fetch *f, const struct fetch_item *it, struct buf *out)
{
	buf_put(out, it->label);
	if (it->octets.p == NULL) {
		buf_puts(out, " NIL");
		return;
	}
	bool binary = it->kind == FETCH_BINARY && it->octets.n > 0 && memchr(it->octets.p, '\0', it->octets.n) != NULL;

	buf_putf(out, " %s{%zu}\r\n", binary ? "~" : "", it->octets.n);
	f->pending = it->octets;
}

static void put_field(const char *name, uint64_t v, struct buf *out)
{
	buf_puts(out, name);
	imap_put_number(v, out);
}

static void tell_item(struct imap *s, struct fetch *f, const struct fetch_item *it, struct buf *out)
{
	const struct mrec *r = view_get(s->view, f->seq);

	switch (it->kind) {
	case FETCH_UID: put_field("UID ", r->uid, out); break;
	case FETCH_FLAGS: imap_put_flags(s, f->seq, out); break;
	case FETCH_MODSEQ: buf_putf(out, "MODSEQ (%" PRIu64 ")", r->modseq); break;
	case FETCH_INTERNALDATE:
		buf_puts(out, "INTERNALDATE ");
		imap_put_date_time(r->internaldate, out);
		break;
	case FETCH_SIZE: put_field("RFC822.SIZE ", r->size, out); break;
	case FETCH_ENVELOPE:
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		buf_put(out, it->label);
		buf_putc(out, ' ');
		buf_put(out, it->octets);
		break;
	case FETCH_SECTION:
	case FETCH_BINARY: tell_octets(f, it, out); break;
	case FETCH_BINARY_SIZE: buf_putf(out, "%.*s %zu", SLICE_FMT(it->label), it->octets.n); break;
	}
}

/* False: the output is full before the message is told. */
static bool tell_message(struct imap *s, struct fetch *f, size_t full, struct buf *out)
{
	for (;;) {
		size_t room = out->len < full ? full - out->len : 0;
		struct slice now = slice_head(f->pending, room);

		buf_put(out, now);
		s->fetched_octets += now.n;
		f->pending = slice_from(f->pending, now.n);
		if (f->pending.n > 0)
			return false;
		if (f->item == f->items.n)
			break;
		if (f->item > 0)
			buf_putc(out, ' ');
		tell_item(s, f, &f->items.list[f->item++], out);
	}
	if (f->newly_seen.n > 0 && imap_set_has(&f->newly_seen, f->seq) && !fetch_has(&f->items, FETCH_FLAGS)) {
		buf_putc(out, ' ');
		imap_put_flags(s, f->seq, out);
		if ((s->enabled & ENABLED_CONDSTORE) != 0 && !fetch_has(&f->items, FETCH_MODSEQ))
			buf_putf(out, " MODSEQ (%" PRIu64 ")", view_get(s->view, f->seq)->modseq);
	}
	buf_puts(out, ")\r\n");
	s->n_fetched++;
	drop_message(f);
	return true;
}

static bool fetch_step(struct imap *s, void *job, struct buf *out)
{
	struct fetch *f = job;
	size_t full = out->len + IMAP_STEP;
	unsigned looked = 0, opened = 0;

	for (;;) {
		if (f->seq != 0 && !tell_message(s, f, full, out))
			return false;
		if (out->len >= full || looked++ >= IMAP_STEP_MESSAGES || opened >= IMAP_STEP_READS)
			return false;
		f->seq = imap_walk_next(&f->walk);
		if (f->seq == 0)
			break;
		if (f->has_changed_since && view_get(s->view, f->seq)->modseq <= f->changed_since) {
			f->seq = 0;
			continue;
		}
		if (!find_message(s, f))
			continue;
		opened += f->has_body;
		f->item = 0;
		put_field("* ", f->seq, out);
		buf_puts(out, " FETCH (");
	}
	imap_sync_after(s, out);
	if (f->lost > 0)
		imap_no(s, out, "[EXPUNGEISSUED] %" PRIu32 " of the messages were not there any more", f->lost);
	else
		imap_ok(s, out, "fetched");
	return true;
}

/* ---- beginning ---- */

/* (CHANGEDSINCE n VANISHED) behind the items. */
static int read_modifiers(struct imap *s, struct imap_text *t, struct fetch *f)
{
	if (imap_at_end(t))
		return 0;
	if (imap_space(t) != 0 || imap_open(t) != 0)
		return -1;
	while (imap_close(t) != 0) {
		if (imap_word(t, "CHANGEDSINCE")) {
			f->has_changed_since = true;
			if (imap_space(t) != 0 || imap_number64(t, &f->changed_since) != 0)
				return -1;
		} else if (imap_word(t, "VANISHED")) {
			f->vanished = true;
		} else {
			t->why = "the modifiers of FETCH are CHANGEDSINCE and VANISHED";
			return -1;
		}
		if (imap_peek(t, ' ') && imap_space(t) != 0)
			return -1;
	}
	if (f->vanished && (!s->uid || !f->has_changed_since || (s->enabled & ENABLED_QRESYNC) == 0)) {
		t->why = "VANISHED stands beside CHANGEDSINCE, in UID FETCH, after ENABLE QRESYNC (RFC 7162 3.2.6)";
		return -1;
	}
	return 0;
}

static void plan(struct imap *s, struct fetch *f)
{
	for (size_t i = 0; i < f->items.n; i++) {
		const struct fetch_item *it = &f->items.list[i];

		f->sets_seen = f->sets_seen || !it->peek;
	}
	if (s->uid && !fetch_has(&f->items, FETCH_UID))
		fetch_add(&f->items, FETCH_UID, s->cmd);
	if (f->has_changed_since && !fetch_has(&f->items, FETCH_MODSEQ))
		fetch_add(&f->items, FETCH_MODSEQ, s->cmd);
}

/* What is read becomes \Seen, all of it in one change. */
static int set_seen(struct imap *s, struct fetch *f, struct err *e)
{
	const struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_SEEN };
	uint32_t *seqs;
	size_t n = imap_seq_array(s, &f->seqs, &seqs), unseen = 0, cap = 0;

	for (size_t i = 0; i < n; i++) {
		const struct mrec *r = view_get(s->view, seqs[i]);

		if ((r->flags & MSG_SEEN) != 0 || (f->has_changed_since && r->modseq <= f->changed_since))
			continue;
		imap_set_add(&f->newly_seen, &cap, seqs[i], s->cmd);
		seqs[unseen++] = seqs[i];
	}
	return unseen == 0 ? 0 : view_store_flags(s->view, seqs, unseen, &ch, s->cmd, NULL, NULL, e);
}

void imap_cmd_fetch(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct fetch *f = arena_alloc(s->cmd, sizeof *f);
	struct imap_set uids;
	struct err e = ERR_INIT;

	if (imap_space(t) != 0 || imap_set(t, &f->seqs) != 0 || imap_space(t) != 0 || fetch_read(t, &f->items) != 0 || read_modifiers(s, t, f) != 0) {
		imap_bad(s, out, "FETCH: %s", t->why);
		return;
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	if (f->has_changed_since || fetch_has(&f->items, FETCH_MODSEQ))
		imap_enable(s, ENABLED_CONDSTORE, out);
	if (f->vanished) {
		uids = f->seqs;
		uids.r = arena_array(s->cmd, uids.n + 1, sizeof *uids.r);
		memcpy(uids.r, f->seqs.r, uids.n * sizeof *uids.r);
		imap_set_resolve(&uids, mbox_uidnext(s->mbox));
		struct imap_set missing;

		imap_missing_uids(s, &uids, &missing);
		imap_put_vanished(s, &missing, true, out);
	}
	if (imap_seqs(s, &f->seqs, out) != 0)
		return;
	plan(s, f);
	if (f->sets_seen && !s->read_only && set_seen(s, f, &e) != 0) {
		imap_no_err(s, out, &e, false);
		return;
	}
	f->walk = (struct imap_walk){ &f->seqs, 0, 0 };
	f->msg = arena_new(4096);
	imap_start_job(s, fetch_step, f, fetch_drop);
}
