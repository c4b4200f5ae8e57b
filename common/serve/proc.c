/*
 * serve/proc.c - a process of a daemon, seen from inside: who it is, its control channel, its links.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/proc_ctl.h"
#include "serve/sandbox.h"
#include "serve/super.h"

#define PROC_ROLE_MAX 64
#define PROC_TIDY_MS 60000
#define PROC_HOLES (4u << 20)

struct proc_link {
	struct list_node node;
	char role[PROC_ROLE_MAX];
	unsigned index, generation;
	int fd;
};

struct proc {
	struct loop *loop;
	const struct settings *settings;
	const struct proc_row *row;
	unsigned index, generation, link_generation;                  /* the last: while on_link runs */
	void *shared;
	struct proc_socket *sockets;
	size_t n_sockets;
	struct chan *ctl;
	const struct proc_events *events;                             /* NULL before proc_start() */
	void *ctx;
	struct list_node links;                                       /* not delivered yet */
	struct loop_task deliver;
	struct loop_timer tidy;
	bool ready, retire_due, stopping;                             /* retire_due: to be told */
	pid_t pid;
};

struct loop *proc_loop(struct proc *p)
{
	return p->loop;
}

const struct settings *proc_settings(const struct proc *p)
{
	return p->settings;
}

unsigned proc_index(const struct proc *p)
{
	return p->index;
}

unsigned proc_generation(const struct proc *p)
{
	return p->generation;
}

void *proc_shared(const struct proc *p)
{
	return p->shared;
}

unsigned proc_link_generation(const struct proc *p)
{
	return p->link_generation;
}

bool proc_is_stopping(const struct proc *p)
{
	return p->stopping;
}

size_t proc_sockets(const struct proc *p, const struct proc_socket **socks_out)
{
	*socks_out = p->sockets;
	return p->n_sockets;
}

/*
 * The control channel
 */

void proc_ctl_link(struct chan *c, const char *role, unsigned index, unsigned generation, int fd)
{
	struct msg m;

	msg_init(&m, PROC_CTL_LINK);
	msg_put_str(&m, role);
	msg_put_u32(&m, index);
	msg_put_u32(&m, generation);
	m.fd = fd;
	chan_send(c, &m);
}

void proc_ctl_retire(struct chan *c, bool stopping)
{
	struct msg m;

	msg_init(&m, PROC_CTL_RETIRE);
	msg_put_u32(&m, stopping);
	chan_send(c, &m);
}

static void proc_deliver(void *ctx)
{
	struct proc *p = ctx;
	struct list_node *node;

	while (p->events != NULL && (node = list_first(&p->links)) != NULL) {
		struct proc_link *k = LIST_OF(node, struct proc_link, node);

		list_remove(node);
		p->link_generation = k->generation;
		if (p->events->on_link != NULL)
			p->events->on_link(p->ctx, k->role, k->index, k->fd);
		else
			close(k->fd);
		free(k);
	}
	if (!p->retire_due || p->events == NULL)
		return;
	p->retire_due = false;
	if (p->events->on_retire != NULL)
		p->events->on_retire(p->ctx);
	else
		loop_stop(p->loop);
}

static void proc_retire(struct proc *p, bool stopping)
{
	p->retire_due = true;
	p->stopping = p->stopping || stopping;
	loop_task_queue(p->loop, &p->deliver, proc_deliver, p);
}

static void proc_take_link(struct proc *p, struct msg *m)
{
	struct proc_link *k = mem_new(sizeof(*k));
	struct slice role = msg_get_slice(m, sizeof(k->role) - 1);

	k->index = msg_get_u32(m);
	k->generation = msg_get_u32(m);
	k->fd = msg_take_fd(m);
	if (!msg_done(m) || k->fd < 0) {                              /* no room for a descriptor: the peer meets a closed link and that is told to it */
		log_error("a link from the supervisor came without its descriptor (RLIMIT_NOFILE?)");
		free(k);
		return;
	}
	memcpy(k->role, role.p, role.n);
	list_append(&p->links, &k->node);
	proc_deliver(p);
}

static void proc_on_msg(void *ctx, struct msg *m)
{
	struct proc *p = ctx;

	if (m->type == PROC_CTL_LINK)
		proc_take_link(p, m);
	else if (m->type == PROC_CTL_RETIRE)
		proc_retire(p, msg_get_u32(m) != 0);
}

/* Without a supervisor nobody reloads, restarts or stops us: finish. */
static void proc_on_ctl_close(void *ctx)
{
	struct proc *p = ctx;

	chan_free(&p->ctl);
	proc_retire(p, true);
}

static void proc_on_sigterm(void *ctx, int signo)
{
	(void)signo;
	proc_retire(ctx, false);
}

void proc_start(struct proc *p, const struct proc_events *ev, void *ctx)
{
	p->events = ev;
	p->ctx = ctx;
	loop_task_queue(p->loop, &p->deliver, proc_deliver, p);
}

void proc_ready(struct proc *p)
{
	struct msg m;

	if (p->ready || p->ctl == NULL)
		return;
	p->ready = true;
	msg_init(&m, PROC_CTL_READY);
	chan_send(p->ctl, &m);
}

/*
 * Memory
 */

/* A thousand TLS handshakes at once leave 30 MB of holes in the heap; malloc returns only what lies at its end. Looked at once a minute. */
static void proc_tidy(void *ctx)
{
	struct proc *p = ctx;
	struct mallinfo2 heap = mallinfo2();

	if (heap.fordblks >= PROC_HOLES && heap.fordblks > heap.uordblks / 4)
		malloc_trim(0);
	loop_timer_start(p->loop, &p->tidy, PROC_TIDY_MS, proc_tidy, p);
}

/*
 * Birth and death
 */

/* Runs at exit(3): what log_fatal() said goes to the supervisor, which may have somebody waiting at a terminal. Not in our own children. */
static void proc_say_last_words(int status, void *arg)
{
	struct proc *p = arg;
	struct msg m;

	if (getpid() != p->pid || status == 0 || p->ctl == NULL || *log_last_error() == '\0')
		return;
	msg_init(&m, PROC_CTL_LAST_WORDS);
	msg_put_slice(&m, slice_head(slice_of(log_last_error()), PROC_CTL_TEXT_MAX));
	chan_send(p->ctl, &m);
}

bool proc_tie_to_parent(int parent_pid)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent_pid;
}

static void proc_set_signals(struct proc *p)
{
	/* A Ctrl-C and a hang-up reach the whole group; the supervisor decides what they mean. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	loop_signal(p->loop, SIGTERM, proc_on_sigterm, p);
}

/* The spool directory's group, for who moves mail out of it (serve/mailspool.h). */
static gid_t proc_spool_group(const struct proc_birth *b)
{
	const char *dir = b->settings->mail_spool_directory;
	struct stat st;

	return b->row->user == PROC_IN_SPOOL_GROUP && dir[0] != '\0' && stat(dir, &st) == 0 ? st.st_gid : 0;
}

static void proc_become(const struct proc_birth *b)
{
	struct err e = ERR_INIT;

	if (b->row->user != PROC_AS_ROOT && sandbox_become_also(b->settings->mail_owner, "", proc_spool_group(b), &e) < 0)
		log_fatal("%s", e.text);
	if (!proc_tie_to_parent(b->parent_pid))                       /* after becoming another user, which would undo it */
		_exit(1);
}

static void proc_set_name(const struct proc_birth *b)
{
	char name[PROC_ROLE_MAX];

	snprintf(name, sizeof(name), "posthouse/%s", b->row->log_name);
	log_name(name);
	snprintf(name, sizeof(name), "%s:%s", b->daemon, b->row->role);
	prctl(PR_SET_NAME, name);
}

static void proc_end(struct proc *p)
{
	LIST_EACH_SAFE(node, &p->links) {
		struct proc_link *k = LIST_OF(node, struct proc_link, node);

		list_remove(node);
		close(k->fd);
		free(k);
	}
	loop_task_cancel(&p->deliver);
	loop_timer_stop(p->loop, &p->tidy);
	chan_free(&p->ctl);
	loop_free(&p->loop);
	free(p->sockets);
	p->sockets = NULL;
}

void proc_live(const struct proc_birth *b)
{
	static const struct chan_ops ops = { .on_msg = proc_on_msg, .on_close = proc_on_ctl_close };
	struct proc p = { .loop = loop_new(), .settings = b->settings, .row = b->row, .index = b->index, .generation = b->generation,
		.shared = b->shared, .n_sockets = b->n_sockets, .pid = getpid() };

	list_init(&p.links);
	p.sockets = mem_array(b->n_sockets + 1, sizeof(*p.sockets));
	for (size_t i = 0; i < b->n_sockets; i++)
		p.sockets[i] = b->sockets[i];
	p.ctl = chan_new(p.loop, b->ctl_fd, &ops, &p);
	on_exit(proc_say_last_words, &p);
	proc_set_name(b);
	proc_set_signals(&p);
	proc_become(b);
	loop_timer_start(p.loop, &p.tidy, PROC_TIDY_MS, proc_tidy, &p);
	b->row->run(&p);
	proc_end(&p);
	exit(0);
}
