/*
 * mail/mime_imap.c - ENVELOPE, BODY and BODYSTRUCTURE as RFC 3501 7.4.2 prints them, and IMAP's strings.
 */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "mail/header.h"
#include "mail/mime.h"

static bool is_quotable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '\0' || c == '\r' || c == '\n' || c >= 0x80)
			return false;
	}
	return true;
}

/* NUL is legal in neither form (RFC 3501 CHAR8): it becomes '?'. */
static void put_literal(struct slice s, struct buf *out)
{
	buf_putf(out, "{%zu}\r\n", s.n);
	size_t at = out->len;

	buf_put(out, s);
	for (char *nul = out->p + at; (nul = memchr(nul, '\0', out->len - (size_t)(nul - out->p))) != NULL;)
		*nul = '?';
}

void imap_put_string(struct slice s, struct buf *out)
{
	if (!is_quotable(s)) {
		put_literal(s, out);
		return;
	}
	buf_putc(out, '"');
	size_t run = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '"' && s.p[i] != '\\')
			continue;
		buf_put(out, slice_mem(s.p + run, i - run));
		buf_putc(out, '\\');
		run = i;
	}
	buf_put(out, slice_from(s, run));
	buf_putc(out, '"');
}

void imap_put_nstring(struct slice s, struct buf *out)
{
	if (s.p == NULL)
		buf_puts(out, "NIL");
	else
		imap_put_string(s, out);
}

/* ---- ENVELOPE ---- */

enum env { E_DATE, E_SUBJECT, E_FROM, E_SENDER, E_REPLY_TO, E_TO, E_CC, E_BCC, E_IN_REPLY_TO, E_MESSAGE_ID, ENVS };

static const struct { const char *name; bool addresses; } env_rows[ENVS] = {
	[E_DATE] = { "Date", false }, [E_SUBJECT] = { "Subject", false }, [E_FROM] = { "From", true }, [E_SENDER] = { "Sender", true },
	[E_REPLY_TO] = { "Reply-To", true }, [E_TO] = { "To", true }, [E_CC] = { "Cc", true }, [E_BCC] = { "Bcc", true },
	[E_IN_REPLY_TO] = { "In-Reply-To", false }, [E_MESSAGE_ID] = { "Message-ID", false },
};

static void put_address(const struct address *ad, struct buf *out)
{
	switch (ad->kind) {
	case ADDRESS_GROUP_START:
		buf_puts(out, "(NIL NIL ");
		imap_put_string(ad->name, out);
		buf_puts(out, " NIL)");
		return;
	case ADDRESS_GROUP_END:
		buf_puts(out, "(NIL NIL NIL NIL)");
		return;
	case ADDRESS_MAILBOX:
		break;
	}
	buf_putc(out, '(');
	imap_put_nstring(ad->name.n == 0 ? SLICE_NONE : ad->name, out);
	buf_putc(out, ' ');
	imap_put_nstring(ad->route.n == 0 ? SLICE_NONE : ad->route, out);
	buf_putc(out, ' ');
	imap_put_string(ad->local, out);
	buf_putc(out, ' ');
	imap_put_string(ad->domain, out);                             /* NIL here would mean group syntax (RFC 3501 7.4.2), so "" where none is */
	buf_putc(out, ')');
}

static bool put_addresses(struct slice value, struct arena *a, struct buf *out)
{
	struct address *list;
	size_t n = value.p == NULL ? 0 : address_list(value, a, &list);

	if (n == 0)
		return false;
	buf_putc(out, '(');
	for (size_t i = 0; i < n; i++)
		put_address(&list[i], out);
	buf_putc(out, ')');
	return true;
}

static void find_fields(struct slice header, struct slice values[ENVS])
{
	struct slice rest = slice_head(header, LIMIT_HEADER), name, value, raw;

	while (header_next(&rest, &name, &value, &raw))
		for (unsigned i = 0; i < ENVS; i++)
			if (values[i].p == NULL && slice_ieqs(name, env_rows[i].name))
				values[i] = value.p == NULL ? SLICE("") : value;
}

/* Sender and Reply-To that are missing or empty are From (RFC 3501 7.4.2). */
static void put_env_field(unsigned i, const struct slice values[ENVS], struct arena *a, struct buf *out)
{
	if (!env_rows[i].addresses) {
		imap_put_nstring(values[i].p == NULL ? SLICE_NONE : header_unfold(values[i], a), out);
		return;
	}
	if (put_addresses(values[i], a, out))
		return;
	if ((i != E_SENDER && i != E_REPLY_TO) || !put_addresses(values[E_FROM], a, out))
		buf_puts(out, "NIL");
}

void mime_put_envelope(struct slice header, struct buf *out)
{
	struct arena *a = arena_new(0);
	struct slice values[ENVS] = { { NULL, 0 } };

	find_fields(header, values);
	for (unsigned i = 0; i < ENVS; i++) {
		buf_putc(out, i == 0 ? '(' : ' ');
		put_env_field(i, values, a, out);
	}
	buf_putc(out, ')');
	arena_free(&a);
}

/* ---- BODY, BODYSTRUCTURE ---- */

struct print {
	struct slice message;
	struct buf *out;
	bool extended;
};

static void put_params(const struct print *pr, const struct mime_param *params, size_t n)
{
	if (n == 0) {
		buf_puts(pr->out, "NIL");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		buf_putc(pr->out, i == 0 ? '(' : ' ');
		imap_put_string(params[i].name, pr->out);
		buf_putc(pr->out, ' ');
		imap_put_string(params[i].value, pr->out);
	}
	buf_putc(pr->out, ')');
}

static void put_disposition(const struct print *pr, const struct mime_part *p)
{
	if (p->disposition.p == NULL) {
		buf_puts(pr->out, "NIL");
		return;
	}
	buf_putc(pr->out, '(');
	imap_put_string(p->disposition, pr->out);
	buf_putc(pr->out, ' ');
	put_params(pr, p->disposition_params, p->n_disposition_params);
	buf_putc(pr->out, ')');
}

/* "de, en": a list; one tag: a string. */
static void put_language(const struct print *pr, struct slice langs)
{
	struct slice tag;
	bool any = false, many = slice_chr(langs, ',') >= 0;

	if (langs.p != NULL && !many) {
		imap_put_string(langs, pr->out);
		return;
	}
	for (struct slice rest = langs; langs.p != NULL && slice_next(&rest, ',', &tag);) {
		tag = slice_trim(tag);
		if (tag.n == 0)
			continue;
		buf_putc(pr->out, any ? ' ' : '(');
		imap_put_string(tag, pr->out);
		any = true;
	}
	buf_puts(pr->out, any ? ")" : "NIL");
}

/* The fields after md5 or the multipart's parameters, and those too. */
static void put_extension(const struct print *pr, const struct mime_part *p)
{
	if (!pr->extended)
		return;
	buf_putc(pr->out, ' ');
	if (mime_is_multipart(p))
		put_params(pr, p->params, p->n_params);
	else
		imap_put_nstring(p->md5, pr->out);
	buf_putc(pr->out, ' ');
	put_disposition(pr, p);
	buf_putc(pr->out, ' ');
	put_language(pr, p->language);
	buf_putc(pr->out, ' ');
	imap_put_nstring(p->location, pr->out);
}

static void put_basic_fields(const struct print *pr, const struct mime_part *p)
{
	imap_put_string(p->type, pr->out);
	buf_putc(pr->out, ' ');
	imap_put_string(p->subtype, pr->out);
	buf_putc(pr->out, ' ');
	put_params(pr, p->params, p->n_params);
	buf_putc(pr->out, ' ');
	imap_put_nstring(p->id, pr->out);
	buf_putc(pr->out, ' ');
	imap_put_nstring(p->description, pr->out);
	buf_putc(pr->out, ' ');
	imap_put_string(p->encoding, pr->out);
	buf_putf(pr->out, " %zu", p->body_len);
}

static void enter(const struct print *pr, const struct mime_part *p)
{
	buf_putc(pr->out, '(');
	if (mime_is_multipart(p))
		return;
	put_basic_fields(pr, p);
	if (mime_is_message(p)) {
		buf_putc(pr->out, ' ');
		mime_put_envelope(slice_mem(pr->message.p + p->first->header_at, p->first->header_len), pr->out);
		buf_putc(pr->out, ' ');
	}
}

static void leave(const struct print *pr, const struct mime_part *p)
{
	if (mime_is_multipart(p)) {
		buf_putc(pr->out, ' ');
		imap_put_string(p->subtype, pr->out);
	} else if (mime_is_message(p) || slice_eqs(p->type, "text")) {
		buf_putf(pr->out, " %" PRIu64, p->body_lines);
	}
	put_extension(pr, p);
	buf_putc(pr->out, ')');
}

void mime_put_structure(struct slice message, const struct mime_part *root, bool extended, struct buf *out)
{
	const struct print pr = { message, out, extended };
	const struct mime_part *p = root;

	enter(&pr, p);
	for (;;) {
		if (p->first != NULL) {
			p = p->first;
			enter(&pr, p);
			continue;
		}
		leave(&pr, p);
		while (p != root && p->next == NULL) {
			p = p->parent;
			leave(&pr, p);
		}
		if (p == root)
			return;
		p = p->next;
		enter(&pr, p);
	}
}
