/*
 * serve/login_auth.c - what a front asks the auth process, and what becomes of the answers.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/front.h"

static void on_answer(void *ctx, const struct auth_answer *a);

static void ask(struct fconn *fc, enum login_want want, const struct login_ask *q)
{
	struct front *f = fc->f;
	struct auth_peer peer = { .service = f->proto->name, .addr = fc->info.peer, .tls = fc->info.tls, .session = fc->session_id,
		.grant = f->s->drac && !proxy_is_listed(f->proxies, &fc->info.peer) };
	struct buf binding;

	buf_init(&binding, 1024);
	auth_peer_bind(&peer, conn_ssl(fc->c), &binding);
	if (want == LOGIN_PASSWORD)
		fc->auth = auth_login(f->auth, q->user, q->password, &peer, on_answer, fc);
	else
		fc->auth = auth_start(f->auth, q->mechanism, q->has_initial ? &q->initial : NULL, &peer, on_answer, fc);
	buf_done(&binding);
}

/* A user may call himself "x>, method=PLAIN, rip=192.0.2.1": nothing in the name may end it. */
static void put_name(struct slice user, struct buf *out)
{
	for (size_t i = 0; i < user.n; i++) {
		if (user.p[i] == '<' || user.p[i] == '>')
			buf_putf(out, "\\x%02x", (unsigned)user.p[i]);
		else
			buf_putc(out, user.p[i]);
	}
}

/* The filter of fail2ban (etc/fail2ban) reads this line: the words up to rip= keep their order, and only a refusal is called a failed login. Who was not
   heard, or went away, has guessed nothing. */
static void log_failure(const struct fconn *fc, const struct auth_answer *a, const char *reason)
{
	const char *what = a->result == AUTH_DENIED ? "failed" : a->result == AUTH_TEMP ? "not possible" : "broken off";
	char addr[NET_TEXT_MAX];
	struct buf name;

	buf_init(&name, BUF_UNBOUNDED);
	put_name(a->user, &name);
	log_info("login %s: user=<%s>, method=%.*s, rip=%s%s, session=<%s>, reason=%s", what, buf_str(&name), SLICE_FMT(a->method),
	    net_addr_text(&fc->info.peer, addr), fc->info.tls ? ", TLS" : "", fc->session_id, reason);
	buf_done(&name);
}

static const char *reason_of(const struct auth_answer *a)
{
	if (a->text != NULL && a->text[0] != '\0')
		return a->text;
	switch (a->result) {
	case AUTH_DENIED:
		return "wrong user or password";
	case AUTH_CANCELLED:
		return "cancelled by the client";
	case AUTH_TEMP:
		return "the password could not be checked";
	default:
		return "not what the mechanism wants";
	}
}

/* Answers the client; the dialogue goes on, or ends here. */
static void reply(struct fconn *fc, const struct auth_answer *a)
{
	enum login_want want = fc->f->proto->answer(fc->s, a, conn_out(fc->c));

	fc->state = FC_DIALOGUE;
	conn_flush(fc->c);
	if (want == LOGIN_CLOSE)
		fconn_close(fc);
	else
		conn_resume(fc->c);
}

static void fail(struct fconn *fc, const struct auth_answer *a, const char *reason)
{
	fc->is_last_word = false;
	log_failure(fc, a, reason);
	reply(fc, a);
}

static bool is_root(struct slice user)
{
	return slice_ieqs(user, "root") || slice_istarts(user, SLICE("root@"));
}

/* One allocation holds who it is, for the log and for the way to the session process and back. */
static void remember(struct fconn *fc, const struct auth_answer *a)
{
	size_t n = strlen(fc->session_id);
	char *p = mem_new(a->user.n + a->method.n + a->ticket.n + 1);

	fc->texts = p;
	memcpy(p, a->user.p, a->user.n);
	fc->card.user = slice_mem(p, a->user.n);
	p += a->user.n;
	if (a->method.n > 0)
		memcpy(p, a->method.p, a->method.n);
	fc->card.method = slice_mem(p, a->method.n);
	p += a->method.n;
	if (a->ticket.n > 0)
		memcpy(p, a->ticket.p, a->ticket.n);
	fc->card.ticket = slice_mem(p, a->ticket.n);
	fc->generation = a->generation;
	fc->card.session_id = slice_mem(fc->session_id, n);
	fc->card.peer = fc->info.peer;
	fc->card.tls = fc->info.tls;
	fc->card.id = fc->f->next_id++;
}

static void logged_in(struct fconn *fc)
{
	char addr[NET_TEXT_MAX];

	log_info("login: user=<%.*s>, method=%.*s, rip=%s%s, session=<%s>", SLICE_FMT(fc->card.user), SLICE_FMT(fc->card.method),
	    net_addr_text(&fc->info.peer, addr), fc->info.tls ? ", TLS" : "", fc->session_id);
	fconn_logged_in(fc);
	fc->state = FC_READY;
}

/* RFC 5034 4, RFC 3501 6.2.2: where the mechanism ends with server data, the client sends an empty response before it hears OK. */
static void say_last_word(struct fconn *fc, const struct auth_answer *a)
{
	struct auth_answer more = { .result = AUTH_MORE, .challenge = a->challenge };

	fc->is_last_word = true;
	reply(fc, &more);
}

static void on_ok(struct fconn *fc, const struct auth_answer *a)
{
	struct auth_answer no = { .result = AUTH_DENIED, .user = a->user, .method = a->method };

	fc->auth = NULL;
	if (is_root(a->user)) {
		fail(fc, &no, "root may not log in");
		return;
	}
	remember(fc, a);
	if (a->challenge.n > 0) {
		say_last_word(fc, a);
		return;
	}
	logged_in(fc);
	fconn_hand_over(fc);
}

static void on_answer(void *ctx, const struct auth_answer *a)
{
	struct fconn *fc = ctx;

	if (a->result == AUTH_OK) {
		on_ok(fc, a);
	} else if (a->result == AUTH_MORE) {
		reply(fc, a);
	} else {
		fc->auth = NULL;
		fail(fc, a, reason_of(a));
	}
}

static void forget(struct fconn *fc)
{
	free(fc->texts);
	fc->texts = NULL;
	fc->is_last_word = false;
}

static void finish_last_word(struct fconn *fc, const struct login_ask *q)
{
	struct auth_answer no = { .result = AUTH_DENIED, .user = fc->card.user, .method = fc->card.method };

	if (q->response.n == 0) {
		logged_in(fc);                                        /* the caller hands over, when it is done with the input */
		return;
	}
	fail(fc, &no, "octets where an empty response was due");
	forget(fc);
}

static void cancel(struct fconn *fc)
{
	struct auth_answer gone = { .result = AUTH_CANCELLED };

	if (fc->auth != NULL)
		auth_cancel(fc->auth);
	fc->auth = NULL;
	forget(fc);
	log_failure(fc, &gone, "cancelled by the client");
}

void fconn_auth_want(struct fconn *fc, enum login_want want, const struct login_ask *q)
{
	if (want == LOGIN_CANCEL) {
		cancel(fc);
		return;
	}
	if (want == LOGIN_RESPONSE && fc->is_last_word) {
		finish_last_word(fc, q);
		return;
	}
	fc->state = FC_AUTH;
	conn_pause(fc->c);
	if (want == LOGIN_RESPONSE)
		auth_continue(fc->auth, q->response);
	else
		ask(fc, want, q);
}
