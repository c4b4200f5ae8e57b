/*
 * serve/login_pass.c - after the login: the connection goes to the user's session process, and comes back to sleep here.
 *
 * Without TLS the descriptor itself goes. With TLS the session gets one end of a socketpair and this process carries the octets; each side may end
 * its half. A parked connection costs its socket, TLS state and one or two small allocations; a client's octet or a change in the user's mailboxes
 * (the spawner tells) sends it to a session process again, with the state it left.
 *
 * No octet is lost on the way back: the session's end of the socketpair returns with the parked connection, so what the session had not read is seen
 * here, and then the same end just goes to a session again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/front.h"

enum { READY_MS = 30000, DISMISS_MS = 100, DISMISS_PER_TURN = 20 };

#define SPAWNER_LOST "The process that kept the mailboxes was restarted, please come again"

static void move_to(struct fconn *fc, struct list_node *list)
{
	list_remove(&fc->node);
	list_append(list, &fc->node);
}

static struct slice id_key(const uint64_t *id)
{
	return slice_mem(id, sizeof(*id));
}

static void refuse(struct fconn *fc, const char *why)
{
	struct buf out;

	if (fc->c != NULL) {
		fc->f->proto->refuse(why, conn_out(fc->c));
		fconn_close(fc);
		return;
	}
	buf_init(&out, 1024);
	fc->f->proto->refuse(why, &out);
	(void)send(fc->fd, out.p, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	buf_done(&out);
	fconn_free(fc);
}

/*
 * The shovel
 */

/* Moves what `to` has room for. */
static void shovel(struct conn *from, struct conn *to)
{
	size_t unsent = conn_unsent(to), room = unsent < FRONT_SHOVEL_HIGH ? FRONT_SHOVEL_HIGH - unsent : 0;
	struct slice in = slice_head(conn_input(from), room);

	if (in.n == 0)
		return;
	conn_write(to, in);
	conn_take(from, in.n);
}

/* The client ended its half: the session hears so when it has got everything. */
static void pass_end(struct fconn *fc)
{
	if (!fc->client_ended || fc->half_ended || conn_input(fc->c).n > 0 || conn_unsent(fc->pair) > 0 || !conn_is_open(fc->pair))
		return;
	fc->half_ended = true;
	(void)shutdown(conn_fd(fc->pair), SHUT_WR);
}

void fconn_shovel_in(struct fconn *fc)
{
	if (!fc->parking)
		shovel(fc->c, fc->pair);
}

void fconn_shovel_out(struct fconn *fc)
{
	shovel(fc->pair, fc->c);
}

void fconn_shovel_end(struct fconn *fc)
{
	pass_end(fc);
}

static void on_pair_input(void *ctx)
{
	struct fconn *fc = ctx;

	shovel(fc->pair, fc->c);
}

static void on_pair_drained(void *ctx)
{
	struct fconn *fc = ctx;

	if (!fc->parking)
		shovel(fc->c, fc->pair);
	pass_end(fc);
}

static void fall_asleep(struct fconn *fc);

/* The session has said all it will: what it said still goes to the client. */
static void on_pair_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct fconn *fc = ctx;

	(void)why, (void)e;
	conn_write(fc->c, conn_input(fc->pair));
	conn_free(&fc->pair);
	if (fc->parking)
		fall_asleep(fc);
	else
		fconn_close(fc);
}

static const struct conn_ops pair_ops = { .on_input = on_pair_input, .on_drained = on_pair_drained, .on_close = on_pair_close };

/*
 * Hand-over
 */

static void send_start(struct fconn *fc, struct front_link *k, struct slice left, int fd)
{
	struct session_card card = fc->card;
	struct buf state;

	buf_init(&state, SESSION_STATE_MAX);
	if (card.parked)
		buf_put(&state, buf_view(&fc->kept));
	else
		fc->f->proto->hand_over(fc->s, &state);
	card.session_id = slice_of(fc->session_id);
	card.state = buf_view(&state);
	card.left = left;
	session_msg_card(k->c, SMSG_START, &card, fd);
	buf_done(&state);
}

/* The session's end of a new socketpair; -1: no descriptor left. */
static int make_pair(struct fconn *fc)
{
	struct conn_limits lim = { .in_max = FRONT_SHOVEL_IN, .out_max = FRONT_SHOVEL_MAX, .out_high = FRONT_SHOVEL_HIGH };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0) {
		log_error("session=<%s>: socketpair: %s", fc->session_id, strerror(errno));
		return -1;
	}
	fc->pair = conn_new(fc->f->l, fds[0], &lim, &pair_ops, fc);
	return fds[1];
}

static void start_shovel(struct fconn *fc, struct front_link *k, int fd)
{
	send_start(fc, k, SLICE_NONE, fd);
	buf_done(&fc->kept);
	arena_free(&fc->arena);
	fc->s = NULL;
	fc->parking = fc->wake_due = fc->half_ended = false;
	fc->card.parked = false;
	fc->card.ticket = SLICE_NONE;
	fc->state = FC_SHOVEL;
	move_to(fc, &fc->f->passed);
	(void)hmap_put(fc->f->by_id, id_key(&fc->card.id), fc);
	conn_set_in_max(fc->c, FRONT_SHOVEL_IN);
	conn_resume(fc->c);
}

static void give_away(struct fconn *fc, struct front_link *k)
{
	struct buf left;
	int fd;

	buf_init(&left, SESSION_LEFT_MAX);
	if (fc->c != NULL) {
		fd = conn_release(&fc->c, &left);
	} else {
		fd = fc->fd;
		fc->fd = -1;
	}
	send_start(fc, k, buf_view(&left), fd);
	buf_done(&left);
	fconn_free(fc);
}

static void on_ready_too_long(void *ctx)
{
	refuse(ctx, "The mailbox cannot be opened just now, try again in a minute");
}

/* Who was parked goes back to the spawner that parked it; a login to one of those that were told of it. NULL: wait; false: there is none any more. */
static bool find_spawner(struct fconn *fc, struct front_link **k_out)
{
	struct front_link *newest = fc->f->spawner;

	*k_out = fc->card.parked ? fc->link : NULL;
	if (fc->card.parked)
		return fc->link != NULL;
	LIST_EACH(n, &fc->f->links) {
		struct front_link *k = LIST_OF(n, struct front_link, node);

		if (k->generation == fc->generation)
			*k_out = k;
	}
	return *k_out != NULL || newest == NULL || newest->generation < fc->generation;
}

void fconn_hand_over(struct fconn *fc)
{
	struct front_link *k;
	struct front *f = fc->f;
	int fd;

	if (fc->state != FC_READY || (fc->c != NULL && !conn_is_open(fc->c)))
		return;
	if (!find_spawner(fc, &k)) {
		refuse(fc, SPAWNER_LOST);
		return;
	}
	if (k == NULL || chan_is_full(k->c) || (fc->c != NULL && !fc->card.tls && conn_unsent(fc->c) > 0)) {
		move_to(fc, &f->ready);
		if (!loop_timer_is_running(&fc->timer))
			loop_timer_start(f->l, &fc->timer, READY_MS, on_ready_too_long, fc);
		return;
	}
	loop_timer_stop(f->l, &fc->timer);
	if (!fc->card.tls)
		give_away(fc, k);
	else if ((fd = make_pair(fc)) >= 0)
		start_shovel(fc, k, fd);
	else
		refuse(fc, "No descriptors are left, try again in a minute");
}

static void pass_ready(struct front *f)
{
	LIST_EACH_SAFE(n, &f->ready)
		fconn_hand_over(LIST_OF(n, struct fconn, node));
}

/*
 * Parking
 */

void fconn_unpark(struct fconn *fc)
{
	(void)hmap_del(fc->f->by_id, id_key(&fc->card.id));
	loop_timer_stop(fc->f->l, &fc->timer);
	loop_fd_del(fc->f->l, &fc->watch);
	fc->card.parked = true;
	fc->state = FC_READY;
	fconn_hand_over(fc);
}

static void on_autologout(void *ctx)
{
	struct fconn *fc = ctx;

	if (fc->link != NULL)
		session_msg_id(fc->link->c, SMSG_GONE, fc->card.id);
	fc->link = NULL;
	refuse(fc, "Autologout; idle for too long");
}

/* TLS: everything the session said is on its way to the client. */
static void fall_asleep(struct fconn *fc)
{
	fc->parking = false;
	fc->state = FC_PARKED;
	loop_timer_start(fc->f->l, &fc->timer, (int64_t)fc->card.idle_left_s * 1000, on_autologout, fc);
	if (fc->link == NULL || fc->wake_due || fc->client_ended || conn_input(fc->c).n > 0)
		fconn_unpark(fc);
}

static bool has_octets(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void park_tls(struct front_link *k, const struct session_card *card, int fd)
{
	struct front *f = k->f;
	struct fconn *fc = hmap_get(f->by_id, id_key(&card->id));

	if (fc == NULL || fc->state != FC_SHOVEL) {
		close(fd);
		session_msg_id(k->c, SMSG_GONE, card->id);
		return;
	}
	fc->link = k;
	buf_init(&fc->kept, SESSION_STATE_MAX);
	buf_put(&fc->kept, card->state);
	fc->card.idle_left_s = card->idle_left_s;
	if (conn_unsent(fc->pair) > 0 || fc->client_ended || has_octets(fd)) {
		fc->card.parked = true;                               /* the client spoke just now: no sleep */
		send_start(fc, k, SLICE_NONE, fd);
		fc->card.parked = false;
		buf_done(&fc->kept);
		return;
	}
	fc->parking = true;
	close(fd);                                                    /* on_pair_close comes when all is read */
}

static void on_parked_readable(void *ctx, unsigned events)
{
	struct fconn *fc = ctx;
	char c;

	(void)events;
	if (recv(fc->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 && errno != EAGAIN) {
		fconn_free(fc);
		return;
	}
	fconn_unpark(fc);
}

static void park_plain(struct front_link *k, const struct session_card *card, int fd)
{
	struct front *f = k->f;
	struct fconn *fc = mem_new(sizeof(*fc));
	size_t n = slice_head(card->session_id, sizeof(fc->session_id) - 1).n;
	char *p = mem_new(card->user.n + card->method.n + 1);

	fc->f = f;
	fc->link = k;
	fc->fd = fd;
	fc->texts = p;
	fc->card = *card;
	memcpy(p, card->user.p, card->user.n);
	fc->card.user = slice_mem(p, card->user.n);
	if (card->method.n > 0)
		memcpy(p + card->user.n, card->method.p, card->method.n);
	fc->card.method = slice_mem(p + card->user.n, card->method.n);
	memcpy(fc->session_id, card->session_id.p, n);
	fc->card.session_id = fc->card.state = fc->card.left = fc->card.ticket = SLICE_NONE;
	fc->info.peer = card->peer;
	buf_init(&fc->kept, SESSION_STATE_MAX);
	buf_put(&fc->kept, card->state);
	fc->state = FC_PARKED;
	list_append(&f->passed, &fc->node);
	(void)hmap_put(f->by_id, id_key(&fc->card.id), fc);
	loop_fd_add(f->l, &fc->watch, fd, LOOP_READ, on_parked_readable, fc);
	loop_timer_start(f->l, &fc->timer, (int64_t)card->idle_left_s * 1000, on_autologout, fc);
}

/*
 * From the spawner
 */

static void on_refused(struct front *f, const struct session_card *card, int fd)
{
	struct fconn *fc = card->tls ? hmap_get(f->by_id, id_key(&card->id)) : NULL;
	struct buf why, out;

	buf_init(&why, SESSION_STATE_MAX);
	buf_init(&out, SESSION_STATE_MAX + 256);
	buf_put(&why, card->state);
	if (fc != NULL && fc->state == FC_SHOVEL) {
		conn_free(&fc->pair);
		refuse(fc, buf_str(&why));
	} else if (!card->tls) {
		f->proto->refuse(buf_str(&why), &out);
		(void)send(fd, out.p, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	close(fd);
	buf_done(&why);
	buf_done(&out);
}

static void on_card(struct front_link *k, struct msg *m)
{
	struct session_card card;
	int fd;

	if (session_msg_read_card(m, &card) < 0 || (fd = msg_take_fd(m)) < 0) {
		log_error("a message of the spawner is broken");
		return;
	}
	if (m->type == SMSG_REFUSED)
		on_refused(k->f, &card, fd);
	else if (card.tls)
		park_tls(k, &card, fd);
	else
		park_plain(k, &card, fd);
}

static void on_wake(struct front *f, struct msg *m)
{
	struct fconn *fc;
	uint64_t id;

	if (session_msg_read_id(m, &id) < 0 || (fc = hmap_get(f->by_id, id_key(&id))) == NULL)
		return;
	if (fc->state == FC_PARKED)
		fconn_unpark(fc);
	else if (fc->parking)
		fc->wake_due = true;
}

static void on_evict(struct front *f, struct msg *m)
{
	struct fconn *fc;
	uint64_t id;

	if (session_msg_read_id(m, &id) < 0 || (fc = hmap_get(f->by_id, id_key(&id))) == NULL || fc->state != FC_PARKED)
		return;
	refuse(fc, "Too many connections of this user: the one idle longest is closed for a new login");
}

static void on_msg(void *ctx, struct msg *m)
{
	struct front_link *k = ctx;

	switch ((enum session_msg)m->type) {
	case SMSG_PARKED:
	case SMSG_REFUSED:
		on_card(k, m);
		break;
	case SMSG_WAKE:
		on_wake(k->f, m);
		break;
	case SMSG_EVICT:
		on_evict(k->f, m);
		break;
	default:
		log_error("the spawner sent an unexpected message");
		break;
	}
}

/*
 * Links
 */

static void dismiss_orphans(void *ctx)
{
	struct front *f = ctx;
	unsigned n_done = 0;

	LIST_EACH_SAFE(n, &f->passed) {
		struct fconn *fc = LIST_OF(n, struct fconn, node);

		if (fc->link != NULL || fc->state != FC_PARKED)
			continue;
		if (++n_done > DISMISS_PER_TURN) {
			loop_timer_start(f->l, &f->dismiss, DISMISS_MS, dismiss_orphans, f);
			return;
		}
		refuse(fc, SPAWNER_LOST);
	}
}

static void link_free(struct front_link *k)
{
	struct front *f = k->f;

	LIST_EACH(n, &f->passed) {
		struct fconn *fc = LIST_OF(n, struct fconn, node);

		if (fc->link == k)
			fc->link = NULL;
	}
	LIST_EACH(n, &f->ready) {
		struct fconn *fc = LIST_OF(n, struct fconn, node);

		if (fc->link == k)
			fc->link = NULL;
	}
	if (f->spawner == k)
		f->spawner = NULL;
	list_remove(&k->node);
	chan_free(&k->c);
	free(k);
}

/* Nobody listens for the mail of those parked any more, and the next spawner would not believe us whose they are: they are told so one after
   another, so that no storm of logins comes of it. */
static void on_spawner_close(void *ctx)
{
	struct front_link *k = ctx;
	struct front *f = k->f;

	link_free(k);
	dismiss_orphans(f);
}

static void on_space(void *ctx)
{
	const struct front_link *k = ctx;

	pass_ready(k->f);
}

static const struct chan_ops spawner_ops = { .on_msg = on_msg, .on_close = on_spawner_close, .on_space = on_space };

void front_spawner_link(struct front *f, unsigned generation, int fd)
{
	struct front_link *k = mem_new(sizeof(*k));

	k->f = f;
	k->generation = generation;
	k->c = chan_new(f->l, fd, &spawner_ops, k);
	list_append(&f->links, &k->node);
	f->spawner = k;
	f->next_generation = f->next_generation || f->retiring;
	pass_ready(f);
}

void front_links_free(struct front *f)
{
	LIST_EACH_SAFE(n, &f->links)
		link_free(LIST_OF(n, struct front_link, node));
}

void front_end_all(struct front *f)
{
	LIST_EACH(n, &f->links)
		session_msg_id(LIST_OF(n, struct front_link, node)->c, SMSG_RETIRE, 0);
	LIST_EACH_SAFE(n, &f->passed) {
		struct fconn *fc = LIST_OF(n, struct fconn, node);

		if (fc->state == FC_PARKED)
			refuse(fc, "The server is being stopped, please come again");
	}
}
