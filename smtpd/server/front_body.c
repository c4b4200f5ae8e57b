/*
 * server/front_body.c - the message: to memory or spool/large, to the journal, and the answer once it is on disk.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "mail/header.h"
#include "server/front_in.h"

static const char *id_of(const struct smtp_conn *sc)
{
	return smtp_session_envelope(sc->session)->id;
}

static const char *no_space(struct smtp_conn *sc)
{
	return code_reply(sc->verdicts, CODE_NO_SPACE, "Insufficient system storage, try again later");
}

/* ---- a long message ---- */

static int write_pieces(struct smtp_conn *sc, struct err *e)
{
	const struct slice *pieces;
	size_t n = smtp_session_pieces(sc->session, &pieces);

	if (sc->large_fd < 0) {
		memcpy(sc->large_id, id_of(sc), sizeof(sc->large_id));
		if (entry_large_open(sc->f->entry, sc->large_id, &sc->large_fd, e) != 0)
			return -1;
	}
	for (size_t i = 0; i < n; i++)
		if (file_write_all(sc->large_fd, pieces[i]) != 0)
			return err_set(e, ERR_TEMP, 0, "spool/large/%s.eml can't be written", sc->large_id);
	return 0;
}

void smtp_front_want_spill(struct smtp_conn *sc)
{
	struct err e = ERR_INIT;

	if (write_pieces(sc, &e) != 0) {
		log_error("%s: %s", id_of(sc), e.text);
		smtp_conn_drop_large(sc);
		smtp_conn_answer(sc, &(struct smtp_answer){ .reply = slice_of(no_space(sc)) });
		return;
	}
	smtp_conn_answer(sc, &(struct smtp_answer){ .ok = true });
}

/* ---- the end of the message ---- */

static void refuse_message(struct smtp_conn *sc, struct slice reply)
{
	smtp_front_log_reject(sc, id_of(sc), "END-OF-MESSAGE", reply, NULL);
	smtp_conn_drop_large(sc);
	smtp_conn_answer(sc, &(struct smtp_answer){ .reply = reply });
}

static void log_message_id(const struct smtp_conn *sc)
{
	struct slice value;

	if (header_find(smtp_session_header(sc->session), SLICE("message-id"), &value))
		log_info("%s: message-id=%.*s", id_of(sc), SLICE_FMT(slice_head(slice_trim(value), 250)));
}

static void on_stored(void *ctx, const struct journal_place *place, const struct err *err)
{
	struct smtp_conn *sc = ctx;

	(void)place;
	sc->submitted = false;
	if (err != NULL) {
		log_error("%s: not stored: %s", id_of(sc), err->text);
		if (sc->large_id[0] != '\0')
			entry_large_drop(sc->f->entry, sc->large_id);
		sc->large_id[0] = '\0';
		smtp_conn_answer(sc, &(struct smtp_answer){ .reply = slice_of(code_reply(sc->verdicts, CODE_NOT_STORED, "The message could not be stored, try again")) });
		return;
	}
	sc->large_id[0] = '\0';
	log_message_id(sc);
	if (sc->drac == RELAY_DRAC_LIVE)
		drac_used(sc->f->drac, &sc->peer, smtp_session_envelope(sc->session)->sender, (unsigned)smtp_session_envelope(sc->session)->n_rcpts);
	smtp_conn_answer(sc, &(struct smtp_answer){ .ok = true });
}

/* The session's envelope with what the session can't know: who vouched by DRAC, and the admin's copy. */
static struct envelope final_envelope(struct smtp_conn *sc)
{
	struct envelope env = *smtp_session_envelope(sc->session);
	const char *bcc = sc->f->s->always_bcc;
	struct rcpt *rcpts;

	if (env.user.n == 0 && sc->drac == RELAY_DRAC_LIVE)
		env.user = sc->drac_user;
	if (bcc[0] == '\0')
		return env;
	rcpts = arena_array(sc->verdicts, env.n_rcpts + 1, sizeof(*rcpts));
	for (size_t i = 0; i < env.n_rcpts; i++)
		rcpts[i] = env.rcpts[i];
	rcpts[env.n_rcpts++] = (struct rcpt){ .address = slice_of(bcc), .notify = NOTIFY_NEVER };
	env.rcpts = rcpts;
	return env;
}

static void submit(struct smtp_conn *sc)
{
	struct envelope env = final_envelope(sc);
	const struct slice *pieces;
	size_t n = smtp_session_pieces(sc->session, &pieces);
	int fd = sc->large_fd;

	smtp_conn_wait(sc);
	sc->submitted = true;
	if (fd < 0) {
		entry_submit(sc->f->entry, &env, pieces, n, on_stored, sc);
		return;
	}
	sc->large_fd = -1;
	entry_submit_large(sc->f->entry, &env, fd, on_stored, sc);
}

/* NULL-like: empty where From is fine. */
static int check_from(struct smtp_conn *sc, struct slice *refusal_out, struct err *e)
{
	return policy_header_from(sc->f->policy, smtp_session_header(sc->session), smtp_session_user(sc->session), sc->verdicts, refusal_out, e);
}

void smtp_front_want_queue(struct smtp_conn *sc)
{
	struct slice refusal;
	struct err e = ERR_INIT;

	if (check_from(sc, &refusal, &e) != 0) {
		log_error("%s: %s", id_of(sc), e.text);
		refuse_message(sc, slice_of(code_reply(sc->verdicts, CODE_MAPS_UNREADABLE, "The maps can't be read now, try again")));
	} else if (refusal.n > 0) {
		refuse_message(sc, refusal);
	} else if (smtp_session_is_discard(sc->session)) {
		log_info("%s: discard: END-OF-MESSAGE from " SC_WHO ": the access map says DISCARD; from=<%.*s>", id_of(sc), SC_WHO_ARGS(sc),
		    SLICE_FMT(smtp_session_envelope(sc->session)->sender));
		smtp_conn_drop_large(sc);
		smtp_conn_answer(sc, &(struct smtp_answer){ .ok = true });
	} else if (sc->large_fd >= 0 && write_pieces(sc, &e) != 0) {
		log_error("%s: %s", id_of(sc), e.text);
		refuse_message(sc, slice_of(no_space(sc)));
	} else {
		submit(sc);
	}
}
