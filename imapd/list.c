/*
 * imapd/list.c - LIST with selection and return options, LSUB, XLIST (RFC 3501 6.3.8, 6.3.9; RFC 5258, 5819, 6154, 3348).
 *
 * \Sent and its like stand in plain LIST too: Outlook and others read them there and never ask.
 */
#include <string.h>

#include "base/log.h"
#include "imapd/imap.h"
#include "mail/mime.h"

enum { SEL_SUBSCRIBED = 1, SEL_REMOTE = 2, SEL_RECURSIVE = 4, SEL_SPECIAL = 8, RET_SUBSCRIBED = 16, RET_CHILDREN = 32, RET_SPECIAL = 64, RET_STATUS = 128, EXTENDED = 256 };
enum { PATTERNS_MAX = 64 };

struct list {
	const char *verb;
	unsigned options, status;
	struct slice patterns[PATTERNS_MAX];
	size_t n_patterns;
	bool root_only;                                               /* LIST "" "" */
	struct folder *folders;
	size_t n_folders, at;
};

static const struct { const char *word; unsigned bit; } select_options[] = {
	{ "SUBSCRIBED", SEL_SUBSCRIBED | RET_SUBSCRIBED }, { "REMOTE", SEL_REMOTE }, { "RECURSIVEMATCH", SEL_RECURSIVE }, { "SPECIAL-USE", SEL_SPECIAL | RET_SPECIAL },
}, return_options[] = {
	{ "SUBSCRIBED", RET_SUBSCRIBED }, { "CHILDREN", RET_CHILDREN }, { "SPECIAL-USE", RET_SPECIAL },
};

static int read_select(struct imap_text *t, struct list *l)
{
	if (!imap_peek(t, '('))
		return 0;
	if (imap_open(t) != 0)
		return -1;
	l->options |= EXTENDED;
	while (imap_close(t) != 0) {
		size_t i = 0, n = sizeof select_options / sizeof *select_options;

		if (imap_peek(t, ' ') && imap_space(t) != 0)
			return -1;
		while (i < n && !imap_word(t, select_options[i].word))
			i++;
		if (i == n) {
			t->why = "the selection options are SUBSCRIBED REMOTE RECURSIVEMATCH SPECIAL-USE";
			return -1;
		}
		l->options |= select_options[i].bit;
	}
	if ((l->options & SEL_RECURSIVE) != 0 && (l->options & (SEL_SUBSCRIBED | SEL_SPECIAL)) == 0) {
		t->why = "RECURSIVEMATCH stands beside another option (RFC 5258 3.1)";
		return -1;
	}
	return imap_space(t);
}

static int read_return(struct imap_text *t, struct list *l)
{
	if (imap_at_end(t))
		return 0;
	if (imap_space(t) != 0 || !imap_word(t, "RETURN") || imap_space(t) != 0 || imap_open(t) != 0) {
		t->why = "behind the pattern stands nothing, or RETURN (...)";
		return -1;
	}
	l->options |= EXTENDED;
	while (imap_close(t) != 0) {
		size_t i = 0, n = sizeof return_options / sizeof *return_options;

		if (imap_peek(t, ' ') && imap_space(t) != 0)
			return -1;
		if (imap_word(t, "STATUS")) {
			l->options |= RET_STATUS;
			if (imap_space(t) != 0 || imap_status_items(t, &l->status) != 0)
				return -1;
			continue;
		}
		while (i < n && !imap_word(t, return_options[i].word))
			i++;
		if (i == n) {
			t->why = "the return options are SUBSCRIBED CHILDREN SPECIAL-USE STATUS (...)";
			return -1;
		}
		l->options |= return_options[i].bit;
	}
	return 0;
}

/* Reference and pattern are joined as they stand; both in modified UTF-7, so that is undone on the whole. */
static int add_pattern(struct imap_text *t, struct list *l, struct slice reference, struct slice pattern)
{
	struct slice whole = slice_of(arena_printf(t->a, "%.*s%.*s", SLICE_FMT(reference), SLICE_FMT(pattern)));
	struct buf b;

	if (l->n_patterns == PATTERNS_MAX) {
		t->why = "more than 64 patterns";
		return -1;
	}
	buf_init(&b, 1024);
	if (utf7_to_utf8(whole, &b) == 0)                             /* else it can match no name of ours */
		l->patterns[l->n_patterns++] = arena_dup(t->a, buf_view(&b));
	buf_done(&b);
	l->root_only = l->root_only || pattern.n == 0;
	return 0;
}

static int read_patterns(struct imap_text *t, struct list *l, struct slice reference)
{
	struct slice p;

	if (!imap_peek(t, '('))
		return imap_list_mailbox(t, &p) != 0 ? -1 : add_pattern(t, l, reference, p);
	if (imap_open(t) != 0)
		return -1;
	l->options |= EXTENDED;
	while (imap_close(t) != 0) {
		if ((imap_peek(t, ' ') && imap_space(t) != 0) || imap_list_mailbox(t, &p) != 0 || add_pattern(t, l, reference, p) != 0)
			return -1;
	}
	return 0;
}

/* ---- matching and telling ---- */

static bool matches(const struct list *l, struct slice name)
{
	for (size_t i = 0; i < l->n_patterns; i++)
		if (imap_glob(l->patterns[i], name, slice_eqs(name, "INBOX")))
			return true;
	return false;
}

static bool is_below(struct slice name, struct slice parent)
{
	return name.n > parent.n && name.p[parent.n] == '/' && slice_starts(name, parent);
}

static bool is_wanted(const struct list *l, const struct folder *f)
{
	const unsigned special = FOLDER_DRAFTS | FOLDER_SENT | FOLDER_JUNK | FOLDER_TRASH | FOLDER_ARCHIVE;

	if ((l->options & SEL_SUBSCRIBED) != 0 && (f->attrs & FOLDER_SUBSCRIBED) == 0)
		return false;
	if ((l->options & SEL_SPECIAL) != 0 && (f->attrs & special) == 0)
		return false;
	/* A subscription to what is not there shows among subscriptions only. */
	return (l->options & SEL_SUBSCRIBED) != 0 || (f->attrs & (FOLDER_NOSELECT | FOLDER_HAS_CHILDREN)) != FOLDER_NOSELECT;
}

/* RECURSIVEMATCH, and LSUB with "%": a name that is not wanted stands for one below it that is, and that the pattern cannot reach. */
static bool has_wanted_below(const struct list *l, size_t at)
{
	struct slice parent = l->folders[at].name;

	for (size_t i = at + 1; i < l->n_folders; i++) {
		const struct folder *f = &l->folders[i];

		if (is_below(f->name, parent) && is_wanted(l, f) && !matches(l, f->name))
			return true;
		if (at > 0 && !slice_starts(f->name, parent))         /* sorted by name, INBOX aside */
			break;
	}
	return false;
}

static void put_attrs(const struct list *l, const struct folder *f, bool stands_in, struct buf *out)
{
	bool lsub = l->verb[1] == 'S', missing = (f->attrs & (FOLDER_NOSELECT | FOLDER_HAS_CHILDREN)) == FOLDER_NOSELECT;

	buf_puts(out, (f->attrs & FOLDER_HAS_CHILDREN) != 0 ? "\\HasChildren" : "\\HasNoChildren");
	if ((f->attrs & FOLDER_NOSELECT) != 0 || (lsub && stands_in))
		buf_puts(out, missing && (l->options & EXTENDED) != 0 ? " \\NonExistent" : " \\Noselect");
	if ((l->options & RET_SUBSCRIBED) != 0 && (f->attrs & FOLDER_SUBSCRIBED) != 0 && !lsub)
		buf_puts(out, " \\Subscribed");
	if (l->verb[0] == 'X' && slice_eqs(f->name, "INBOX"))
		buf_puts(out, " \\Inbox");
	for (const struct imap_use *u = imap_uses; u->word != NULL && !lsub; u++) {
		if ((f->attrs & u->attr) == 0)
			continue;
		buf_putf(out, " %s", l->verb[0] == 'X' && u->attr == FOLDER_JUNK ? "\\Spam" : l->verb[0] == 'X' && u->attr == FOLDER_ARCHIVE ? "\\AllMail" : u->word);
	}
}

static void tell_folder(struct imap *s, struct list *l, size_t at, struct buf *out)
{
	const struct folder *f = &l->folders[at];
	struct err e = ERR_INIT;
	bool wanted = is_wanted(l, f), stands_in = false;

	if (!matches(l, f->name))
		return;
	if ((l->options & SEL_RECURSIVE) != 0 || (l->verb[1] == 'S' && !wanted))
		stands_in = has_wanted_below(l, at);
	if (!wanted && !stands_in)
		return;
	buf_putf(out, "* %s (", l->verb);
	put_attrs(l, f, stands_in && !wanted, out);
	buf_puts(out, ") \"/\" ");
	imap_put_mailbox(f->name, out);
	if (stands_in && (l->options & SEL_RECURSIVE) != 0)
		buf_puts(out, " (\"CHILDINFO\" (\"SUBSCRIBED\"))");
	buf_puts(out, "\r\n");
	if ((l->options & RET_STATUS) != 0 && (f->attrs & FOLDER_NOSELECT) == 0 && imap_put_status(s, f->name, l->status, out, &e) != 0)
		log_warn("user=<%s>, session=<%s>: no status for a listed folder: %s", buf_str(&s->user), buf_str(&s->session_id), e.text);
}

static bool list_step(struct imap *s, void *job, struct buf *out)
{
	struct list *l = job;
	size_t full = out->len + IMAP_STEP;
	unsigned looked = 0;

	for (; l->at < l->n_folders; l->at++) {
		if (out->len >= full || looked++ >= 512)
			return false;
		tell_folder(s, l, l->at, out);
	}
	imap_sync_after(s, out);
	imap_ok(s, out, "listed");
	return true;
}

static void list(struct imap *s, struct imap_text *t, struct list *l, struct buf *out)
{
	struct slice reference;
	struct err e = ERR_INIT;

	if (imap_space(t) != 0 || (l->verb[0] == 'L' && l->verb[1] == 'I' && read_select(t, l) != 0) || imap_astring(t, &reference) != 0 || imap_space(t) != 0 ||
	    read_patterns(t, l, reference) != 0 || (l->verb[1] != 'S' && read_return(t, l) != 0)) {
		imap_bad(s, out, "%s: %s", l->verb, t->why);
		return;
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	if (l->root_only && (l->options & EXTENDED) == 0) {
		buf_putf(out, "* %s (\\Noselect) \"/\" \"\"\r\n", l->verb);
		imap_sync_after(s, out);
		imap_ok(s, out, "listed");
		return;
	}
	if (box_list(s->env->box, s->cmd, &l->folders, &l->n_folders, &e) != 0) {
		imap_no_err(s, out, &e, false);
		return;
	}
	imap_start_job(s, list_step, l, NULL);
}

static struct list *new_list(struct imap *s, const char *verb, unsigned options)
{
	struct list *l = arena_alloc(s->cmd, sizeof *l);

	l->verb = verb;
	l->options = options;
	return l;
}

void imap_cmd_list(struct imap *s, struct imap_text *t, struct buf *out)
{
	list(s, t, new_list(s, "LIST", 0), out);
}

void imap_cmd_xlist(struct imap *s, struct imap_text *t, struct buf *out)
{
	list(s, t, new_list(s, "XLIST", 0), out);
}

void imap_cmd_lsub(struct imap *s, struct imap_text *t, struct buf *out)
{
	list(s, t, new_list(s, "LSUB", SEL_SUBSCRIBED), out);
}
