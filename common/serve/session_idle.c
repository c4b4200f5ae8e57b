/*
 * serve/session_idle.c - what time does to the connections of a session process: they are told to be in use, park, are logged out.
 *
 * In use: the client has sent something since it was last said, or it waits in IDLE. Each third of drac_lifetime the spawner hears so, and
 * once more when the connection ends, so that the grant holds for drac_lifetime after the last word of the client.
 */
#include "serve/session_in.h"

#include "base/clock.h"
#include "serve/renew.h"

enum { LOOK_MS = 5000 };                                                  /* how often connections are looked at, at most */

static int64_t used_ms(const struct sess *ss)
{
	return renew_every_ms(ss->s);
}

/* In IDLE, or whatever the protocol has of that kind: a client that waits is there. */
static bool is_in_use(const struct sconn *sc)
{
	return sc->s != NULL && sc->ss->proto->in_use != NULL && sc->ss->proto->in_use(sc->s);
}

static void say(const struct sconn *sc, enum session_msg type, bool in_use)
{
	const struct session_card card = { .id = sc->card.id, .front = sc->card.front, .in_use = in_use };

	if (sc->ss->up != NULL)
		session_msg_card(sc->ss->up, type, &card, -1);
}

static void tell_used(struct sconn *sc)
{
	if (sc->active_at <= sc->used_told_at && !is_in_use(sc))
		return;
	sc->used_told_at = loop_now(sc->ss->l);
	say(sc, SMSG_USED, true);
}

static void look_used(struct sconn *sc)
{
	if (used_ms(sc->ss) > 0 && loop_now(sc->ss->l) - sc->used_told_at >= used_ms(sc->ss))
		tell_used(sc);
}

void session_idle_ended(const struct sconn *sc)
{
	if (used_ms(sc->ss) > 0 && !sc->is_parked)
		say(sc, SMSG_ENDED, sc->active_at > sc->used_told_at);
}

static bool park(struct sconn *sc)
{
	struct sess *ss = sc->ss;
	struct buf state, left;
	bool parked = false, in_use = is_in_use(sc);
	int fd;

	if (sc->s == NULL || sc->more || sc->left.len > 0 || conn_input(sc->c).n > 0 || conn_unsent(sc->c) > 0)
		return false;
	buf_init(&state, SESSION_STATE_MAX);
	buf_init(&left, SESSION_LEFT_MAX);
	if (ss->proto->park(sc->s, &state)) {
		int64_t idle_ms = loop_now(ss->l) - sc->active_at, max_s = ss->proto->idle_s(sc->s);

		if (used_ms(ss) > 0)
			tell_used(sc);
		sconn_close_proto(sc, "parked");
		fd = conn_release(&sc->c, &left);
		sc->card.parked = sc->is_parked = true;
		sc->card.in_use = in_use;
		sc->card.state = buf_view(&state);
		sc->card.left = buf_view(&left);
		sc->card.idle_left_s = max_s * CLOCK_MS_PER_S > idle_ms ? (uint32_t)(max_s - idle_ms / CLOCK_MS_PER_S) : 1;
		session_msg_card(ss->up, SMSG_PARKED, &sc->card, fd);
		ss->has_parked = parked = true;
		sconn_free(sc);
	}
	buf_done(&state);
	buf_done(&left);
	return parked;
}

static void close_idle(struct sess *ss)
{
	LIST_EACH_SAFE(n, &ss->conns) {
		struct sconn *sc = LIST_OF(n, struct sconn, node);

		if (sc->s == NULL || loop_now(ss->l) - sc->active_at < (int64_t)ss->proto->idle_s(sc->s) * CLOCK_MS_PER_S)
			continue;
		ss->proto->timeout(sc->s, conn_out(sc->c));
		sconn_finish(sc, "autologout");
	}
}

static int64_t park_ms(const struct sess *ss)
{
	return (int64_t)ss->s->imap_park_after * CLOCK_MS_PER_S;
}

static void look_later(struct sess *ss);

static void on_look(void *ctx)
{
	struct sess *ss = ctx;

	LIST_EACH(n, &ss->conns)
		look_used(LIST_OF(n, struct sconn, node));
	close_idle(ss);
	if (loop_now(ss->l) - ss->active_at >= park_ms(ss))
		LIST_EACH_SAFE(n, &ss->conns)
			(void)park(LIST_OF(n, struct sconn, node));
	look_later(ss);
}

static void look_later(struct sess *ss)
{
	int64_t every = used_ms(ss), ms = park_ms(ss) < LOOK_MS ? park_ms(ss) : LOOK_MS;

	loop_timer_start(ss->l, &ss->look, every > 0 && every < ms ? every : ms, on_look, ss);
}

void session_idle_start(struct sess *ss)
{
	look_later(ss);
}
