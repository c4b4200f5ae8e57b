/*
 * queue/control.c - the control socket's server. See control.h, control_msg.h.
 */
#include "queue/control.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "io/net.h"
#include "mail/header.h"
#include "mail/path.h"
#include "queue/control_msg.h"
#include "queue/state.h"

enum { LIMIT_CONTROL_PEERS = 64 };

struct control {
	struct queue *queue;
	int fd;
	struct loop_fd watch;
	struct list_node peers;
	size_t n_peers;
	char *path;
};

struct peer {
	struct list_node node;
	struct control *control;
	struct chan *chan;
	uid_t uid;
	char submitted[QUEUE_ID_MAX];                                 /* waits for the journal; "" none */
	bool large;
};

static void answer(struct peer *p, enum control_status status, int fd, const char *fmt, ...) PRINTF_LIKE(4, 5);

static void answer(struct peer *p, enum control_status status, int fd, const char *fmt, ...)
{
	struct msg m;
	struct buf text;
	va_list ap;

	buf_init(&text, BUF_UNBOUNDED);
	va_start(ap, fmt);
	if (buf_vaddf(&text, fmt, ap) < 0)
		buf_reset(&text);
	va_end(ap);
	msg_init(&m, status);
	msg_put_slice(&m, slice_head(buf_view(&text), CONTROL_TEXT_MAX));
	m.fd = fd;
	chan_send(p->chan, &m);
	buf_done(&text);
}

static bool may_all(const struct peer *p)
{
	return p->uid == 0 || p->uid == geteuid();
}

/* ---- list and show ---- */

static void put_entry(struct buf *out, const struct qmessage *m)
{
	bool active = m->n_out > 0 || m->reporting || list_is_linked(&m->node_local) || list_is_linked(&m->node_remote);
	char head[CONTROL_ENTRY_HEAD] = { 0 };
	size_t at = out->len;

	buf_put(out, slice_mem(head, sizeof(head)));
	envelope_put(&m->env, out);
	num_put_le32(out->p + at, active ? CONTROL_ENTRY_ACTIVE : 0);
	num_put_le32(out->p + at + 4, (uint32_t)(out->len - at - CONTROL_ENTRY_HEAD));
}

/* A file without a name, so that an answer may be of any length. */
static int in_file(struct queue *q, struct slice content)
{
	int fd = open(q->settings->spool_directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 && (file_write_all(fd, content) < 0 || lseek(fd, 0, SEEK_SET) < 0))
		file_close(&fd);
	return fd;
}

static void do_list(struct peer *p, struct qmessage *one)
{
	struct queue *q = p->control->queue;
	struct slice key;
	struct buf out;
	void *value;
	int fd;

	buf_init(&out, BUF_UNBOUNDED);
	if (one != NULL)
		put_entry(&out, one);
	for (size_t at = 0; one == NULL && hmap_next(q->by_token, &at, &key, &value); )
		put_entry(&out, value);
	fd = in_file(q, buf_view(&out));
	buf_done(&out);
	if (fd < 0)
		answer(p, CONTROL_LATER, -1, "cannot write the list: %s", strerror(errno));
	else
		answer(p, CONTROL_OK, fd, "%zu", hmap_count(q->by_token));
}

/* ---- changes ---- */

static void make_due(struct queue *q, struct qmessage *m)
{
	for (size_t i = 0; i < m->env.n_rcpts; i++)
		m->env.rcpts[i].next_try = 0;
	queue_message_go(q, m);
}

static void do_flush(struct peer *p)
{
	struct queue *q = p->control->queue;
	size_t n = 0, count = hmap_count(q->by_token);
	uint64_t *tokens = mem_array(count + 1, sizeof(*tokens));
	struct slice key;
	void *value;

	for (size_t at = 0; n < count && hmap_next(q->by_token, &at, &key, &value); ) {
		struct qmessage *m = value;

		if (!(m->env.flags & ENV_HELD))
			tokens[n++] = m->token;                       /* make_due() may take it off the table */
	}
	for (size_t i = 0; i < n; i++) {
		struct qmessage *m = hmap_get(q->by_token, slice_mem(&tokens[i], sizeof(tokens[i])));

		if (m != NULL)
			make_due(q, m);
	}
	free(tokens);
	answer(p, CONTROL_OK, -1, "%zu messages are being tried now", n);
}

static void do_hold(struct peer *p, struct qmessage *m)
{
	struct queue *q = p->control->queue;

	m->env.flags |= ENV_HELD;
	loop_timer_stop(q->loop, &m->due);
	list_remove(&m->node_local);
	list_remove(&m->node_remote);
	if (m->n_out == 0 && queue_defer(q, m) < 0) {
		answer(p, CONTROL_LATER, -1, "cannot write it to spool/deferred; the log says why");
		return;
	}
	queue_dirty(q, m);
	log_info("%s: held by uid %u", m->env.id, (unsigned)p->uid);
	answer(p, CONTROL_OK, -1, "%s is held; posthouse queue release %s lets it go", m->env.id, m->env.id);
}

static void do_remove(struct peer *p, struct qmessage *m)
{
	struct queue *q = p->control->queue;

	log_info("%s: removed by uid %u; nobody is told", m->env.id, (unsigned)p->uid);
	answer(p, CONTROL_OK, -1, "%s is removed; nobody is told", m->env.id);
	m->removed = true;
	list_remove(&m->node_local);
	list_remove(&m->node_remote);
	queue_round_over(q, m);
}

static void do_verb(struct peer *p, enum control_verb verb, struct slice id)
{
	struct queue *q = p->control->queue;
	struct qmessage *m = id.n > 0 ? hmap_get(q->by_id, id) : NULL;

	if (!may_all(p)) {
		answer(p, CONTROL_DENIED, -1, "%s", verb == CONTROL_LIST || verb == CONTROL_SHOW ?
		    "You are not permitted to see the queue" : "You do not have permission to process the queue");
		return;
	}
	if (!q->recovered && verb != CONTROL_LIST) {
		answer(p, CONTROL_LATER, -1, "the queue is still reading its spool, try again in a moment");
		return;
	}
	if (verb == CONTROL_LIST || verb == CONTROL_FLUSH) {
		if (verb == CONTROL_LIST)
			do_list(p, NULL);
		else
			do_flush(p);
		return;
	}
	if (m == NULL) {
		answer(p, CONTROL_NO, -1, "no message %.*s in the queue", SLICE_FMT(slice_head(id, QUEUE_ID_MAX)));
		return;
	}
	switch (verb) {
	case CONTROL_SHOW:
		do_list(p, m);
		break;
	case CONTROL_HOLD:
		do_hold(p, m);
		break;
	case CONTROL_REMOVE:
		do_remove(p, m);
		break;
	case CONTROL_RELEASE:
		m->env.flags &= ~(unsigned)ENV_HELD;
		queue_dirty(q, m);
		/* fall through */
	default:
		answer(p, CONTROL_OK, -1, "%s is being tried now", m->env.id);
		make_due(q, m);
	}
}

/* ---- submission ---- */

static void on_submitted(void *ctx, const struct journal_place *place, const struct err *err)
{
	struct peer *p = ctx;

	(void)place;
	if (err != NULL) {
		if (p->large)
			entry_large_drop(p->control->queue->entry, p->submitted);
		answer(p, CONTROL_LATER, -1, "%s", err->text);
	} else {
		answer(p, CONTROL_OK, -1, "%s", p->submitted);
	}
	p->submitted[0] = '\0';
}

static bool is_strict(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\0' || (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) || (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			return false;
	}
	return true;
}

static const char *check_envelope(const struct envelope *env, struct arena *a)
{
	struct path path;

	if (env->sender.n > 0 && path_from_text(env->sender, a, &path) < 0)
		return "the sender is no mail address";
	if (env->n_rcpts == 0)
		return "no recipients";
	for (size_t i = 0; i < env->n_rcpts; i++) {
		if (env->rcpts[i].address.n == 0 || env->rcpts[i].address.n > LIMIT_PATH || path_from_text(env->rcpts[i].address, a, &path) < 0)
			return "a recipient is no mail address";
	}
	return NULL;
}

/* Whole and from a plain file: a pipe would let any user stop the queue. */
static const char *read_message(struct queue *q, int fd, struct buf *out)
{
	struct stat st;
	size_t got = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return "the message must come in a plain file";
	if ((uint64_t)st.st_size > q->settings->message_size_limit)
		return "the message is larger than message_size_limit";
	while (got < (size_t)st.st_size) {
		char *to = buf_room(out, (size_t)st.st_size - got);
		ssize_t n = to != NULL ? pread(fd, to, (size_t)st.st_size - got, (off_t)got) : -1;

		if (n <= 0)
			return "the message cannot be read";
		buf_filled(out, (size_t)n);
		got += (size_t)n;
	}
	return is_strict(buf_view(out)) ? NULL : "the message has lines that do not end in CRLF, or a NUL";
}

static void put_received(struct peer *p, const char *id, int64_t now, struct buf *out)
{
	buf_putf(out, "Received: by %s (Posthouse, from uid %u)\r\n\tid %s; ", p->control->queue->settings->myhostname, (unsigned)p->uid, id);
	date_put(now, date_local_zone(now), out);
	buf_puts(out, "\r\n");
}

static void enter_message(struct peer *p, struct envelope *env, struct slice received, struct slice message)
{
	struct queue *q = p->control->queue;
	struct slice pieces[] = { received, message };
	struct err e = ERR_INIT;
	int fd = -1;

	memcpy(p->submitted, env->id, QUEUE_ID_MAX);
	p->large = received.n + message.n > LIMIT_SMTP_MEMORY_BODY;
	if (!p->large) {
		entry_submit(q->entry, env, pieces, 2, on_submitted, p);
		return;
	}
	if (entry_large_open(q->entry, env->id, &fd, &e) < 0 || file_write_all(fd, received) < 0 || file_write_all(fd, message) < 0) {
		if (e.kind == ERR_NONE)
			err_set(&e, err_kind_of(errno), errno, "cannot write the message to the spool");
		file_close(&fd);
		on_submitted(p, NULL, &e);
		return;
	}
	entry_submit_large(q->entry, env, fd, on_submitted, p);
}

static void do_submit(struct peer *p, struct slice text, int fd)
{
	struct queue *q = p->control->queue;
	struct arena *a = arena_new(0);
	struct buf message, received;
	struct envelope env;
	const char *why = NULL;
	int64_t now_us = loop_wall_us(q->loop);

	buf_init(&message, BUF_UNBOUNDED);
	buf_init(&received, BUF_UNBOUNDED);
	if (p->submitted[0] != '\0') {
		answer(p, CONTROL_NO, -1, "one message at a time");
	} else if (entry_state(q->entry, &why) != ENTRY_READY) {
		answer(p, CONTROL_LATER, -1, "%s", why);
	} else if (envelope_parse(text, a, &env, NULL) < 0) {
		answer(p, CONTROL_NO, -1, "the envelope is not understood");
	} else if ((why = check_envelope(&env, a)) != NULL || (why = read_message(q, fd, &message)) != NULL) {
		answer(p, CONTROL_NO, -1, "%s", why);
	} else {
		queue_id_new(env.id, now_us, 998);
		env.arrived = now_us;
		env.client = SLICE("local");
		env.user = slice_of(arena_printf(a, "uid %u", (unsigned)p->uid));
		env.flags &= ENV_SMTPUTF8 | ENV_8BITMIME | ENV_RET_HDRS | ENV_RET_FULL;
		put_received(p, env.id, now_us / CLOCK_US_PER_S, &received);
		log_info("%s: uid=%u from=<%.*s>", env.id, (unsigned)p->uid, SLICE_FMT(env.sender));
		enter_message(p, &env, buf_view(&received), buf_view(&message));
	}
	buf_done(&received);
	buf_done(&message);
	arena_free(&a);
}

/* ---- peers ---- */

static void on_msg(void *ctx, struct msg *m)
{
	struct peer *p = ctx;
	struct slice s = msg_get_slice(m, CONTROL_ENVELOPE_MAX);

	if (!msg_done(m))
		answer(p, CONTROL_NO, -1, "the request is not understood");
	else if (m->type == CONTROL_SUBMIT)
		do_submit(p, s, m->fd);
	else if (m->type >= CONTROL_LIST && m->type <= CONTROL_FLUSH)
		do_verb(p, (enum control_verb)m->type, s);
	else
		answer(p, CONTROL_NO, -1, "unknown request %u", m->type);
}

static void on_close(void *ctx)
{
	struct peer *p = ctx;

	entry_forget(p->control->queue->entry, p);
	list_remove(&p->node);
	p->control->n_peers--;
	chan_free(&p->chan);
	free(p);
}

static const struct chan_ops chan_ops = { on_msg, on_close, NULL };

static void on_connection(void *ctx, unsigned events)
{
	struct control *c = ctx;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct peer *p;

	(void)events;
	if (fd < 0)
		return;
	if (c->n_peers >= LIMIT_CONTROL_PEERS || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		close(fd);
		return;
	}
	p = mem_new(sizeof(*p));
	p->control = c;
	p->uid = cred.uid;
	list_append(&c->peers, &p->node);
	c->n_peers++;
	p->chan = chan_new(c->queue->loop, fd, &chan_ops, p);
}

int control_new(struct control **c_out, struct queue *q, struct err *e)
{
	struct control *c = mem_new(sizeof(*c));
	struct buf path;

	c->queue = q;
	list_init(&c->peers);
	buf_init(&path, BUF_UNBOUNDED);
	buf_putf(&path, "%s/queue.sock", q->settings->runtime_directory);
	c->path = mem_str(buf_str(&path));
	buf_done(&path);
	c->fd = net_listen_unix(c->path, SOCK_SEQPACKET, 0666, e);
	if (c->fd < 0) {
		free(c->path);
		free(c);
		return -1;
	}
	loop_fd_add(q->loop, &c->watch, c->fd, LOOP_READ, on_connection, c);
	*c_out = c;
	return 0;
}

void control_free(struct control **cp)
{
	struct control *c = *cp;
	struct list_node *n;

	if (c == NULL)
		return;
	while ((n = list_first(&c->peers)) != NULL)
		on_close(LIST_OF(n, struct peer, node));
	loop_fd_del(c->queue->loop, &c->watch);
	close(c->fd);
	free(c->path);
	free(c);
	*cp = NULL;
}
