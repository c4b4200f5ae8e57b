/*
 * imapd/cmd_folder.c - mailboxes as things: CREATE to UNSUBSCRIBE, STATUS, NAMESPACE, quota (RFC 3501 6.3, 6154, 8438, 7889, 2342, 9208).
 */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "imapd/imap.h"
#include "mail/mime.h"

const struct imap_use imap_uses[] = {
	{ "\\Drafts", FOLDER_DRAFTS }, { "\\Sent", FOLDER_SENT }, { "\\Junk", FOLDER_JUNK }, { "\\Trash", FOLDER_TRASH }, { "\\Archive", FOLDER_ARCHIVE }, { NULL, 0 },
};

static void tell(struct imap *s, struct buf *out, int bad, const struct err *e, const char *done)
{
	imap_sync_after(s, out);
	if (bad != 0)
		imap_no_err(s, out, e, false);
	else
		imap_ok(s, out, "%s", done);
}

/* (USE (\Sent)). -1: t->why; 1: a use that we do not have. */
static int read_use(struct imap_text *t, unsigned *attr_out)
{
	struct slice word;
	unsigned attr = 0;

	if (imap_at_end(t))
		return 0;
	if (imap_space(t) != 0 || imap_open(t) != 0 || !imap_word(t, "USE") || imap_space(t) != 0 || imap_open(t) != 0) {
		t->why = "behind the name stands nothing, or (USE (\\Sent))";
		return -1;
	}
	while (imap_close(t) != 0) {
		const struct imap_use *u = imap_uses;

		if ((imap_peek(t, ' ') && imap_space(t) != 0) || imap_char(t, '\\') != 0 || imap_atom(t, &word) != 0)
			return -1;
		while (u->word != NULL && !slice_ieqs(word, u->word + 1))
			u++;
		if (u->word == NULL || attr != 0)
			return 1;
		attr = u->attr;
	}
	*attr_out = attr;
	return imap_close(t);
}

void imap_cmd_create(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct slice name;
	struct err e = ERR_INIT;
	unsigned use = 0;

	if (imap_mailbox_arg(s, t, &name, out) != 0)
		return;
	switch (read_use(t, &use)) {
	case -1:
		imap_bad(s, out, "CREATE: %s", t->why);
		return;
	case 1:
		imap_no(s, out, "[USEATTR] a mailbox is made for one use of \\Drafts \\Sent \\Junk \\Trash \\Archive");
		return;
	default:
		break;
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	tell(s, out, box_create(s->env->box, name, use, &e), &e, "made");
}

void imap_cmd_delete(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct slice name;
	struct err e = ERR_INIT;

	if (imap_mailbox_arg(s, t, &name, out) != 0 || !imap_at_end_or_bad(s, t, out))
		return;
	if (s->mbox != NULL && slice_eq(mbox_name(s->mbox), name)) {
		imap_unselect(s);
		buf_puts(out, "* OK [CLOSED] that mailbox was selected and is closed\r\n");
	}
	tell(s, out, box_delete(s->env->box, name, &e), &e, "deleted");
}

void imap_cmd_rename(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct slice from, to;
	struct err e = ERR_INIT;

	if (imap_mailbox_arg(s, t, &from, out) != 0 || imap_mailbox_arg(s, t, &to, out) != 0 || !imap_at_end_or_bad(s, t, out))
		return;
	tell(s, out, box_rename(s->env->box, from, to, &e), &e, "renamed");
}

static void subscribe(struct imap *s, struct imap_text *t, bool on, struct buf *out)
{
	struct slice name;
	struct err e = ERR_INIT;

	if (imap_mailbox_arg(s, t, &name, out) != 0 || !imap_at_end_or_bad(s, t, out))
		return;
	tell(s, out, box_subscribe(s->env->box, name, on, &e), &e, on ? "subscribed" : "unsubscribed");
}

void imap_cmd_subscribe(struct imap *s, struct imap_text *t, struct buf *out)
{
	subscribe(s, t, true, out);
}

void imap_cmd_unsubscribe(struct imap *s, struct imap_text *t, struct buf *out)
{
	subscribe(s, t, false, out);
}

/* ---- STATUS ---- */

enum { ST_MESSAGES = 1, ST_RECENT = 2, ST_UIDNEXT = 4, ST_UIDVALIDITY = 8, ST_UNSEEN = 16, ST_DELETED = 32, ST_SIZE = 64, ST_MODSEQ = 128, ST_APPENDLIMIT = 256,
       ST_DELETED_STORAGE = 512 };

static const struct { const char *word; unsigned bit; } status_items[] = {
	{ "MESSAGES", ST_MESSAGES }, { "RECENT", ST_RECENT }, { "UIDNEXT", ST_UIDNEXT }, { "UIDVALIDITY", ST_UIDVALIDITY }, { "UNSEEN", ST_UNSEEN },
	{ "DELETED-STORAGE", ST_DELETED_STORAGE },
	{ "DELETED", ST_DELETED }, { "SIZE", ST_SIZE }, { "HIGHESTMODSEQ", ST_MODSEQ }, { "APPENDLIMIT", ST_APPENDLIMIT },
};

int imap_status_items(struct imap_text *t, unsigned *items_out)
{
	unsigned items = 0;

	if (imap_open(t) != 0)
		return -1;
	while (imap_close(t) != 0) {
		unsigned bit = 0;

		if (imap_peek(t, ' ') && imap_space(t) != 0)
			return -1;
		for (size_t i = 0; i < sizeof status_items / sizeof *status_items && bit == 0; i++)
			if (imap_word(t, status_items[i].word))
				bit = status_items[i].bit;
		if (bit == 0) {
			t->why = "the items of STATUS are MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED DELETED-STORAGE SIZE HIGHESTMODSEQ APPENDLIMIT";
			return -1;
		}
		items |= bit;
	}
	*items_out = items;
	return 0;
}

static uint64_t status_value(const struct imap *s, const struct folder_status *st, unsigned bit)
{
	switch (bit) {
	case ST_MESSAGES: return st->messages;
	case ST_RECENT: return st->recent;
	case ST_UIDNEXT: return st->uidnext;
	case ST_UIDVALIDITY: return st->uidvalidity;
	case ST_UNSEEN: return st->unseen;
	case ST_DELETED: return st->deleted;
	case ST_DELETED_STORAGE: return st->deleted_octets;
	case ST_SIZE: return st->octets;
	case ST_MODSEQ: return st->highestmodseq;
	default: return s->env->s->message_size_limit;
	}
}

int imap_put_status(struct imap *s, struct slice name, unsigned items, struct buf *out, struct err *e)
{
	struct folder_status st;
	bool first = true;

	if (box_status(s->env->box, name, &st, e) != 0)
		return -1;
	buf_puts(out, "* STATUS ");
	imap_put_mailbox(name, out);
	buf_puts(out, " (");
	for (size_t i = 0; i < sizeof status_items / sizeof *status_items; i++) {
		if ((items & status_items[i].bit) == 0)
			continue;
		buf_putf(out, "%s%s %" PRIu64, first ? "" : " ", status_items[i].word, status_value(s, &st, status_items[i].bit));
		first = false;
	}
	buf_puts(out, ")\r\n");
	return 0;
}

void imap_cmd_status(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct slice name;
	struct err e = ERR_INIT;
	unsigned items;

	if (imap_mailbox_arg(s, t, &name, out) != 0)
		return;
	if (imap_space(t) != 0 || imap_status_items(t, &items) != 0) {
		imap_bad(s, out, "STATUS: %s", t->why);
		return;
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	if ((items & ST_MODSEQ) != 0)
		imap_enable(s, ENABLED_CONDSTORE, out);
	tell(s, out, imap_put_status(s, name, items, out, &e), &e, "that is its status");
}

/* ---- NAMESPACE, quota ---- */

void imap_cmd_namespace(struct imap *s, struct imap_text *t, struct buf *out)
{
	(void)t;
	buf_puts(out, "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
	tell(s, out, 0, NULL, "one namespace");
}

/* RFC 9208: STORAGE counts units of 1024 octets; what has no limit is not listed, and without any there is no quota root. */
static int put_quota(struct imap *s, struct buf *out, struct err *e)
{
	uint64_t octets, messages, limit, limit_messages;

	if (box_quota(s->env->box, &octets, &messages, e) != 0)
		return -1;
	box_limits(s->env->box, &limit, &limit_messages);
	buf_puts(out, "* QUOTA \"\" (");
	if (limit > 0)
		buf_putf(out, "STORAGE %" PRIu64 " %" PRIu64, (octets + 1023) / 1024, limit / 1024);
	if (limit_messages > 0)
		buf_putf(out, "%sMESSAGE %" PRIu64 " %" PRIu64, limit > 0 ? " " : "", messages, limit_messages);
	buf_puts(out, ")\r\n");
	return 0;
}

static bool has_quota(struct imap *s)
{
	uint64_t octets, messages;

	box_limits(s->env->box, &octets, &messages);
	return octets > 0 || messages > 0;
}

void imap_cmd_getquota(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct slice root;
	struct err e = ERR_INIT;

	if (imap_space(t) != 0 || imap_astring(t, &root) != 0) {
		imap_bad(s, out, "GETQUOTA takes a quota root; ours is \"\"");
		return;
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	if (root.n > 0 || !has_quota(s)) {
		imap_no(s, out, "[NONEXISTENT] %s", root.n > 0 ? "there is one quota root, \"\"" : "this user has no limit, and so no quota root");
		return;
	}
	tell(s, out, put_quota(s, out, &e), &e, "that is the quota");
}

void imap_cmd_getquotaroot(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct slice name;
	struct err e = ERR_INIT;

	if (imap_mailbox_arg(s, t, &name, out) != 0 || !imap_at_end_or_bad(s, t, out))
		return;
	buf_puts(out, "* QUOTAROOT ");
	imap_put_mailbox(name, out);
	buf_puts(out, has_quota(s) ? " \"\"\r\n" : "\r\n");
	tell(s, out, has_quota(s) ? put_quota(s, out, &e) : 0, &e, "that is the quota");
}
