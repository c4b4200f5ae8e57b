/*
 * queue/bounce.c - see bounce.h.
 */
#include "queue/bounce.h"

#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "mail/header.h"

static const char *const action_words[] = { "failed", "delayed", "delivered", "relayed" };

static const char *const subjects[] = {
	"Undelivered mail returned to sender", "Delayed mail (still being tried)", "Mail delivered", "Mail relayed",
};
static const char *const openings[] = {
	"Your message could not be delivered to the recipients below. The server gave\r\nup: you need to act if it still matters.\r\n",
	"Your message has not reached the recipients below yet. You need not send it\r\nagain: this server goes on trying until %s.\r\n",
	"Your message was delivered to the recipients below, as you asked to be told.\r\n",
	"Your message was handed to a server that sends no notifications of its own.\r\nYou may hear nothing more about these recipients.\r\n",
};

/* A value inside a header: whatever a peer put there, it stays on its line and in ASCII or UTF-8. */
static void put_safe(struct buf *out, struct slice s)
{
	text_escape(slice_head(s, 900), out);
}

static void put_date(struct buf *out, const char *name, int64_t when, int zone_min)
{
	buf_puts(out, name);
	date_put(when, zone_min, out);
	buf_puts(out, "\r\n");
}

static enum bounce_action worst(const struct bounce *b)
{
	enum bounce_action action = BOUNCE_RELAYED;

	for (size_t i = 0; i < b->n_rcpts; i++) {
		if (b->rcpts[i].action < action)
			action = b->rcpts[i].action;
	}
	return action;
}

static void put_head(const struct bounce *b, const struct settings *s, enum bounce_action action, struct buf *out)
{
	put_date(out, "Date: ", b->now, b->zone_min);
	buf_putf(out, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: <", s->myhostname);
	put_safe(out, b->to);
	buf_putf(out, ">\r\nSubject: %s\r\nMessage-ID: <%s@%s>\r\n", subjects[action], b->id, s->myhostname);
	buf_puts(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
	buf_putf(out, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"=_%s\"\r\n", b->id);
	if (b->env->flags & ENV_SMTPUTF8 || b->env->flags & ENV_8BITMIME)
		buf_puts(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_puts(out, "\r\n");
}

static void put_part(const struct bounce *b, const char *type, struct buf *out)
{
	buf_putf(out, "--=_%s\r\nContent-Type: %s\r\n", b->id, type);
	if (b->env->flags & ENV_SMTPUTF8 || b->env->flags & ENV_8BITMIME)
		buf_puts(out, "Content-Transfer-Encoding: 8bit\r\n");
	buf_puts(out, "\r\n");
}

/* The message had no sender, so it was a notification itself: only the postmaster hears of it. */
static const char nobody_else[] =
	"This message came with an empty sender, as notifications do, and could not be\r\ndelivered to the recipients below. Nobody but you, the postmaster, is told.\r\n";

static void put_human(const struct bounce *b, const struct settings *s, enum bounce_action action, struct buf *out)
{
	struct buf until;

	put_part(b, "text/plain; charset=utf-8", out);
	buf_putf(out, "This is the mail system at %s.\r\n\r\n", s->myhostname);
	buf_init(&until, BUF_UNBOUNDED);
	if (action == BOUNCE_DELAYED)
		date_put(b->retry_until, b->zone_min, &until);
	for (const char *p = action == BOUNCE_FAILED && b->env->sender.n == 0 ? nobody_else : openings[action]; *p != '\0'; p++) {
		if (p[0] == '%' && p[1] == 's') {
			buf_put(out, buf_view(&until));
			p++;
		} else {
			buf_putc(out, *p);
		}
	}
	buf_done(&until);
	for (size_t i = 0; i < b->n_rcpts; i++) {
		const struct bounce_rcpt *r = &b->rcpts[i];

		buf_puts(out, "\r\n<");
		put_safe(out, r->rcpt->address);
		buf_puts(out, ">");
		if (r->rcpt->original.n > 0) {
			buf_puts(out, " (sent to <");
			put_safe(out, r->rcpt->original);
			buf_puts(out, ">)");
		}
		buf_puts(out, ":\r\n    ");
		put_safe(out, r->text);
		buf_puts(out, "\r\n");
	}
	buf_putf(out, "\r\nThe postmaster can find this message in the log as %s.\r\n\r\n", b->env->id);
}

/* ORCPT comes as "type;xtext" and leaves as "type; text" (RFC 3464 2.3.1). */
static void put_original_recipient(const struct rcpt *r, struct buf *out)
{
	ptrdiff_t semi = slice_chr(r->orcpt, ';');
	struct buf plain;

	if (semi > 0) {
		buf_init(&plain, 1024);
		if (text_unxtext(slice_from(r->orcpt, (size_t)semi + 1), &plain) == 0) {
			buf_puts(out, "Original-Recipient: ");
			put_safe(out, slice_head(r->orcpt, (size_t)semi));
			buf_puts(out, ";");
			put_safe(out, buf_view(&plain));
			buf_puts(out, "\r\n");
		}
		buf_done(&plain);
	} else if (r->original.n > 0) {
		buf_puts(out, "Original-Recipient: rfc822;");
		put_safe(out, r->original);
		buf_puts(out, "\r\n");
	}
}

/* "host MX said: 550 5.1.1 no (in reply to RCPT TO)" is for people; programs read what the server said. */
static struct slice only_said(struct slice text)
{
	static const struct slice before = SLICE_INIT(" said: "), behind = SLICE_INIT(" (in reply to ");
	ptrdiff_t at = slice_starts(text, SLICE("host ")) ? slice_find(text, before) : -1, end;

	if (at < 0)
		return text;
	text = slice_from(text, (size_t)at + before.n);
	end = slice_find(text, behind);
	return end > 0 ? slice_head(text, (size_t)end) : text;
}

static void put_rcpt(const struct bounce *b, const struct bounce_rcpt *r, struct buf *out)
{
	buf_puts(out, "\r\n");
	put_original_recipient(r->rcpt, out);
	buf_puts(out, text_is_ascii(r->rcpt->address) ? "Final-Recipient: rfc822;" : "Final-Recipient: utf-8;");
	put_safe(out, r->rcpt->address);
	buf_putf(out, "\r\nAction: %s\r\nStatus: ", action_words[r->action]);
	put_safe(out, r->dsn.n > 0 ? r->dsn : SLICE("5.0.0"));
	buf_puts(out, "\r\n");
	if (r->mta.n > 0) {
		ptrdiff_t bracket = slice_chr(r->mta, '[');

		buf_puts(out, "Remote-MTA: dns; ");
		put_safe(out, bracket > 0 ? slice_head(r->mta, (size_t)bracket) : r->mta);
		buf_puts(out, "\r\n");
	}
	if (r->text.n > 0) {
		buf_puts(out, r->mta.n > 0 ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-posthouse; ");
		put_safe(out, r->mta.n > 0 ? only_said(r->text) : r->text);
		buf_puts(out, "\r\n");
	}
	if (r->action == BOUNCE_DELAYED)
		put_date(out, "Will-Retry-Until: ", b->retry_until, b->zone_min);
}

static void put_status(const struct bounce *b, const struct settings *s, struct buf *out)
{
	struct buf plain;

	put_part(b, b->env->flags & ENV_SMTPUTF8 ? "message/global-delivery-status" : "message/delivery-status", out);
	buf_init(&plain, 1024);
	if (b->env->envid.n > 0 && text_unxtext(b->env->envid, &plain) == 0) {
		buf_puts(out, "Original-Envelope-Id: ");
		put_safe(out, buf_view(&plain));
		buf_puts(out, "\r\n");
	}
	buf_done(&plain);
	buf_putf(out, "Reporting-MTA: dns; %s\r\nX-Posthouse-Queue-ID: %s\r\n", s->myhostname, b->env->id);
	put_date(out, "Arrival-Date: ", b->env->arrived / CLOCK_US_PER_S, b->zone_min);
	for (size_t i = 0; i < b->n_rcpts; i++)
		put_rcpt(b, &b->rcpts[i], out);
	buf_puts(out, "\r\n");
}

static bool is_bulk(struct slice header)
{
	struct slice value;

	if (!header_find(header, SLICE("Precedence"), &value))
		return false;
	value = slice_trim(value);
	return slice_ieqs(value, "bulk") || slice_ieqs(value, "list") || slice_ieqs(value, "junk");
}

static void put_returned(const struct bounce *b, enum bounce_action action, struct buf *out)
{
	struct slice header, body;
	bool has_end, full;

	if (b->original.n == 0)
		return;
	header = header_split(b->original, &body, &has_end);
	full = action == BOUNCE_FAILED && !(b->env->flags & ENV_RET_HDRS) && b->original.n <= BOUNCE_FULL_MAX && !is_bulk(header);
	put_part(b, full ? (b->env->flags & ENV_SMTPUTF8 ? "message/global" : "message/rfc822") :
	    (b->env->flags & ENV_SMTPUTF8 ? "message/global-headers" : "text/rfc822-headers"), out);
	buf_put(out, full ? b->original : slice_head(header, LIMIT_HEADER));
	if (out->len < 2 || out->p[out->len - 1] != '\n')
		buf_puts(out, "\r\n");
	buf_puts(out, "\r\n");
}

void bounce_put(const struct bounce *b, const struct settings *s, struct buf *out)
{
	enum bounce_action action = worst(b);

	put_head(b, s, action, out);
	buf_puts(out, "This is a multi-part message in MIME format.\r\n\r\n");
	put_human(b, s, action, out);
	put_status(b, s, out);
	put_returned(b, action, out);
	buf_putf(out, "--=_%s--\r\n", b->id);
}
