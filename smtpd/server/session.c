/*
 * server/session.c - the engine of the dialogue: lines, states, replies. What each command does is in cmd_*.c.
 *
 * Hostile clients meet here: an early talker, HTTP, a line without end, too many mistakes (weaknesses.md rows 7, 9, 10). Each gets one clear line and the
 * door; what is kept of them in memory has a cap.
 */
#include "server/session_in.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "io/proxy.h"

#define SKIP_MAX (1u << 20)                                           /* of a line that is too long */
#define ARENA_FIRST 1024
#define BODY_SLACK (256u << 10)                                       /* one round's input on top of LIMIT_SMTP_MEMORY_BODY */
#define BODY_KEEP (64u << 10)                                         /* a bigger body buffer is given back between messages */
#define SHOWN_MAX 320

static void *xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (p == NULL)
		abort();
	return p;
}

struct smtp_session *smtp_session_new(const struct smtp_env *env)
{
	struct smtp_session *s = xcalloc(1, sizeof(*s));

	s->env = *env;
	s->arena = arena_new(ARENA_FIRST);
	s->mail_arena = arena_new(ARENA_FIRST);
	s->cmd_arena = arena_new(ARENA_FIRST);
	buf_init(&s->auth_octets, LIMIT_AUTH_LINE);
	buf_init(&s->body.octets, LIMIT_SMTP_MEMORY_BODY + BODY_SLACK);
	buf_init(&s->body.prefix, BUF_UNBOUNDED);
	return s;
}

void smtp_session_free(struct smtp_session **sp)
{
	struct smtp_session *s = *sp;

	if (s == NULL)
		return;
	buf_wipe(&s->auth_octets);
	buf_done(&s->body.octets);
	buf_done(&s->body.prefix);
	free(s->helo);
	free(s->user);
	free(s->method);
	arena_free(&s->arena);
	arena_free(&s->mail_arena);
	arena_free(&s->cmd_arena);
	free(s);
	*sp = NULL;
}

void smtp_enter(struct smtp_session *s, enum smtp_state to)
{
	s->state = to;
}

void smtp_body_reset(struct smtp_session *s)
{
	struct smtp_body *b = &s->body;
	struct buf octets = b->octets, prefix = b->prefix;

	buf_reset(&octets);
	buf_reset(&prefix);
	if (octets.cap > BODY_KEEP)
		buf_shrink(&octets);
	*b = (struct smtp_body){ .octets = octets, .prefix = prefix };
}

void smtp_forget_mail(struct smtp_session *s)
{
	smtp_body_reset(s);
	s->envelope = (struct envelope){ .id = "" };
	s->rcpts_cap = 0;
	s->sender = (struct path){ .is_null = false };
	s->discard = false;
	s->voucher = SLICE_NONE;
	arena_reset(s->mail_arena);
	s->mode = MODE_COMMAND;
	smtp_enter(s, s->helo == NULL ? ST_CONNECTED : ST_GREETED);
}

/* ---- replies ---- */

PRINTF_LIKE(3, 0)
static void reply_v(struct buf *out, enum code c, const char *fmt, va_list ap)
{
	size_t at = out->len;

	/* A full output buffer closes the connection (io/conn.h); nothing to say then. */
	if (code_add(out, c, fmt, ap) != 0 || buf_adds(out, "\r\n") != 0)
		buf_cut(out, at);
}

enum smtp_want smtp_reply(struct smtp_session *s, struct buf *out, const char *fmt, ...)
{
	va_list ap;

	(void)s;
	va_start(ap, fmt);
	reply_v(out, CODE_NONE, fmt, ap);
	va_end(ap);
	return SMTP_INPUT;
}

enum smtp_want smtp_no(struct smtp_session *s, struct buf *out, enum code c, const char *fmt, ...)
{
	va_list ap;

	(void)s;
	va_start(ap, fmt);
	reply_v(out, c, fmt, ap);
	va_end(ap);
	return SMTP_INPUT;
}

enum smtp_want smtp_bye(struct smtp_session *s, struct buf *out, enum code c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	reply_v(out, c, fmt, ap);
	va_end(ap);
	s->closing = true;
	return SMTP_CLOSE;
}

enum smtp_want smtp_bad(struct smtp_session *s, struct buf *out, enum code c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	reply_v(out, c, fmt, ap);
	va_end(ap);
	if (++s->bad_commands >= LIMIT_SMTP_BAD_COMMANDS)
		return smtp_bye(s, out, CODE_TOO_MANY_ERRORS, "%s Too many errors, closing", s->env.s->myhostname);
	return SMTP_INPUT;
}

void smtp_good(struct smtp_session *s)
{
	if (s->cmd != NULL)
		s->counts[s->cmd - smtp_cmds].good++;
}

const char *smtp_shown(struct smtp_session *s, struct slice octets)
{
	struct buf b;
	char *text;

	buf_init(&b, BUF_UNBOUNDED);
	text_escape(slice_head(octets, SHOWN_MAX), &b);
	text = arena_str(s->cmd_arena, buf_view(&b));
	buf_done(&b);
	return text;
}

/* ---- one command ---- */

static const char *wrong_state(const struct smtp_session *s, const struct smtp_cmd *cmd)
{
	static const char *const next[SMTP_STATES] = {
		[ST_CONNECTED] = "Say EHLO (or HELO) first",
		[ST_GREETED] = "MAIL first",
		[ST_MAIL] = "Need RCPT (recipient)",
		[ST_RCPT] = "Not now: DATA, BDAT or RSET comes next",
		[ST_CHUNKS] = "Not between chunks: BDAT or RSET comes next",
	};

	if (cmd->run == smtp_cmd_mail && (s->state == ST_MAIL || s->state == ST_RCPT))
		return "Sender already specified";
	return next[s->state];
}

static const struct smtp_cmd *cmd_find(const struct smtp_session *s, struct slice verb)
{
	unsigned door = (s->env.listener->flags & LISTENER_LMTP) != 0 ? CMD_ON_LMTP : CMD_ON_SMTP;

	for (size_t i = 0; i < smtp_n_cmds; i++)
		if ((smtp_cmds[i].flags & door) != 0 && slice_ieqs(verb, smtp_cmds[i].verb))
			return &smtp_cmds[i];
	return NULL;
}

/* The first command may be typed by hand, without HELO, from inside. */
static bool is_legal(const struct smtp_session *s, const struct smtp_cmd *cmd)
{
	enum smtp_state state = s->state;

	if (state == ST_CONNECTED && s->env.peer_trusted && cmd->run == smtp_cmd_mail)
		state = ST_GREETED;
	return (cmd->legal & IN(state)) != 0;
}

/* Who does not wait where RFC 2920 says that a client must wait is not talking with us but at us. */
static bool is_out_of_step(const struct smtp_session *s, const struct smtp_cmd *cmd)
{
	if (s->env.peer_trusted)
		return false;
	return (cmd->flags & CMD_ENDS_PIPELINE) != 0 || (!s->esmtp && cmd->run != smtp_cmd_quit);
}

static enum smtp_want run_command(struct smtp_session *s, struct slice line, bool more_follows, struct buf *out)
{
	struct slice rest = line, verb;

	arena_reset(s->cmd_arena);
	s->cmd = NULL;
	if (!slice_word(&rest, &verb))
		return smtp_bad(s, out, CODE_UNREADABLE_LINE, "Empty line: a command, please");
	s->cmd = cmd_find(s, verb);
	if (s->cmd == NULL)
		return smtp_bad(s, out, CODE_UNKNOWN_COMMAND, "Command unrecognized: \"%s\"", smtp_shown(s, slice_head(line, 40)));
	s->counts[s->cmd - smtp_cmds].all++;
	if (more_follows && (s->cmd->flags & CMD_FORGETS) != 0)
		return smtp_bye(s, out, CODE_AFTER_STARTTLS, "data after %s", s->cmd->verb);
	if (more_follows && is_out_of_step(s, s->cmd))
		return smtp_bye(s, out, CODE_OUT_OF_STEP, "wait for the reply to %s before you go on", s->cmd->verb);
	if (!is_legal(s, s->cmd))
		return smtp_bad(s, out, CODE_WRONG_ORDER, "%s", wrong_state(s, s->cmd));
	return s->cmd->run(s, slice_trim(rest), out);
}

static enum smtp_want run_line(struct smtp_session *s, struct slice line, bool more_follows, struct buf *out)
{
	return s->mode == MODE_AUTH ? smtp_auth_line(s, line, out) : run_command(s, line, more_follows, out);
}

/* ---- lines ---- */

static size_t line_max(const struct smtp_session *s, struct slice in)
{
	return s->mode == MODE_AUTH || slice_istarts(in, SLICE("AUTH ")) ? LIMIT_AUTH_LINE : LIMIT_SMTP_LINE;
}

/* What is left of a line that is too long; nothing of it is kept. */
static enum smtp_want skip_line(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	const char *lf = memchr(in.p, '\n', in.n);

	*used_out = lf == NULL ? in.n : (size_t)(lf - in.p) + 1;
	s->skipped += *used_out;
	s->mode = lf == NULL ? MODE_SKIP : MODE_COMMAND;
	if (lf == NULL && s->skipped > SKIP_MAX)
		return smtp_bye(s, out, CODE_ENDLESS_LINE, "%s A line without end, closing", s->env.s->myhostname);
	return SMTP_INPUT;
}

static enum smtp_want line_too_long(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	enum smtp_want want = smtp_bad(s, out, CODE_UNREADABLE_LINE, "line longer than %zu bytes", line_max(s, in));

	s->skipped = 0;
	if (want == SMTP_INPUT)
		return skip_line(s, in, used_out, out);
	*used_out = in.n;
	return want;
}

/* A line that no rule of ours can read: told once, thrown away whole. */
static enum smtp_want line_bad(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	const char *lf = memchr(in.p, '\n', in.n);
	size_t n = lf == NULL ? in.n : (size_t)(lf - in.p) + 1;
	bool nul = memchr(in.p, '\0', n) != NULL, bare_lf = n > 0 && lf != NULL && (n < 2 || in.p[n - 2] != '\r');

	*used_out = n;
	if (lf == NULL)
		s->mode = MODE_SKIP;
	s->skipped = 0;
	return smtp_bad(s, out, CODE_UNREADABLE_LINE, "%s", nul ? "NUL in a command" : bare_lf ? "bare LF: lines must end in CRLF" : "bare CR in a command");
}

static bool is_tls_hello(struct slice in)
{
	return in.n >= 3 && in.p[0] == 0x16 && in.p[1] == 0x03 && in.p[2] <= 0x04;
}

static enum smtp_want take_line(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	struct slice line;
	size_t used = 0;

	if (proxy_is_header(in)) {
		*used_out = in.n;
		return smtp_bye(s, out, CODE_FALSE_PROXY, "PROXY header not permitted from your address");
	}
	if (is_tls_hello(in)) {
		*used_out = in.n;
		return smtp_bye(s, out, CODE_TLS_TOO_EARLY, "TLS starts here with EHLO and STARTTLS, not at once");
	}
	switch (line_take(slice_head(in, line_max(s, in) + 1), &line, &used)) {
	case PARSE_OK:
		if (used > line_max(s, in))
			break;
		*used_out = used;
		return run_line(s, line, used < in.n, out);
	case PARSE_MORE:
		if (in.n <= line_max(s, in))
			return SMTP_INPUT;
		break;
	case PARSE_BAD:
		return line_bad(s, in, used_out, out);
	}
	return line_too_long(s, in, used_out, out);
}

static enum smtp_want step(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	switch (s->mode) {
	case MODE_DATA:
		return smtp_body_dot(s, in, used_out, out);
	case MODE_CHUNK:
		return smtp_body_chunk(s, in, used_out, out);
	case MODE_SKIP:
		return skip_line(s, in, used_out, out);
	case MODE_COMMAND:
	case MODE_AUTH:
		break;
	}
	return take_line(s, in, used_out, out);
}

/* ---- the daemon's side ---- */

void smtp_session_set_time(struct smtp_session *s, int64_t wall_us)
{
	s->now_us = wall_us;
}

void smtp_session_greet(struct smtp_session *s, struct buf *out)
{
	s->greeted = true;
	smtp_reply(s, out, "220 %s %s Posthouse", s->env.s->myhostname, (s->env.listener->flags & LISTENER_LMTP) != 0 ? "LMTP" : "ESMTP");
}

enum smtp_want smtp_session_input(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	size_t used = 0;

	if (s->closing) {
		*used_out = in.n;
		return SMTP_CLOSE;
	}
	if (!s->greeted && in.n > 0) {
		*used_out = in.n;
		return s->want = smtp_bye(s, out, CODE_EARLY_TALKER, "wait for the greeting");
	}
	while (s->want == SMTP_INPUT && used < in.n) {
		size_t n = 0;

		s->want = step(s, slice_from(in, used), &n, out);
		used += n;
		if (n == 0)
			break;
	}
	*used_out = used;
	return s->want;
}

enum smtp_want smtp_session_want(const struct smtp_session *s)
{
	return s->want;
}

enum smtp_want smtp_session_answer(struct smtp_session *s, const struct smtp_answer *a, struct buf *out)
{
	enum smtp_want asked = s->want;

	s->want = SMTP_INPUT;
	switch (asked) {
	case SMTP_AUTH:
	case SMTP_RESPONSE:
		return s->want = smtp_auth_answered(s, a->auth, out);
	case SMTP_MAIL:
		return s->want = smtp_mail_answered(s, a, out);
	case SMTP_RCPT:
		return s->want = smtp_rcpt_answered(s, a, out);
	case SMTP_SPILL:
		return s->want = smtp_spill_answered(s, a, out);
	case SMTP_QUEUE:
		return s->want = smtp_queue_answered(s, a, out);
	case SMTP_INPUT:
	case SMTP_TLS:
	case SMTP_CANCEL:
	case SMTP_CLOSE:
		break;
	}
	return s->want = s->closing ? SMTP_CLOSE : SMTP_INPUT;
}

enum smtp_want smtp_session_tls_started(struct smtp_session *s, const char *version, const char *cipher, int bits)
{
	free(s->helo);
	free(s->user);
	free(s->method);
	s->helo = s->user = s->method = NULL;
	s->esmtp = false;
	s->auth_failures = 0;
	smtp_forget_mail(s);
	s->tls = true;
	s->tls_version = version;
	s->tls_cipher = cipher;
	s->tls_bits = bits;
	return s->want = SMTP_INPUT;
}

const struct smtp_ask *smtp_session_ask(const struct smtp_session *s) { return &s->ask; }
const struct envelope *smtp_session_envelope(const struct smtp_session *s) { return &s->envelope; }
const struct path *smtp_session_sender(const struct smtp_session *s) { return &s->sender; }
bool smtp_session_is_discard(const struct smtp_session *s) { return s->discard; }
uint64_t smtp_session_size(const struct smtp_session *s) { return s->size; }
bool smtp_session_has_spilled(const struct smtp_session *s) { return s->body.spilled; }
struct slice smtp_session_header(const struct smtp_session *s) { return s->body.header; }
struct slice smtp_session_helo(const struct smtp_session *s) { return slice_of(s->helo); }
struct slice smtp_session_user(const struct smtp_session *s) { return slice_of(s->user); }
struct slice smtp_session_method(const struct smtp_session *s) { return slice_of(s->method); }
bool smtp_session_is_tls(const struct smtp_session *s) { return s->tls; }

bool smtp_session_is_between(const struct smtp_session *s)
{
	return s->want == SMTP_INPUT && s->mode == MODE_COMMAND && s->state <= ST_GREETED;
}

const char *smtp_session_last_command(const struct smtp_session *s)
{
	return s->mode == MODE_DATA ? "DATA" : s->cmd == NULL ? "CONNECT" : s->cmd->verb;
}

size_t smtp_session_pieces(const struct smtp_session *s, const struct slice **pieces_out)
{
	*pieces_out = s->body.pieces;
	return s->body.n_pieces;
}

const char *smtp_session_proto(const struct smtp_session *s)
{
	/* RFC 3848, RFC 6531 3.7.3 */
	static const char *const esmtp[4] = { "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" };
	static const char *const utf8[4] = { "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" };
	static const char *const lmtp[4] = { "LMTP", "LMTPS", "LMTPA", "LMTPSA" };
	unsigned which = (s->tls ? 1u : 0u) | (s->user != NULL ? 2u : 0u);

	if ((s->env.listener->flags & LISTENER_LMTP) != 0)
		return lmtp[which];
	if ((s->envelope.flags & ENV_SMTPUTF8) != 0)
		return utf8[which];
	return s->esmtp ? esmtp[which] : "SMTP";
}

void smtp_session_refuse(struct smtp_session *s, const char *why, struct buf *out)
{
	s->greeted = true;
	s->want = smtp_bye(s, out, CODE_CLOSING, "%s %s", s->env.s->myhostname, why);
}

void smtp_session_timeout(struct smtp_session *s, struct buf *out)
{
	s->want = smtp_bye(s, out, CODE_TIMEOUT, "%s Error: timeout exceeded", s->env.s->myhostname);
}

static void put_count(struct buf *out, const char *what, unsigned good, unsigned all)
{
	buf_putf(out, " %s=%u", what, good);
	if (good != all)
		buf_putf(out, "/%u", all);
}

void smtp_session_summary(const struct smtp_session *s, struct buf *out)
{
	unsigned good = 0, all = 0;

	for (size_t i = 0; i < smtp_n_cmds; i++) {
		if (s->counts[i].all == 0)
			continue;
		put_count(out, smtp_cmds[i].counted, s->counts[i].good, s->counts[i].all);
		good += s->counts[i].good;
		all += s->counts[i].all;
	}
	put_count(out, "commands", good, all);
}
