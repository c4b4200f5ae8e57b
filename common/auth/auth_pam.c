/*
 * auth/auth_pam.c - the line of requests, the children, their deadlines.
 */
#include "auth/auth_pam.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/list.h"
#include "base/mem.h"

struct asker {                                                        /* an auth process */
	struct auth_pam *pam;
	struct chan *chan;
	struct list_node node;
};

struct question {
	struct auth_pam *pam;
	struct asker *asker;                                          /* NULL: it went away */
	uint64_t id;
	struct arena *arena;                                          /* secret */
	const char *user, *password;
	struct net_addr addr;
	struct list_node node;                                        /* of waiting or running */
	pid_t pid;
	int fd;
	struct loop_fd watch;
	struct loop_timer deadline;
};

struct auth_pam {
	struct loop *loop;
	char *service;
	int64_t timeout_ms;
	struct list_node askers, waiting, running;
	size_t n_waiting, n_running;
};

static void start_some(struct auth_pam *p);

struct auth_pam *auth_pam_new(struct loop *l, const char *pam_service, int64_t timeout_ms)
{
	struct auth_pam *p = mem_new(sizeof(*p));

	p->loop = l;
	p->service = mem_str(pam_service);
	p->timeout_ms = timeout_ms;
	list_init(&p->askers);
	list_init(&p->waiting);
	list_init(&p->running);
	return p;
}

static void question_free(struct question *q)
{
	loop_timer_stop(q->pam->loop, &q->deadline);
	if (q->watch.added)
		loop_fd_del(q->pam->loop, &q->watch);
	file_close(&q->fd);
	list_remove(&q->node);
	arena_free(&q->arena);
	free(q);
}

static void reply(struct question *q, enum auth_result result, uint32_t delay_ms, const char *text)
{
	struct auth_msg_pam a = { .id = q->id, .result = result, .delay_ms = delay_ms, .text = slice_of(text) };
	struct msg m;

	if (q->asker == NULL)
		return;
	auth_msg_put_pam(&m, AUTH_MSG_PAM_ANSWER, &a);
	chan_send(q->asker->chan, &m);
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The child is done, or is made to be. */
static void end(struct question *q)
{
	struct auth_pam *p = q->pam;

	kill(q->pid, SIGKILL);
	reap(q->pid);
	p->n_running--;
	question_free(q);
	start_some(p);
}

static void on_deadline(void *ctx)
{
	struct question *q = ctx;

	reply(q, AUTH_TEMP, 0, "PAM did not answer within pam_timeout");
	end(q);
}

static void on_readable(void *ctx, unsigned events)
{
	struct question *q = ctx;
	struct auth_pam_verdict v;

	(void)events;
	if (recv(q->fd, &v, sizeof(v), MSG_DONTWAIT) == (ssize_t)sizeof(v)) {
		v.text[sizeof(v.text) - 1] = '\0';
		reply(q, v.result == AUTH_OK || v.result == AUTH_DENIED ? v.result : AUTH_TEMP, v.delay_ms, v.text);
	} else
		reply(q, AUTH_TEMP, 0, "a PAM module crashed");
	end(q);
}

static NORETURN void child(struct question *q, int fd)
{
	struct auth_pam_verdict v;

	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);                                         /* modules with helpers wait for them */
	auth_pam_ask(q->pam->service, q->user, q->password, &q->addr, &v);
	_exit(send(fd, &v, sizeof(v), MSG_NOSIGNAL) == (ssize_t)sizeof(v) ? 0 : 1);
}

static int start(struct question *q)
{
	int fds[2];
	sigset_t none;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		return -1;
	q->pid = fork();
	if (q->pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		child(q, fds[1]);
	}
	close(fds[1]);
	q->fd = fds[0];
	if (q->pid < 0)
		return -1;
	loop_fd_add(q->pam->loop, &q->watch, q->fd, LOOP_READ, on_readable, q);
	loop_timer_start(q->pam->loop, &q->deadline, q->pam->timeout_ms, on_deadline, q);
	return 0;
}

static void start_some(struct auth_pam *p)
{
	struct list_node *n;

	while (p->n_running < AUTH_PAM_CHILDREN && (n = list_first(&p->waiting)) != NULL) {
		struct question *q = LIST_OF(n, struct question, node);
		list_remove(n);
		p->n_waiting--;
		if (start(q) != 0) {
			reply(q, AUTH_TEMP, 0, "no process for PAM could be started");
			question_free(q);
			continue;
		}
		list_append(&p->running, &q->node);
		p->n_running++;
	}
}

static void forget_asker(struct list_node *head, const struct asker *a)
{
	LIST_EACH(n, head)
		if (LIST_OF(n, struct question, node)->asker == a)
			LIST_OF(n, struct question, node)->asker = NULL;
}

static void asker_free(struct asker *a)
{
	forget_asker(&a->pam->waiting, a);
	forget_asker(&a->pam->running, a);
	list_remove(&a->node);
	chan_free(&a->chan);
	free(a);
}

static void on_close(void *ctx)
{
	asker_free(ctx);
}

static void on_msg(void *ctx, struct msg *m)
{
	struct asker *a = ctx;
	struct auth_pam *p = a->pam;
	struct auth_msg_pam c;

	if (auth_msg_get_pam(m, &c) != 0 || m->type != AUTH_MSG_PAM_CHECK) {
		asker_free(a);
		return;
	}
	struct question *q = mem_new(sizeof(*q));
	*q = (struct question){ .pam = p, .asker = a, .id = c.id, .addr = c.addr, .fd = -1, .arena = arena_new_secret(0) };
	q->user = arena_str(q->arena, c.user);
	q->password = arena_str(q->arena, c.password);
	if (memchr(c.user.p ? c.user.p : "", '\0', c.user.n) != NULL || (c.password.n != 0 && memchr(c.password.p, '\0', c.password.n) != NULL)) {
		reply(q, AUTH_DENIED, 0, "NUL in user or password");
		question_free(q);
	} else if (p->n_waiting >= AUTH_PAM_QUEUE) {
		reply(q, AUTH_TEMP, 0, "too many logins wait for PAM");
		question_free(q);
	} else {
		list_append(&p->waiting, &q->node);
		p->n_waiting++;
		start_some(p);
	}
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_close = on_close };

void auth_pam_link(struct auth_pam *p, int fd)
{
	struct asker *a = mem_new(sizeof(*a));

	a->pam = p;
	list_append(&p->askers, &a->node);
	a->chan = chan_new(p->loop, fd, &ops, a);
}

size_t auth_pam_busy(const struct auth_pam *p)
{
	return p->n_running + p->n_waiting;
}

void auth_pam_free(struct auth_pam **pp)
{
	struct auth_pam *p = pp ? *pp : NULL;
	struct list_node *n;

	if (p == NULL)
		return;
	while ((n = list_first(&p->waiting)) != NULL)
		question_free(LIST_OF(n, struct question, node));
	while ((n = list_first(&p->running)) != NULL) {
		struct question *q = LIST_OF(n, struct question, node);
		kill(q->pid, SIGKILL);
		reap(q->pid);
		question_free(q);
	}
	while ((n = list_first(&p->askers)) != NULL)
		asker_free(LIST_OF(n, struct asker, node));
	free(p->service);
	free(p);
	*pp = NULL;
}
