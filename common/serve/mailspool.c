/*
 * serve/mailspool.c - see the header. The process that holds the locks runs as the spawner does and parses nothing; its child opens the mailbox, confines
 * itself, and only then looks at the first octet of the spool file. When either dies, the file is as it was or empty (mailspool_drain.h).
 */
#include "serve/mailspool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/auth_server.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "serve/boxdir.h"
#include "serve/mailspool_drain.h"
#include "serve/mailspool_lock.h"
#include "serve/session_proc.h"
#include "serve/super.h"

enum { TOUCH_EVERY_S = 60, PAUSES_MOST = 10000, LOOK_MS = 2 };

struct job {
	struct mailspools *m;
	struct list_node node, held;
	char *user, *path, *box_dir;
	pid_t pid;
	bool is_late;                                                 /* logins don't wait for it any more */
	struct loop_timer timer;
};

struct waiting { struct list_node node; void *front; struct session_card card; struct arena *arena; int fd; };

struct mailspools {
	struct loop *l;
	const struct settings *s;
	const struct sandbox_calls *calls;
	mailspool_pass_fn *pass;
	void *ctx;
	struct list_node jobs;
	struct hmap *pauses;                                          /* user -> int64_t: until when */
	struct arena *a;                                              /* of the pauses */
	const char *domain;                                           /* whose users have spool files */
	struct arena *domain_arena;
};

/* ---- the processes ---- */

/* Runs in the child: the mailbox, the sandbox, the messages. */
static int drain_confined(const struct job *j, int fd)
{
	const struct settings *s = j->m->s;
	struct box_options opt = { .special_folders = s->special_folders, .hostname = s->myhostname, .limits_unknown = true };
	static const char *const read_paths[] = { "/usr/lib", NULL };
	const char *write_paths[] = { j->box_dir, NULL };
	struct sandbox sb = { .needs = SESSION_NEEDS, .read_paths = read_paths, .write_paths = write_paths };
	struct err e = ERR_INIT;
	struct box *b = NULL;
	unsigned n = 0;
	int rc;

	if (box_open(&b, j->box_dir, true, &opt, &e) != 0 || sandbox_enter_compiled(&sb, j->m->calls, &e) != 0) {
		log_error("spool: user=<%s>: %s", j->user, e.text);
		return 1;
	}
	rc = mailspool_drain(fd, b, j->box_dir, &n, &e);
	if (n > 0 || rc == 0)
		log_info("spool: user=<%s>, %u messages moved from %s", j->user, n, j->path);
	if (rc != 0)
		log_warn("spool: user=<%s>: %s stays as it is: %s", j->user, j->path, e.text);
	box_close(&b);
	return rc == 0 ? 0 : 1;
}

/* Waits for the child and keeps the lock file young. */
static int wait_for(pid_t pid, const char *path)
{
	int status = 0;

	for (unsigned looks = 1; waitpid(pid, &status, WNOHANG) == 0; looks++) {
		if (looks % (TOUCH_EVERY_S * 1000 / LOOK_MS) == 0)
			mailspool_lock_touch(path);
		usleep(LOOK_MS * 1000);
	}
	if (WIFSIGNALED(status))
		log_error("spool: the process that moved %s died of signal %d (%s); the next login goes on", path, WTERMSIG(status), strsignal(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int drain_locked(const struct job *j)
{
	int fd = -1, parent = (int)getpid(), status = 1, rc;
	struct err e = ERR_INIT;
	pid_t pid;

	rc = mailspool_lock(j->path, MAILSPOOL_LOCK_MS, &fd, &e);
	if (rc != 0) {
		if (rc < 0)
			log_warn("spool: user=<%s>: %s; its messages stay there until a later login", j->user, e.text);
		return rc < 0 ? 1 : 0;
	}
	pid = fork();
	if (pid == 0)
		_exit(proc_tie_to_parent(parent) ? drain_confined(j, fd) : 1);
	if (pid > 0)
		status = wait_for(pid, j->path);
	mailspool_unlock(j->path, &fd);
	return status;
}

static int start_process(struct job *j)
{
	int parent = (int)getpid();

	j->pid = fork();
	if (j->pid != 0)
		return j->pid < 0 ? -1 : 0;
	loop_after_fork(j->m->l);
	if (!proc_tie_to_parent(parent))
		_exit(1);
	(void)log_hold(false);                                        /* no loop here that would write what is held */
	(void)prctl(PR_SET_NAME, "spool");
	session_proc_drop_inherited(-1);
	_exit(drain_locked(j));
}

/* ---- jobs ---- */

static struct job *find_job(struct mailspools *m, struct slice user)
{
	LIST_EACH(n, &m->jobs) {
		struct job *j = LIST_OF(n, struct job, node);

		if (slice_eqs(user, j->user))
			return j;
	}
	return NULL;
}

static void let_go(struct job *j)
{
	struct list_node *n;

	while ((n = list_first(&j->held)) != NULL) {
		struct waiting *w = LIST_OF(n, struct waiting, node);
		struct arena *a = w->arena;

		list_remove(n);
		j->m->pass(j->m->ctx, w->front, &w->card, w->fd);
		arena_free(&a);
	}
}

static void job_free(struct job *j)
{
	loop_timer_stop(j->m->l, &j->timer);
	list_remove(&j->node);
	free(j->user);
	free(j->path);
	free(j->box_dir);
	free(j);
}

static void on_late(void *ctx)
{
	struct job *j = ctx;

	log_info("spool: user=<%s>: %s is large, the login goes on before all of it is moved", j->user, j->path);
	j->is_late = true;
	let_go(j);
}

static void pause_user(struct mailspools *m, const char *user)
{
	int64_t *until = hmap_get(m->pauses, slice_of(user));

	if (until == NULL) {
		if (hmap_count(m->pauses) >= PAUSES_MOST) {
			hmap_free(&m->pauses);
			m->pauses = hmap_new();
			arena_reset(m->a);
		}
		until = arena_alloc(m->a, sizeof *until);
		(void)hmap_put(m->pauses, slice_of(user), until);
	}
	*until = loop_now(m->l) + MAILSPOOL_PAUSE_MS;
}

bool mailspools_reaped(struct mailspools *m, pid_t pid, int status)
{
	struct job *j = NULL;

	if (m == NULL)
		return false;
	LIST_EACH(n, &m->jobs)
		if (LIST_OF(n, struct job, node)->pid == pid)
			j = LIST_OF(n, struct job, node);
	if (j == NULL)
		return false;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		pause_user(m, j->user);
	let_go(j);
	job_free(j);
	return true;
}

/* ---- logins ---- */

/* Malloc'd; NULL: that user has none, or there is nothing in it. Accounts of the first domain are those of the system. */
static char *spool_of(const struct mailspools *m, struct slice user)
{
	ptrdiff_t at = slice_rchr(user, '@');
	struct slice local = at < 0 ? SLICE("") : slice_head(user, (size_t)at);
	struct stat st;
	struct buf path;
	char *found = NULL;

	if (at <= 0 || !slice_ieqs(slice_from(user, (size_t)at + 1), m->domain) || local.p[0] == '.' || slice_chr(local, '/') >= 0 || slice_ends(local, SLICE(".lock")))
		return NULL;
	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/%.*s", m->s->mail_spool_directory, SLICE_FMT(local));
	if (lstat(buf_str(&path), &st) == 0 && st.st_size > 0)
		found = mem_str(buf_str(&path));
	buf_done(&path);
	return found;
}

static struct job *job_start(struct mailspools *m, struct slice user)
{
	const int64_t *until = hmap_get(m->pauses, user);
	struct job *j;
	struct buf dir;
	char *path;

	if ((until != NULL && *until > loop_now(m->l)) || (path = spool_of(m, user)) == NULL)
		return NULL;
	j = mem_new(sizeof *j);
	j->m = m;
	j->path = path;
	list_init(&j->held);
	list_append(&m->jobs, &j->node);
	buf_init(&dir, 4096);
	buf_put(&dir, user);
	j->user = mem_str(buf_str(&dir));
	buf_reset(&dir);
	if (boxdir_of(m->s, user, &dir) == 0)
		j->box_dir = mem_str(buf_str(&dir));
	buf_done(&dir);
	if (j->box_dir != NULL && start_process(j) == 0)
		return j;
	log_error("spool: user=<%s>: no process for it: %s", j->user, strerror(errno));
	job_free(j);
	return NULL;
}

static void keep(struct job *j, void *front, const struct session_card *card, int fd)
{
	struct arena *a = arena_new(1024);
	struct waiting *w = arena_alloc(a, sizeof *w);

	*w = (struct waiting){ .front = front, .card = *card, .arena = a, .fd = fd };
	w->card.user = arena_dup(a, card->user);
	w->card.session_id = arena_dup(a, card->session_id);
	w->card.method = arena_dup(a, card->method);
	w->card.state = arena_dup(a, card->state);
	w->card.left = arena_dup(a, card->left);
	w->card.ticket = SLICE_NONE;
	list_append(&j->held, &w->node);
}

bool mailspools_hold(struct mailspools *m, void *front, const struct session_card *card, int fd)
{
	struct job *j;

	if (m == NULL)
		return false;
	j = find_job(m, card->user);
	if (j == NULL && (j = job_start(m, card->user)) != NULL)
		loop_timer_start(m->l, &j->timer, MAILSPOOL_WAIT_MS, on_late, j);
	if (j == NULL || j->is_late)
		return false;
	keep(j, front, card, fd);
	return true;
}

void mailspools_forget(struct mailspools *m, const void *front)
{
	if (m == NULL)
		return;
	LIST_EACH(n, &m->jobs) {
		struct job *j = LIST_OF(n, struct job, node);

		LIST_EACH_SAFE(k, &j->held) {
			struct waiting *w = LIST_OF(k, struct waiting, node);
			struct arena *a = w->arena;

			if (w->front != front)
				continue;
			list_remove(k);
			close(w->fd);
			arena_free(&a);
		}
	}
}

struct mailspools *mailspools_new(struct loop *l, const struct settings *s, const struct sandbox_calls *calls, mailspool_pass_fn *pass, void *ctx)
{
	struct mailspools *m;

	if (s->mail_spool_directory[0] == '\0')
		return NULL;
	m = mem_new(sizeof *m);
	*m = (struct mailspools){ .l = l, .s = s, .calls = calls, .pass = pass, .ctx = ctx, .pauses = hmap_new(), .a = arena_new(0), .domain_arena = arena_new(0) };
	m->domain = auth_default_domain(s, m->domain_arena);
	list_init(&m->jobs);
	return m;
}

void mailspools_free(struct mailspools **mp)
{
	struct mailspools *m = *mp;
	struct list_node *n;

	*mp = NULL;
	if (m == NULL)
		return;
	while ((n = list_first(&m->jobs)) != NULL) {
		struct job *j = LIST_OF(n, struct job, node);
		struct list_node *k;

		while ((k = list_first(&j->held)) != NULL)
			mailspools_forget(m, LIST_OF(k, struct waiting, node)->front);
		job_free(j);
	}
	hmap_free(&m->pauses);
	arena_free(&m->a);
	arena_free(&m->domain_arena);
	free(m);
}
