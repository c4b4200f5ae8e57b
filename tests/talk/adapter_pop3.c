/*
 * tests/talk/adapter_pop3.c - pop3d in memory: the dialogue before login and the session after it, with a real mailbox in the run's directory.
 *
 * Own directives:  mail: TEXT        a message for u1, with the escapes of C-raw; before the login
 *                  folder: NAME      the messages that follow go to this folder of u1
 *                  given: no-certificate    STLS is not offered
 */
#include <stdlib.h>
#include <string.h>

#include "auth/auth.h"
#include "base/mem.h"
#include "base/num.h"
#include "pop3d/pop3d.h"
#include "store/mbox.h"
#include "tests/talk/talk.h"

static int64_t the_time;

static int64_t wall_s(void)
{
	return the_time;
}

struct pop3_talk {
	const struct talk_env *env;
	struct arena *arena;
	struct login_info info;
	void *login;
	struct session_env senv;
	void *session, *shared;
	struct buf user, folder;
	bool certificate, more, skip_greeting;
};

static void set_offers(struct pop3_talk *t, bool tls)
{
	t->info.tls = tls;
	t->info.starttls_ok = !tls && t->certificate;
	t->info.mechanisms = auth_mechanisms(t->env->s, tls, &t->env->peer, t->arena);
	t->info.plaintext_ok = auth_plaintext_ok(t->env->s, tls, &t->env->peer);
}

static void *create(const struct talk_env *env, struct err *e)
{
	struct pop3_talk *t = mem_new(sizeof(*t));

	(void)e;
	t->env = env;
	t->arena = arena_new(0);
	t->certificate = true;
	t->info.s = env->s;
	t->info.peer = env->peer;
	t->info.session_id = "talk";
	t->senv = (struct session_env){ .s = env->s, .wall_s = wall_s, .shared = &t->shared };
	the_time = env->now;
	buf_init(&t->user, 4096);
	buf_init(&t->folder, 4096);
	buf_puts(&t->folder, "INBOX");
	set_offers(t, false);
	return t;
}

static void unescape(struct slice s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		uint64_t hex;

		if (s.p[i] != '\\' || i + 1 == s.n) {
			buf_putc(out, s.p[i]);
			continue;
		}
		switch (s.p[++i]) {
		case 'r': buf_putc(out, '\r'); break;
		case 'n': buf_putc(out, '\n'); break;
		case 't': buf_putc(out, '\t'); break;
		case '0': buf_putc(out, '\0'); break;
		case 'x':
			if (num_hex(slice_head(slice_from(s, i + 1), 2), &hex) == 0)
				buf_putc(out, (char)hex);
			i += 2;
			break;
		default: buf_putc(out, s.p[i]); break;
		}
	}
}

static int open_box(struct pop3_talk *t, struct err *e)
{
	struct box_options opt = { .special_folders = "Sent Trash", .hostname = t->env->s->myhostname };
	char *dir;
	int rc;

	if (t->senv.box != NULL)
		return 0;
	dir = arena_printf(t->arena, "%s/u1", t->env->dir);
	rc = box_open(&t->senv.box, dir, true, &opt, e);
	return rc;
}

static int add_mail(struct pop3_talk *t, struct slice text, struct err *e)
{
	struct mappend *a = NULL;
	struct mbox *m = NULL;
	struct buf octets;
	uint32_t uid;
	int rc = -1;

	buf_init(&octets, BUF_UNBOUNDED);
	unescape(text, &octets);
	if (open_box(t, e) == 0 && mbox_open(&m, t->senv.box, buf_view(&t->folder), e) == 0 && mappend_begin(&a, m, octets.len, e) == 0
	    && mappend_write(a, buf_view(&octets), e) == 0)
		rc = mappend_commit(&a, 0, NULL, 0, t->env->now, &uid, e);
	mappend_drop(&a);
	mbox_close(&m);
	buf_done(&octets);
	return rc;
}

static int start_session(struct pop3_talk *t, struct slice user, struct buf *out)
{
	struct session_start st = { .user = user, .session_id = slice_of("talk"), .method = slice_of("PLAIN"), .peer = t->env->peer, .tls = t->info.tls };
	struct err e = ERR_INIT;
	struct buf state;

	if (open_box(t, &e) < 0) {
		buf_putf(out, "-ERR %s\r\n", e.text);
		return -1;
	}
	buf_init(&state, 4096);
	if (t->login != NULL)
		pop3_login.hand_over(t->login, &state);
	st.state = buf_view(&state);
	t->session = pop3_session.open(&t->senv, &st, out);
	buf_done(&state);
	return t->session == NULL ? -1 : 0;
}

static int directive(void *ctx, struct slice name, struct slice value, struct buf *out, struct err *e)
{
	struct pop3_talk *t = ctx;
	struct buf unheard;
	int rc;

	if (slice_eqs(name, "mail"))
		return add_mail(t, value, e);
	if (slice_eqs(name, "folder")) {
		buf_reset(&t->folder);
		buf_put(&t->folder, value);
		return open_box(t, e) < 0 ? -1 : box_create(t->senv.box, value, 0, e);
	}
	if (slice_eqs(name, "tls")) {
		set_offers(t, true);
		if (t->login != NULL)
			pop3_login.tls_started(t->login);
		return 0;
	}
	if (slice_eqs(name, "given") && slice_eqs(value, "no-certificate")) {
		t->certificate = false;
		set_offers(t, t->info.tls);
		return 0;
	}
	if (slice_eqs(name, "login")) {
		buf_init(&unheard, 4096);
		rc = start_session(t, value, &unheard);
		if (rc < 0)
			rc = err_set(e, ERR_TEMP, 0, "login: %s", buf_str(&unheard));
		buf_done(&unheard);
		t->skip_greeting = true;
		return rc;
	}
	(void)out;
	return err_set(e, ERR_SYNTAX, 0, "unknown directive %.*s", SLICE_FMT(name));
}

static enum talk_state greet(void *ctx, struct buf *out)
{
	struct pop3_talk *t = ctx;

	if (!t->skip_greeting)
		t->login = pop3_login.open(t->arena, &t->info, out);
	return TALK_OPEN;
}

static bool knows(struct slice user, struct slice password)
{
	ptrdiff_t at = slice_chr(user, '@');
	struct slice local = at < 0 ? user : slice_head(user, (size_t)at);

	return slice_eqs(password, "secret") && (slice_eqs(local, "u1") || slice_eqs(local, "u2") || slice_eqs(local, "u3"))
	    && (at < 0 || slice_eqs(slice_from(user, (size_t)at + 1), "office.test"));
}

/* PLAIN alone: the other mechanisms are auth's own tests. */
static enum login_want check_plain(struct pop3_talk *t, struct slice response, struct buf *out)
{
	struct auth_answer no = { .result = AUTH_DENIED };
	struct slice rest = response, authzid, authcid;

	if (slice_next(&rest, '\0', &authzid) && slice_next(&rest, '\0', &authcid) && knows(authcid, rest)) {
		(void)start_session(t, authcid, out);
		return t->session != NULL ? LOGIN_INPUT : LOGIN_CLOSE;
	}
	return pop3_login.answer(t->login, &no, out);
}

static enum login_want heed(struct pop3_talk *t, enum login_want want, const struct login_ask *ask, struct buf *out)
{
	struct auth_answer more = { .result = AUTH_MORE }, no = { .result = AUTH_DENIED };

	switch (want) {
	case LOGIN_AUTH:
		return ask->has_initial ? check_plain(t, ask->initial, out) : pop3_login.answer(t->login, &more, out);
	case LOGIN_RESPONSE:
		return check_plain(t, ask->response, out);
	case LOGIN_PASSWORD:
		if (!knows(ask->user, ask->password))
			return pop3_login.answer(t->login, &no, out);
		(void)start_session(t, ask->user, out);
		return t->session != NULL ? LOGIN_INPUT : LOGIN_CLOSE;
	default:
		return want;
	}
}

static enum talk_state session_input(struct pop3_talk *t, struct slice in, size_t *used_out, struct buf *out)
{
	enum session_want want = pop3_session.input(t->session, in, used_out, out);

	while (want == SESSION_MORE)
		want = pop3_session.step(t->session, out);
	if (want != SESSION_CLOSE)
		return TALK_OPEN;
	pop3_session.close(t->session, "end");
	t->session = NULL;
	return TALK_CLOSED;
}

static enum talk_state input(void *ctx, struct slice in, size_t *used_out, struct buf *out)
{
	struct pop3_talk *t = ctx;
	struct login_ask ask;
	enum login_want want;

	if (t->session != NULL)
		return session_input(t, in, used_out, out);
	want = pop3_login.input(t->login, in, used_out, out, &ask);
	return heed(t, want, &ask, out) == LOGIN_CLOSE ? TALK_CLOSED : TALK_OPEN;
}

static void on_clock(void *ctx, int64_t now, struct buf *out)
{
	(void)ctx, (void)out;
	the_time = now;
}

static void destroy(void *ctx)
{
	struct pop3_talk *t = ctx;

	if (t->session != NULL)
		pop3_session.close(t->session, "end");
	pop3_session.shared_free(t->shared);
	box_close(&t->senv.box);
	buf_done(&t->user);
	buf_done(&t->folder);
	arena_free(&t->arena);
	free(t);
}

AT_START static void register_pop3(void)
{
	static const struct talk_adapter adapter = { "pop3", "", create, directive, greet, input, on_clock, destroy };

	talk_register(&adapter);
}
