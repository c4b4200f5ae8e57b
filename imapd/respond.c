/*
 * imapd/respond.c - tagged replies, and the untagged ones that tell what changed (RFC 3501 7, codes of RFC 5530).
 */
#include <inttypes.h>
#include <time.h>

#include "base/log.h"
#include "imapd/imap.h"
#include "mail/mime.h"

static void put_reply(struct imap *s, struct buf *out, const char *status, const char *fmt, va_list ap) PRINTF_LIKE(4, 0);
static void put_reply(struct imap *s, struct buf *out, const char *status, const char *fmt, va_list ap)
{
	buf_putf(out, "%.*s %s ", SLICE_FMT(s->tag), status);
	if (buf_vaddf(out, fmt, ap) != 0)
		buf_puts(out, "(reply too long)");
	buf_puts(out, "\r\n");
}

void imap_ok(struct imap *s, struct buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_reply(s, out, "OK", fmt, ap);
	va_end(ap);
}

void imap_no(struct imap *s, struct buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_reply(s, out, "NO", fmt, ap);
	va_end(ap);
}

void imap_bad(struct imap *s, struct buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put_reply(s, out, "BAD", fmt, ap);
	va_end(ap);
	s->bad++;
}

void imap_no_err(struct imap *s, struct buf *out, const struct err *e, bool trycreate)
{
	switch (e->kind) {
	case ERR_NOTFOUND:
		imap_no(s, out, "%s %s", trycreate ? "[TRYCREATE]" : "[NONEXISTENT]", e->text);
		return;
	case ERR_EXISTS:
		imap_no(s, out, "[ALREADYEXISTS] %s", e->text);
		return;
	case ERR_LIMIT:
		imap_no(s, out, "[OVERQUOTA] %s", e->text);
		return;
	case ERR_SYNTAX:
	case ERR_DENIED:
		imap_no(s, out, "[CANNOT] %s", e->text);
		return;
	case ERR_NONE:
	case ERR_TEMP:
	case ERR_KINDS:
		break;
	}
	log_error("user=<%s>, session=<%s>: %s", buf_str(&s->user), buf_str(&s->session_id), e->text);
	imap_no(s, out, "[UNAVAILABLE] that failed on the server and was logged; try again later");
}

void imap_put_capabilities(const struct settings *set, struct buf *out)
{
	buf_puts(out, "CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID ENABLE IDLE NAMESPACE CHILDREN UNSELECT UIDPLUS MOVE LIST-EXTENDED LIST-STATUS "
	              "SPECIAL-USE CREATE-SPECIAL-USE STATUS=SIZE CONDSTORE QRESYNC ESEARCH SEARCHRES WITHIN MULTIAPPEND BINARY QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE "
	              "SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES XLIST APPENDLIMIT");
	buf_putf(out, "=%" PRIu64, set->message_size_limit);
}

void imap_put_mailbox(struct slice utf8, struct buf *out)
{
	struct buf name;

	buf_init(&name, BUF_UNBOUNDED);
	if (utf8_to_utf7(utf8, &name) != 0)
		buf_put(&name, utf8);                                 /* a foreign directory name: its octets as they are */
	imap_put_string(buf_view(&name), out);
	buf_done(&name);
}

void imap_put_flags(const struct imap *s, uint32_t seq, struct buf *out)
{
	buf_puts(out, "FLAGS (");
	mrec_put_flags(s->mbox, view_get(s->view, seq), view_is_recent(s->view, seq), out);
	buf_putc(out, ')');
}

void imap_put_changed(const struct imap *s, uint32_t seq, bool with_flags, struct buf *out)
{
	const struct mrec *r = view_get(s->view, seq);

	buf_putf(out, "* %" PRIu32 " FETCH (", seq);
	if (s->uid || (s->enabled & ENABLED_CONDSTORE) != 0)
		buf_putf(out, "UID %" PRIu32 " ", r->uid);
	if ((s->enabled & ENABLED_CONDSTORE) != 0)
		buf_putf(out, "MODSEQ (%" PRIu64 ")%s", r->modseq, with_flags ? " " : "");
	if (with_flags)
		imap_put_flags(s, seq, out);
	buf_puts(out, ")\r\n");
}

static void put_flag_names(const struct imap *s, const char *more, struct buf *out)
{
	const struct slice *names;
	size_t n = mbox_keywords(s->mbox, &names);

	buf_puts(out, "(\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded");
	for (size_t i = 0; i < n; i++)
		if (!slice_ieqs(names[i], "$Forwarded"))
			buf_putf(out, " %.*s", SLICE_FMT(names[i]));
	buf_puts(out, more);
}

void imap_put_flag_list(struct imap *s, struct buf *out)
{
	const struct slice *names;

	s->keywords_told = mbox_keywords(s->mbox, &names);
	buf_puts(out, "* FLAGS ");
	put_flag_names(s, ")\r\n", out);
	if (s->read_only) {
		buf_puts(out, "* OK [PERMANENTFLAGS ()] the folder is open for reading only\r\n");
		return;
	}
	buf_puts(out, "* OK [PERMANENTFLAGS ");
	put_flag_names(s, " \\*)] these are kept, and new words too\r\n", out);
}

/* ---- what others changed ---- */

struct telling {
	struct imap *s;
	struct buf *out;
	struct imap_set vanished;                                     /* descending: single UIDs, put in order at the end */
	size_t vanished_cap;
};

static void tell_expunged(void *ctx, uint32_t seq, uint32_t uid)
{
	struct telling *t = ctx;

	if ((t->s->enabled & ENABLED_QRESYNC) == 0) {
		buf_putf(t->out, "* %" PRIu32 " EXPUNGE\r\n", seq);
		return;
	}
	imap_set_add(&t->vanished, &t->vanished_cap, uid, t->s->cmd);
}

static void tell_vanished(struct telling *t)
{
	if (t->vanished.n == 0)
		return;
	imap_set_tidy(&t->vanished);
	imap_put_vanished(t->s, &t->vanished, false, t->out);
	t->vanished = (struct imap_set){ NULL, 0, false };
	t->vanished_cap = 0;
}

static void tell_flags(void *ctx, uint32_t seq)
{
	struct telling *t = ctx;
	const struct slice *names;

	tell_vanished(t);
	if (mbox_keywords(t->s->mbox, &names) != t->s->keywords_told)
		imap_put_flag_list(t->s, t->out);
	imap_put_changed(t->s, seq, true, t->out);
}

static void tell_grown(void *ctx, uint32_t count, uint32_t recent)
{
	struct telling *t = ctx;

	tell_vanished(t);
	buf_putf(t->out, "* %" PRIu32 " EXISTS\r\n* %" PRIu32 " RECENT\r\n", count, recent);
}

void imap_sync(struct imap *s, bool expunges, struct buf *out)
{
	static const struct view_events events = { tell_expunged, tell_flags, tell_grown };
	struct telling t = { .s = s, .out = out };
	struct err e = ERR_INIT;

	if (s->view == NULL)
		return;
	if (view_sync(s->view, expunges, &events, &t, &e) != 0)
		log_error("user=<%s>, session=<%s>: folder not refreshed: %s", buf_str(&s->user), buf_str(&s->session_id), e.text);
	tell_vanished(&t);
	s->told_modseq = mbox_highestmodseq(s->mbox);
}

void imap_sync_after(struct imap *s, struct buf *out)
{
	imap_sync(s, !s->by_number, out);
}

bool imap_enable(struct imap *s, unsigned what, struct buf *out)
{
	bool was_off = (s->enabled & what) != what, condstore = (s->enabled & ENABLED_CONDSTORE) == 0;

	s->enabled |= what | ENABLED_CONDSTORE;
	if (condstore && s->mbox != NULL)                             /* RFC 7162 3.1: the client must learn where it begins */
		buf_putf(out, "* OK [HIGHESTMODSEQ %" PRIu64 "] mod-sequences are on\r\n", mbox_highestmodseq(s->mbox));
	return was_off;
}

void imap_put_number(uint64_t v, struct buf *out)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	buf_put(out, slice_mem(digits + at, sizeof digits - at));
}

void imap_put_date_time(int64_t when, struct buf *out)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t t = (time_t)when;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL || tm.tm_year > 8099 || tm.tm_year < 0) {
		buf_puts(out, "\" 1-Jan-1970 00:00:00 +0000\"");
		return;
	}
	buf_putf(out, "\"%2d-%s-%04d %02d:%02d:%02d +0000\"", tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}
