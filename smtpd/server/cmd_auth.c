/*
 * server/cmd_auth.c - STARTTLS (RFC 3207) and AUTH (RFC 4954). The login itself is the auth process's; base64 is taken off here.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "server/session_in.h"

#define AUTH_FAILURES_MAX 3

const char *smtp_mechanisms(const struct smtp_session *s)
{
	return s->tls ? s->env.mechanisms_tls : s->env.mechanisms;
}

bool smtp_auth_is_offered(const struct smtp_session *s)
{
	return s->user == NULL && smtp_mechanisms(s)[0] != '\0';
}

enum smtp_want smtp_cmd_starttls(struct smtp_session *s, struct slice args, struct buf *out)
{
	if (s->tls)
		return smtp_bad(s, out, CODE_WRONG_ORDER, "TLS already active");
	if (!slice_is_empty(args))
		return smtp_bad(s, out, CODE_ARGUMENT, "STARTTLS takes no parameters");
	if (!s->env.starttls_ok)
		return smtp_bad(s, out, CODE_NO_TLS, "TLS not available: no certificate is configured");
	smtp_good(s);
	smtp_reply(s, out, "220 2.0.0 Ready to start TLS");
	return SMTP_TLS;
}

static bool is_among(struct slice mechanism, const char *list)
{
	struct slice rest = slice_of(list), word;

	while (slice_word(&rest, &word))
		if (slice_ieq(word, mechanism))
			return true;
	return false;
}

/* RFC 4954 4 and 6: a mechanism that TLS would bring is another matter than one that we have not. */
static enum smtp_want not_offered(struct smtp_session *s, struct slice mechanism, struct buf *out)
{
	if (!s->tls && is_among(mechanism, s->env.mechanisms_tls))
		return smtp_bad(s, out, CODE_LOGIN_NEEDS_TLS, "Encryption required for this mechanism%s", s->env.starttls_ok ? ": STARTTLS first" :
		    ", and no certificate is configured");
	return smtp_bad(s, out, CODE_LOGIN_MECHANISM, "Mechanism %s is not offered: %s", smtp_shown(s, slice_head(mechanism, 40)), smtp_mechanisms(s));
}

/* Why AUTH can't be had now, or NULL. */
static const char *auth_refusal(struct smtp_session *s)
{
	if (s->user != NULL)
		return code_reply(s->cmd_arena, CODE_WRONG_ORDER, "Already logged in");
	if (smtp_mechanisms(s)[0] != '\0')
		return NULL;
	if (!s->tls && s->env.mechanisms_tls[0] != '\0')
		return code_reply(s->cmd_arena, CODE_LOGIN_NEEDS_TLS, "Encryption required%s", s->env.starttls_ok ? ": STARTTLS first" :
		    ", and no certificate is configured");
	return code_reply(s->cmd_arena, CODE_LOGIN_NOT_HERE, "No login on this port: use 587 or 465");
}

/* "=" is an initial response of no octets (RFC 4954 4). */
static bool decode(struct smtp_session *s, struct slice text)
{
	buf_reset(&s->auth_octets);
	return text_unbase64(text, &s->auth_octets) == 0;
}

enum smtp_want smtp_cmd_auth(struct smtp_session *s, struct slice args, struct buf *out)
{
	const char *refusal = auth_refusal(s);
	struct slice mechanism, initial = SLICE_NONE, junk;
	bool has_initial;

	if (refusal != NULL)
		return smtp_bad(s, out, CODE_NONE, "%s", refusal);
	if (!slice_word(&args, &mechanism))
		return smtp_bad(s, out, CODE_ARGUMENT, "Syntax: %s", s->cmd->help);
	has_initial = slice_word(&args, &initial);
	if (slice_word(&args, &junk))
		return smtp_bad(s, out, CODE_ARGUMENT, "Syntax: %s", s->cmd->help);
	if (!is_among(mechanism, smtp_mechanisms(s)))
		return not_offered(s, mechanism, out);
	if (has_initial && !decode(s, slice_eqs(initial, "=") ? SLICE_NONE : initial))
		return smtp_bad(s, out, CODE_LOGIN_GARBLED, "not base64");
	s->ask = (struct smtp_ask){ .mechanism = arena_dup(s->cmd_arena, mechanism), .has_initial = has_initial };
	s->ask.initial = has_initial ? slice_mem(buf_str(&s->auth_octets), s->auth_octets.len) : SLICE_NONE;
	s->mode = MODE_AUTH;
	return SMTP_AUTH;
}

static enum smtp_want welcome(struct smtp_session *s, struct buf *out);

/* The mechanism ended with data of the server (SCRAM's proof): the client's empty line completes the login (RFC 4954 4). */
static enum smtp_want last_word(struct smtp_session *s, struct slice line, struct buf *out)
{
	s->auth_last_word = false;
	s->mode = MODE_COMMAND;
	if (line.n == 0 || slice_eqs(line, "="))
		return welcome(s, out);
	free(s->user);
	free(s->method);
	s->user = s->method = NULL;
	return smtp_bad(s, out, CODE_LOGIN_CANCELLED, "Login cancelled");
}

enum smtp_want smtp_auth_line(struct smtp_session *s, struct slice line, struct buf *out)
{
	if (s->auth_last_word)
		return last_word(s, line, out);
	if (slice_eqs(line, "*")) {
		s->mode = MODE_COMMAND;
		smtp_bad(s, out, CODE_LOGIN_CANCELLED, "Login cancelled");
		return SMTP_CANCEL;
	}
	if (!decode(s, line)) {
		s->mode = MODE_COMMAND;
		smtp_bad(s, out, CODE_LOGIN_GARBLED, "not base64");
		return SMTP_CANCEL;
	}
	s->ask = (struct smtp_ask){ .response = slice_mem(buf_str(&s->auth_octets), s->auth_octets.len) };
	return SMTP_RESPONSE;
}

static char *copy(struct slice text)
{
	char *p = malloc(text.n + 1);

	if (p == NULL)
		abort();
	if (text.n > 0)
		memcpy(p, text.p, text.n);
	p[text.n] = '\0';
	return p;
}

static enum smtp_want welcome(struct smtp_session *s, struct buf *out)
{
	smtp_good(s);
	return smtp_reply(s, out, "235 2.7.0 Welcome");
}

static enum smtp_want auth_more(struct smtp_session *s, const struct auth_answer *a, struct buf *out)
{
	struct buf text;

	buf_init(&text, LIMIT_AUTH_LINE * 2);
	if (text_base64(a->challenge, &text) == 0)
		smtp_reply(s, out, "334 %s", buf_str(&text));
	buf_done(&text);
	s->mode = MODE_AUTH;
	return SMTP_INPUT;
}

static enum smtp_want auth_ok(struct smtp_session *s, const struct auth_answer *a, struct buf *out)
{
	free(s->user);
	free(s->method);
	s->user = copy(a->user);
	s->method = copy(a->method);
	s->auth_failures = 0;
	if (a->challenge.n > 0) {
		s->auth_last_word = true;
		return auth_more(s, a, out);
	}
	return welcome(s, out);
}

static enum smtp_want auth_denied(struct smtp_session *s, struct buf *out)
{
	smtp_no(s, out, CODE_LOGIN_WRONG, "User name or password is wrong");
	if (++s->auth_failures >= AUTH_FAILURES_MAX)
		return smtp_bye(s, out, CODE_LOGIN_TOO_MANY, "%s Too many failed logins, closing", s->env.s->myhostname);
	return SMTP_INPUT;
}

enum smtp_want smtp_auth_answered(struct smtp_session *s, const struct auth_answer *a, struct buf *out)
{
	s->mode = MODE_COMMAND;
	if (a->result != AUTH_MORE)
		buf_wipe(&s->auth_octets), buf_init(&s->auth_octets, LIMIT_AUTH_LINE);
	switch (a->result) {
	case AUTH_MORE:
		return auth_more(s, a, out);
	case AUTH_OK:
		return auth_ok(s, a, out);
	case AUTH_DENIED:
		return auth_denied(s, out);
	case AUTH_CANCELLED:
		return smtp_bad(s, out, CODE_LOGIN_CANCELLED, "Login cancelled");
	case AUTH_SYNTAX:
		return smtp_bad(s, out, CODE_LOGIN_GARBLED, "Login not understood");
	case AUTH_TEMP:
		break;
	}
	return smtp_no(s, out, CODE_LOGIN_NOT_NOW, "Login can't be checked now, try again in a minute");
}
