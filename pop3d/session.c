/*
 * pop3d/session.c - a POP3 session after login (RFC 1939 5, 6), without a socket: the maildrop as it was at login, the dialogue, the end.
 *
 * Runs in the user's session process, which may touch that user's mail and nothing else. All POP3 sessions of a user meet here, so the
 * exclusive access of RFC 1939 4 is a list: a second login is told [IN-USE] while the first is really active, and takes over a dead one.
 */
#include "pop3d/pop3.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/line.h"
#include "pop3d/pop3d.h"

static struct pop3_shared *shared_of(const struct session_env *env)
{
	struct pop3_shared *sh = *env->shared;

	if (sh != NULL)
		return sh;
	sh = mem_new(sizeof(*sh));
	list_init(&sh->sessions);
	*env->shared = sh;
	return sh;
}

static void session_shared_free(void *shared)
{
	struct pop3_shared *sh = shared;

	if (sh == NULL)
		return;
	mbox_close(&sh->inbox);
	free(sh);
}

/* Another session of this folder that did something lately; those that slept longer are taken over. */
static const struct pop3 *find_rival(const struct pop3_shared *sh, const struct mbox *m, int64_t now)
{
	LIST_EACH(n, &sh->sessions) {
		struct pop3 *other = LIST_OF(n, struct pop3, node);

		if (other->mbox != m || other->quit || other->taken_over)
			continue;
		if (now - other->active_at < POP3_BUSY_S)
			return other;
		other->taken_over = true;
	}
	return NULL;
}

static int open_folder(const struct session_env *env, struct pop3_shared *sh, struct slice folder, struct mbox **mbox_out, struct err *e)
{
	bool is_inbox = folder.n == 0 || slice_ieqs(folder, "INBOX");

	if (is_inbox && sh->inbox == NULL && mbox_open(&sh->inbox, env->box, SLICE("INBOX"), e) < 0)
		return -1;
	return mbox_open(mbox_out, env->box, is_inbox ? SLICE("INBOX") : folder, e);
}

static struct pop3 *new_session(const struct session_env *env, const struct session_start *st, struct mbox *m)
{
	struct arena *a = arena_new(1024);
	struct pop3 *s = arena_alloc(a, sizeof(*s));

	s->arena = a;
	s->env = env;
	s->mbox = m;
	s->view = view_open(m, true);
	s->tls = st->tls;
	s->active_at = env->wall_s();
	buf_init(&s->who, BUF_UNBOUNDED);
	buf_putf(&s->who, "user=<%.*s>, session=<%.*s>", SLICE_FMT(st->user), SLICE_FMT(st->session_id));
	return s;
}

static void *session_open(const struct session_env *env, const struct session_start *st, struct buf *out)
{
	struct pop3_shared *sh = shared_of(env);
	struct pop3_state state = pop3_state_get(st->state);
	const struct pop3 *rival;
	struct err e = ERR_INIT;
	struct mbox *m = NULL;
	struct pop3 *s;

	if (open_folder(env, sh, state.folder, &m, &e) < 0) {
		buf_puts(out, e.kind == ERR_NOTFOUND || e.kind == ERR_DENIED ? "-ERR [SYS/PERM] There is no folder of that name\r\n"
		                                                             : "-ERR [SYS/TEMP] The mailbox cannot be opened just now, the log says why\r\n");
		log_warn("mailbox not opened: user=<%.*s>, folder=<%.*s>: %s", SLICE_FMT(st->user), SLICE_FMT(state.folder), e.text);
		return NULL;
	}
	rival = find_rival(sh, m, env->wall_s());
	if (rival != NULL) {
		buf_putf(out, "-ERR [IN-USE] Another POP3 session has this mailbox open and was active %" PRId64 " s ago; try again in a minute\r\n",
		    env->wall_s() - rival->active_at);
		log_info("mailbox in use: user=<%.*s>, session=<%.*s> refused, the other one is %s", SLICE_FMT(st->user), SLICE_FMT(st->session_id),
		    buf_str(&rival->who));
		mbox_close(&m);
		return NULL;
	}
	s = new_session(env, st, m);
	s->utf8 = state.utf8;
	list_append(&sh->sessions, &s->node);
	buf_putf(out, "+OK %u messages\r\n", view_count(s->view));
	return s;
}

static bool is_busy(const struct pop3 *s)
{
	return s->send.active || s->listing != POP3_LIST_NONE;
}

static enum session_want taken_over(struct buf *out)
{
	buf_puts(out, "-ERR [IN-USE] A later login took this mailbox over; nothing was deleted\r\n");
	return SESSION_CLOSE;
}

static enum session_want unreadable(struct pop3 *s, struct slice in, size_t *used_out, struct buf *out)
{
	ptrdiff_t lf = slice_chr(in, '\n');

	*used_out = lf < 0 ? in.n : (size_t)lf + 1;
	if (lf < 0 || ++s->bad > POP3_BAD_COMMANDS) {
		buf_puts(out, lf < 0 ? "-ERR That line is longer than 512 octets, good-bye\r\n" : "-ERR Too many errors, good-bye\r\n");
		return SESSION_CLOSE;
	}
	buf_puts(out, "-ERR A line ends in CRLF, with no NUL, CR or LF inside\r\n");
	return SESSION_INPUT;
}

/* One command a call; the caller comes again while octets are left. */
static enum session_want session_input(void *ctx, struct slice in, size_t *used_out, struct buf *out)
{
	struct pop3 *s = ctx;
	struct slice line;
	size_t used = 0;

	*used_out = 0;
	s->active_at = s->env->wall_s();
	if (s->taken_over)
		return taken_over(out);
	if (is_busy(s))
		return SESSION_MORE;
	switch (line_take(in, &line, &used)) {
	case PARSE_MORE:
		return in.n <= LIMIT_POP3_LINE ? SESSION_INPUT : unreadable(s, in, used_out, out);
	case PARSE_BAD:
		return unreadable(s, in, used_out, out);
	case PARSE_OK:
		break;
	}
	*used_out = used;
	return pop3_command(s, line, out);
}

static enum session_want session_step(void *ctx, struct buf *out)
{
	struct pop3 *s = ctx;

	s->active_at = s->env->wall_s();                              /* a slow reader of a long message is not dead */
	if (s->send.active)
		return pop3_send_step(&s->send, out);
	if (s->listing != POP3_LIST_NONE && pop3_listing_step(s, out))
		return SESSION_MORE;
	return SESSION_INPUT;
}

static void session_file(void *ctx, struct session_file *out)
{
	const struct pop3 *s = ctx;

	*out = (struct session_file){ .fd = s->send.body.fd, .at = s->send.file_at, .n = s->send.file_n };
}

static enum session_want session_changed(void *ctx, struct buf *out)
{
	const struct pop3 *s = ctx;

	(void)out;                                                    /* the maildrop stays as it was at login */
	return is_busy(s) ? SESSION_MORE : SESSION_INPUT;
}

static bool session_park(void *ctx, struct buf *state_out)
{
	(void)ctx, (void)state_out;
	return false;
}

/* RFC 1939 3: the autologout timer closes without a reply, and nothing is removed. */
static void session_timeout(void *ctx, struct buf *out)
{
	(void)ctx, (void)out;
}

static void session_bye(void *ctx, const char *why, struct buf *out)
{
	if (!is_busy(ctx))
		buf_putf(out, "-ERR [SYS/TEMP] %s\r\n", why);
}

static void session_close(void *ctx, const char *why)
{
	struct pop3 *s = ctx;
	struct arena *a = s->arena;

	log_info("logout: %s, retr=%u/%" PRIu64 ", top=%u, del=%u/%u%s%s", buf_str(&s->who), s->n_retr, s->sent_octets, s->n_top,
	    s->n_removed, view_count(s->view), s->quit ? "" : ", without QUIT: ", s->quit ? "" : why);
	list_remove(&s->node);
	pop3_send_done(&s->send);
	view_close(&s->view);
	mbox_close(&s->mbox);
	buf_done(&s->who);
	arena_free(&a);
}

static uint32_t session_idle_s(const void *ctx)
{
	const struct pop3 *s = ctx;

	return s->env->s->pop3_timeout;
}

const struct session_proto pop3_session = {
	.name = "pop3",
	.line_max = 4096,
	.open = session_open,
	.input = session_input,
	.step = session_step,
	.file = session_file,
	.changed = session_changed,
	.park = session_park,
	.timeout = session_timeout,
	.bye = session_bye,
	.close = session_close,
	.idle_s = session_idle_s,
	.shared_free = session_shared_free,
};
