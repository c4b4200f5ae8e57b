/*
 * serve/session.c - the session process: all connections of one user, confined to that user's mail.
 *
 * Runs as posthouse. May open: that user's mailboxes. Trusts: the spawner. Never sees: passwords, TLS keys, other users' mail.
 * Everything a client sends is first read after sandbox_enter(). Each turn of a connection is bounded: COMMANDS_PER_TURN commands or one step.
 */
#include "serve/session_in.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "io/conn.h"
#include "serve/sandbox.h"
#include "serve/session_msg.h"
#include "serve/session_proc.h"
#include "serve/super.h"

enum {
	COMMANDS_PER_TURN = 16,
	OUT_HIGH = 256 << 10,                                         /* a client that does not read is asked nothing more above this */
	OUT_MAX = 8 << 20
};

static void drive(struct sconn *sc);

/*
 * The end of a connection, of all of them, of the process
 */

static void on_linger(void *ctx)
{
	struct sess *ss = ctx;

	if (ss->n_conns == 0)
		session_msg_id(ss->up, SMSG_EXIT, ss->starts);
}

void sconn_free(struct sconn *sc)
{
	struct sess *ss = sc->ss;
	struct arena *a = sc->arena;

	session_idle_ended(sc);
	loop_task_cancel(&sc->turn);
	conn_free(&sc->c);
	buf_done(&sc->left);
	list_remove(&sc->node);
	arena_free(&a);
	if (--ss->n_conns > 0)
		return;
	if (ss->ending)
		loop_stop(ss->l);
	else
		loop_timer_start(ss->l, &ss->linger, ss->linger_ms, on_linger, ss);
}

void sconn_close_proto(struct sconn *sc, const char *why)
{
	void *s = sc->s;

	sc->s = NULL;
	sc->more = false;
	loop_task_cancel(&sc->turn);
	if (s != NULL)
		sc->ss->proto->close(s, why);
}

/* What was said goes out, then the connection ends. The protocol's part is over at once: its locks and its view are free for the next login. */
void sconn_finish(struct sconn *sc, const char *why)
{
	sconn_close_proto(sc, why);
	conn_flush(sc->c);
	conn_close(sc->c);
}

static void say_bye(struct sconn *sc, const char *why)
{
	const struct session_proto *proto = sc->ss->proto;

	if (sc->s == NULL)
		return;
	if (proto->bye != NULL)
		proto->bye(sc->s, why, conn_out(sc->c));
	else
		proto->timeout(sc->s, conn_out(sc->c));
	sconn_finish(sc, why);
}

/* Who is in the middle of an answer gets the rest of it first, see drive(). */
static void end_all(struct sess *ss, const char *why)
{
	ss->ending = true;
	ss->end_why = why;
	LIST_EACH_SAFE(n, &ss->conns) {
		struct sconn *sc = LIST_OF(n, struct sconn, node);

		if (!sc->more)
			say_bye(sc, why);
	}
	if (ss->n_conns == 0)
		loop_stop(ss->l);
}

static const char *end_text(enum conn_end why)
{
	static const char *const texts[] = {
		[CONN_EOF] = "connection closed by the client",  [CONN_CLOSED] = "closed",           [CONN_IDLE] = "idle for too long",
		[CONN_DEADLINE] = "out of time",                 [CONN_ERROR] = "connection lost",   [CONN_TLS_FAILED] = "TLS failed",
		[CONN_OVERFLOW] = "output not read",
	};

	return (size_t)why < sizeof(texts) / sizeof(texts[0]) && texts[why] != NULL ? texts[why] : "connection lost";
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct sconn *sc = ctx;

	(void)e;
	sconn_close_proto(sc, end_text(why));
	sconn_free(sc);
}

/*
 * A connection's turn
 */

static void on_turn(void *ctx)
{
	drive(ctx);
}

static void send_file(struct sconn *sc)
{
	struct session_file f;
	int fd;

	sc->ss->proto->file(sc->s, &f);
	fd = fcntl(f.fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0) {
		conn_send_file(sc->c, fd, (off_t)f.at, f.n);
		return;
	}
	log_error("session=<%.*s> ended in the middle of a message: %s", SLICE_FMT(sc->card.session_id), strerror(errno));
	conn_abort(sc->c);
}

/* False when the connection's turn is over. */
static bool heed(struct sconn *sc, enum session_want want)
{
	sc->more = want == SESSION_MORE || want == SESSION_FILE;
	if (want == SESSION_FILE)
		send_file(sc);
	if (want == SESSION_CLOSE)
		sconn_finish(sc, "logged out");
	return want != SESSION_CLOSE;
}

static struct slice input_of(struct sconn *sc)
{
	struct slice in = conn_input(sc->c);
	size_t room = sc->ss->proto->line_max + SESSION_LEFT_MAX - sc->left.len;

	if (sc->left.len == 0)
		return in;
	in = slice_head(in, room);
	buf_put(&sc->left, in);
	conn_take(sc->c, in.n);
	return buf_view(&sc->left);
}

static void take_input(struct sconn *sc, size_t n)
{
	if (sc->left.len == 0) {
		conn_take(sc->c, n);
		return;
	}
	buf_take(&sc->left, n);
	buf_shrink(&sc->left);
}

static bool one_command(struct sconn *sc, bool *again_out)
{
	struct slice in = input_of(sc);
	enum session_want want;
	size_t used = 0;

	*again_out = false;
	if (in.n == 0)
		return false;
	want = sc->ss->proto->input(sc->s, in, &used, conn_out(sc->c));
	if (used > 0)
		take_input(sc, used);
	if (!heed(sc, want))
		return false;
	*again_out = used > 0 || sc->more;
	return *again_out;
}

static bool one_step(struct sconn *sc)
{
	enum session_want want = sc->ss->proto->step(sc->s, conn_out(sc->c));

	sc->active_at = loop_now(sc->ss->l);
	return heed(sc, want);
}

/* A flush for nothing would come back as on_drained, and that as a flush, without end. */
static void flush_if_more(struct sconn *sc, size_t unsent_before)
{
	if (conn_unsent(sc->c) > unsent_before)
		conn_flush(sc->c);
}

static bool has_room(const struct sconn *sc)
{
	return conn_unsent(sc->c) < OUT_HIGH && !conn_sends_file(sc->c);
}

static void drive(struct sconn *sc)
{
	size_t before = conn_unsent(sc->c);
	bool again = false;
	unsigned n;

	for (n = 0; n < COMMANDS_PER_TURN && sc->s != NULL && has_room(sc); n++) {
		if (sc->more) {
			if (!one_step(sc))
				break;
			again = true;
			n += COMMANDS_PER_TURN / 4;
		} else if (!one_command(sc, &again)) {
			break;
		}
	}
	if (sc->s == NULL)
		return;
	if (sc->ss->ending && !sc->more) {
		say_bye(sc, sc->ss->end_why);
		return;
	}
	flush_if_more(sc, before);
	if (has_room(sc) && (sc->more || (again && n >= COMMANDS_PER_TURN)))
		loop_task_queue(sc->ss->l, &sc->turn, on_turn, sc);
}

static void on_input(void *ctx)
{
	struct sconn *sc = ctx;

	sc->active_at = sc->ss->active_at = loop_now(sc->ss->l);
	if (sc->s != NULL)
		drive(sc);
	else
		conn_take(sc->c, conn_input(sc->c).n);
}

static void on_drained(void *ctx)
{
	struct sconn *sc = ctx;

	if (sc->s != NULL)
		drive(sc);
}

static const struct conn_ops sconn_ops = { .on_input = on_input, .on_drained = on_drained, .on_close = on_close };

/*
 * Changes
 */

static void tell(struct sconn *sc)
{
	size_t before = conn_unsent(sc->c);

	if (sc->s == NULL || sc->more || conn_unsent(sc->c) >= OUT_HIGH)
		return;                                               /* it looks itself when its command is done */
	if (heed(sc, sc->ss->proto->changed(sc->s, conn_out(sc->c)))) {
		flush_if_more(sc, before);
		if (sc->more)
			loop_task_queue(sc->ss->l, &sc->turn, on_turn, sc);
	}
}

/* Of this process's own changes too: every process that listens gets the datagram, the one that made the change as well. */
static void on_notify(void *ctx, unsigned events)
{
	struct sess *ss = ctx;

	(void)events;
	notify_drain(ss->notify_fd);
	LIST_EACH_SAFE(n, &ss->conns)
		tell(LIST_OF(n, struct sconn, node));
	if (ss->has_parked)
		session_msg_id(ss->up, SMSG_WAKE, 0);
}

/*
 * From the spawner
 */

static void close_oldest(struct sess *ss)
{
	struct sconn *oldest = NULL;

	LIST_EACH(n, &ss->conns) {
		struct sconn *sc = LIST_OF(n, struct sconn, node);

		if (sc->s != NULL && (oldest == NULL || sc->active_at < oldest->active_at))
			oldest = sc;
	}
	if (oldest == NULL)
		return;
	log_info("connection limit: user=<%.*s>, session=<%.*s> is the oldest idle one of %u, closed for a new login", SLICE_FMT(ss->user),
	    SLICE_FMT(oldest->card.session_id), ss->n_conns);
	say_bye(oldest, "Too many connections of this user: the one idle longest is closed for a new login");
}

static void keep_limit(struct sess *ss, uint32_t parked_others)
{
	uint32_t max = ss->s->mail_user_connection_limit;

	if (max == 0 || ss->n_conns + parked_others < max)
		return;
	if (parked_others > 0)
		session_msg_id(ss->up, SMSG_EVICT, 0);
	else
		close_oldest(ss);
}

static struct sconn *sconn_new(struct sess *ss, const struct session_card *card, int fd)
{
	struct conn_limits lim = { .in_max = ss->proto->line_max, .out_max = OUT_MAX, .out_high = OUT_HIGH };
	struct arena *a = arena_new(512);
	struct sconn *sc = arena_alloc(a, sizeof(*sc));

	sc->arena = a;
	sc->ss = ss;
	sc->card = *card;
	sc->card.user = ss->user;
	sc->card.session_id = arena_dup(a, card->session_id);
	sc->card.method = arena_dup(a, card->method);
	sc->card.state = sc->card.left = SLICE_NONE;
	sc->active_at = sc->used_told_at = loop_now(ss->l);
	buf_init(&sc->left, ss->proto->line_max + SESSION_LEFT_MAX);
	buf_put(&sc->left, card->left);
	sc->c = conn_new(ss->l, fd, &lim, &sconn_ops, sc);
	list_append(&ss->conns, &sc->node);
	ss->n_conns++;
	return sc;
}

static void start(struct sess *ss, const struct session_card *card, int fd)
{
	struct session_start st = { .user = card->user, .session_id = card->session_id, .method = card->method, .state = card->state,
		.peer = card->peer, .tls = card->tls, .parked = card->parked };
	struct sconn *sc;

	keep_limit(ss, card->parked_others);
	sc = sconn_new(ss, card, fd);
	sc->s = ss->proto->open(&ss->env, &st, conn_out(sc->c));
	if (sc->s == NULL) {
		sconn_finish(sc, "refused");
		return;
	}
	conn_flush(sc->c);
	drive(sc);
}

static void refuse(struct sess *ss, struct session_card *card, int fd)
{
	log_error("mailbox not opened: user=<%.*s>: %s", SLICE_FMT(ss->user), ss->box_err.text);
	card->state = SLICE("The mailbox cannot be opened just now, the log of the server says why");
	card->left = SLICE_NONE;
	session_msg_card(ss->up, SMSG_REFUSED, card, fd);
	if (ss->n_conns == 0)
		loop_timer_start(ss->l, &ss->linger, 0, on_linger, ss);
}

static void on_start(struct sess *ss, struct msg *m)
{
	struct session_card card;
	int fd;

	if (session_msg_read_card(m, &card) < 0 || (fd = msg_take_fd(m)) < 0) {
		log_error("a message of the spawner is broken");
		return;
	}
	ss->starts++;
	ss->active_at = loop_now(ss->l);
	ss->linger_ms = card.linger_ms;
	loop_timer_stop(ss->l, &ss->linger);
	if (ss->env.box == NULL)
		refuse(ss, &card, fd);
	else {
		box_set_limits(ss->env.box, card.quota_octets, card.quota_messages);
		start(ss, &card, fd);
	}
}

/* A last look: what changed while the last connection was being parked wakes them up. */
static void leave(struct sess *ss)
{
	struct pollfd p = { .fd = ss->notify_fd, .events = POLLIN };

	if (ss->n_conns > 0)
		return;
	if (ss->has_parked && ss->notify_fd >= 0 && poll(&p, 1, 0) > 0)
		session_msg_id(ss->up, SMSG_WAKE, 0);
	ss->ending = true;
	loop_stop(ss->l);
}

static void on_msg(void *ctx, struct msg *m)
{
	struct sess *ss = ctx;

	switch ((enum session_msg)m->type) {
	case SMSG_START:
		on_start(ss, m);
		break;
	case SMSG_EXIT:
		leave(ss);
		break;
	case SMSG_RETIRE:
		end_all(ss, "The server is being stopped, please come again");
		break;
	default:
		log_error("unexpected message %u of the spawner", m->type);
		break;
	}
}

static void on_spawner_gone(void *ctx)
{
	struct sess *ss = ctx;

	chan_free(&ss->up);
	end_all(ss, "The server is being stopped, please come again");
}

static const struct chan_ops spawner_ops = { .on_msg = on_msg, .on_close = on_spawner_gone };

/*
 * Start and end of the process
 */

static void open_box(struct sess *ss)
{
	struct box_options opt = { .special_folders = ss->s->special_folders, .hostname = ss->s->myhostname, .limits_unknown = true };

	ss->notify_fd = -1;
	if (box_open(&ss->env.box, ss->box_dir, true, &opt, &ss->box_err) < 0) {
		ss->env.box = NULL;
		return;
	}
	if (notify_bind(ss->box_dir, &ss->notify_fd, &ss->box_err) < 0) {
		box_close(&ss->env.box);
		ss->notify_fd = -1;
	}
}

static int confine(const struct sess *ss, const struct sandbox_calls *calls, struct err *e)
{
	static const char *const read_paths[] = { "/usr/lib", NULL };  /* character sets are loaded when a message needs them */
	const char *write_paths[] = { ss->box_dir, NULL };
	struct sandbox sb = { .needs = SESSION_NEEDS, .read_paths = read_paths, .write_paths = write_paths };

	if (ss->env.box == NULL)                                      /* it will only say so */
		sb.write_paths = NULL;
	return sandbox_enter_compiled(&sb, calls, e);
}

/* Closes from 3 up all but two. */
static void close_others(int keep_a, int keep_b)
{
	int low = keep_a < keep_b ? keep_a : keep_b, high = keep_a < keep_b ? keep_b : keep_a;

	if (low > 3)
		(void)close_range(3, (unsigned)low - 1, 0);
	if (high > low + 1 && high > 3)
		(void)close_range(low < 3 ? 3 : (unsigned)low + 1, (unsigned)high - 1, 0);
	(void)close_range(high < 3 ? 3 : (unsigned)high + 1, ~0u, 0);
}

/* Nothing of the spawner but the channel and the log comes along: no link to a front, no other user's session. */
void session_proc_drop_inherited(int fd)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	close_others(fd, log_fd());
}

static void done(struct sess *ss)
{
	if (ss->proto->shared_free != NULL)
		ss->proto->shared_free(ss->shared);
	if (ss->notify_fd >= 0)
		notify_unbind(ss->box_dir, &ss->notify_fd);
	box_close(&ss->env.box);
	chan_free(&ss->up);
}

void session_proc_run(const struct session_boot *boot)
{
	struct sess ss = { .s = boot->s, .proto = boot->proto, .box_dir = boot->box_dir, .user = boot->user };
	struct err e = ERR_INIT;
	char name[16];

	if (!proc_tie_to_parent(boot->parent_pid))
		_exit(1);
	snprintf(name, sizeof(name), "%sd:session", boot->proto->name);
	prctl(PR_SET_NAME, name);
	session_proc_drop_inherited(boot->fd);
	ss.l = loop_new();
	ss.env = (struct session_env){ .s = boot->s, .wall_s = clock_wall_s, .shared = &ss.shared };
	list_init(&ss.conns);
	open_box(&ss);
	if (confine(&ss, boot->calls, &e) < 0)
		log_fatal("session process of %.*s cannot confine itself: %s", SLICE_FMT(ss.user), e.text);
	ss.up = chan_new(ss.l, boot->fd, &spawner_ops, &ss);
	if (ss.notify_fd >= 0)
		loop_fd_add(ss.l, &ss.notify, ss.notify_fd, LOOP_READ, on_notify, &ss);
	session_idle_start(&ss);
	loop_run(ss.l);
	done(&ss);
	_exit(0);
}
