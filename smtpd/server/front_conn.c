/*
 * server/front_conn.c - one connection: its name, the greeting, the dialogue, the end; and the log lines that pflogsumm and fail2ban read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/front_in.h"

static void drive(struct smtp_conn *sc);

/* ---- the end ---- */

void smtp_conn_drop_large(struct smtp_conn *sc)
{
	if (sc->large_fd < 0)
		return;
	file_close(&sc->large_fd);
	entry_large_drop(sc->f->entry, sc->large_id);
	sc->large_id[0] = '\0';
}

static void forget_questions(struct smtp_conn *sc)
{
	if (sc->auth != NULL)
		auth_cancel(sc->auth);
	sc->auth = NULL;
	names_cancel(&sc->query);
	room_client_cancel(&sc->room);
	if (sc->drac_asked)
		drac_forget(sc->f->drac, sc);
	if (sc->submitted)
		entry_forget(sc->f->entry, sc);
	sc->drac_asked = sc->submitted = false;
}

static void log_disconnect(const struct smtp_conn *sc)
{
	struct buf summary;

	if (!sc->greeted)
		return;
	buf_init(&summary, BUF_UNBOUNDED);
	smtp_session_summary(sc->session, &summary);
	log_info("disconnect from " SC_WHO "%s", SC_WHO_ARGS(sc), buf_str(&summary));
	buf_done(&summary);
}

static void smtp_conn_free(struct smtp_conn *sc)
{
	struct smtp_front *f = sc->f;

	log_disconnect(sc);
	forget_questions(sc);
	smtp_conn_drop_large(sc);
	loop_timer_stop(f->l, &sc->timer);
	smtp_front_dismiss(sc);
	conn_free(&sc->c);
	smtp_session_free(&sc->session);
	arena_free(&sc->arena);
	arena_free(&sc->verdicts);
	list_remove(&sc->node);
	free(sc);
	smtp_front_retire_if_empty(f);
}

static void close_after_reply(struct smtp_conn *sc)
{
	sc->state = SC_CLOSING;
	loop_timer_stop(sc->f->l, &sc->timer);
	conn_resume(sc->c);
	conn_close(sc->c);
}

void smtp_conn_end(struct smtp_conn *sc, const char *why)
{
	if (sc->state == SC_CLOSING)
		return;
	forget_questions(sc);
	if (sc->session != NULL && sc->state != SC_HANDSHAKE)
		smtp_session_refuse(sc->session, why, conn_out(sc->c));
	close_after_reply(sc);
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	static const char *const words[] = { [CONN_EOF] = "lost connection", [CONN_CLOSED] = "", [CONN_IDLE] = "timeout", [CONN_DEADLINE] = "timeout",
	    [CONN_ERROR] = "lost connection", [CONN_TLS_FAILED] = "SSL_accept error", [CONN_OVERFLOW] = "too much unread output" };
	struct smtp_conn *sc = ctx;

	if (why == CONN_TLS_FAILED)
		log_info("SSL_accept error from " SC_WHO ": %s", SC_WHO_ARGS(sc), e->text);
	else if (sc->session != NULL && sc->state != SC_CLOSING && why != CONN_CLOSED)
		log_info("%s after %s from " SC_WHO, words[why], smtp_session_last_command(sc->session), SC_WHO_ARGS(sc));
	smtp_conn_free(sc);
}

static void on_timeout(void *ctx, enum conn_end why)
{
	struct smtp_conn *sc = ctx;

	(void)why;
	if (sc->session != NULL)
		smtp_session_timeout(sc->session, conn_out(sc->c));
}

/* ---- waits ---- */

void smtp_conn_wait(struct smtp_conn *sc)
{
	sc->state = SC_WAITING;
	sc->paused = true;
	conn_pause(sc->c);
}

static void start_tls(struct smtp_conn *sc)
{
	sc->state = SC_HANDSHAKE;
	conn_flush(sc->c);
	conn_start_tls(sc->c, sc->f->tls, NULL, NULL);
}

/* A login that is cancelled: the session has answered the client already. */
static void cancel_auth(struct smtp_conn *sc)
{
	if (sc->auth != NULL)
		auth_cancel(sc->auth);
	sc->auth = NULL;
	smtp_conn_answer(sc, &(struct smtp_answer){ .ok = true });
}

static void want_once(struct smtp_conn *sc, enum smtp_want want)
{
	switch (want) {
	case SMTP_INPUT:
		break;
	case SMTP_TLS:
		start_tls(sc);
		break;
	case SMTP_AUTH:
	case SMTP_RESPONSE:
		smtp_front_want_auth(sc, want);
		break;
	case SMTP_CANCEL:
		cancel_auth(sc);
		break;
	case SMTP_MAIL:
		smtp_front_want_mail(sc);
		break;
	case SMTP_RCPT:
		smtp_front_want_rcpt(sc);
		break;
	case SMTP_SPILL:
		smtp_front_want_spill(sc);
		break;
	case SMTP_QUEUE:
		smtp_front_want_queue(sc);
		break;
	case SMTP_CLOSE:
		close_after_reply(sc);
		break;
	}
}

/* An answer may come from inside the want (at once) or much later; the dialogue goes on in both cases, without recursion. */
static void heed(struct smtp_conn *sc)
{
	sc->in_heed = true;
	while (sc->state == SC_DIALOGUE && smtp_session_want(sc->session) != SMTP_INPUT)
		want_once(sc, smtp_session_want(sc->session));
	sc->in_heed = false;
}

void smtp_conn_answer(struct smtp_conn *sc, const struct smtp_answer *a)
{
	sc->state = SC_DIALOGUE;
	if (sc->paused)
		conn_resume(sc->c);
	sc->paused = false;
	smtp_session_set_time(sc->session, loop_wall_us(sc->f->l));
	(void)smtp_session_answer(sc->session, a, conn_out(sc->c));
	if (sc->in_heed)
		return;
	heed(sc);
	if (sc->state != SC_DIALOGUE) {
		conn_flush(sc->c);
		return;
	}
	drive(sc);
}

/* ---- the dialogue ---- */

static void move_deadline(struct smtp_conn *sc, size_t used, bool replied)
{
	/* An octet a second keeps nobody's door open: only a whole command or a good piece of the message counts. */
	sc->progress += used;
	if (!replied && sc->progress < FRONT_SMTP_IN / 4)
		return;
	sc->progress = 0;
	conn_deadline_ms(sc->c, (int64_t)sc->f->s->smtpd_timeout * 1000);
}

/* The session refuses it; here is why, for the admin who set a proxy up. */
static void note_false_proxy(struct smtp_conn *sc, struct slice in)
{
	if (!sc->heard && proxy_is_header(in))
		log_warn("" SC_WHO " sent a PROXY header, and proxy_protocol_from does not list that address", SC_WHO_ARGS(sc));
	sc->heard = true;
}

static void drive(struct smtp_conn *sc)
{
	while (sc->state == SC_DIALOGUE && conn_unsent(sc->c) < FRONT_SMTP_OUT_HIGH) {
		struct slice in = conn_input(sc->c);
		size_t used = 0, before = conn_out(sc->c)->len;
		enum smtp_want want;

		if (in.n == 0)
			break;
		note_false_proxy(sc, in);
		smtp_session_set_time(sc->session, loop_wall_us(sc->f->l));
		want = smtp_session_input(sc->session, in, &used, conn_out(sc->c));
		conn_take(sc->c, used);
		move_deadline(sc, used, want != SMTP_INPUT || conn_out(sc->c)->len != before);
		if (want == SMTP_INPUT && used == 0)
			break;
		heed(sc);
	}
	conn_flush(sc->c);
	if (sc->f->retiring && sc->state == SC_DIALOGUE && smtp_session_is_between(sc->session) && conn_input(sc->c).n == 0)
		smtp_conn_end(sc, "Service closing, please come again");
}

static void on_input(void *ctx)
{
	struct smtp_conn *sc = ctx;

	if (sc->state == SC_DIALOGUE)
		drive(sc);
}

static void on_drained(void *ctx)
{
	on_input(ctx);
}

/* ---- the beginning ---- */

static void new_session(struct smtp_conn *sc)
{
	struct smtp_front *f = sc->f;
	bool auth_here = (sc->listener->flags & LISTENER_AUTH) != 0 || (sc->listener->kind == SMTP_ON_25 && f->s->smtpd_auth_on_port_25);
	const struct smtp_env env = {
		.s = f->s, .listener = sc->listener, .peer = sc->peer, .peer_name = sc->client.name.n > 0 ? sc->client.name : SLICE("unknown"),
		.peer_forged = sc->client.name_state == RELAY_NAME_FORGED, .peer_trusted = sc->client.in_mynetworks || (sc->listener->flags & LISTENER_LMTP) != 0,
		.starttls_ok = f->tls != NULL && (sc->listener->flags & LISTENER_TLS_AT_ONCE) == 0, .default_domain = router_default_domain(policy_router(f->policy)),
		.mechanisms = auth_here ? auth_mechanisms(f->s, false, &sc->peer, sc->arena) : "",
		.mechanisms_tls = auth_here ? auth_mechanisms(f->s, true, &sc->peer, sc->arena) : "",
	};

	sc->session = smtp_session_new(&env);
}

static void greet(struct smtp_conn *sc)
{
	struct slice in = conn_input(sc->c);
	size_t used = 0;

	sc->state = SC_DIALOGUE;
	log_info("connect from " SC_WHO, SC_WHO_ARGS(sc));
	sc->greeted = true;
	if (in.n > 0) {
		log_info("PREGREET %zu after 0 from " SC_WHO, in.n, SC_WHO_ARGS(sc));
		note_false_proxy(sc, in);
		(void)smtp_session_input(sc->session, in, &used, conn_out(sc->c));
		heed(sc);
		return;
	}
	smtp_session_greet(sc->session, conn_out(sc->c));
	conn_idle_ms(sc->c, (int64_t)sc->f->s->smtpd_timeout * 1000);
	conn_deadline_ms(sc->c, (int64_t)sc->f->s->smtpd_timeout * 1000);
	conn_flush(sc->c);
}

static void on_tls(void *ctx)
{
	struct smtp_conn *sc = ctx;
	struct tls_info info = tls_describe(conn_ssl(sc->c));

	(void)smtp_session_tls_started(sc->session, info.version, info.cipher, info.bits);
	if (!sc->greeted) {
		greet(sc);
		return;
	}
	sc->state = SC_DIALOGUE;
	drive(sc);
}

static void on_greet_time(void *ctx)
{
	struct smtp_conn *sc = ctx;

	new_session(sc);
	if ((sc->listener->flags & LISTENER_TLS_AT_ONCE) != 0) {
		conn_resume(sc->c);
		start_tls(sc);
		return;
	}
	greet(sc);
}

/* The name is known, or time is up: everything the maps say of this client is looked up now, once. */
static void on_name(void *ctx, enum relay_name state, struct slice name)
{
	struct smtp_conn *sc = ctx;
	struct smtp_front *f = sc->f;
	struct err e = ERR_INIT;
	int64_t left = sc->greet_at_ms - loop_now(f->l);

	sc->query = NULL;
	if (smtp_front_refresh(f, &e) != 0 ||
	    policy_client_init(f->policy, &sc->client, &sc->peer, arena_dup(sc->arena, name), state, sc->arena, &e) != 0) {
		log_error("%s", e.text);
		new_session(sc);
		smtp_conn_end(sc, "Can't read the maps now, please come again");
		return;
	}
	if (state == RELAY_NAME_FORGED)
		log_info("warning: " SC_WHO ": the name does not lead back to the address: may be forged", SC_WHO_ARGS(sc));
	loop_timer_start(f->l, &sc->timer, left > 0 ? left : 0, on_greet_time, sc);
}

static bool must_pause(const struct smtp_conn *sc)
{
	return (sc->listener->flags & LISTENER_GREET_PAUSE) != 0 && !net_addr_is_loopback(&sc->peer) && policy_in_mynetworks(sc->f->policy, &sc->peer) == NULL;
}

static const struct conn_ops ops = { .on_input = on_input, .on_tls = on_tls, .on_drained = on_drained, .on_close = on_close, .on_timeout = on_timeout };

void smtp_conn_start(struct smtp_front *f, int fd, const struct net_addr *peer, const struct smtp_listener *listener, bool counted)
{
	const struct conn_limits limits = { .in_max = FRONT_SMTP_IN, .out_max = FRONT_SMTP_OUT_MAX, .out_high = FRONT_SMTP_OUT_HIGH };
	struct smtp_conn *sc = mem_new(sizeof(*sc));
	struct names_query *query;

	*sc = (struct smtp_conn){ .f = f, .listener = listener, .peer = *peer, .counted = counted, .large_fd = -1, .arena = arena_new(0), .verdicts = arena_new(0) };
	(void)net_addr_text(peer, sc->peer_text);
	sc->c = conn_new(f->l, fd, &limits, &ops, sc);
	list_append(&f->conns, &sc->node);
	if ((listener->flags & LISTENER_TLS_AT_ONCE) != 0)
		conn_pause(sc->c);                                    /* the client's hello belongs to TLS: conn_start_tls() drops what was read before */
	sc->greet_at_ms = loop_now(f->l) + (must_pause(sc) ? FRONT_SMTP_PAUSE_MS : 0);
	conn_deadline_ms(sc->c, (int64_t)f->s->smtpd_timeout * 1000);
	if (peer->len == 0)
		on_name(sc, RELAY_NAME_OK, SLICE("localhost"));
	else if ((query = names_client(f->names, peer, FRONT_SMTP_NAME_MS, on_name, sc)) != NULL)
		sc->query = query;
}
