/*
 * imapd/session.c - IMAP after the login (RFC 3501 6.1, 6.3, 6.4), without a socket: the dialogue, and the table of commands.
 *
 * Runs in the user's session process, which may touch that user's mail and nothing else.
 */
#include "imapd/imap.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "imapd/imapd.h"

/* ---- commands of the connection itself ---- */

static void cmd_capability(struct imap *s, struct imap_text *t, struct buf *out)
{
	(void)t;
	buf_puts(out, "* ");
	imap_put_capabilities(s->env->s, out);
	buf_puts(out, "\r\n");
	imap_ok(s, out, "that is what works");
}

static void cmd_noop(struct imap *s, struct imap_text *t, struct buf *out)
{
	(void)t;
	imap_sync_after(s, out);
	imap_ok(s, out, "still here");
}

static void cmd_logout(struct imap *s, struct imap_text *t, struct buf *out)
{
	(void)t;
	imap_unselect(s);
	buf_puts(out, "* BYE good-bye\r\n");
	imap_ok(s, out, "logged out");
	s->logged_out = true;
}

static void cmd_id(struct imap *s, struct imap_text *t, struct buf *out)
{
	if (imap_space(t) != 0 || imap_id_read(t, &s->client) != 0) {
		imap_bad(s, out, "%s", t->why);
		return;
	}
	if (!imap_at_end_or_bad(s, t, out))
		return;
	imap_id_reply(out);
	imap_ok(s, out, "pleased to meet you");
}

static void cmd_enable(struct imap *s, struct imap_text *t, struct buf *out)
{
	struct buf on;
	struct slice word;

	buf_init(&on, 256);
	while (!imap_at_end(t)) {
		if (imap_space(t) != 0 || imap_atom(t, &word) != 0) {
			imap_bad(s, out, "ENABLE takes names of capabilities");
			buf_done(&on);
			return;
		}
		/* What cannot be enabled is passed over (RFC 5161 3.1). */
		if (slice_ieqs(word, "CONDSTORE") && imap_enable(s, ENABLED_CONDSTORE, out))
			buf_puts(&on, " CONDSTORE");
		if (slice_ieqs(word, "QRESYNC") && imap_enable(s, ENABLED_QRESYNC | ENABLED_CONDSTORE, out))
			buf_puts(&on, " QRESYNC");
	}
	buf_putf(out, "* ENABLED%s\r\n", buf_str(&on));
	buf_done(&on);
	imap_ok(s, out, "enabled");
}

/* ---- the table ---- */

enum {
	NO_ARGS = 1,
	SELECTED = 2,                                                 /* legal with a folder selected only */
	WRITES = 4,                                                   /* refused where that folder is open for reading only */
	UID_TOO = 8,                                                  /* UID <name> exists */
	BY_NUMBER = 16                                                /* without UID it names messages by number: no EXPUNGE before its end */
};

static const struct imap_row {
	const char *verb;
	imap_cmd *run;
	unsigned flags;
} rows[] = {
	/* verb            run                    flags                                       RFC */
	{ "CAPABILITY",    cmd_capability,        NO_ARGS },                               /* 3501 6.1.1 */
	{ "NOOP",          cmd_noop,              NO_ARGS },                               /* 3501 6.1.2 */
	{ "LOGOUT",        cmd_logout,            NO_ARGS },                               /* 3501 6.1.3 */
	{ "ID",            cmd_id,                0 },                                     /* 2971 */
	{ "ENABLE",        cmd_enable,            0 },                                     /* 5161 */
	{ "NAMESPACE",     imap_cmd_namespace,    NO_ARGS },                               /* 2342 */
	{ "SELECT",        imap_cmd_select,       0 },                                     /* 3501 6.3.1, 7162 */
	{ "EXAMINE",       imap_cmd_examine,      0 },                                     /* 3501 6.3.2 */
	{ "CREATE",        imap_cmd_create,       0 },                                     /* 3501 6.3.3, 6154 */
	{ "DELETE",        imap_cmd_delete,       0 },                                     /* 3501 6.3.4 */
	{ "RENAME",        imap_cmd_rename,       0 },                                     /* 3501 6.3.5 */
	{ "SUBSCRIBE",     imap_cmd_subscribe,    0 },                                     /* 3501 6.3.6 */
	{ "UNSUBSCRIBE",   imap_cmd_unsubscribe,  0 },                                     /* 3501 6.3.7 */
	{ "LIST",          imap_cmd_list,         0 },                                     /* 3501 6.3.8, 5258, 5819, 6154 */
	{ "XLIST",         imap_cmd_xlist,        0 },                                     /* Outlook 2013, 2016 */
	{ "LSUB",          imap_cmd_lsub,         0 },                                     /* 3501 6.3.9 */
	{ "STATUS",        imap_cmd_status,       0 },                                     /* 3501 6.3.10, 8438, 7889 */
	{ "APPEND",        NULL,                  0 },                                     /* 3501 6.3.11, 3502: append.c, by its literal */
	{ "IDLE",          imap_cmd_idle,         NO_ARGS },                               /* 2177 */
	{ "GETQUOTA",      imap_cmd_getquota,     0 },                                     /* 9208 */
	{ "GETQUOTAROOT",  imap_cmd_getquotaroot, 0 },
	{ "CHECK",         imap_cmd_check,        NO_ARGS | SELECTED },                    /* 3501 6.4.1 */
	{ "CLOSE",         imap_cmd_close,        NO_ARGS | SELECTED },                    /* 3501 6.4.2 */
	{ "UNSELECT",      imap_cmd_unselect,     NO_ARGS | SELECTED },                    /* 3691 */
	{ "EXPUNGE",       imap_cmd_expunge,      SELECTED | WRITES | UID_TOO },           /* 3501 6.4.3, 4315 */
	{ "SEARCH",        imap_cmd_search,       SELECTED | UID_TOO | BY_NUMBER },        /* 3501 6.4.4, 4731, 5182, 5032 */
	{ "SORT",          imap_cmd_sort,         SELECTED | UID_TOO | BY_NUMBER },        /* 5256 */
	{ "THREAD",        imap_cmd_thread,       SELECTED | UID_TOO | BY_NUMBER },        /* 5256 */
	{ "FETCH",         imap_cmd_fetch,        SELECTED | UID_TOO | BY_NUMBER },        /* 3501 6.4.5, 7162, 3516 */
	{ "STORE",         imap_cmd_store,        SELECTED | WRITES | UID_TOO | BY_NUMBER },       /* 3501 6.4.6, 7162 */
	{ "COPY",          imap_cmd_copy,         SELECTED | UID_TOO },                    /* 3501 6.4.7, 4315 */
	{ "MOVE",          imap_cmd_move,         SELECTED | WRITES | UID_TOO },           /* 6851 */
};

static const struct imap_row *find_row(struct slice verb)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (slice_ieqs(verb, rows[i].verb))
			return &rows[i];
	return NULL;
}

/* Why this row may not run now, as the reply; false: it may. */
static bool refused(struct imap *s, const struct imap_row *row, struct imap_text *t, struct buf *out)
{
	if (row == NULL || (s->uid && (row->flags & UID_TOO) == 0))
		imap_bad(s, out, s->uid ? "there is no such UID command" : "there is no such command");
	else if (row->run == NULL)
		imap_bad(s, out, "%s takes a mailbox, flags and a date if you like, and the message as a literal", row->verb);
	else if ((row->flags & SELECTED) != 0 && s->view == NULL)
		imap_bad(s, out, "%s needs a selected mailbox: SELECT or EXAMINE one first", row->verb);
	else if ((row->flags & WRITES) != 0 && s->read_only)
		imap_no(s, out, "[CANNOT] the mailbox is open for reading only: SELECT it");
	else if ((row->flags & NO_ARGS) != 0 && !imap_at_end(t))
		imap_bad(s, out, "%s takes no arguments", row->verb);
	else
		return false;
	return true;
}

static void run_command(struct imap *s, struct slice command, struct buf *out)
{
	struct imap_text t;
	struct slice verb;

	imap_text_init(&t, arena_dup(s->cmd, command), s->cmd);
	s->uid = s->by_number = false;
	if (imap_tag(&t, &s->tag) != 0 || s->tag.n > 256) {
		s->tag = SLICE("*");
		imap_bad(s, out, "a command begins with a tag, then a blank and the command's name");
		return;
	}
	if (imap_space(&t) != 0 || imap_atom(&t, &verb) != 0) {
		imap_bad(s, out, "the command's name is missing");
		return;
	}
	if (slice_ieqs(verb, "UID")) {
		s->uid = true;
		if (imap_space(&t) != 0 || imap_atom(&t, &verb) != 0) {
			imap_bad(s, out, "UID is followed by FETCH, STORE, SEARCH, COPY, MOVE, EXPUNGE, SORT or THREAD");
			return;
		}
	}
	const struct imap_row *row = find_row(verb);

	if (refused(s, row, &t, out))
		return;
	s->by_number = !s->uid && (row->flags & BY_NUMBER) != 0;
	row->run(s, &t, out);
}

bool imap_at_end_or_bad(struct imap *s, struct imap_text *t, struct buf *out)
{
	if (imap_at_end(t))
		return true;
	struct buf shown;

	buf_init(&shown, 200);
	text_escape(slice_head(t->rest, 20), &shown);
	imap_bad(s, out, "there is more than the command takes, from \"%s\"", buf_str(&shown));
	buf_done(&shown);
	return false;
}

/* ---- the dialogue ---- */

void imap_start_job(struct imap *s, imap_job *step, void *job, void (*drop)(void *job))
{
	s->step = step;
	s->job = job;
	s->job_drop = drop;
}

static void drop_job(struct imap *s)
{
	if (s->job_drop != NULL)
		s->job_drop(s->job);
	s->step = NULL;
	s->job = NULL;
	s->job_drop = NULL;
}

void imap_unselect(struct imap *s)
{
	view_close(&s->view);
	mbox_close(&s->mbox);
	s->saved.n = 0;
	s->read_only = false;
	s->keywords_told = 0;
}

/* After whatever a call did: what do we want next? The command's memory goes when the command is over. */
static enum session_want next_want(struct imap *s, struct buf *out)
{
	if (s->logged_out)
		return SESSION_CLOSE;
	if (s->bad > LIMIT_IMAP_BAD_COMMANDS) {
		buf_puts(out, "* BYE too many bad commands, good-bye\r\n");
		return SESSION_CLOSE;
	}
	if (s->step != NULL)
		return SESSION_MORE;
	if (s->append == NULL)
		arena_reset(s->cmd);
	return SESSION_INPUT;
}

static enum session_want session_step(void *ctx, struct buf *out)
{
	struct imap *s = ctx;

	if (s->step != NULL && s->step(s, s->job, out))
		drop_job(s);
	return next_want(s, out);
}

static enum session_want session_input(void *ctx, struct slice in, size_t *used_out, struct buf *out)
{
	struct imap *s = ctx;
	struct slice text;

	*used_out = 0;
	if (s->step != NULL)
		return SESSION_MORE;
	if (s->idling)
		return imap_idle_input(s, in, used_out, out);
	if (imap_append_wants_octets(s)) {
		*used_out = imap_append_octets(s, in);
		return SESSION_INPUT;
	}
	switch (imap_reader_input(&s->reader, in, used_out, &text, out)) {
	case IMAP_READ_MORE:
		return SESSION_INPUT;
	case IMAP_READ_CLOSE:
		return SESSION_CLOSE;
	case IMAP_READ_BAD:
		s->bad++;
		imap_append_drop(s);
		return next_want(s, out);
	case IMAP_READ_LITERAL:
		if (imap_append_literal(s, text, out) == SESSION_CLOSE)
			return SESSION_CLOSE;
		return next_want(s, out);
	case IMAP_READ_COMMAND:
		break;
	}
	if (s->append != NULL)
		imap_append_end(s, text, out);
	else if (text.n > 0)                                          /* Apple Mail sends empty lines */
		run_command(s, text, out);
	return s->step != NULL ? session_step(s, out) : next_want(s, out);
}

static enum session_want session_changed(void *ctx, struct buf *out)
{
	struct imap *s = ctx;

	if (s->step != NULL)
		return SESSION_MORE;
	if (s->idling) {
		imap_sync(s, true, out);
		arena_reset(s->cmd);
	}
	return SESSION_INPUT;
}

/* INBOX stays open between a user's sessions, so that the next login opens nothing. */
static void hold_inbox(const struct session_env *env)
{
	struct mbox *m = NULL;
	struct err e = ERR_INIT;

	if (env->shared == NULL || *env->shared != NULL)
		return;
	if (mbox_open(&m, env->box, SLICE("INBOX"), &e) != 0)
		log_warn("INBOX not opened: %s", e.text);
	*env->shared = m;
}

static void session_shared_free(void *shared)
{
	struct mbox *m = shared;

	mbox_close(&m);
}

static struct imap *new_session(const struct session_env *env, const struct session_start *st)
{
	struct arena *a = arena_new(1024);
	struct imap *s = arena_alloc(a, sizeof *s);

	s->arena = a;
	s->cmd = arena_new(2048);
	s->saved_arena = arena_new(64);
	s->env = env;
	imap_reader_init(&s->reader, &imap_caps_session);
	s->reader.streams = imap_append_streams;
	s->reader.ctx = s;
	buf_init(&s->user, LIMIT_USER_NAME);
	buf_init(&s->session_id, 64);
	buf_init(&s->client, 256);
	buf_init(&s->idle_tag, 512);
	if (buf_add(&s->user, st->user) != 0 || buf_add(&s->session_id, st->session_id) != 0)
		log_warn("a user or session name is longer than it may be");
	return s;
}

static void session_close(void *ctx, const char *why)
{
	struct imap *s = ctx;
	struct arena *a = s->arena;

	if (strcmp(why, "parked") != 0)                               /* it sleeps at the front and comes back: no end of a session */
		log_info("logout: user=<%s>, session=<%s>, fetched=%u/%" PRIu64 ", appended=%u, expunged=%u, client=<%s>%s%s", buf_str(&s->user),
		    buf_str(&s->session_id), s->n_fetched, s->fetched_octets, s->n_appended, s->n_expunged, buf_str(&s->client),
		    s->logged_out ? "" : ", without LOGOUT: ", s->logged_out ? "" : why);
	drop_job(s);
	imap_append_drop(s);
	imap_unselect(s);
	imap_reader_done(&s->reader);
	buf_done(&s->user);
	buf_done(&s->session_id);
	buf_done(&s->client);
	buf_done(&s->idle_tag);
	arena_free(&s->cmd);
	arena_free(&s->saved_arena);
	arena_free(&a);
}

static int greet(struct imap *s, struct slice state, struct buf *out)
{
	struct imap_hello hello;

	if (imap_hello_get(state, &hello) != 0)
		return -1;
	if (buf_add(&s->client, slice_head(hello.client, 256)) != 0)
		return -1;
	buf_putf(out, "%.*s OK [", SLICE_FMT(hello.tag));
	imap_put_capabilities(s->env->s, out);
	buf_puts(out, "] logged in\r\n");
	return 0;
}

static void *session_open(const struct session_env *env, const struct session_start *st, struct buf *out)
{
	struct imap *s = new_session(env, st);
	struct err e = ERR_INIT;

	hold_inbox(env);
	if ((st->parked ? imap_wake(s, st->state, out, &e) : greet(s, st->state, out)) == 0) {
		arena_reset(s->cmd);
		return s;
	}
	/* Where the mailbox a sleeper had open is not as it left it, the client must begin anew; it knows how to. */
	buf_putf(out, "* BYE %s\r\n", e.kind == ERR_NONE ? "the login was handed over in a form that is not ours" : "the selected mailbox is gone or was renewed");
	session_close(s, e.text);
	return NULL;
}

static bool session_park(void *ctx, struct buf *state_out)
{
	return imap_park(ctx, state_out);
}

static void session_bye(void *ctx, const char *why, struct buf *out)
{
	const struct imap *s = ctx;

	if (s->step == NULL)                                          /* in the middle of a reply no other may stand */
		buf_putf(out, "* BYE %s\r\n", why);
}

static void session_timeout(void *ctx, struct buf *out)
{
	session_bye(ctx, "nothing was heard for too long, good-bye", out);
}

static uint32_t session_idle_s(const void *ctx)
{
	const struct imap *s = ctx;

	return s->env->s->imap_timeout;
}

/* Whoever waits in IDLE is there, and says so again before the autologout. */
static bool session_in_use(const void *ctx)
{
	return ((const struct imap *)ctx)->idling;
}

const struct session_proto imap_session = {
	.name = "imap",
	.line_max = LIMIT_IMAP_LINE,
	.open = session_open,
	.input = session_input,
	.step = session_step,
	.changed = session_changed,
	.in_use = session_in_use,
	.park = session_park,
	.timeout = session_timeout,
	.bye = session_bye,
	.close = session_close,
	.idle_s = session_idle_s,
	.shared_free = session_shared_free,
};
