/*
 * The dialogue: tables of lines, each run whole and an octet at a time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/num.h"
#include "conf/conf.h"
#include "server/session.h"

struct play {
	struct smtp_session *s;
	struct buf out, message;
	unsigned queued, spilled, auth_step;
	char envelope[512];
	unsigned flags, notify;
	bool closed;
};

static void collect(struct play *p)
{
	const struct slice *pieces;
	size_t n = smtp_session_pieces(p->s, &pieces);

	for (size_t i = 0; i < n; i++)
		buf_put(&p->message, pieces[i]);
}

static struct smtp_answer judge(struct play *p)
{
	const struct path *path = smtp_session_ask(p->s)->path;

	(void)p;
	if (slice_eqs(path->local, "nobody"))
		return (struct smtp_answer){ .reply = SLICE("550 5.1.1 <nobody@office.test>... User unknown [PH-U01]") };
	if (slice_eqs(path->local, "discard"))
		return (struct smtp_answer){ .ok = true, .discard = true };
	return (struct smtp_answer){ .ok = true, .id = "ID1" };
}

/* PLAIN "\0u1\0secret" is right; "CHALLENGE" asks once. */
static void answer_auth(struct play *p, enum smtp_want want)
{
	const struct smtp_ask *ask = smtp_session_ask(p->s);
	struct auth_answer a = { .result = AUTH_DENIED };
	struct slice given = want == SMTP_AUTH ? ask->initial : ask->response;

	if (want == SMTP_AUTH && !ask->has_initial)
		a = (struct auth_answer){ .result = AUTH_MORE, .challenge = SLICE_NONE };
	else if (slice_eq(given, slice_mem("\0u1\0secret", 10)))
		a = (struct auth_answer){ .result = AUTH_OK, .user = SLICE("u1@office.test"), .method = SLICE("PLAIN") };
	(void)smtp_session_answer(p->s, &(struct smtp_answer){ .ok = true, .auth = &a }, &p->out);
}

static void note_message(struct play *p)
{
	const struct envelope *env = smtp_session_envelope(p->s);
	size_t at = (size_t)snprintf(p->envelope, sizeof(p->envelope), "%.*s|", SLICE_FMT(env->sender));

	collect(p);
	for (size_t i = 0; i < env->n_rcpts; i++)
		at += (size_t)snprintf(p->envelope + at, sizeof(p->envelope) - at, "%s%.*s", i > 0 ? "," : "", SLICE_FMT(env->rcpts[i].address));
	p->flags = env->flags;
	p->notify = env->rcpts[0].notify;
	p->queued++;
}

static void serve(struct play *p, enum smtp_want want)
{
	struct smtp_answer a = { .ok = true };

	while (want != SMTP_INPUT && want != SMTP_TLS && want != SMTP_CLOSE) {
		switch (want) {
		case SMTP_MAIL:
		case SMTP_RCPT:
			a = judge(p);
			want = smtp_session_answer(p->s, &a, &p->out);
			break;
		case SMTP_AUTH:
		case SMTP_RESPONSE:
			answer_auth(p, want);
			want = smtp_session_want(p->s);
			break;
		case SMTP_SPILL:
			collect(p);
			p->spilled++;
			want = smtp_session_answer(p->s, &(struct smtp_answer){ .ok = true }, &p->out);
			break;
		case SMTP_QUEUE:
			note_message(p);
			want = smtp_session_answer(p->s, &(struct smtp_answer){ .ok = true }, &p->out);
			break;
		default:
			want = smtp_session_answer(p->s, &(struct smtp_answer){ .ok = true }, &p->out);
			break;
		}
	}
	p->closed = p->closed || want == SMTP_CLOSE;
}

static void feed(struct play *p, struct slice in)
{
	while (in.n > 0 && !p->closed) {
		size_t used = 0;
		enum smtp_want want = smtp_session_input(p->s, in, &used, &p->out);

		serve(p, want);
		if (used == 0 && want == SMTP_INPUT)
			break;
		in = slice_from(in, used);
		if (want == SMTP_TLS)
			break;
	}
}

/* An octet at a time the session sees growing prefixes of what it has not taken. */
static void feed_octets(struct play *p, struct slice in)
{
	size_t from = 0;

	for (size_t to = 1; to <= in.n && !p->closed; to++) {
		size_t used = 0;

		do {
			used = 0;
			serve(p, smtp_session_input(p->s, slice_mem(in.p + from, to - from), &used, &p->out));
			from += used;
		} while (used > 0 && from < to && !p->closed);
	}
}

static bool matches(struct slice got, const char *want)
{
	size_t n = strlen(want);

	if (n > 0 && want[n - 1] == '*')
		return slice_starts(got, slice_mem(want, n - 1));
	return slice_eqs(got, want);
}

static void expect(struct play *p, const char *want, const char *const *lines, size_t at)
{
	ptrdiff_t lf = slice_chr(buf_view(&p->out), '\n');
	struct slice got = lf < 1 ? SLICE("(nothing)") : slice_mem(p->out.p, (size_t)lf - 1);

	if (!matches(got, want))
		fail_msg("after \"%s\": wanted \"%s\", got \"%.*s\"", at > 0 ? lines[at - 1] : "", want, SLICE_FMT(got));
	buf_take(&p->out, (size_t)lf + 1);
}

static void run(const struct smtp_env *env, const char *const *lines, bool by_octet, struct play *p)
{
	*p = (struct play){ .s = smtp_session_new(env) };
	buf_init(&p->out, BUF_UNBOUNDED);
	buf_init(&p->message, BUF_UNBOUNDED);
	smtp_session_set_time(p->s, 1795312087000000);
	if ((env->listener->flags & LISTENER_TLS_AT_ONCE) != 0)
		(void)smtp_session_tls_started(p->s, "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256);
	if (strcmp(lines[0], "early") != 0)
		smtp_session_greet(p->s, &p->out);
	for (size_t i = 0; lines[i] != NULL; i++) {
		char line[4096];
		int n;

		if (lines[i][1] != ':')
			continue;
		n = snprintf(line, sizeof(line), lines[i][0] == 'C' ? "%s\r\n" : "%s", lines[i] + (lines[i][2] == ' ' ? 3 : 2));
		if (lines[i][0] == 'C' || lines[i][0] == 'R')
			(by_octet ? feed_octets : feed)(p, slice_mem(line, (size_t)n));
		else if (lines[i][0] == 'T')
			(void)smtp_session_tls_started(p->s, "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256);
		else if (lines[i][0] == 'E')
			assert_true(p->closed);
		else
			expect(p, lines[i] + 3, lines, i);
	}
	if (p->out.len > 0)
		fail_msg("left over: %s", buf_str(&p->out));
}

static void end(struct play *p)
{
	smtp_session_free(&p->s);
	buf_done(&p->out);
	buf_done(&p->message);
}

static struct settings *settings(const char *const *overrides)
{
	struct settings *s = NULL;
	struct err e = ERR_INIT;
	struct buf warnings;

	buf_init(&warnings, BUF_UNBOUNDED);
	if (conf_load(&s, NULL, overrides, &warnings, &e) != 0)
		fail_msg("%s", e.text);
	buf_done(&warnings);
	return s;
}

static struct smtp_env env_of(const struct settings *s, enum smtp_listener_kind kind)
{
	struct smtp_env env = {
		.s = s, .listener = smtp_listener_of(kind), .peer_name = SLICE("client.test"), .starttls_ok = true, .default_domain = SLICE("office.test"),
		.mechanisms = "", .mechanisms_tls = kind == SMTP_ON_25 || kind == SMTP_ON_LMTP ? "" : "PLAIN LOGIN",
	};

	assert_int_equal(net_addr_parse(SLICE("192.0.2.7"), &env.peer), 0);
	return env;
}

struct story {
	const char *name;
	enum smtp_listener_kind kind;
	bool trusted, whole_only;
	unsigned queued;
	const char *const *lines;
};

#define LINES(...) (const char *const[]){ __VA_ARGS__, NULL }
#define HI "S: 220 mx.office.test ESMTP*", "C: EHLO c.test", "S: 250-mx.office.test Hello client.test [192.0.2.7], pleased to meet you", \
	"S: 250-ENHANCEDSTATUSCODES", "S: 250-PIPELINING", "S: 250-8BITMIME", "S: 250-SIZE 1048576", "S: 250-DSN", "S: 250-SMTPUTF8", \
	"S: 250-CHUNKING", "S: 250-STARTTLS", "S: 250 HELP"
#define MAIL "C: MAIL FROM:<a@x.test>", "S: 250 2.1.0 <a@x.test>... Sender ok"
#define RCPT "C: RCPT TO:<u1@office.test>", "S: 250 2.1.5 <u1@office.test>... Recipient ok"
#define DATA "C: DATA", "S: 354 End data with <CR><LF>.<CR><LF>"

static const struct story stories[] = {
	{ "a message", SMTP_ON_25, false, false, 1, LINES(HI, MAIL, RCPT, DATA, "C: Subject: x", "C: ", "C: text", "C: .", "S: 250 2.0.0 Ok: queued as ID1", "C: QUIT",
	    "S: 221 2.0.0 mx.office.test closing connection", "E:") },
	{ "two messages", SMTP_ON_25, false, false, 2, LINES(HI, MAIL, RCPT, DATA, "C: .", "S: 250 2.0.0 Ok*", MAIL, RCPT, DATA, "C: ..", "C: .", "S: 250 2.0.0 Ok*") },
	{ "pipelined", SMTP_ON_25, false, false, 1, LINES(HI, "R: MAIL FROM:<a@x.test>\r\nRCPT TO:<nobody@office.test>\r\nRCPT TO:<u1@office.test>\r\nDATA\r\n",
	    "S: 250 2.1.0 *", "S: 550 5.1.1 *", "S: 250 2.1.5 *", "S: 354 *", "C: .", "S: 250 2.0.0 *") },
	{ "order", SMTP_ON_25, false, false, 0, LINES("S: 220 *", "C: MAIL FROM:<a@x>", "S: 503 5.5.1 Say EHLO*", "C: RCPT TO:<u1@office.test>", "S: 503 5.5.1 Say EHLO*",
	    "C: HELO c", "S: 250 mx.office.test Hello *", "C: RCPT TO:<u1@office.test>", "S: 503 5.5.1 MAIL first *", "C: DATA", "S: 503 5.5.1 MAIL first *",
	    MAIL, "C: MAIL FROM:<b@x>", "S: 503 5.5.1 Sender already specified *", "C: DATA", "S: 503 5.5.1 Need RCPT (recipient) *", "C: RSET",
	    "S: 250 2.0.0 Reset state", "C: RCPT TO:<u1@office.test>", "S: 503 5.5.1 MAIL first *") },
	{ "typed by hand", SMTP_ON_25, true, false, 1, LINES("S: 220 *", "C: mail from: a@x.test", "S: 250 2.1.0 <a@x.test>... Sender ok", "C: rcpt to : u1@office.test",
	    "S: 250 2.1.5 <u1@office.test>... Recipient ok", "C: data", "S: 354 *", "C: hello", "C: .", "S: 250 2.0.0 *") },
	{ "without a domain", SMTP_ON_25, false, false, 0, LINES(HI, "C: MAIL FROM:<joe>", "S: 553 5.5.4 <joe>... Domain name required for sender address joe *", MAIL,
	    "C: RCPT TO:<postmaster>", "S: 250 2.1.5 <postmaster@office.test>*") },
	{ "early talker", SMTP_ON_25, false, true, 0, LINES("early", "C: EHLO c", "S: 521 5.5.1 wait for the greeting *", "E:") },
	{ "not waiting for EHLO", SMTP_ON_25, false, true, 0, LINES("S: 220 *", "R: EHLO c\r\nMAIL FROM:<a@x>\r\n", "S: 521 5.5.1 wait*", "E:") },
	{ "not waiting for 354", SMTP_ON_25, false, true, 0, LINES(HI, MAIL, RCPT, "R: DATA\r\nhello\r\n.\r\n", "S: 521 5.5.1 wait for the reply to DATA*", "E:") },
	{ "pipelining after HELO", SMTP_ON_25, false, true, 0, LINES("S: 220 *", "C: HELO c", "S: 250 *", "R: MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n", "S: 521 *", "E:") },
	{ "a browser", SMTP_ON_25, false, true, 0, LINES("S: 220 *", "C: GET / HTTP/1.1", "S: 521 5.5.1 this is a mail server *", "E:") },
	{ "TLS at once on 25", SMTP_ON_25, false, true, 0, LINES("S: 220 *", "R: \x16\x03\x01\x02", "S: 521 5.5.1 TLS starts here with*", "E:") },
	{ "unknown", SMTP_ON_25, false, false, 0, LINES(HI, "C: FOO bar", "S: 500 5.5.1 Command unrecognized: \"FOO bar\" *", "C: ", "S: 500 5.5.2 Empty*",
	    "C: EXPN all", "S: 502 5.7.0 *", "C: VRFY u1", "S: 252 2.1.5 *", "C: NOOP", "S: 250 2.0.0 OK", "C: LHLO x", "S: 500 *") },
	{ "bare LF in commands", SMTP_ON_25, false, false, 0, LINES("S: 220 *", "R: EHLO c\n", "S: 500 5.5.2 bare LF: lines must end in CRLF *", "R: NO\rOP\r\n", "S: 500 5.5.2 bare CR*") },
	{ "HELO names", SMTP_ON_25, false, false, 0, LINES("S: 220 *", "C: EHLO", "S: 501 5.0.0 EHLO requires domain address *", "C: HELO a(b", "S: 501 5.0.0 HELO: \"a(b\"*",
	    "C: HELO \x1b[2J", "S: 501 5.0.0 HELO: \"\\x1b[2J\" is no host name *", "C: HELO [192.0.2.7]", "S: 250 *") },
	{ "parameters", SMTP_ON_25, false, false, 0, LINES(HI, "C: MAIL FROM:<a@x> SIZE=99999999", "S: 552 5.3.4 *", "C: MAIL FROM:<a@x> SIZE=18446744073709551616",
	    "S: 501 5.5.4 SIZE*", "C: MAIL FROM:<a@x> SIZE=-1", "S: 501 5.5.4 SIZE*", "C: MAIL FROM:<a@x> FOO=1", "S: 555 5.5.4 Unsupported parameter \"FOO\" *",
	    "C: MAIL FROM:<a@x> RET=FULL RET=HDRS", "S: 501 5.5.4 RET given twice *", "C: MAIL FROM:<a@x> BODY=9BIT", "S: 501 *", "C: MAIL FROM:<a@x> BODY=8BITMIME RET=HDRS ENVID=q+2B1 SIZE=10",
	    "S: 250 2.1.0 *", "C: RCPT TO:<u1@office.test> NOTIFY=NEVER,DELAY", "S: 501 5.5.4 NOTIFY=NEVER*", "C: RCPT TO:<u1@office.test> NOTIFY=x", "S: 501 5.5.4 Bad argument*",
	    "C: RCPT TO:<u1@office.test> ORCPT=rfc822;a+0Db", "S: 501 5.5.4 ORCPT*", "C: RCPT TO:<u1@office.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;joe@x", "S: 250 2.1.5 *") },
	{ "parameters glued on", SMTP_ON_25, false, false, 0, LINES(HI, "C: MAIL FROM:<a@x>SIZE=10", "S: 501 *", "C: MAIL <a@x>", "S: 501 5.5.2 Syntax: *") },
	{ "addresses", SMTP_ON_25, false, false, 0, LINES(HI, "C: MAIL FROM:<a@@x>", "S: 501 5.1.7 bad address syntax at character *", "C: MAIL FROM:<>", "S: 250 2.1.0 <>... Sender ok",
	    "C: RCPT TO:<>", "S: 501 5.1.3 *", "C: RCPT TO:<@a.test,@b.test:u1@office.test>", "S: 250 2.1.5 <u1@office.test>*", "C: RCPT TO:<a\x01@x>", "S: 501 5.1.3 *") },
	{ "UTF-8", SMTP_ON_25, false, false, 0, LINES(HI, "C: MAIL FROM:<j\xc3\xb6@x.test>", "S: 553 5.6.7 *", "C: MAIL FROM:<j\xc3\xb6@x.test> SMTPUTF8", "S: 250 *",
	    "C: RCPT TO:<\xe6\x9d\x8e@office.test>", "S: 250 *") },
	{ "no AUTH on 25", SMTP_ON_25, false, false, 0, LINES(HI, "C: AUTH PLAIN AHUxAHNlY3JldA==", "S: 503 5.5.1 No login on this port*") },
	{ "STARTTLS", SMTP_ON_587, false, false, 0, LINES(HI, "C: AUTH PLAIN AHUxAHNlY3JldA==", "S: 538 5.7.11 *", "C: STARTTLS now", "S: 501 *", MAIL, "C: STARTTLS", "S: 220 2.0.0 Ready to start TLS", "T:",
	    "C: RCPT TO:<u1@office.test>", "S: 503 5.5.1 Say EHLO*", "C: EHLO c", "S: 250-mx*", "S: 250-ENH*", "S: 250-PIPE*", "S: 250-8BIT*", "S: 250-SIZE*", "S: 250-DSN", "S: 250-SMTPUTF8",
	    "S: 250-CHUNKING", "S: 250-AUTH PLAIN LOGIN", "S: 250 HELP", "C: STARTTLS", "S: 503 5.5.1 TLS already active *", "C: AUTH PLAIN AHUxAHNlY3JldA==", "S: 235 2.7.0 *",
	    "C: AUTH PLAIN AHUxAHNlY3JldA==", "S: 503 5.5.1 Already logged in *") },
	{ "STARTTLS injection", SMTP_ON_587, false, true, 0, LINES(HI, "R: STARTTLS\r\nRSET\r\n", "S: 554 5.5.1 data after STARTTLS *", "E:") },
	{ "AUTH", SMTP_ON_465, false, false, 0, LINES("S: 220 *", "C: HELO c", "S: 250 *", "C: AUTH FOO", "S: 504 5.5.4 *", "C: AUTH PLAIN !!!", "S: 501 5.5.2 not base64 *", "C: AUTH PLAIN", "S: 334 ",
	    "C: *", "S: 501 5.7.0 *", "C: AUTH PLAIN", "S: 334 ", "C: a b", "S: 501 5.5.2 not base64 *", "C: NOOP", "S: 250 *", "C: AUTH PLAIN AHUxAHdyb25n", "S: 535 5.7.8 *", "C: AUTH PLAIN =",
	    "S: 535 5.7.8 *", "C: AUTH PLAIN AHUxAHdyb25n", "S: 535 5.7.8 *", "S: 421 4.7.0 *", "E:") },
	{ "LMTP", SMTP_ON_LMTP, false, false, 1, LINES("S: 220 mx.office.test LMTP*", "C: EHLO c", "S: 500 *", "C: LHLO c", "S: 250-*", "S: 250-ENH*", "S: 250-PIPE*", "S: 250-8BIT*", "S: 250-SIZE*",
	    "S: 250-DSN", "S: 250-SMTPUTF8", "S: 250-CHUNKING", "S: 250-STARTTLS", "S: 250 HELP", MAIL, RCPT, "C: RCPT TO:<u2@office.test>", "S: 250 *", DATA, "C: .", "S: 250 2.0.0 Ok*", "S: 250 2.0.0 Ok*") },
	{ "BDAT", SMTP_ON_25, false, false, 1, LINES(HI, "C: BDAT 5", "R: QUIT\r", "S: 503 5.5.1 MAIL first *", MAIL, "C: BDAT 3", "R: abc", "S: 503 5.5.1 Need RCPT*", RCPT, "C: BDAT 12", "R: Subject: x\r\n",
	    "S: 250 2.0.0 12 octets so far", "C: DATA", "S: 503 *", "C: MAIL FROM:<a@x>", "S: 503 *") },
	{ "BDAT whole", SMTP_ON_25, false, false, 1, LINES(HI, MAIL, RCPT, "R: BDAT 12\r\nSubject: x\r\nBDAT 9 LAST\r\n\r\n.\r\ntext", "S: 250 2.0.0 12 *", "S: 250 2.0.0 Ok*", MAIL) },
	{ "BDAT 0 LAST", SMTP_ON_25, false, false, 1, LINES(HI, MAIL, RCPT, "C: BDAT 4", "R: a: b", "S: 250 *", "C: BDAT 0 LAST", "S: 250 2.0.0 Ok*") },
	{ "BDAT sizes", SMTP_ON_25, false, false, 0, LINES(HI, MAIL, RCPT, "C: BDAT -1", "S: 501 5.5.4 chunk size not understood *", "E:") },
	{ "BDAT 2^64", SMTP_ON_25, false, false, 0, LINES(HI, MAIL, RCPT, "C: BDAT 18446744073709551616", "S: 501 5.5.4 chunk size not understood *", "E:") },
	{ "BDAT 2^31", SMTP_ON_25, false, false, 0, LINES(HI, MAIL, RCPT, "C: BDAT 2147483648", "S: 552 5.3.4 *", "E:") },
	{ "BDAT bare LF", SMTP_ON_25, false, false, 0, LINES(HI, MAIL, RCPT, "C: BDAT 8 LAST", "R: a\r\n.\nb\r\n", "S: 550 5.5.2 bare LF in line 2 of the message*", "E:") },
	{ "BDAT bare CR at the seam", SMTP_ON_25, false, false, 0, LINES(HI, MAIL, RCPT, "C: BDAT 2", "R: a\r", "S: 250 *", "C: BDAT 1 LAST", "R: b", "S: 550 5.5.2 bare CR*", "E:") },
	{ "BDAT CRLF over the seam", SMTP_ON_25, false, false, 1, LINES(HI, MAIL, RCPT, "C: BDAT 2", "R: a\r", "S: 250 *", "C: BDAT 1 LAST", "R: \n", "S: 250 2.0.0 Ok*") },
	{ "smuggling", SMTP_ON_25, false, true, 0, LINES(HI, MAIL, RCPT, DATA, "R: a\r\n.\nMAIL FROM:<b@x>\r\n.\r\n", "S: 550 5.5.2 bare LF in line 2 of the message: lines must end in CRLF *", "E:") },
	{ "smuggling with CR", SMTP_ON_25, false, true, 0, LINES(HI, MAIL, RCPT, DATA, "R: a\r.\r\nb\r\n.\r\n", "S: 550 5.5.2 bare CR in line 1*", "E:") },
	{ "HELP", SMTP_ON_LMTP, false, false, 0, LINES("S: 220 *", "C: HELP", "S: 214-2.0.0 LHLO*", "S: 214-*", "S: 214-*", "S: 214-*", "S: 214-*", "S: 214-*", "S: 214-*", "S: 214-*", "S: 214-*", "S: 214-*",
	    "S: 214-*", "S: 214-*", "S: 214 2.0.0 *") },
};

static void test_stories(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", "message_size_limit=1M", NULL });

	(void)state;
	for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++)
		for (int by_octet = 0; by_octet <= (stories[i].whole_only ? 0 : 1); by_octet++) {
			struct smtp_env env = env_of(s, stories[i].kind);
			struct play p;

			env.peer_trusted = stories[i].trusted;
			print_message("%s%s\n", stories[i].name, by_octet ? ", an octet at a time" : "");
			run(&env, stories[i].lines, by_octet != 0, &p);
			if (strcmp(stories[i].name, "BDAT") != 0)
				assert_int_equal(p.queued, stories[i].queued);
			end(&p);
		}
	conf_free(&s);
}

static struct play one(const struct settings *s, enum smtp_listener_kind kind, const char *body, const char *rcpt2)
{
	struct smtp_env env = env_of(s, kind);
	struct play p = { .s = smtp_session_new(&env) };

	buf_init(&p.out, BUF_UNBOUNDED);
	buf_init(&p.message, BUF_UNBOUNDED);
	smtp_session_set_time(p.s, 1795312087000000);
	if (kind == SMTP_ON_465)
		(void)smtp_session_tls_started(p.s, "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256);
	smtp_session_greet(p.s, &p.out);
	feed(&p, SLICE("EHLO c.test\r\n"));
	if (kind == SMTP_ON_465)
		feed(&p, SLICE("AUTH PLAIN AHUxAHNlY3JldA==\r\n"));
	feed(&p, SLICE("MAIL FROM:<a@x.test>\r\nRCPT TO:<u1@office.test>\r\n"));
	feed(&p, slice_of(rcpt2));
	feed(&p, SLICE("DATA\r\n"));
	buf_reset(&p.out);
	feed(&p, slice_of(body));
	return p;
}

static void test_received(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", "message_size_limit=2M", NULL });
	struct play p = one(s, SMTP_ON_25, "Subject: x\r\n\r\ntext\r\n.\r\n", "");

	(void)state;
	assert_string_equal(p.envelope, "a@x.test|u1@office.test");
	assert_true(slice_starts(buf_view(&p.message), SLICE("Received: from c.test (client.test [192.0.2.7])\r\n\tby mx.office.test (Posthouse) with ESMTP id ID1\r\n"
	    "\tfor <u1@office.test>;\r\n\tSun, 22 Nov 2026 ")));
	assert_true(slice_ends(buf_view(&p.message), SLICE("\r\nSubject: x\r\n\r\ntext\r\n")));
	assert_int_equal(slice_find(buf_view(&p.message), SLICE("Message-ID")), -1);
	end(&p);
	p = one(s, SMTP_ON_25, "\r\ntext\r\n.\r\n", "RCPT TO:<u2@office.test>\r\n");
	assert_int_equal(slice_find(buf_view(&p.message), SLICE("for <")), -1);
	assert_true(slice_ends(buf_view(&p.message), SLICE("00\r\n\r\ntext\r\n")));
	end(&p);
	p = one(s, SMTP_ON_25, "no header here\r\n.\r\n", "");
	assert_true(slice_ends(buf_view(&p.message), SLICE("00\r\n\r\nno header here\r\n")));
	end(&p);
	conf_free(&s);
}

static void test_fix_ups(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", NULL });
	struct play p = one(s, SMTP_ON_465, "From: a@x\r\nBcc: secret@x,\r\n\tmore@x\r\nTo: u1\r\nBCC: third@x\r\n\r\nBcc: stays\r\n.\r\n", "");

	(void)state;
	assert_true(slice_find(buf_view(&p.message), SLICE("with ESMTPSA id ID1")) > 0);
	assert_true(slice_find(buf_view(&p.message), SLICE("(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256 bits))\r\n\t(authenticated as u1@office.test)")) > 0);
	assert_true(slice_find(buf_view(&p.message), SLICE("\r\nDate: Sun, 22 Nov 2026 ")) > 0);
	assert_true(slice_find(buf_view(&p.message), SLICE("\r\nMessage-ID: <")) > 0);
	assert_true(slice_ends(buf_view(&p.message), SLICE("From: a@x\r\nTo: u1\r\n\r\nBcc: stays\r\n")));
	end(&p);
	p = one(s, SMTP_ON_465, "Date: now\r\nMessage-Id: <x@y>\r\n\r\n.\r\n", "");
	assert_true(slice_ends(buf_view(&p.message), SLICE("00\r\nDate: now\r\nMessage-Id: <x@y>\r\n\r\n")));
	end(&p);
	conf_free(&s);
}

static void test_hops(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", NULL });
	struct buf body;
	struct play p;

	(void)state;
	for (size_t n = LIMIT_RECEIVED_LINES; n <= LIMIT_RECEIVED_LINES + 1; n++) {
		buf_init(&body, BUF_UNBOUNDED);
		for (size_t i = 0; i < n; i++)
			buf_puts(&body, "Received: by somewhere\r\n");
		buf_puts(&body, "\r\n.\r\n");
		p = one(s, SMTP_ON_25, buf_str(&body), "");
		assert_int_equal(p.queued, n <= LIMIT_RECEIVED_LINES ? 1 : 0);
		if (n > LIMIT_RECEIVED_LINES)
			assert_true(slice_starts(buf_view(&p.out), SLICE("554 5.4.6 Too many hops")));
		end(&p);
		buf_done(&body);
	}
	conf_free(&s);
}

static void test_long_message(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", "message_size_limit=4M", NULL });
	struct buf body;

	(void)state;
	for (unsigned mb = 3; mb <= 5; mb += 2) {
		struct play p;

		buf_init(&body, BUF_UNBOUNDED);
		buf_puts(&body, "Subject: long\r\n\r\n");
		while (body.len < mb << 20)
			buf_puts(&body, "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\r\n");
		buf_puts(&body, ".\r\n");
		p = one(s, SMTP_ON_25, "", "");
		for (size_t at = 0; at < body.len; at += 60000)
			feed(&p, slice_head(slice_from(buf_view(&body), at), 60000));
		assert_int_equal(p.queued, mb == 3 ? 1 : 0);
		if (mb == 3) {
			assert_true(p.spilled >= 2);
			assert_true(slice_starts(buf_view(&p.message), SLICE("Received: ")));
			assert_true(slice_ends(buf_view(&p.message), slice_mem(body.p, body.len - 3)));
		} else {
			assert_true(slice_starts(buf_view(&p.out), SLICE("552 5.3.4 message larger than 4194304 octets")));
		}
		end(&p);
		buf_done(&body);
	}
	conf_free(&s);
}

/* weaknesses.md row 10: 100 MB without a line end; what is kept stays small, and the client is told. */
static void test_endless_line(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", NULL });
	struct smtp_env env = env_of(s, SMTP_ON_25);
	char junk[4096];
	struct play p;

	(void)state;
	memset(junk, 'x', sizeof(junk));
	run(&env, LINES("S: 220 *"), false, &p);
	for (unsigned i = 0; i < 25000 && !p.closed; i++)
		feed(&p, slice_mem(junk, sizeof(junk)));
	assert_true(p.closed);
	assert_true(slice_starts(buf_view(&p.out), SLICE("500 5.5.2 line longer than 2048 bytes [PH-P02]\r\n421 ")));
	end(&p);
	run(&env, LINES("S: 220 *"), false, &p);
	feed(&p, slice_mem(junk, sizeof(junk)));
	feed(&p, SLICE("yyy\r\nNOOP\r\n"));
	assert_string_equal(buf_str(&p.out), "500 5.5.2 line longer than 2048 bytes [PH-P02]\r\n250 2.0.0 OK\r\n");
	end(&p);
	conf_free(&s);
}

static void test_too_many_errors(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", NULL });
	struct smtp_env env = env_of(s, SMTP_ON_25);
	struct play p;
	struct buf summary;

	(void)state;
	run(&env, LINES("S: 220 *"), false, &p);
	for (unsigned i = 0; i < LIMIT_SMTP_BAD_COMMANDS; i++)
		feed(&p, SLICE("FOO\r\n"));
	assert_true(p.closed);
	buf_init(&summary, BUF_UNBOUNDED);
	smtp_session_summary(p.s, &summary);
	assert_string_equal(buf_str(&summary), " commands=0");
	buf_done(&summary);
	end(&p);
	conf_free(&s);
}

static void test_summary(void **state)
{
	struct settings *s = settings((const char *const[]){ "myhostname=mx.office.test", NULL });
	struct play p = one(s, SMTP_ON_25, "x: y\r\n.\r\nQUIT\r\n", "RCPT TO:<nobody@office.test>\r\n");
	struct buf summary;

	(void)state;
	buf_init(&summary, BUF_UNBOUNDED);
	smtp_session_summary(p.s, &summary);
	assert_string_equal(buf_str(&summary), " ehlo=1 mail=1 rcpt=1/2 data=1 quit=1 commands=5/6");
	buf_done(&summary);
	end(&p);
	conf_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stories), cmocka_unit_test(test_received), cmocka_unit_test(test_fix_ups), cmocka_unit_test(test_hops),
		cmocka_unit_test(test_long_message), cmocka_unit_test(test_endless_line), cmocka_unit_test(test_too_many_errors), cmocka_unit_test(test_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
