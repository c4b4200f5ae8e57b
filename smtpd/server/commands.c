/*
 * server/commands.c - the table of commands, and those that are only a reply.
 *
 * Order, pipelining, HELP and the manual are read from the rows. VRFY says nothing about who exists (RFC 5321 7.3); EXPN, VERB and the like are off.
 * A web browser, or a page that makes one talk to us, is told where it is and goes (ALPACA, CVE-2021-3618).
 */
#include "server/session_in.h"

#define BOTH (CMD_ON_SMTP | CMD_ON_LMTP)
#define ENDS CMD_ENDS_PIPELINE
#define MAILING (IN(ST_MAIL) | IN(ST_RCPT))

const struct smtp_cmd smtp_cmds[] = {
	/* verb      counted     run                legal in                     flags                            RFC             help */
	{ "EHLO",    "ehlo",     smtp_cmd_ehlo,     IN_ANY,                      ENDS | CMD_ON_SMTP,              "5321 4.1.1.1", "EHLO your.host.name" },
	{ "HELO",    "helo",     smtp_cmd_helo,     IN_ANY,                      ENDS | CMD_ON_SMTP,              "5321 4.1.1.1", "HELO your.host.name" },
	{ "LHLO",    "lhlo",     smtp_cmd_ehlo,     IN_ANY,                      ENDS | CMD_ON_LMTP,              "2033 4.1",     "LHLO your.host.name" },
	{ "STARTTLS", "starttls", smtp_cmd_starttls, IN_ANY,                     ENDS | CMD_FORGETS | BOTH,       "3207 4",       "STARTTLS" },
	{ "AUTH",    "auth",     smtp_cmd_auth,     IN(ST_GREETED),              ENDS | BOTH,                     "4954 4",       "AUTH mechanism [initial-response]" },
	{ "MAIL",    "mail",     smtp_cmd_mail,     IN(ST_GREETED),              BOTH,                            "5321 4.1.1.2", "MAIL FROM:<sender> [SIZE=n] [BODY=8BITMIME] [SMTPUTF8] [RET=] [ENVID=]" },
	{ "RCPT",    "rcpt",     smtp_cmd_rcpt,     MAILING,                     BOTH,                            "5321 4.1.1.3", "RCPT TO:<recipient> [NOTIFY=] [ORCPT=]" },
	{ "DATA",    "data",     smtp_cmd_data,     IN(ST_RCPT),                 ENDS | BOTH,                     "5321 4.1.1.4", "DATA" },
	{ "BDAT",    "bdat",     smtp_cmd_bdat,     IN_ANY,                      BOTH,                            "3030 2",       "BDAT octets [LAST]" },
	{ "RSET",    "rset",     smtp_cmd_rset,     IN_ANY,                      BOTH,                            "5321 4.1.1.5", "RSET" },
	{ "NOOP",    "noop",     smtp_cmd_noop,     IN_ANY,                      BOTH,                            "5321 4.1.1.9", "NOOP" },
	{ "VRFY",    "vrfy",     smtp_cmd_vrfy,     IN_ANY,                      BOTH,                            "5321 4.1.1.6", "VRFY address" },
	{ "EXPN",    "expn",     smtp_cmd_off,      IN_ANY,                      BOTH | CMD_HIDDEN,               "5321 4.1.1.7", "EXPN" },
	{ "HELP",    "help",     smtp_cmd_help,     IN_ANY,                      BOTH,                            "5321 4.1.1.8", "HELP" },
	{ "QUIT",    "quit",     smtp_cmd_quit,     IN_ANY,                      ENDS | BOTH,                     "5321 4.1.1.10", "QUIT" },
	{ "GET",     "http",     smtp_cmd_http,     IN_ANY,                      BOTH | CMD_HIDDEN,               "-",            "GET" },
	{ "POST",    "http",     smtp_cmd_http,     IN_ANY,                      BOTH | CMD_HIDDEN,               "-",            "POST" },
	{ "PUT",     "http",     smtp_cmd_http,     IN_ANY,                      BOTH | CMD_HIDDEN,               "-",            "PUT" },
	{ "CONNECT", "http",     smtp_cmd_http,     IN_ANY,                      BOTH | CMD_HIDDEN,               "-",            "CONNECT" },
	{ "OPTIONS", "http",     smtp_cmd_http,     IN_ANY,                      BOTH | CMD_HIDDEN,               "-",            "OPTIONS" },
};
const size_t smtp_n_cmds = sizeof(smtp_cmds) / sizeof(smtp_cmds[0]);
_Static_assert(sizeof(smtp_cmds) / sizeof(smtp_cmds[0]) <= SMTP_CMDS_MAX, "a counter for each row");

enum smtp_want smtp_cmd_rset(struct smtp_session *s, struct slice args, struct buf *out)
{
	(void)args;
	smtp_forget_mail(s);
	smtp_good(s);
	return smtp_reply(s, out, "250 2.0.0 Reset state");
}

enum smtp_want smtp_cmd_noop(struct smtp_session *s, struct slice args, struct buf *out)
{
	(void)args;
	smtp_good(s);
	return smtp_reply(s, out, "250 2.0.0 OK");
}

enum smtp_want smtp_cmd_quit(struct smtp_session *s, struct slice args, struct buf *out)
{
	(void)args;
	smtp_good(s);
	return smtp_bye(s, out, CODE_NONE, "221 2.0.0 %s closing connection", s->env.s->myhostname);
}

enum smtp_want smtp_cmd_vrfy(struct smtp_session *s, struct slice args, struct buf *out)
{
	if (slice_is_empty(args))
		return smtp_bad(s, out, CODE_ARGUMENT, "VRFY needs an address");
	smtp_good(s);
	return smtp_reply(s, out, "252 2.1.5 not verifying: send, and you will see");
}

enum smtp_want smtp_cmd_off(struct smtp_session *s, struct slice args, struct buf *out)
{
	(void)args;
	return smtp_bad(s, out, CODE_COMMAND_OFF, "%s is off here", s->cmd->verb);
}

enum smtp_want smtp_cmd_http(struct smtp_session *s, struct slice args, struct buf *out)
{
	(void)args;
	return smtp_bye(s, out, CODE_BROWSER, "this is a mail server");
}

enum smtp_want smtp_cmd_help(struct smtp_session *s, struct slice args, struct buf *out)
{
	unsigned door = (s->env.listener->flags & LISTENER_LMTP) != 0 ? CMD_ON_LMTP : CMD_ON_SMTP;

	(void)args;
	for (size_t i = 0; i < smtp_n_cmds; i++)
		if ((smtp_cmds[i].flags & CMD_HIDDEN) == 0 && (smtp_cmds[i].flags & door) != 0)
			smtp_reply(s, out, "214-2.0.0 %s", smtp_cmds[i].help);
	smtp_good(s);
	return smtp_reply(s, out, "214 2.0.0 End of HELP");
}
