/*
 * server/cmd_hello.c - EHLO, HELO, LHLO: who are you, and here is what I can do (RFC 5321 4.1.1.1, RFC 2033 4.1).
 *
 * The name is checked for its characters only: half the world's clients have a wrong one. It never decides about relaying.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "server/session_in.h"

static bool is_name_octet(char c)
{
	return ascii_is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' || c == ']' || (unsigned char)c >= 0x80;
}

/* A name with nothing in it that could leave a comment of Received or a log line. */
static bool is_hello_name(struct slice s)
{
	if (s.n == 0 || s.n > LIMIT_DOMAIN)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_name_octet(s.p[i]))
			return false;
	return true;
}

static void take_name(struct smtp_session *s, struct slice name)
{
	free(s->helo);
	s->helo = malloc(name.n + 1);
	if (s->helo == NULL)
		abort();
	memcpy(s->helo, name.p, name.n);
	s->helo[name.n] = '\0';
	smtp_forget_mail(s);
}

static void put_hello(struct smtp_session *s, const char *head, struct buf *out)
{
	char text[NET_TEXT_MAX];

	smtp_reply(s, out, "%s%s Hello %.*s [%s], pleased to meet you", head, s->env.s->myhostname, SLICE_FMT(s->env.peer_name),
	    net_addr_text(&s->env.peer, text));
}

static enum smtp_want hello_name(struct smtp_session *s, struct slice args, struct slice *name_out, struct buf *out)
{
	struct slice name;

	if (!slice_word(&args, &name))
		return smtp_bad(s, out, CODE_HELO, "%s requires domain address", s->cmd->verb);
	if (!is_hello_name(name))
		return smtp_bad(s, out, CODE_HELO, "%s: \"%s\" is no host name", s->cmd->verb, smtp_shown(s, name));
	*name_out = name;
	return SMTP_INPUT;
}

enum smtp_want smtp_cmd_helo(struct smtp_session *s, struct slice args, struct buf *out)
{
	struct slice name = SLICE_NONE;
	enum smtp_want want = hello_name(s, args, &name, out);

	if (name.p == NULL)
		return want;
	take_name(s, name);
	s->esmtp = false;
	smtp_good(s);
	put_hello(s, "250 ", out);
	return SMTP_INPUT;
}

/* What is offered depends on what is on already: no STARTTLS under TLS, no AUTH after a login or before it may be used (RFC 3207 4.2, 4954 3). */
static void put_extensions(struct smtp_session *s, struct buf *out)
{
	smtp_reply(s, out, "250-ENHANCEDSTATUSCODES");
	smtp_reply(s, out, "250-PIPELINING");
	smtp_reply(s, out, "250-8BITMIME");
	smtp_reply(s, out, "250-SIZE %" PRIu64, s->env.s->message_size_limit);
	smtp_reply(s, out, "250-DSN");
	smtp_reply(s, out, "250-SMTPUTF8");
	smtp_reply(s, out, "250-CHUNKING");
	if (s->env.starttls_ok && !s->tls)
		smtp_reply(s, out, "250-STARTTLS");
	if (smtp_auth_is_offered(s))
		smtp_reply(s, out, "250-AUTH %s", smtp_mechanisms(s));
	smtp_reply(s, out, "250 HELP");
}

enum smtp_want smtp_cmd_ehlo(struct smtp_session *s, struct slice args, struct buf *out)
{
	struct slice name = SLICE_NONE;
	enum smtp_want want = hello_name(s, args, &name, out);

	if (name.p == NULL)
		return want;
	take_name(s, name);
	s->esmtp = true;
	smtp_good(s);
	put_hello(s, "250-", out);
	put_extensions(s, out);
	return SMTP_INPUT;
}
