/*
 * admin/sendmail_smtp.c - sendmail -bs: smtpd's own dialogue on stdin and stdout; what is complete goes to the queue's control socket, as with plain
 * sendmail. There is no policy here: SO_PEERCRED says who submits, and each recipient is only looked up where the maps can be read.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#include "admin/commands.h"
#include "admin/sendmail.h"
#include "base/clock.h"
#include "base/file.h"
#include "queue/control.h"
#include "reply/codes.h"
#include "route/route.h"
#include "server/session.h"

static const struct smtp_listener on_stdin = { SMTP_ON_587, "stdin", LISTENER_FIX_UPS, "mail from programs on this machine" };

struct stdin_smtp {
	const struct settings *s;
	struct smtp_session *session;
	struct router *router;                                        /* NULL: the maps are not for this user's eyes, the queue will see */
	struct arena *a;                                              /* of one answer */
	struct buf in, out;
	char last;                                                    /* octet read */
	int fd;                                                       /* the message so far; -1: none */
	char id[32];                                                  /* for Received and Message-ID */
};

/* NULL: it may be tried. */
static const char *rcpt_refusal(struct stdin_smtp *x)
{
	const struct path *rcpt = smtp_session_ask(x->session)->path;
	struct route_verdict v;
	struct err e = ERR_INIT;

	if (x->router == NULL || route_check(x->router, rcpt, x->a, &v, &e) != 0 || v.ok)
		return NULL;
	return arena_printf(x->a, "%s <%.*s>... %.*s", v.code, SLICE_FMT(path_text(rcpt, x->a)), SLICE_FMT(v.text));
}

static int write_pieces(struct stdin_smtp *x)
{
	const struct slice *pieces;
	size_t n = smtp_session_pieces(x->session, &pieces);

	if (x->fd < 0)
		x->fd = memfd_create("message", MFD_CLOEXEC);
	if (x->fd < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (file_write_all(x->fd, pieces[i]) < 0)
			return -1;
	}
	return 0;
}

/* The final reply: "250 ..." with the queue's id, or why not. */
static const char *queue_reply(struct stdin_smtp *x, bool *ok_out)
{
	enum control_status status = CONTROL_NO;
	const char *reply;
	struct buf words;
	struct err e = ERR_INIT;

	*ok_out = false;
	if (write_pieces(x) != 0)
		return code_reply(x->a, CODE_NOT_STORED, "The message can't be held in memory, try again");
	buf_init(&words, BUF_UNBOUNDED);
	if (control_submit(x->s, smtp_session_envelope(x->session), x->fd, &words, &status, &e) < 0)
		reply = code_reply(x->a, CODE_NOT_STORED, "%s", e.text);
	else if (status == CONTROL_OK)
		reply = arena_printf(x->a, "250 2.0.0 Ok: queued as %s", buf_str(&words));
	else if (status == CONTROL_LATER)
		reply = code_reply(x->a, CODE_NOT_STORED, "%s", buf_str(&words));
	else
		reply = arena_printf(x->a, "554 5.6.0 %s", buf_str(&words));
	*ok_out = status == CONTROL_OK;
	buf_done(&words);
	return reply;
}

static void drop_message(struct stdin_smtp *x)
{
	file_close(&x->fd);
	x->fd = -1;
}

static enum smtp_want answer(struct stdin_smtp *x, enum smtp_want want)
{
	struct smtp_answer a = { .ok = true };
	const char *reply = NULL;

	arena_reset(x->a);
	switch (want) {
	case SMTP_MAIL:
		drop_message(x);
		a.id = x->id;
		break;
	case SMTP_RCPT:
		reply = rcpt_refusal(x);
		a.ok = reply == NULL;
		break;
	case SMTP_SPILL:
		a.ok = write_pieces(x) == 0;
		reply = a.ok ? NULL : code_reply(x->a, CODE_NOT_STORED, "The message can't be held in memory, try again");
		break;
	case SMTP_QUEUE:
		reply = queue_reply(x, &a.ok);
		drop_message(x);
		break;
	default:                                                      /* AUTH and TLS are not offered */
		a.ok = false;
	}
	a.reply = reply != NULL ? slice_of(reply) : SLICE("");
	return smtp_session_answer(x->session, &a, &x->out);
}

static int say(struct stdin_smtp *x)
{
	int r = file_write_all(STDOUT_FILENO, buf_view(&x->out));

	buf_reset(&x->out);
	return r;
}

/* Programs here may end their lines with LF alone; the dialogue wants CRLF. */
static void take(struct stdin_smtp *x, struct slice in)
{
	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\n' && x->last != '\r')
			buf_putc(&x->in, '\r');
		buf_putc(&x->in, in.p[i]);
		x->last = in.p[i];
	}
}

/* What is in, as far as it goes. */
static void go_on(struct stdin_smtp *x)
{
	size_t used = 1;

	while (used > 0 && smtp_session_want(x->session) != SMTP_CLOSE) {
		enum smtp_want want;

		smtp_session_set_time(x->session, clock_wall_us());
		want = smtp_session_input(x->session, buf_view(&x->in), &used, &x->out);
		buf_take(&x->in, used);
		while (want != SMTP_INPUT && want != SMTP_CLOSE)
			want = answer(x, want);
	}
}

static int talk(struct stdin_smtp *x)
{
	char octets[16384];
	ssize_t n;

	smtp_session_greet(x->session, &x->out);
	while (say(x) == 0 && smtp_session_want(x->session) != SMTP_CLOSE) {
		n = read(STDIN_FILENO, octets, sizeof(octets));
		if (n <= 0)
			return EX_OK;
		take(x, slice_mem(octets, (size_t)n));
		go_on(x);
	}
	return EX_OK;
}

int sendmail_smtp(const struct settings *s)
{
	struct smtp_env env = { .s = s, .listener = &on_stdin, .peer_name = SLICE("localhost"), .peer_trusted = true, .default_domain = slice_of(s->myorigin),
		.mechanisms = "", .mechanisms_tls = "" };
	struct stdin_smtp x = { .s = s, .fd = -1 };
	struct err e = ERR_INIT;
	int status;

	snprintf(x.id, sizeof(x.id), "stdin%lld", (long long)getpid());
	if (net_addr_parse(SLICE("127.0.0.1"), &env.peer) != 0)
		return EX_SOFTWARE;
	if (router_new(&x.router, s, &e) != 0)
		x.router = NULL;
	x.a = arena_new(0);
	buf_init(&x.in, BUF_UNBOUNDED);
	buf_init(&x.out, BUF_UNBOUNDED);
	x.session = smtp_session_new(&env);
	status = talk(&x);
	smtp_session_free(&x.session);
	drop_message(&x);
	buf_done(&x.in);
	buf_done(&x.out);
	arena_free(&x.a);
	router_free(&x.router);
	return status;
}
