/*
 * serve/spawner.c - one process a daemon: knows which session process serves which user, forks one for a user that has none.
 *
 * Runs as posthouse. May open: mailboxes' notify sockets, and what its children need before they confine themselves. Trusts: auth processes as to who
 * logged in; a front must show their ticket (serve/gate.h), or bring back a connection that a session process parked with it (serve/parked.h). Never sees: what a client sends behind its login (it passes by in `left`, unread), passwords, keys.
 *
 * A session process leaves without a race: it asks (EXIT n: "I saw n STARTs"); the answer is yes only where n is all that were sent, and from
 * that moment on the next login of the user gets a new process. For users with parked connections the notify socket is bound here, so that a
 * delivery wakes them although no process of theirs is running.
 */
#include "serve/spawner_in.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "serve/accounts.h"
#include "serve/login.h"
#include "serve/mailspool.h"
#include "serve/sandbox.h"
#include "serve/session_msg.h"
#include "serve/session_proc.h"

enum {
	LINGER_MS = 2000,                                             /* a process waits so long for its user to come again: saves the fork */
	LINGER_PROCESSES = 256                                        /* with more than this it leaves at once */
};

/*
 * Session processes
 */

static void worker_free_if_over(struct worker *w)
{
	struct spawner *sp = w->sp;

	if (!w->chan_closed || !w->reaped)
		return;
	list_remove(&w->node);
	free(w->name);
	free(w);
	sp->n_workers--;
	if (sp->retiring && sp->n_workers == 0 && list_is_empty(&sp->fronts))
		loop_stop(sp->l);
}

static void worker_detach(struct worker *w)
{
	struct suser *u = w->user;

	if (u == NULL)
		return;
	w->user = NULL;
	u->worker = NULL;
	suser_drop_if_unused(u);
}

static void on_worker_close(void *ctx)
{
	struct worker *w = ctx;

	chan_free(&w->c);
	w->chan_closed = true;
	renew_end_all(w->sp->renew, &w->logins);
	worker_detach(w);
	worker_free_if_over(w);
}

static struct sfront *front_by_number(struct spawner *sp, uint32_t number)
{
	LIST_EACH(n, &sp->fronts) {
		struct sfront *f = LIST_OF(n, struct sfront, node);

		if (f->number == number)
			return f;
	}
	return NULL;
}

/* Back to the front it came from; should that be gone, another one can hold a connection without TLS, and one with TLS is lost anyway. */
static void give_back(struct worker *w, enum session_msg type, struct msg *m)
{
	struct spawner *sp = w->sp;
	struct session_card card;
	struct sfront *f;
	int fd;

	if (session_msg_read_card(m, &card) < 0) {
		log_error("session process %d of %s sent a broken message", (int)w->pid, w->name);
		return;
	}
	fd = msg_take_fd(m);
	f = front_by_number(sp, card.front);
	if (f == NULL && !card.tls && !list_is_empty(&sp->fronts))
		f = LIST_OF(list_first(&sp->fronts), struct sfront, node);
	card.user = slice_of(w->name);                                /* whatever it says itself */
	if (f == NULL || fd < 0 || (type == SMSG_PARKED && (w->user == NULL || !suser_park(w->user, f, card.id)))) {
		renew_end(sp->renew, card.front, card.id, card.user);
		if (fd >= 0)
			close(fd);
		return;
	}
	if (type == SMSG_PARKED)
		renew_sleep(sp->renew, card.front, card.id, card.user, f->number, card.in_use);
	else
		renew_end(sp->renew, card.front, card.id, card.user);
	session_msg_card(f->c, type, &card, fd);
}

/* It speaks for its own user alone. */
static void on_use(struct worker *w, struct msg *m)
{
	struct renew *r = w->sp->renew;
	struct session_card card;

	if (session_msg_read_card(m, &card) < 0)
		return;
	if (m->type == SMSG_USED || card.in_use)
		renew_used(r, card.front, card.id, slice_of(w->name));
	if (m->type == SMSG_ENDED)
		renew_end(r, card.front, card.id, slice_of(w->name));
}

static void may_leave(struct worker *w, struct msg *m)
{
	uint64_t seen;

	if (session_msg_read_id(m, &seen) < 0 || seen != w->starts)
		return;
	w->may_leave = true;
	worker_detach(w);
	session_msg_id(w->c, SMSG_EXIT, 0);
}

static void on_worker_msg(void *ctx, struct msg *m)
{
	struct worker *w = ctx;

	switch ((enum session_msg)m->type) {
	case SMSG_PARKED:
	case SMSG_REFUSED:
		give_back(w, (enum session_msg)m->type, m);
		break;
	case SMSG_USED:
	case SMSG_ENDED:
		on_use(w, m);
		break;
	case SMSG_EXIT:
		may_leave(w, m);
		break;
	case SMSG_WAKE:
		if (hmap_get(w->sp->users, slice_of(w->name)) != NULL)
			suser_wake_all(hmap_get(w->sp->users, slice_of(w->name)));
		break;
	case SMSG_EVICT:
		if (w->user != NULL)
			suser_evict_oldest(w->user);
		break;
	default:
		log_error("session process %d of %s sent an unexpected message", (int)w->pid, w->name);
		break;
	}
}

static const struct chan_ops worker_ops = { .on_msg = on_worker_msg, .on_close = on_worker_close };

/* -1: no process could be made; the log says why. */
static int worker_start(struct suser *u)
{
	struct spawner *sp = u->sp;
	struct err e = ERR_INIT;
	struct worker *w;
	int fds[2], parent_pid = (int)getpid();
	pid_t pid;

	if (chan_pair(fds, &e) < 0) {
		log_error("no session process for %.*s: %s", SLICE_FMT(u->name), e.text);
		return -1;
	}
	pid = fork();
	if (pid == 0) {
		struct session_boot boot = { .s = sp->s, .proto = sp->proto, .user = u->name, .box_dir = u->box_dir,
			.fd = fds[1], .parent_pid = parent_pid,
			.calls = sp->calls };

		loop_after_fork(sp->l);
		session_proc_run(&boot);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		log_error("no session process for %.*s: fork: %s", SLICE_FMT(u->name), strerror(errno));
		return -1;
	}
	w = mem_new(sizeof(*w));
	w->sp = sp;
	w->user = u;
	w->pid = pid;
	w->name = mem_str(u->text);
	w->c = chan_new(sp->l, fds[0], &worker_ops, w);
	list_init(&w->logins);
	list_append(&sp->workers, &w->node);
	sp->n_workers++;
	u->worker = w;
	return 0;
}

/* A process that died of a bug: its connections are closed by the kernel, here it gets its line in the log. */
static void report(const struct worker *w, int status)
{
	if (WIFSIGNALED(status))
		log_error("session process %d of user=<%s> died of signal %d (%s); its connections are closed", (int)w->pid, w->name, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		log_error("session process %d of user=<%s> exited with status %d", (int)w->pid, w->name, WEXITSTATUS(status));
}

static struct worker *worker_by_pid(struct spawner *sp, pid_t pid)
{
	LIST_EACH(n, &sp->workers) {
		struct worker *w = LIST_OF(n, struct worker, node);

		if (w->pid == pid && !w->reaped)
			return w;
	}
	return NULL;
}

static void on_child(void *ctx, int signo)
{
	struct spawner *sp = ctx;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct worker *w = worker_by_pid(sp, pid);

		if (w == NULL) {
			(void)mailspools_reaped(sp->spools, pid, status);
			continue;
		}
		report(w, status);
		w->reaped = true;
		worker_free_if_over(w);
	}
}

/*
 * From the fronts
 */

static void refuse(struct sfront *f, struct session_card *card, int fd, const char *why)
{
	card->state = slice_of(why);
	card->left = SLICE_NONE;
	session_msg_card(f->c, SMSG_REFUSED, card, fd);
}

static void begin_or_wake(struct worker *w, const struct session_card *card)
{
	const struct renew_login g = { .front = card->front, .id = card->id, .user = card->user, .session = card->session_id, .addr = card->peer, .tls = card->tls };

	if (card->parked)
		renew_wake(w->sp->renew, card->front, card->id, &w->logins);
	else
		renew_begin(w->sp->renew, &g, &w->logins);
}

static void hand_over(void *ctx, void *front, struct session_card *card, int fd)
{
	struct spawner *sp = ctx;
	struct sfront *f = front;
	struct suser *u = suser_get(sp, card->user);

	if (u == NULL) {
		refuse(f, card, fd, "This name cannot have a mailbox");
		return;
	}
	if (u->worker != NULL && chan_is_full(u->worker->c)) {
		refuse(f, card, fd, "Too many logins of this user at once");
		return;
	}
	if (u->worker == NULL && worker_start(u) < 0) {
		suser_drop_if_unused(u);
		refuse(f, card, fd, "No process could be started, try again in a minute");
		return;
	}
	u->worker->starts++;
	card->parked_others = u->n_parked;
	card->linger_ms = sp->retiring || sp->n_workers > LINGER_PROCESSES ? 0 : LINGER_MS;
	accounts_limits_of(sp->s, sp->accounts, u->name, &card->quota_octets, &card->quota_messages);
	begin_or_wake(u->worker, card);
	session_msg_card(u->worker->c, SMSG_START, card, fd);
}

/* The card is one that may come in. */
static void pass(void *ctx, void *front, struct session_card *card, int fd)
{
	struct spawner *sp = ctx;

	if (!mailspools_hold(sp->spools, front, card, fd))
		hand_over(sp, front, card, fd);
}

static void turn_away(void *ctx, void *front, struct session_card *card, int fd)
{
	const struct sfront *f = front;

	(void)ctx;
	log_warn("login refused: user=<%.*s>, session=<%.*s>, reason=front %u has no ticket of an auth process for that user (was one of them restarted?)",
	    SLICE_FMT(card->user), SLICE_FMT(card->session_id), f->number);
	refuse(front, card, fd, "The login was lost on its way to the mailbox, please log in again");
}

static const struct gate_ops gate_ops = { .pass = pass, .turn_away = turn_away };

static void come_back(struct sfront *f, struct session_card *card, int fd)
{
	struct parked *pk = parked_returns(f->sp->parked, f->number, card->id, card->user);

	if (pk == NULL) {
		log_warn("return refused: user=<%.*s>, session=<%.*s>, reason=no such connection of that user is parked at front %u",
		    SLICE_FMT(card->user), SLICE_FMT(card->session_id), f->number);
		refuse(f, card, fd, "The server has forgotten this connection, please come again");
		return;
	}
	suser_unpark(pk);
	card->ticket = SLICE_NONE;
	pass(f->sp, f, card, fd);
}

static void on_start(struct sfront *f, struct msg *m)
{
	struct session_card card;
	int fd;

	if (session_msg_read_card(m, &card) < 0 || (fd = msg_take_fd(m)) < 0) {
		log_error("a message of front %u is broken", f->number);
		return;
	}
	card.front = f->number;
	if (card.parked)
		come_back(f, &card, fd);
	else
		gate_come(f->sp->gate, f, &card, fd);
}

static void on_gone(struct sfront *f, struct msg *m)
{
	struct parked *pk;
	struct suser *u;
	uint64_t id;

	if (session_msg_read_id(m, &id) < 0 || (pk = parked_get(f->sp->parked, f->number, id)) == NULL)
		return;
	u = pk->user;
	renew_end(f->sp->renew, f->number, id, u->name);
	suser_unpark(pk);
	suser_drop_if_unused(u);
}

static void end_sessions(struct spawner *sp)
{
	LIST_EACH(n, &sp->workers) {
		struct worker *w = LIST_OF(n, struct worker, node);

		if (w->c != NULL)
			session_msg_id(w->c, SMSG_RETIRE, 0);
	}
}

static void on_front_msg(void *ctx, struct msg *m)
{
	struct sfront *f = ctx;

	switch ((enum session_msg)m->type) {
	case SMSG_START:
		on_start(f, m);
		break;
	case SMSG_GONE:
		on_gone(f, m);
		break;
	case SMSG_RETIRE:
		end_sessions(f->sp);
		break;
	default:
		log_error("front %u sent an unexpected message", f->number);
		break;
	}
}

static void on_front_close(void *ctx)
{
	struct sfront *f = ctx;
	struct spawner *sp = f->sp;
	struct slice key;
	void *value;
	size_t at = 0;

	while (hmap_next(sp->parked, &at, &key, &value)) {
		struct parked *pk = value;
		struct suser *u = pk->user;

		if (pk->front == f) {
			renew_end(sp->renew, f->number, pk->key[1], u->name);
			suser_unpark(pk);
			suser_drop_if_unused(u);
		}
	}
	gate_forget(sp->gate, f);
	mailspools_forget(sp->spools, f);
	chan_free(&f->c);
	list_remove(&f->node);
	free(f);
	if (sp->retiring && sp->n_workers == 0 && list_is_empty(&sp->fronts))
		loop_stop(sp->l);
}

static const struct chan_ops front_ops = { .on_msg = on_front_msg, .on_close = on_front_close };

/*
 * The process
 */

static void on_link(void *ctx, const char *role, unsigned index, int fd)
{
	struct spawner *sp = ctx;
	struct sfront *f;

	(void)index;
	if (strcmp(role, "auth") == 0) {
		gate_link(sp->gate, fd);
		return;
	}
	if (strcmp(role, "front") != 0) {
		close(fd);
		return;
	}
	f = mem_new(sizeof(*f));
	f->sp = sp;
	f->number = ++sp->last_front;
	f->c = chan_new(sp->l, fd, &front_ops, f);
	list_prepend(&sp->fronts, &f->node);
}

/* For a reload: the old fronts may still send who is in the middle of a login, and who is connected stays. For good: the fronts say RETIRE. */
static void on_retire(void *ctx)
{
	struct spawner *sp = ctx;

	sp->retiring = true;
	if (sp->n_workers == 0 && list_is_empty(&sp->fronts))
		loop_stop(sp->l);
}

static void confine(struct spawner *sp)
{
	struct arena *a = arena_new(0);
	const char *const read_paths[] = { "/usr/lib", accounts_directory(sp->s, a), NULL };
	const char *write_paths[] = { sp->s->mail_directory, sp->s->mail_spool_directory[0] != '\0' ? sp->s->mail_spool_directory : NULL, NULL };
	struct sandbox sb = { .needs = SANDBOX_UNIX | SANDBOX_FORK, .read_paths = read_paths, .write_paths = write_paths };
	struct err e = ERR_INIT;

	if (sandbox_compile(&sp->calls, SESSION_NEEDS, &e) < 0 || sandbox_enter(&sb, &e) < 0)
		log_fatal("spawner cannot confine itself: %s", e.text);
	arena_free(&a);
}

void session_spawner_run(struct proc *p, const struct session_proto *proto)
{
	static const struct proc_events events = { .on_link = on_link, .on_retire = on_retire };
	struct spawner sp = { .p = p, .l = proc_loop(p), .s = proc_settings(p), .proto = proto };
	struct err e = ERR_INIT;

	sp.users = hmap_new();
	sp.parked = hmap_new();
	sp.gate = gate_new(sp.l, &gate_ops, &sp);
	sp.renew = renew_new(sp.l, sp.s, proto->name);
	list_init(&sp.fronts);
	list_init(&sp.workers);
	loop_signal(sp.l, SIGCHLD, on_child, &sp);
	if (users_open(&sp.accounts, sp.s->accounts_db, &e) != 0) {
		sp.accounts = NULL;
		log_warn("the users' own quotas are not known: %s", e.text);
	}
	confine(&sp);
	sp.spools = mailspools_new(sp.l, sp.s, sp.calls, hand_over, &sp);
	proc_start(p, &events, &sp);
	proc_ready(p);
	loop_run(sp.l);
	mailspools_free(&sp.spools);
	gate_free(&sp.gate);
	renew_free(&sp.renew);
	users_close(&sp.accounts);
	hmap_free(&sp.users);
	hmap_free(&sp.parked);
	sandbox_calls_free(&sp.calls);
}
