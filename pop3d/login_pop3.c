/*
 * pop3d/login_pop3.c - the AUTHORIZATION state (RFC 1939 4, 7; AUTH: RFC 5034; STLS: RFC 2595; codes: RFC 2449, 3206), without a socket.
 *
 * A command is a row of the table below. What needs the network or an account (TLS, a password check) is a want that the front answers.
 * `user+folder` opens a folder instead of INBOX: the folder is taken off here, before the account is asked for.
 */
#include "pop3d/pop3d.h"

#include <string.h>

#include "auth/auth.h"
#include "base/limits.h"
#include "base/text.h"
#include "mail/line.h"

enum { BAD_COMMANDS_MAX = 20, FAILURES_MAX = 5 };

struct pop3_login {
	struct arena *arena;
	const struct login_info *info;
	struct buf secret;                                            /* the decoded response, or what is left of PLAIN without its folder */
	struct buf user, folder;                                      /* of USER (or of PLAIN: the folder) */
	bool in_sasl;                                                 /* the next line is a response, not a command */
	bool plain;                                                   /* the mechanism is PLAIN: its authcid may carry +folder */
	bool utf8;
	unsigned bad, failures;
};

struct login_cmd {
	const char *verb;
	enum login_want (*run)(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask);
	enum { TAKES_NOTHING, TAKES_ARGS } args;
	bool needs_plaintext;                                         /* only where a password may cross the wire as it is */
};

static enum login_want bad(struct pop3_login *s, struct buf *out, const char *why)
{
	s->bad++;
	if (s->bad > BAD_COMMANDS_MAX) {
		buf_puts(out, "-ERR Too many errors, good-bye\r\n");
		return LOGIN_CLOSE;
	}
	buf_putf(out, "-ERR %s\r\n", why);
	return LOGIN_INPUT;
}

static void forget_user(struct pop3_login *s)
{
	buf_reset(&s->user);
	buf_reset(&s->folder);
}

/* "anna+Sent/2026@office.example" or "anna+Sent": what is between the first delimiter and the @ is the folder. */
static void split_folder(struct pop3_login *s, struct slice login, struct buf *user_out)
{
	const char *delims = s->info->s->recipient_delimiter;
	ptrdiff_t at_sign = slice_rchr(login, '@');
	struct slice local = at_sign < 0 ? login : slice_head(login, (size_t)at_sign);
	size_t n = 0;

	while (n < local.n && (n == 0 || strchr(delims, local.p[n]) == NULL))
		n++;
	buf_reset(user_out);
	buf_put(user_out, slice_head(local, n));
	buf_reset(&s->folder);
	if (n + 1 < local.n)
		buf_put(&s->folder, slice_from(local, n + 1));
	if (at_sign >= 0)
		buf_put(user_out, slice_from(login, (size_t)at_sign));
}

static bool is_root(struct slice user)
{
	return slice_ieqs(user, "root") || slice_istarts(user, SLICE("root@")) || slice_istarts(user, SLICE("root+"));
}

static enum login_want cmd_user(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask)
{
	(void)ask;
	if (args.n == 0 || args.n > LIMIT_USER_NAME)
		return bad(s, out, "USER needs a name of at most 255 octets");
	if (is_root(args))
		return bad(s, out, "[AUTH] root may not log in");
	split_folder(s, args, &s->user);
	buf_puts(out, "+OK Now the password\r\n");
	return LOGIN_INPUT;
}

static enum login_want cmd_pass(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask)
{
	if (s->user.len == 0)
		return bad(s, out, "USER comes first");
	if (args.n > LIMIT_PASSWORD)
		return bad(s, out, "[AUTH] That password is longer than any can be");
	ask->user = buf_view(&s->user);
	ask->password = args;
	return LOGIN_PASSWORD;
}

static bool is_offered(const char *mechanisms, struct slice mechanism)
{
	struct slice rest = slice_of(mechanisms), word;

	while (slice_word(&rest, &word))
		if (slice_ieq(word, mechanism))
			return true;
	return false;
}

static void put_mechanisms(const char *mechanisms, struct buf *out)
{
	struct slice rest = slice_of(mechanisms), word;

	buf_puts(out, "+OK\r\n");
	while (slice_word(&rest, &word))
		buf_putf(out, "%.*s\r\n", SLICE_FMT(word));
	buf_puts(out, ".\r\n");
}

/* PLAIN is authzid NUL authcid NUL password (RFC 4616): the folder comes off authcid; anything odd goes on as it is, for the mechanism to refuse. */
static void strip_plain_folder(struct pop3_login *s)
{
	struct slice rest = buf_view(&s->secret), authzid, authcid;
	struct buf plain, user;

	if (!s->plain || !slice_next(&rest, '\0', &authzid) || !slice_next(&rest, '\0', &authcid) || rest.p == NULL)
		return;
	buf_init(&plain, LIMIT_AUTH_LINE);
	buf_init(&user, LIMIT_AUTH_LINE);
	split_folder(s, authcid, &user);
	if (s->folder.len > 0) {
		buf_put(&plain, slice_eq(authzid, authcid) ? buf_view(&user) : authzid);
		buf_putc(&plain, '\0');
		buf_put(&plain, buf_view(&user));
		buf_putc(&plain, '\0');
		buf_put(&plain, rest);
		buf_reset(&s->secret);
		buf_put(&s->secret, buf_view(&plain));
	}
	buf_wipe(&plain);
	buf_done(&user);
}

static int decode(struct pop3_login *s, struct slice text)
{
	buf_reset(&s->secret);
	if (text_unbase64(text, &s->secret) < 0)
		return -1;
	strip_plain_folder(s);
	return 0;
}

static enum login_want cmd_auth(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask)
{
	struct slice rest = args, mechanism, initial;

	if (!slice_word(&rest, &mechanism)) {
		put_mechanisms(s->info->mechanisms, out);
		return LOGIN_INPUT;
	}
	if (!is_offered(s->info->mechanisms, mechanism))
		return bad(s, out, s->info->starttls_ok ? "That mechanism is not offered here; more are after STLS (CAPA lists them)"
		                                        : "That mechanism is not offered; CAPA lists those that are");
	forget_user(s);
	s->plain = slice_ieqs(mechanism, "PLAIN");
	ask->has_initial = slice_word(&rest, &initial);
	if (ask->has_initial && decode(s, slice_eqs(initial, "=") ? SLICE_NONE : initial) < 0)
		return bad(s, out, "The initial response is not base64");
	if (ask->has_initial && slice_trim(rest).n > 0)
		return bad(s, out, "AUTH takes a mechanism and one initial response");
	ask->mechanism = mechanism;
	ask->initial = buf_view(&s->secret);
	return LOGIN_AUTH;
}

static enum login_want cmd_stls(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask)
{
	(void)args, (void)ask;
	if (s->info->tls)
		return bad(s, out, "TLS is already active");
	if (!s->info->starttls_ok)
		return bad(s, out, "[SYS/PERM] No certificate is configured here");
	buf_puts(out, "+OK Begin TLS now\r\n");
	return LOGIN_STARTTLS;
}

static enum login_want cmd_capa(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask)
{
	struct pop3_offer offer = { .stls = s->info->starttls_ok, .user = s->info->plaintext_ok, .mechanisms = s->info->mechanisms };

	(void)args, (void)ask;
	pop3_put_capa(&offer, out);
	return LOGIN_INPUT;
}

static enum login_want cmd_utf8(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask)
{
	(void)args, (void)ask;
	s->utf8 = true;
	buf_puts(out, "+OK UTF-8 from here on\r\n");
	return LOGIN_INPUT;
}

static enum login_want cmd_quit(struct pop3_login *s, struct slice args, struct buf *out, struct login_ask *ask)
{
	(void)s, (void)args, (void)ask;
	buf_puts(out, "+OK Good-bye\r\n");
	return LOGIN_CLOSE;
}

static const struct login_cmd login_cmds[] = {
	/* verb    run       arguments      plain text only */
	{ "CAPA",  cmd_capa, TAKES_NOTHING, false },                  /* RFC 2449 5 */
	{ "USER",  cmd_user, TAKES_ARGS,    true  },                  /* RFC 1939 7 */
	{ "PASS",  cmd_pass, TAKES_ARGS,    true  },                  /* RFC 1939 7: the rest of the line, blanks included */
	{ "AUTH",  cmd_auth, TAKES_ARGS,    false },                  /* RFC 5034 */
	{ "STLS",  cmd_stls, TAKES_NOTHING, false },                  /* RFC 2595 4 */
	{ "UTF8",  cmd_utf8, TAKES_NOTHING, false },                  /* RFC 6856 2 */
	{ "QUIT",  cmd_quit, TAKES_NOTHING, false },                  /* RFC 1939 4 */
};

static const struct login_cmd *find_cmd(struct slice verb)
{
	for (size_t i = 0; i < sizeof(login_cmds) / sizeof(login_cmds[0]); i++)
		if (slice_ieqs(verb, login_cmds[i].verb))
			return &login_cmds[i];
	return NULL;
}

/* A browser or a mail relay at the wrong door (ALPACA, CVE-2021-3618) gets one line, whatever else it sends. */
static bool is_foreign(struct slice verb)
{
	static const char *const verbs[] = { "GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "EHLO", "HELO", "MAIL" };

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_ieqs(verb, verbs[i]))
			return true;
	return false;
}

static enum login_want command(struct pop3_login *s, struct slice line, struct buf *out, struct login_ask *ask)
{
	ptrdiff_t blank = slice_chr(line, ' ');
	struct slice verb = blank < 0 ? line : slice_head(line, (size_t)blank);
	struct slice args = blank < 0 ? SLICE_NONE : slice_from(line, (size_t)blank + 1);
	const struct login_cmd *cmd = find_cmd(verb);

	if (cmd == NULL && is_foreign(verb)) {
		buf_puts(out, "-ERR This is a mail server: it speaks POP3\r\n");
		return LOGIN_CLOSE;
	}
	if (cmd == NULL)
		return bad(s, out, "Unknown command before login; CAPA lists what there is");
	if (line.n > LIMIT_POP3_LINE && cmd->run != cmd_auth && cmd->run != cmd_pass)
		return bad(s, out, "That line is longer than 512 octets");
	if (cmd->args == TAKES_NOTHING && slice_trim(args).n > 0)
		return bad(s, out, "That command takes no argument");
	if (cmd->needs_plaintext && !s->info->plaintext_ok)
		return bad(s, out, "A password needs TLS here: STLS first, or the port for TLS (995)");
	return cmd->run(s, cmd->run == cmd_pass ? args : slice_trim(args), out, ask);
}

static enum login_want response(struct pop3_login *s, struct slice line, struct buf *out, struct login_ask *ask)
{
	if (slice_eqs(line, "*")) {
		s->in_sasl = false;
		buf_puts(out, "-ERR Cancelled, as you wish\r\n");
		return LOGIN_CANCEL;
	}
	if (decode(s, line) < 0) {
		s->in_sasl = false;
		s->bad++;
		buf_puts(out, "-ERR The response is not base64\r\n");
		return LOGIN_CANCEL;
	}
	ask->response = buf_view(&s->secret);
	return LOGIN_RESPONSE;
}

/* Junk ends at its LF, so that the dialogue stays in step; without one in a full buffer there is no step to keep. */
static enum login_want unreadable(struct pop3_login *s, struct slice in, size_t *used_out, struct buf *out)
{
	ptrdiff_t lf = slice_chr(in, '\n');

	if (lf < 0) {
		*used_out = in.n;
		buf_puts(out, "-ERR That line is longer than 12288 octets, good-bye\r\n");
		return LOGIN_CLOSE;
	}
	*used_out = (size_t)lf + 1;
	return bad(s, out, "A line ends in CRLF, with no NUL, CR or LF inside");
}

static enum login_want login_input(void *ctx, struct slice in, size_t *used_out, struct buf *out, struct login_ask *ask_out)
{
	struct pop3_login *s = ctx;
	struct slice line;
	size_t used = 0;

	memset(ask_out, 0, sizeof(*ask_out));
	*used_out = 0;
	switch (line_take(in, &line, &used)) {
	case PARSE_MORE:
		return in.n < LIMIT_AUTH_LINE ? LOGIN_INPUT : unreadable(s, in, used_out, out);
	case PARSE_BAD:
		return unreadable(s, in, used_out, out);
	case PARSE_OK:
		break;
	}
	*used_out = used;
	return s->in_sasl ? response(s, line, out, ask_out) : command(s, line, out, ask_out);
}

static void login_cleanup(void *ctx)
{
	struct pop3_login *s = ctx;

	buf_wipe(&s->secret);
	buf_done(&s->user);
	buf_done(&s->folder);
}

static void *login_open(struct arena *a, const struct login_info *info, struct buf *out)
{
	struct pop3_login *s = arena_alloc(a, sizeof(*s));

	s->arena = a;
	s->info = info;
	buf_init(&s->secret, LIMIT_AUTH_LINE);
	buf_init(&s->user, LIMIT_AUTH_LINE);
	buf_init(&s->folder, LIMIT_AUTH_LINE);
	arena_on_reset(a, login_cleanup, s);
	buf_puts(out, "+OK Posthouse POP3 ready\r\n");
	return s;
}

/* RFC 2595 4: nothing learned before TLS counts. */
static void login_tls_started(void *ctx)
{
	struct pop3_login *s = ctx;

	forget_user(s);
	s->in_sasl = s->utf8 = false;
}

static enum login_want login_answer(void *ctx, const struct auth_answer *a, struct buf *out)
{
	struct pop3_login *s = ctx;

	s->in_sasl = a->result == AUTH_MORE;
	switch (a->result) {
	case AUTH_MORE:
		buf_puts(out, "+ ");
		if (text_base64(a->challenge, out) < 0)
			return LOGIN_CLOSE;
		buf_puts(out, "\r\n");
		return LOGIN_INPUT;
	case AUTH_TEMP:
		buf_puts(out, "-ERR [SYS/TEMP] The password cannot be checked just now, try again in a minute\r\n");
		break;
	case AUTH_SYNTAX:
		buf_puts(out, "-ERR The response is not what the mechanism wants\r\n");
		break;
	case AUTH_CANCELLED:
		buf_puts(out, "-ERR Cancelled\r\n");
		break;
	case AUTH_DENIED:
	case AUTH_OK:
		buf_puts(out, "-ERR [AUTH] Wrong user or password\r\n");
		break;
	}
	forget_user(s);
	buf_reset(&s->secret);
	return ++s->failures >= FAILURES_MAX ? LOGIN_CLOSE : LOGIN_INPUT;
}

static void login_refuse(const char *why, struct buf *out)
{
	buf_putf(out, "-ERR [SYS/TEMP] %s\r\n", why);
}

static void login_timed_out(void *ctx, struct buf *out)
{
	(void)ctx;
	buf_puts(out, "-ERR The login took too long, good-bye\r\n");
}

static void login_hand_over(void *ctx, struct buf *state_out)
{
	struct pop3_login *s = ctx;
	struct pop3_state st = { .utf8 = s->utf8, .folder = buf_view(&s->folder) };

	pop3_state_put(&st, state_out);
}

const struct login_proto pop3_login = {
	.name = "pop3",
	.line_max = LIMIT_AUTH_LINE,
	.open = login_open,
	.input = login_input,
	.tls_started = login_tls_started,
	.answer = login_answer,
	.refuse = login_refuse,
	.timeout = login_timed_out,
	.hand_over = login_hand_over,
};
