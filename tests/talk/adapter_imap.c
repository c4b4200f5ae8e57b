/*
 * tests/talk/adapter_imap.c - IMAP dialogues: the front's part until the login, then the session's with a real store in the run's directory.
 *
 *	login: u1                 begin after that user's login
 *	tls: yes                  TLS is on from here
 *	deliver: INBOX Subject    somebody else's message arrives ("Subject" is its subject, one line of body); sessions in IDLE hear of it
 *	expunge: INBOX 3          somebody else removes the message with that UID
 *	flag: INBOX 3             somebody else sets \Flagged on that UID
 *	park: yes                 the session sleeps and wakes again
 *	sleep: yes, wake: yes     the two halves of that
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "imapd/imapd.h"
#include "tests/talk/talk.h"

struct talker {
	const struct talk_env *env;
	struct arena *arena;
	struct login_info info;
	void *front, *session;
	struct box *box, *other;                                      /* other: the same mailboxes as another process sees them */
	struct session_env senv;
	void *shared;
	struct buf user, parked;
	bool tls, shaking;                                            /* STARTTLS was said: what comes now is no handshake */
};

static int64_t wall;                                                  /* session_env.wall_s has no context */

static int64_t wall_s(void)
{
	return wall;
}

static void set_info(struct talker *a)
{
	a->info.s = a->env->s;
	a->info.peer = a->env->peer;
	a->info.session_id = "talk";
	a->info.tls = a->tls;
	a->info.starttls_ok = !a->tls;
	a->info.plaintext_ok = a->tls || net_addr_is_loopback(&a->env->peer);
	a->info.mechanisms = a->info.plaintext_ok ? "SCRAM-SHA-256 PLAIN LOGIN" : "SCRAM-SHA-256";
}

static void *create(const struct talk_env *env, struct err *e)
{
	struct talker *a = mem_new(sizeof *a);

	(void)e;
	a->env = env;
	a->arena = arena_new(0);
	wall = env->now;
	buf_init(&a->user, LIMIT_USER_NAME);
	buf_init(&a->parked, 16384);
	return a;
}

static int open_boxes(struct talker *a, struct err *e)
{
	const struct box_options opt = { .special_folders = "Drafts Sent Junk Trash Archive", .hostname = "mail.office.test",
		.quota_storage = a->env->s->quota_storage, .quota_messages = a->env->s->quota_messages };
	const char *dir = arena_printf(a->arena, "%s/%s", a->env->dir, buf_str(&a->user));

	return box_open(&a->box, dir, true, &opt, e) != 0 || box_open(&a->other, dir, true, &opt, e) != 0 ? -1 : 0;
}

static int open_session(struct talker *a, struct slice state, bool parked, struct buf *out, struct err *e)
{
	const struct session_start st = { .user = buf_view(&a->user), .session_id = SLICE("talk"), .method = SLICE("PLAIN"), .state = state, .peer = a->env->peer, .parked = parked };

	if (a->box == NULL && open_boxes(a, e) != 0)
		return -1;
	a->senv = (struct session_env){ .s = a->env->s, .box = a->box, .wall_s = wall_s, .shared = &a->shared };
	a->session = imap_session.open(&a->senv, &st, out);
	return a->session != NULL ? 0 : err_set(e, ERR_TEMP, 0, "the session did not open: %s", buf_str(out));
}

static int login(struct talker *a, struct slice user, struct err *e)
{
	const struct imap_hello hello = { SLICE("login"), SLICE("") };
	struct buf state, unheard;
	int bad;

	buf_init(&state, 1000);
	buf_init(&unheard, 10000);
	buf_putf(&a->user, "%.*s@office.test", SLICE_FMT(user));
	imap_hello_put(&hello, &state);
	bad = open_session(a, buf_view(&state), false, &unheard, e);
	buf_done(&state);
	buf_done(&unheard);
	return bad;
}

/* ---- the others ---- */

static void tell(struct talker *a, struct buf *out)
{
	if (a->session != NULL)
		imap_session.changed(a->session, out);
}

static int deliver(struct talker *a, struct slice folder, struct slice subject, struct err *e)
{
	static unsigned n;                                            /* a name of its own for each */
	const char *path;
	struct buf m;
	int bad;

	buf_init(&m, 10000);
	buf_putf(&m, "Return-Path: <x@elsewhere.test>\r\nFrom: X <x@elsewhere.test>\r\nTo: %s\r\nSubject: %.*s\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n\r\nHello\r\n",
	    buf_str(&a->user), SLICE_FMT(subject));
	const struct delivery d = { .queue_id = arena_printf(a->arena, "Q%u", ++n), .octets = buf_view(&m), .internaldate = a->env->now };

	bad = box_deliver(a->other, folder, &d, a->arena, &path, e);
	buf_done(&m);
	return bad;
}

static int change(struct talker *a, struct slice folder, struct slice uid_text, bool remove, struct err *e)
{
	const struct flag_change ch = { .op = FLAGS_ADD, .flags = MSG_FLAGGED };
	struct mbox *m = NULL;
	uint32_t uid;
	int bad;

	if (num_u32(uid_text, UINT32_MAX, &uid) != 0 || mbox_open(&m, a->other, folder, e) != 0)
		return -1;
	struct view *v = view_open(m, false);
	uint32_t seq = view_seq_of(v, uid);

	if (seq == 0)
		bad = err_set(e, ERR_NOTFOUND, 0, "no UID %u there", uid);
	else
		bad = remove ? view_remove(v, &seq, 1, e) : view_store_flags(v, &seq, 1, &ch, a->arena, NULL, NULL, e);
	view_close(&v);
	mbox_close(&m);
	return bad;
}

static int sleep_now(struct talker *a, struct err *e)
{
	buf_reset(&a->parked);
	if (!imap_session.park(a->session, &a->parked))
		return err_set(e, ERR_TEMP, 0, "the session would not be parked");
	imap_session.close(a->session, "parked");
	a->session = NULL;
	imap_session.shared_free(a->shared);
	a->shared = NULL;
	return 0;
}

static int directive(void *ctx, struct slice name, struct slice value, struct buf *out, struct err *e)
{
	struct talker *a = ctx;
	struct slice rest = value, folder = SLICE_NONE;
	int bad;

	if (slice_eqs(name, "login"))
		return login(a, value, e);
	if (slice_eqs(name, "tls")) {
		a->tls = true;
		a->shaking = false;
		set_info(a);
		if (a->front != NULL)
			imap_login.tls_started(a->front);
		return 0;
	}
	if (slice_eqs(name, "sleep"))
		return sleep_now(a, e);
	if (slice_eqs(name, "wake"))
		return open_session(a, buf_view(&a->parked), true, out, e);
	if (slice_eqs(name, "park"))
		return sleep_now(a, e) != 0 ? -1 : open_session(a, buf_view(&a->parked), true, out, e);
	slice_word(&rest, &folder);
	rest = slice_trim(rest);
	if (slice_eqs(name, "deliver"))
		bad = deliver(a, folder, rest, e);
	else if (slice_eqs(name, "expunge"))
		bad = change(a, folder, rest, true, e);
	else if (slice_eqs(name, "flag"))
		bad = change(a, folder, rest, false, e);
	else
		return err_set(e, ERR_SYNTAX, 0, "unknown line '%.*s:'", SLICE_FMT(name));
	tell(a, out);
	return bad;
}

static enum talk_state greet(void *ctx, struct buf *out)
{
	struct talker *a = ctx;

	if (a->session != NULL)
		return TALK_OPEN;
	set_info(a);
	a->front = imap_login.open(a->arena, &a->info, out);
	return TALK_OPEN;
}

/* ---- the front's part: an auth process that knows "secret" ---- */

static bool is_account(struct slice user, struct slice password)
{
	user = slice_iends(user, SLICE("@office.test")) ? slice_head(user, user.n - 12) : user;
	return user.n == 2 && user.p[0] == 'u' && user.p[1] >= '1' && user.p[1] <= '3' && slice_eqs(password, "secret");
}

static enum talk_state verdict(struct talker *a, struct slice user, struct slice password, struct buf *out)
{
	struct auth_answer answer = { .result = AUTH_DENIED };
	struct buf state;
	struct err e = ERR_INIT;

	if (!is_account(user, password))
		return imap_login.answer(a->front, &answer, out) == LOGIN_CLOSE ? TALK_CLOSED : TALK_OPEN;
	buf_putf(&a->user, "%.*s@office.test", SLICE_FMT(slice_head(user, 2)));
	buf_init(&state, 4096);
	imap_login.hand_over(a->front, &state);
	if (open_session(a, buf_view(&state), false, out, &e) != 0)
		buf_putf(out, "?? %s\r\n", e.text);
	buf_done(&state);
	return TALK_OPEN;
}

static enum talk_state plain(struct talker *a, struct slice octets, struct buf *out)
{
	struct slice authzid, user, password = SLICE("");

	if (!slice_next(&octets, '\0', &authzid) || !slice_next(&octets, '\0', &user) || !slice_next(&octets, '\0', &password)) {
		const struct auth_answer answer = { .result = AUTH_SYNTAX };

		return imap_login.answer(a->front, &answer, out) == LOGIN_CLOSE ? TALK_CLOSED : TALK_OPEN;
	}
	return verdict(a, user, password, out);
}

static enum talk_state front_input(struct talker *a, struct slice in, size_t *used_out, struct buf *out)
{
	struct login_ask ask = { .has_initial = false };
	const struct auth_answer go_on = { .result = AUTH_MORE };

	if (a->shaking)
		return TALK_CLOSED;
	switch (imap_login.input(a->front, in, used_out, out, &ask)) {
	case LOGIN_STARTTLS:
		a->shaking = true;
		return TALK_OPEN;
	case LOGIN_INPUT:
	case LOGIN_CANCEL:
		return TALK_OPEN;
	case LOGIN_AUTH:
		if (ask.has_initial)
			return plain(a, ask.initial, out);
		imap_login.answer(a->front, &go_on, out);
		return TALK_OPEN;
	case LOGIN_RESPONSE:
		return plain(a, ask.response, out);
	case LOGIN_PASSWORD:
		return verdict(a, ask.user, ask.password, out);
	case LOGIN_CLOSE:
		break;
	}
	return TALK_CLOSED;
}

static enum talk_state input(void *ctx, struct slice in, size_t *used_out, struct buf *out)
{
	struct talker *a = ctx;
	enum session_want want;

	*used_out = 0;
	if (a->session == NULL)
		return front_input(a, in, used_out, out);
	want = imap_session.input(a->session, in, used_out, out);
	while (want == SESSION_MORE)
		want = imap_session.step(a->session, out);
	return want == SESSION_CLOSE ? TALK_CLOSED : TALK_OPEN;
}

static void clock_moved(void *ctx, int64_t now, struct buf *out)
{
	(void)ctx;
	(void)out;
	wall = now;
}

static void destroy(void *ctx)
{
	struct talker *a = ctx;

	if (a->session != NULL)
		imap_session.close(a->session, "the dialogue ends");
	if (a->shared != NULL)
		imap_session.shared_free(a->shared);
	box_close(&a->box);
	box_close(&a->other);
	buf_done(&a->user);
	buf_done(&a->parked);
	arena_free(&a->arena);
	free(a);
}

static const struct talk_adapter adapter = {
	.name = "imap", .live = "tls login deliver expunge flag", .create = create, .directive = directive, .greet = greet, .input = input, .clock = clock_moved, .destroy = destroy,
};

AT_START static void register_imap(void)
{
	talk_register(&adapter);
}
