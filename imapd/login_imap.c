/*
 * imapd/login_imap.c - IMAP before the login (RFC 3501 6.1, 6.2; SASL-IR: RFC 4959; ID: RFC 2971), without a socket.
 *
 * Runs in the front, which has no mailboxes. A command is a row of the table below; what needs TLS or an account is a want that the front answers.
 * Little is announced here and little is kept: at most one command within imap_caps_login.
 */
#include "imapd/imapd.h"

#include "auth/auth.h"
#include "base/limits.h"
#include "base/text.h"
#include "imapd/parse.h"
#include "imapd/reader.h"
#include "mail/line.h"

enum { FAILURES_MAX = 5 };

struct imap_front {
	struct arena *arena;                                          /* of the connection */
	struct arena *cmd;                                            /* of one command; wiped, passwords go through it */
	const struct login_info *info;
	struct imap_reader reader;
	struct buf tag;                                               /* of the command that waits for an answer */
	struct buf secret, user, mechanism;
	struct buf client;                                            /* from ID */
	bool in_sasl;                                                 /* the next line is a response */
	unsigned bad, failures;
};

struct call { struct imap_text t; struct slice tag; struct slice behind; struct buf *out; struct login_ask *ask; };

static enum login_want reply(struct call *c, const char *status, const char *text)
{
	buf_putf(c->out, "%.*s %s %s\r\n", SLICE_FMT(c->tag), status, text);
	return LOGIN_INPUT;
}

static enum login_want count_bad(struct imap_front *s, struct buf *out)
{
	if (++s->bad <= LIMIT_IMAP_BAD_COMMANDS_PRELOGIN)
		return LOGIN_INPUT;
	buf_puts(out, "* BYE too many bad commands, good-bye\r\n");
	return LOGIN_CLOSE;
}

static enum login_want bad(struct imap_front *s, struct call *c, const char *why)
{
	reply(c, "BAD", why);
	return count_bad(s, c->out);
}

static void put_capabilities(const struct imap_front *s, struct buf *out)
{
	struct slice rest = slice_of(s->info->mechanisms), mech;

	buf_puts(out, "CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID ENABLE IDLE");
	if (s->info->starttls_ok)
		buf_puts(out, " STARTTLS");
	if (!s->info->plaintext_ok)
		buf_puts(out, " LOGINDISABLED");
	while (slice_word(&rest, &mech))
		buf_putf(out, " AUTH=%.*s", SLICE_FMT(mech));
}

/* ---- the commands ---- */

static enum login_want cmd_capability(struct imap_front *s, struct call *c)
{
	buf_puts(c->out, "* ");
	put_capabilities(s, c->out);
	buf_puts(c->out, "\r\n");
	return reply(c, "OK", "that is what works before login");
}

static enum login_want cmd_noop(struct imap_front *s, struct call *c)
{
	(void)s;
	return reply(c, "OK", "still here");
}

static enum login_want cmd_logout(struct imap_front *s, struct call *c)
{
	(void)s;
	buf_puts(c->out, "* BYE good-bye\r\n");
	reply(c, "OK", "logged out");
	return LOGIN_CLOSE;
}

static enum login_want cmd_id(struct imap_front *s, struct call *c)
{
	if (imap_space(&c->t) != 0 || imap_id_read(&c->t, &s->client) != 0 || !imap_at_end(&c->t))
		return bad(s, c, c->t.why);
	imap_id_reply(c->out);
	return reply(c, "OK", "pleased to meet you");
}

static enum login_want cmd_starttls(struct imap_front *s, struct call *c)
{
	if (!s->info->starttls_ok)
		return bad(s, c, s->info->tls ? "TLS is on already" : "TLS is not available: the server has no certificate");
	if (c->behind.n > 0) {                                        /* somebody between us and the client put commands there (CVE-2011-0411) */
		reply(c, "BAD", "octets came behind STARTTLS, before TLS; good-bye");
		return LOGIN_CLOSE;
	}
	reply(c, "OK", "begin TLS now");
	return LOGIN_STARTTLS;
}

static enum login_want needs_tls(struct imap_front *s, struct call *c)
{
	count_bad(s, c->out);
	return reply(c, "NO", s->info->starttls_ok ? "[PRIVACYREQUIRED] a password crosses the network under TLS only: STARTTLS first"
	                                           : "[PRIVACYREQUIRED] a password crosses the network under TLS only: use the imaps port");
}

static enum login_want cmd_login(struct imap_front *s, struct call *c)
{
	struct slice user, password;

	if (!s->info->plaintext_ok)
		return needs_tls(s, c);
	if (imap_space(&c->t) != 0 || imap_astring(&c->t, &user) != 0 || imap_space(&c->t) != 0 || imap_astring(&c->t, &password) != 0 ||
	    !imap_at_end(&c->t))
		return bad(s, c, "LOGIN takes a user name and a password; quote them where they hold blanks or other signs");
	buf_reset(&s->user);
	buf_wipe(&s->secret);
	buf_init(&s->secret, LIMIT_AUTH_LINE);
	if (user.n > LIMIT_USER_NAME || password.n > LIMIT_PASSWORD || buf_add(&s->user, user) != 0 || buf_add(&s->secret, password) != 0)
		return bad(s, c, "that user name or password is too long");
	buf_reset(&s->tag);
	buf_put(&s->tag, c->tag);
	c->ask->user = buf_view(&s->user);
	c->ask->password = buf_view(&s->secret);
	return LOGIN_PASSWORD;
}

static bool has_word(const char *words, struct slice word)
{
	struct slice rest = slice_of(words), w;

	while (slice_word(&rest, &w))
		if (slice_ieq(w, word))
			return true;
	return false;
}

/* RFC 4959: "=" is an empty initial response. */
static int read_initial(struct imap_front *s, struct call *c)
{
	struct slice word = c->t.rest;

	while (word.n > 0 && word.p[word.n - 1] == ' ')
		word.n--;
	buf_wipe(&s->secret);
	buf_init(&s->secret, LIMIT_AUTH_LINE);
	if (slice_eqs(word, "="))
		return 0;
	return text_unbase64(word, &s->secret);
}

static enum login_want cmd_authenticate(struct imap_front *s, struct call *c)
{
	struct slice mechanism;
	bool has_initial;

	if (imap_space(&c->t) != 0 || imap_atom(&c->t, &mechanism) != 0)
		return bad(s, c, "AUTHENTICATE takes the name of a mechanism");
	if (!has_word(s->info->mechanisms, mechanism)) {
		if (!s->info->plaintext_ok && (slice_ieqs(mechanism, "PLAIN") || slice_ieqs(mechanism, "LOGIN")))
			return needs_tls(s, c);
		count_bad(s, c->out);
		return reply(c, "NO", "[CANNOT] that mechanism is not offered; CAPABILITY lists those that are");
	}
	has_initial = !imap_at_end(&c->t);
	if (has_initial && (imap_space(&c->t) != 0 || read_initial(s, c) != 0))
		return bad(s, c, "the initial response is not base64");
	buf_reset(&s->tag);
	buf_put(&s->tag, c->tag);
	buf_reset(&s->mechanism);
	for (size_t i = 0; i < mechanism.n; i++)
		buf_putc(&s->mechanism, ascii_upper(mechanism.p[i]));
	c->ask->mechanism = buf_view(&s->mechanism);
	c->ask->has_initial = has_initial;
	c->ask->initial = has_initial ? buf_view(&s->secret) : SLICE_NONE;
	return LOGIN_AUTH;
}

static const struct imap_login_cmd {
	const char *verb;
	enum login_want (*run)(struct imap_front *s, struct call *c);
	bool takes_args;
} cmds[] = {
	/* verb          run               args    RFC */
	{ "CAPABILITY",   cmd_capability,   false },  /* 3501 6.1.1 */
	{ "NOOP",         cmd_noop,         false },  /* 3501 6.1.2 */
	{ "LOGOUT",       cmd_logout,       false },  /* 3501 6.1.3 */
	{ "STARTTLS",     cmd_starttls,     false },  /* 3501 6.2.1 */
	{ "AUTHENTICATE", cmd_authenticate, true },   /* 3501 6.2.2, 4959 */
	{ "LOGIN",        cmd_login,        true },   /* 3501 6.2.3 */
	{ "ID",           cmd_id,           true },   /* 2971 */
};

/* ---- the dialogue ---- */

static void front_done(void *ctx)
{
	struct imap_front *s = ctx;

	imap_reader_done(&s->reader);
	buf_wipe(&s->secret);
	buf_done(&s->tag);
	buf_done(&s->user);
	buf_done(&s->mechanism);
	buf_done(&s->client);
}

static void *front_open(struct arena *a, const struct login_info *info, struct buf *out)
{
	struct imap_front *s = arena_alloc(a, sizeof *s);

	s->arena = a;
	s->info = info;
	imap_reader_init(&s->reader, &imap_caps_login);
	buf_init(&s->tag, LIMIT_IMAP_LINE_PRELOGIN);
	buf_init(&s->secret, LIMIT_AUTH_LINE);
	buf_init(&s->user, LIMIT_USER_NAME);
	buf_init(&s->mechanism, 64);
	buf_init(&s->client, 256);
	arena_on_reset(a, front_done, s);
	buf_puts(out, "* OK [");
	put_capabilities(s, out);
	buf_puts(out, "] Posthouse is ready\r\n");
	return s;
}

static bool is_http(struct slice tag, struct slice verb)
{
	return has_word("GET POST HEAD PUT OPTIONS CONNECT PRI", tag) && (slice_starts(verb, SLICE("/")) || slice_istarts(verb, SLICE("http")));
}

static enum login_want run_command(struct imap_front *s, struct call *c)
{
	struct slice verb;

	if (imap_tag(&c->t, &c->tag) != 0 || c->tag.n > 256) {
		c->tag = SLICE("*");
		return bad(s, c, "a command begins with a tag, then a blank and the command's name");
	}
	if (imap_space(&c->t) != 0 || imap_atom(&c->t, &verb) != 0)
		return bad(s, c, "the command's name is missing");
	if (is_http(c->tag, verb)) {
		buf_puts(c->out, "* BYE this is a mail server\r\n");
		return LOGIN_CLOSE;
	}
	for (size_t i = 0; i < sizeof cmds / sizeof *cmds; i++) {
		if (!slice_ieqs(verb, cmds[i].verb))
			continue;
		if (!cmds[i].takes_args && !imap_at_end(&c->t))
			return bad(s, c, "that command takes no arguments");
		return cmds[i].run(s, c);
	}
	return bad(s, c, "there is no such command before login");
}

/* A line of the SASL exchange: base64, or "*" to give up. */
static enum login_want sasl_line(struct imap_front *s, struct slice in, size_t *used_out, struct buf *out, struct login_ask *ask)
{
	struct slice line;
	enum parse got = line_take(in, &line, used_out);

	if (got == PARSE_MORE) {
		*used_out = 0;
		if (in.n < LIMIT_AUTH_LINE)
			return LOGIN_INPUT;
		buf_putf(out, "* BYE a response longer than %d octets, good-bye\r\n", LIMIT_AUTH_LINE);
		return LOGIN_CLOSE;
	}
	if (got == PARSE_BAD) {
		ptrdiff_t lf = slice_chr(in, '\n');

		*used_out = lf < 0 ? in.n : (size_t)lf + 1;
		line = SLICE("?");
	}
	buf_wipe(&s->secret);
	buf_init(&s->secret, LIMIT_AUTH_LINE);
	s->in_sasl = false;
	if (slice_eqs(line, "*") || text_unbase64(line, &s->secret) != 0) {
		buf_putf(out, "%s BAD %s\r\n", buf_str(&s->tag), slice_eqs(line, "*") ? "authentication cancelled" : "that response is not base64");
		count_bad(s, out);
		return LOGIN_CANCEL;
	}
	ask->response = buf_view(&s->secret);
	return LOGIN_RESPONSE;
}

static enum login_want front_input(void *ctx, struct slice in, size_t *used_out, struct buf *out, struct login_ask *ask_out)
{
	struct imap_front *s = ctx;
	struct slice command;
	enum login_want want = LOGIN_INPUT;

	*used_out = 0;
	if (s->in_sasl)
		return sasl_line(s, in, used_out, out, ask_out);
	switch (imap_reader_input(&s->reader, in, used_out, &command, out)) {
	case IMAP_READ_MORE:
	case IMAP_READ_LITERAL:
		return LOGIN_INPUT;
	case IMAP_READ_BAD:
		return count_bad(s, out);
	case IMAP_READ_CLOSE:
		return LOGIN_CLOSE;
	case IMAP_READ_COMMAND:
		break;
	}
	if (command.n == 0)                                           /* Apple Mail sends empty lines */
		return LOGIN_INPUT;
	struct call c = { .behind = slice_from(in, *used_out), .out = out, .ask = ask_out };

	s->cmd = arena_new_secret(256);
	imap_text_init(&c.t, command, s->cmd);
	want = run_command(s, &c);
	arena_free(&s->cmd);
	return want;
}

static void front_tls_started(void *ctx)
{
	struct imap_front *s = ctx;

	imap_reader_done(&s->reader);
	imap_reader_init(&s->reader, &imap_caps_login);
	buf_wipe(&s->client);
	buf_init(&s->client, 256);
	s->in_sasl = false;
	s->bad = s->failures = 0;
}

static enum login_want challenge(struct imap_front *s, struct slice octets, struct buf *out)
{
	buf_puts(out, "+ ");
	if (text_base64(octets, out) != 0)
		return LOGIN_CLOSE;
	buf_puts(out, "\r\n");
	s->in_sasl = true;
	return LOGIN_INPUT;
}

static enum login_want front_answer(void *ctx, const struct auth_answer *a, struct buf *out)
{
	struct imap_front *s = ctx;
	const char *tag = buf_str(&s->tag);

	switch (a->result) {
	case AUTH_MORE:
		return challenge(s, a->challenge, out);
	case AUTH_OK:
	case AUTH_CANCELLED:
		return LOGIN_INPUT;
	case AUTH_TEMP:
		buf_putf(out, "%s NO [UNAVAILABLE] the login cannot be checked just now, try again later\r\n", tag);
		return LOGIN_INPUT;
	case AUTH_SYNTAX:
		buf_putf(out, "%s BAD that is not how the mechanism goes on\r\n", tag);
		return count_bad(s, out);
	case AUTH_DENIED:
		break;
	}
	buf_putf(out, "%s NO [AUTHENTICATIONFAILED] wrong user name or password\r\n", tag);
	if (++s->failures < FAILURES_MAX)
		return LOGIN_INPUT;
	buf_puts(out, "* BYE too many failed logins, good-bye\r\n");
	return LOGIN_CLOSE;
}

static void front_refuse(const char *why, struct buf *out)
{
	buf_putf(out, "* BYE [UNAVAILABLE] %s\r\n", why);
}

static void front_timeout(void *ctx, struct buf *out)
{
	(void)ctx;
	buf_puts(out, "* BYE the login took too long, good-bye\r\n");
}

static void front_hand_over(void *ctx, struct buf *state_out)
{
	struct imap_front *s = ctx;
	const struct imap_hello h = { buf_view(&s->tag), buf_view(&s->client) };

	imap_hello_put(&h, state_out);
}

const struct login_proto imap_login = {
	.name = "imap",
	.line_max = LIMIT_AUTH_LINE + 2,
	.open = front_open,
	.input = front_input,
	.tls_started = front_tls_started,
	.answer = front_answer,
	.refuse = front_refuse,
	.timeout = front_timeout,
	.hand_over = front_hand_over,
};
