/*
 * server/front_auth.c - logins: the auth process is asked, the session hears. Failures are logged in the line that fail2ban knows.
 */
#include "base/log.h"
#include "server/front_in.h"

static void on_auth(void *ctx, const struct auth_answer *a);

void smtp_front_want_auth(struct smtp_conn *sc, enum smtp_want want)
{
	const struct smtp_ask *ask = smtp_session_ask(sc->session);
	struct auth_peer peer = { .service = "smtp", .addr = sc->peer, .tls = smtp_session_is_tls(sc->session), .session = sc->peer_text };
	struct buf binding;

	smtp_conn_wait(sc);
	if (want == SMTP_RESPONSE && sc->auth != NULL) {
		auth_continue(sc->auth, ask->response);
		return;
	}
	buf_init(&binding, 1024);
	auth_peer_bind(&peer, conn_ssl(sc->c), &binding);
	sc->auth = auth_start(sc->f->auth, ask->mechanism, ask->has_initial ? &ask->initial : NULL, &peer, on_auth, sc);
	buf_done(&binding);
}

static const char *reason(const struct auth_answer *a)
{
	if (a->text != NULL && a->text[0] != '\0')
		return a->text;
	return a->result == AUTH_DENIED ? "authentication failure" : a->result == AUTH_CANCELLED ? "cancelled" : a->result == AUTH_TEMP ? "can't be checked now" : "malformed";
}

/* The filter of fail2ban (etc/fail2ban) knows "authentication failed" alone: who was not heard, or went away, has guessed nothing. */
static void log_failure(const struct smtp_conn *sc, const struct auth_answer *a)
{
	const char *what = a->result == AUTH_DENIED ? "failed" : a->result == AUTH_TEMP ? "not possible now" : "broken off";

	log_warn("" SC_WHO ": SASL %.*s authentication %s: %s, sasl_username=%.*s", SC_WHO_ARGS(sc),
	    SLICE_FMT(a->method.n > 0 ? a->method : smtp_session_ask(sc->session)->mechanism), what, reason(a), SLICE_FMT(a->user));
}

static void on_auth(void *ctx, const struct auth_answer *a)
{
	struct smtp_conn *sc = ctx;

	if (a->result != AUTH_MORE)
		sc->auth = NULL;
	if (a->result != AUTH_MORE && a->result != AUTH_OK)
		log_failure(sc, a);
	smtp_conn_answer(sc, &(struct smtp_answer){ .ok = true, .auth = a });
}
