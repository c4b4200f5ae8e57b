/*
 * imapd/append.c - APPEND (RFC 3501 6.3.11), several at once (RFC 3502), the limit told before the octets come (RFC 7889).
 *
 * Message literals go from the input to the store's temporary file and are never held here. A refusal is said before the first octet where the client
 * waits for "+". Bare LFs become CRLF, because that is what a message is (clients that move mail about send them); NUL is refused.
 * With several messages all are kept back until the last literal is in, so that a refusal leaves none of them (RFC 3502 6.3.11).
 */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "imapd/imap.h"

enum { MESSAGES_MAX = 100 };

struct one {
	struct mappend *to;
	struct imap_flags flags;
	int64_t date;
};

struct imap_append {
	struct mbox *mbox;
	struct one msgs[MESSAGES_MAX];
	size_t n;
	uint64_t left, size;                                          /* of the present literal; size counts what was written, of all */
	bool in_literal, after_cr, has_nul, failed;
	struct err e;
};

bool imap_append_wants_octets(const struct imap *s)
{
	return s->append != NULL && s->append->in_literal && s->append->left > 0;
}

void imap_append_drop(struct imap *s)
{
	struct imap_append *ap = s->append;

	if (ap == NULL)
		return;
	for (size_t i = 0; i < ap->n; i++)
		mappend_drop(&ap->msgs[i].to);
	mbox_close(&ap->mbox);
	s->append = NULL;
}

/* Is the literal at the end of this text a message? Not one that spells the mailbox. */
bool imap_append_streams(void *ctx, struct slice text)
{
	const struct imap *s = ctx;
	struct imap_text t;
	struct slice word, mailbox;
	bool yes;

	if (s->append != NULL)
		return true;
	if (text.n > 600 && slice_ifind(slice_head(text, 600), SLICE(" APPEND ")) < 0)
		return false;
	imap_text_init(&t, text, arena_new(256));
	yes = imap_tag(&t, &word) == 0 && imap_space(&t) == 0 && imap_word(&t, "APPEND") && imap_space(&t) == 0 && imap_astring(&t, &mailbox) == 0 &&
	      imap_peek(&t, ' ');
	arena_free(&t.a);
	return yes;
}

/* [SP flags] [SP date] SP {n} */
static int read_message_head(struct imap_text *t, struct one *m, int64_t now)
{
	m->date = now;
	if (imap_space(t) != 0)
		return -1;
	if (imap_peek(t, '(') && (imap_flags(t, true, &m->flags) != 0 || imap_space(t) != 0))
		return -1;
	if (imap_peek(t, '"') && (imap_date_time(t, &m->date) != 0 || imap_space(t) != 0))
		return -1;
	if (slice_starts(t->rest, SLICE("~")))                        /* literal8 (RFC 3516): the same to us, NUL stays refused */
		t->rest = slice_from(t->rest, 1);
	if (!imap_peek(t, '{') || slice_chr(t->rest, '}') != (ptrdiff_t)t->rest.n - 1) {
		t->why = "the message comes as a literal {size}";
		return -1;
	}
	return 0;
}

/* The reply was said. What of the message comes anyway is skipped by the reader. */
static enum session_want refuse(struct imap *s, struct buf *out)
{
	imap_append_drop(s);
	return imap_reader_refuse(&s->reader, out) == IMAP_READ_CLOSE ? SESSION_CLOSE : SESSION_INPUT;
}

/* The tag and the mailbox, at the first message. False: replied. */
static bool begin(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct slice name;
	struct err e = ERR_INIT;
	struct mbox *m = NULL;

	s->uid = s->by_number = false;
	if (imap_tag(t, &s->tag) != 0 || imap_space(t) != 0 || !imap_word(t, "APPEND"))
		return false;                                         /* cannot be: imap_append_streams() read them */
	if (imap_mailbox_arg(s, t, &name, out) != 0)
		return false;
	if (mbox_open(&m, s->env->box, name, &e) != 0) {
		imap_no_err(s, out, &e, true);
		return false;
	}
	s->append = arena_alloc(s->cmd, sizeof *s->append);
	s->append->mbox = m;
	return true;
}

enum session_want imap_append_literal(struct imap *s, struct slice text, struct buf *out)
{
	struct imap_text t;
	struct err e = ERR_INIT;

	imap_text_init(&t, arena_dup(s->cmd, text), s->cmd);
	if (s->append == NULL && !begin(s, &t, out))
		return refuse(s, out);
	struct imap_append *ap = s->append;
	uint64_t limit = s->env->s->message_size_limit;

	if (ap->n == MESSAGES_MAX) {
		imap_no(s, out, "[LIMIT] more than %d messages in one APPEND", MESSAGES_MAX);
		return refuse(s, out);
	}
	struct one *m = &ap->msgs[ap->n];

	if (read_message_head(&t, m, s->env->wall_s()) != 0) {
		imap_bad(s, out, "APPEND: %s", t.why);
		return refuse(s, out);
	}
	if (s->reader.size > limit) {
		imap_no(s, out, "[TOOBIG] a message may have %" PRIu64 " octets", limit);
		return refuse(s, out);
	}
	if (mappend_begin(&m->to, ap->mbox, s->reader.size, &e) != 0) {
		imap_no_err(s, out, &e, false);
		return refuse(s, out);
	}
	ap->n++;
	ap->left = s->reader.size;
	ap->in_literal = true;
	ap->after_cr = false;
	imap_reader_stream(&s->reader, out);
	return SESSION_INPUT;
}

static void write_octets(struct imap_append *ap, struct slice octets)
{
	if (octets.n == 0 || ap->failed)
		return;
	ap->failed = mappend_write(ap->msgs[ap->n - 1].to, octets, &ap->e) != 0;
	ap->size += octets.n;
}

size_t imap_append_octets(struct imap *s, struct slice in)
{
	struct imap_append *ap = s->append;
	struct slice octets = slice_head(in, in.n < ap->left ? in.n : (size_t)ap->left);
	size_t run = 0;

	for (size_t at = 0; at < octets.n; at++) {
		const char *lf = memchr(octets.p + at, '\n', octets.n - at);

		if (lf == NULL)
			break;
		at = (size_t)(lf - octets.p);
		if (at == 0 ? ap->after_cr : octets.p[at - 1] == '\r')
			continue;
		write_octets(ap, slice_mem(octets.p + run, at - run));
		write_octets(ap, SLICE("\r\n"));
		run = at + 1;
	}
	write_octets(ap, slice_from(octets, run));
	if (octets.n > 0) {
		ap->has_nul = ap->has_nul || memchr(octets.p, '\0', octets.n) != NULL;
		ap->after_cr = octets.p[octets.n - 1] == '\r';
	}
	ap->left -= octets.n;
	return octets.n;
}

static int commit_all(struct imap *s, struct imap_append *ap, struct imap_set *uids, struct err *e)
{
	size_t cap = 0;

	for (size_t i = 0; i < ap->n; i++) {
		struct one *m = &ap->msgs[i];
		uint32_t uid;

		if (mappend_commit(&m->to, m->flags.flags, m->flags.keywords, m->flags.n_keywords, m->date, &uid, e) != 0)
			return -1;
		imap_set_add(uids, &cap, uid, s->cmd);
		s->n_appended++;
	}
	return 0;
}

/* The line behind the last literal: empty, or this is no APPEND. */
void imap_append_end(struct imap *s, struct slice text, struct buf *out)
{
	struct imap_append *ap = s->append;
	struct imap_set uids = { NULL, 0, false };
	struct imap_text t;

	imap_text_init(&t, text, s->cmd);
	if (!imap_at_end(&t)) {
		imap_bad(s, out, "APPEND: behind the message comes the end of the line, or the next message");
	} else if (ap->has_nul) {
		imap_bad(s, out, "NUL is not allowed in a message");
	} else if (ap->failed || commit_all(s, ap, &uids, &ap->e) != 0) {
		if (uids.n > 0)
			log_error("user=<%s>, session=<%s>: APPEND of several messages ended in the middle: %s", buf_str(&s->user), buf_str(&s->session_id), ap->e.text);
		imap_no_err(s, out, &ap->e, true);
	} else {
		imap_sync(s, true, out);
		struct buf set;

		buf_init(&set, BUF_UNBOUNDED);
		imap_set_put(&uids, &set);
		imap_ok(s, out, "[APPENDUID %" PRIu32 " %s] it is there", mbox_uidvalidity(ap->mbox), buf_str(&set));
		buf_done(&set);
	}
	imap_append_drop(s);
}
