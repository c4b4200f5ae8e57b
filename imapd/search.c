/*
 * imapd/search.c - does this message match? See search.h.
 */
#include "imapd/search.h"

#include <stdlib.h>
#include <unicase.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "mail/charset.h"
#include "mail/header.h"
#include "mail/mime.h"

enum { DAY = 86400 };

struct slice search_fold(struct slice utf8, struct arena *a)
{
	if (text_is_ascii(utf8)) {
		char *p = arena_str(a, utf8);

		for (size_t i = 0; i < utf8.n; i++)
			p[i] = ascii_lower(p[i]);
		return slice_mem(p, utf8.n);
	}
	size_t n = 0;
	uint8_t *folded = u8_casefold((const uint8_t *)utf8.p, utf8.n, NULL, UNINORM_NFC, NULL, &n);

	if (folded == NULL)                                           /* not UTF-8 */
		return arena_dup(a, utf8);
	struct slice out = arena_dup(a, slice_mem(folded, n));

	free(folded);
	return out;
}

static bool contains(struct slice hay, struct slice folded_needle, struct arena *a)
{
	if (folded_needle.n == 0)
		return true;
	if (text_is_ascii(hay))
		return slice_ifind(hay, folded_needle) >= 0;
	return slice_find(search_fold(hay, a), folded_needle) >= 0;
}

/* ---- what is known of the message ---- */

static void drop_message(struct search *q)
{
	if (q->has_body)
		mbody_done(&q->body);
	q->has_body = false;
	q->seq = 0;
	arena_reset(q->msg);
}

void search_done(struct search *q)
{
	if (q->msg == NULL)
		return;
	drop_message(q);
	arena_free(&q->msg);
}

static void look_at(struct search *q, uint32_t seq)
{
	if (q->seq == seq)
		return;
	drop_message(q);
	q->seq = seq;
}

static bool has_body(struct imap *s, struct search *q)
{
	struct err e = ERR_INIT;

	if (q->has_body)
		return true;
	q->reads++;
	q->has_body = view_read(s->view, q->seq, &q->body, &e) == 0;
	if (!q->has_body && e.kind != ERR_NOTFOUND)
		log_error("user=<%s>, session=<%s>: message not searched: %s", buf_str(&s->user), buf_str(&s->session_id), e.text);
	return q->has_body;
}

static struct slice header_block(struct imap *s, struct search *q, struct slice name)
{
	struct slice header, body;
	bool has_end;

	if (mcache_has_header(name) && view_cached(s->view, q->seq, MCACHE_HEADERS, q->msg, &header, NULL) == 0)
		return header;
	if (!has_body(s, q))
		return SLICE_NONE;
	return slice_head(header_split(q->body.octets, &body, &has_end), LIMIT_HEADER);
}

struct slice search_header(struct imap *s, struct search *q, uint32_t seq, struct slice name, bool decode)
{
	struct slice value;

	look_at(q, seq);
	if (!header_find(header_block(s, q, name), name, &value))
		return SLICE_NONE;
	return decode ? header_decode(header_unfold(value, q->msg), q->msg) : header_unfold(value, q->msg);
}

/* Any field of that name. */
static bool header_has(struct imap *s, struct search *q, const struct search_key *k)
{
	struct slice rest = header_block(s, q, k->name), name, value, raw;

	while (rest.p != NULL && header_next(&rest, &name, &value, &raw))
		if (slice_ieq(name, k->name) && contains(header_decode(header_unfold(value, q->msg), q->msg), k->text, q->msg))
			return true;
	return false;
}

/* The day that the Date field names, whatever its zone (RFC 3501 6.4.4). */
static bool sent_day(struct imap *s, struct search *q, int64_t *day_out)
{
	struct slice value = search_header(s, q, q->seq, SLICE("Date"), false);
	int64_t when;
	int zone;

	if (value.p == NULL || date_parse(value, &when, &zone) != 0)
		return false;
	*day_out = (when + (int64_t)zone * 60) / DAY;
	return true;
}

/* ---- bodies ---- */

static bool part_has(const struct search *q, const struct mime_part *p, struct slice needle)
{
	struct slice octets = slice_mem(q->body.octets.p + p->body_at, p->body_len);
	struct buf decoded, utf8;
	struct arena *a;
	bool found;

	buf_init(&decoded, BUF_UNBOUNDED);
	buf_init(&utf8, BUF_UNBOUNDED);
	if (mime_decode(octets, p->encoding, &decoded) != 0)
		buf_reset(&decoded);
	struct slice charset = SLICE("UTF-8"), text = buf_view(&decoded);

	for (size_t i = 0; i < p->n_params; i++)
		if (slice_ieqs(p->params[i].name, "charset"))
			charset = p->params[i].value;
	if (!text_is_ascii(text) && charset_to_utf8(charset, text, &utf8) == 0)
		text = buf_view(&utf8);
	a = arena_new(0);
	found = contains(text, needle, a);
	arena_free(&a);
	buf_done(&decoded);
	buf_done(&utf8);
	return found;
}

static bool block_has(const struct search *q, struct slice header, struct slice needle)
{
	return contains(header_decode(header_unfold(slice_head(header, LIMIT_HEADER), q->msg), q->msg), needle, q->msg);
}

/* Text parts, decoded; and the headers of messages inside. */
static bool body_has(struct imap *s, struct search *q, struct slice needle)
{
	if (!has_body(s, q))
		return false;
	const struct mime_part *root = mime_parse(q->body.octets, q->msg), *p = root;

	for (;;) {
		if (p->first == NULL && slice_eqs(p->type, "text") && part_has(q, p, needle))
			return true;
		if (mime_is_message(p) && block_has(q, slice_mem(q->body.octets.p + p->first->header_at, p->first->header_len), needle))
			return true;
		if (p->first != NULL) {
			p = p->first;
			continue;
		}
		while (p != root && p->next == NULL)
			p = p->parent;
		if (p == root)
			return false;
		p = p->next;
	}
}

static bool text_has(struct imap *s, struct search *q, struct slice needle)
{
	struct slice body, header;
	bool has_end;

	if (!has_body(s, q))
		return false;
	header = header_split(q->body.octets, &body, &has_end);
	return block_has(q, header, needle) || body_has(s, q, needle);
}

/* ---- keys ---- */

static bool has_keyword(const struct imap *s, const struct mrec *r, struct slice name)
{
	const struct slice *names;
	size_t n = mbox_keywords(s->mbox, &names);

	if (slice_ieqs(name, "$Forwarded"))
		return (r->flags & MSG_FORWARDED) != 0;
	for (size_t i = 0; i < n && i < 64; i++)
		if (slice_ieq(names[i], name))
			return (r->keywords & (uint64_t)1 << i) != 0;
	return false;
}

static bool matches(struct imap *s, struct search *q, const struct search_key *k);

static bool any_or_all(struct imap *s, struct search *q, const struct search_key *k, bool any)
{
	for (const struct search_key *c = k->first; c != NULL; c = c->next)
		if (matches(s, q, c) == any)
			return any;
	return !any;
}

static bool sent_matches(struct imap *s, struct search *q, const struct search_key *k)
{
	int64_t day;

	if (!sent_day(s, q, &day))
		return false;
	return k->kind == KEY_SENTBEFORE ? day < k->when / DAY : k->kind == KEY_SENTON ? day == k->when / DAY : day >= k->when / DAY;
}

static bool matches(struct imap *s, struct search *q, const struct search_key *k)
{
	const struct mrec *r = view_get(s->view, q->seq);

	switch (k->kind) {
	case KEY_ALL: return true;
	case KEY_AND: return any_or_all(s, q, k, false);
	case KEY_OR: return any_or_all(s, q, k, true);
	case KEY_NOT: return !matches(s, q, k->first);
	case KEY_FLAG: return (r->flags & k->flag) != 0;
	case KEY_KEYWORD: return has_keyword(s, r, k->name);
	case KEY_RECENT: return view_is_recent(s->view, q->seq);
	case KEY_SEQS: return imap_set_has(&k->set, q->seq);
	case KEY_BEFORE: return r->internaldate < k->when;
	case KEY_ON: return r->internaldate >= k->when && r->internaldate < k->when + DAY;
	case KEY_SINCE: return r->internaldate >= k->when;
	case KEY_SENTBEFORE:
	case KEY_SENTON:
	case KEY_SENTSINCE: return sent_matches(s, q, k);
	case KEY_LARGER: return r->size > k->number;
	case KEY_SMALLER: return r->size < k->number;
	case KEY_OLDER: return s->env->wall_s() - r->internaldate >= (int64_t)k->number;
	case KEY_YOUNGER: return s->env->wall_s() - r->internaldate <= (int64_t)k->number;
	case KEY_MODSEQ: return r->modseq >= k->number;
	case KEY_HEADER: return header_has(s, q, k);
	case KEY_BODY: return body_has(s, q, k->text);
	case KEY_TEXT: return text_has(s, q, k->text);
	}
	return false;
}

bool search_step(struct imap *s, struct search *q, search_found *found, void *job)
{
	unsigned reads = q->reads;

	for (unsigned looked = 0; q->last < view_count(s->view); looked++) {
		if (looked >= IMAP_STEP_MESSAGES || q->reads - reads >= IMAP_STEP_READS)
			return false;
		look_at(q, ++q->last);
		if (matches(s, q, q->root))
			found(s, job, q->last);
	}
	return true;
}
