/*
 * server/cmd_mail.c - MAIL and RCPT: syntax here, the verdict by the daemon (RFC 5321 4.1.1.2, 4.1.1.3, RFC 6409, 1870, 3461, 6531).
 *
 * Parse, then check, then default, in this order and in separate functions: OpenSMTPD's hole of January 2020 was a default filled in where a check
 * had failed. People who type may leave out <> and put blanks around the colon.
 */
#include "base/limits.h"
#include "server/session_in.h"

/* "FROM" blanks ":" blanks, in any case. */
static bool take_keyword(struct slice *args, const char *word)
{
	struct slice w = slice_of(word), s = *args;

	if (!slice_istarts(s, w))
		return false;
	s = slice_from(s, w.n);
	while (s.n > 0 && ascii_is_blank(s.p[0]))
		s = slice_from(s, 1);
	if (s.n == 0 || s.p[0] != ':')
		return false;
	s = slice_from(s, 1);
	while (s.n > 0 && ascii_is_blank(s.p[0]))
		s = slice_from(s, 1);
	*args = s;
	return true;
}

/* The path and the parameters of MAIL or RCPT into s->path and s->params. *ok_out only when both are fine. */
static enum smtp_want read_path(struct smtp_session *s, struct slice args, const char *keyword, unsigned flags, enum smtp_params_of which,
    bool *ok_out, struct buf *out)
{
	size_t used = 0, where = 0;
	const char *why = "", *reply = "";

	if (!take_keyword(&args, keyword))
		return smtp_bad(s, out, CODE_SYNTAX, "Syntax: %s", s->cmd->help);
	if (path_parse(args, flags | PATH_ALLOW_BARE | PATH_ALLOW_UTF8 | PATH_ALLOW_NO_DOMAIN, s->mail_arena, &s->path, &used, &where, &why) != 0)
		return smtp_bad(s, out, which == SMTP_PARAMS_MAIL ? CODE_SENDER_SYNTAX : CODE_RCPT_SYNTAX, "bad address syntax at character %zu: %s", where + 1, why);
	args = slice_from(args, used);
	if (args.n > 0 && !ascii_is_blank(args.p[0]))
		return smtp_bad(s, out, CODE_SYNTAX, "A blank belongs between the address and \"%s\"", smtp_shown(s, slice_head(args, 20)));
	if (smtp_params_parse(args, which, s->mail_arena, &s->params, &reply) != 0)
		return smtp_bad(s, out, CODE_NONE, "%s", reply);
	*ok_out = true;
	return SMTP_INPUT;
}

static const char *shown_path(struct smtp_session *s)
{
	return smtp_shown(s, path_text(&s->path, s->cmd_arena));
}

/* ---- MAIL ---- */

/* NULL: fine; otherwise the refusal, in the command's arena. */
static const char *check_sender(struct smtp_session *s)
{
	const struct smtp_params *p = &s->params;

	if (s->path.is_utf8 && !p->is_utf8)
		return code_reply(s->cmd_arena, CODE_NEEDS_UTF8, "<%s>... this address needs SMTPUTF8", shown_path(s));
	if (p->has_size && p->size > s->env.s->message_size_limit)
		return code_reply(s->cmd_arena, CODE_TOO_LARGE, "message larger than %llu octets", (unsigned long long)s->env.s->message_size_limit);
	if (s->path.domain.n == 0 && !s->path.is_null && !s->env.peer_trusted && s->user == NULL)
		return code_reply(s->cmd_arena, CODE_SENDER_NO_DOMAIN, "<%s>... Domain name required for sender address %s", shown_path(s), shown_path(s));
	return NULL;
}

static void default_domain(struct smtp_session *s)
{
	if (!s->path.is_null && s->path.domain.n == 0)
		s->path.domain = s->env.default_domain;
}

enum smtp_want smtp_cmd_mail(struct smtp_session *s, struct slice args, struct buf *out)
{
	const char *refusal;
	bool ok = false;
	enum smtp_want want;

	arena_reset(s->mail_arena);
	want = read_path(s, args, "FROM", PATH_ALLOW_NULL, SMTP_PARAMS_MAIL, &ok, out);
	if (!ok)
		return want;
	refusal = check_sender(s);
	if (refusal != NULL)
		return smtp_reply(s, out, "%s", refusal);
	default_domain(s);
	s->sender = s->path;
	s->ask = (struct smtp_ask){ .path = &s->sender };
	return SMTP_MAIL;
}

static unsigned envelope_flags(const struct smtp_params *p)
{
	return (p->is_8bit ? ENV_8BITMIME : 0u) | (p->is_utf8 ? ENV_SMTPUTF8 : 0u) | (p->ret_hdrs ? ENV_RET_HDRS : 0u) | (p->ret_full ? ENV_RET_FULL : 0u);
}

static void start_envelope(struct smtp_session *s, const struct smtp_answer *a)
{
	struct envelope *env = &s->envelope;
	char text[NET_TEXT_MAX];
	size_t i = 0;

	*env = (struct envelope){ .id = "", .arrived = s->now_us };
	for (; a->id != NULL && a->id[i] != '\0' && i + 1 < sizeof(env->id); i++)
		env->id[i] = a->id[i];
	env->sender = path_text(&s->sender, s->mail_arena);
	env->envid = arena_dup(s->mail_arena, s->params.envid);
	env->flags = envelope_flags(&s->params) | (a->hold ? ENV_HELD : 0u);
	env->client = slice_of(arena_printf(s->mail_arena, "%.*s[%s]", SLICE_FMT(s->env.peer_name), net_addr_text(&s->env.peer, text)));
	env->user = slice_of(s->user);
	s->size = s->params.has_size ? s->params.size : 0;
}

enum smtp_want smtp_mail_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out)
{
	if (!a->ok && a->close)
		return smtp_bye(s, out, CODE_NONE, "%.*s", SLICE_FMT(a->reply));
	if (!a->ok)
		return smtp_reply(s, out, "%.*s", SLICE_FMT(a->reply));
	start_envelope(s, a);
	s->discard = a->discard;
	smtp_enter(s, ST_MAIL);
	smtp_good(s);
	return smtp_reply(s, out, "250 2.1.0 <%s>... Sender ok", smtp_shown(s, s->envelope.sender));
}

/* ---- RCPT ---- */

static const char *check_rcpt(struct smtp_session *s)
{
	if (s->envelope.n_rcpts >= s->env.s->smtpd_recipient_limit || s->envelope.n_rcpts >= LIMIT_SMTP_RCPTS)
		return code_reply(s->cmd_arena, CODE_TOO_MANY_RCPTS, "Too many recipients: send the message to these first");
	if (s->path.is_utf8 && (s->envelope.flags & ENV_SMTPUTF8) == 0)
		return code_reply(s->cmd_arena, CODE_NEEDS_UTF8, "<%s>... this address needs SMTPUTF8", shown_path(s));
	return NULL;
}

enum smtp_want smtp_cmd_rcpt(struct smtp_session *s, struct slice args, struct buf *out)
{
	const char *refusal;
	bool ok = false;
	enum smtp_want want = read_path(s, args, "TO", 0, SMTP_PARAMS_RCPT, &ok, out);

	if (!ok)
		return want;
	refusal = check_rcpt(s);
	if (refusal != NULL)
		return smtp_reply(s, out, "%s", refusal);
	default_domain(s);
	s->ask = (struct smtp_ask){ .path = &s->path };
	return SMTP_RCPT;
}

static void add_rcpt(struct smtp_session *s)
{
	struct envelope *env = &s->envelope;

	if (env->n_rcpts == s->rcpts_cap) {
		size_t cap = s->rcpts_cap == 0 ? 4 : s->rcpts_cap * 4;
		struct rcpt *more = arena_array(s->mail_arena, cap, sizeof(*more));

		for (size_t i = 0; i < env->n_rcpts; i++)
			more[i] = env->rcpts[i];
		env->rcpts = more;
		s->rcpts_cap = cap;
	}
	env->rcpts[env->n_rcpts++] = (struct rcpt){
		.address = path_text(&s->path, s->mail_arena), .orcpt = arena_dup(s->mail_arena, s->params.orcpt), .notify = s->params.notify,
	};
}

static enum smtp_want rcpt_refused(struct smtp_session *s, const struct smtp_answer *a, struct buf *out)
{
	if (a->close)
		return smtp_bye(s, out, CODE_NONE, "%.*s", SLICE_FMT(a->reply));
	smtp_reply(s, out, "%.*s", SLICE_FMT(a->reply));
	if (++s->bad_rcpts >= LIMIT_SMTP_BAD_RCPTS)
		return smtp_bye(s, out, CODE_TOO_MANY_REFUSED, "%s Too many refused recipients, closing", s->env.s->myhostname);
	return SMTP_INPUT;
}

enum smtp_want smtp_rcpt_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out)
{
	if (!a->ok)
		return rcpt_refused(s, a, out);
	add_rcpt(s);
	s->discard = s->discard || a->discard;
	if (a->voucher.p != NULL)
		s->voucher = slice_of(arena_str(s->mail_arena, a->voucher));
	if (a->hold)
		s->envelope.flags |= ENV_HELD;
	smtp_enter(s, ST_RCPT);
	smtp_good(s);
	return smtp_reply(s, out, "250 2.1.5 <%s>... Recipient ok", smtp_shown(s, s->envelope.rcpts[s->envelope.n_rcpts - 1].address));
}
