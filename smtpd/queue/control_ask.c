/*
 * queue/control_ask.c - the control socket's client, for commands. See control.h, control_msg.h.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "io/net.h"
#include "queue/control.h"
#include "queue/control_msg.h"

enum { ANSWER_MS = 30000 };

static int connect_queue(const struct settings *s, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct slice dir = slice_of(s->runtime_directory);
	int fd;

	if (dir.n + sizeof("/queue.sock") > sizeof(un.sun_path))
		return err_set(e, ERR_LIMIT, 0, "runtime_directory is too long a path for a socket");
	memcpy(un.sun_path, dir.p, dir.n);
	memcpy(un.sun_path + dir.n, "/queue.sock", sizeof("/queue.sock"));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&un, sizeof(un)) < 0) {
		err_set(e, err_kind_of(errno), errno, "cannot reach the queue at %s (is smtpd running?)", un.sun_path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static int call(const struct settings *s, struct msg *m, struct msg *reply, struct buf *text_out, enum control_status *status_out, struct err *e)
{
	int fd = connect_queue(s, e), rc;
	struct slice words;

	if (fd < 0) {
		msg_free(m);
		return -1;
	}
	rc = chan_call_fd(fd, m, reply, ANSWER_MS, e);
	close(fd);
	if (rc < 0)
		return -1;
	words = msg_get_slice(reply, CONTROL_TEXT_MAX);
	if (reply->broken) {
		msg_free(reply);
		return err_set(e, ERR_TEMP, 0, "the queue's answer is not understood");
	}
	buf_put(text_out, words);
	*status_out = (enum control_status)reply->type;
	return 0;
}

static int read_all(int fd, struct buf *out)
{
	for (;;) {
		char *to = buf_room(out, 65536);
		ssize_t n = to != NULL ? read(fd, to, 65536) : -1;

		if (n <= 0)
			return (int)n;
		buf_filled(out, (size_t)n);
	}
}

static void each_entry(struct slice all, control_envelope_fn *fn, void *ctx)
{
	while (all.n >= CONTROL_ENTRY_HEAD) {
		uint32_t flags = num_get_le32(all.p), n = num_get_le32(all.p + 4);

		all = slice_from(all, CONTROL_ENTRY_HEAD);
		if (n > all.n)
			return;
		fn(ctx, slice_head(all, n), (flags & CONTROL_ENTRY_ACTIVE) != 0);
		all = slice_from(all, n);
	}
}

int control_ask(const struct settings *s, enum control_verb verb, const char *id, control_envelope_fn *fn, void *ctx, struct buf *text_out,
    enum control_status *status_out, struct err *e)
{
	struct msg m, reply;
	struct buf all;
	int rc = 0;

	msg_init(&m, verb);
	msg_put_str(&m, id);
	if (call(s, &m, &reply, text_out, status_out, e) < 0)
		return -1;
	if (reply.fd >= 0 && fn != NULL) {
		buf_init(&all, BUF_UNBOUNDED);
		if (read_all(reply.fd, &all) < 0)
			rc = err_set(e, ERR_TEMP, errno, "cannot read the queue's list");
		else
			each_entry(buf_view(&all), fn, ctx);
		buf_done(&all);
	}
	msg_free(&reply);
	return rc;
}

int control_submit(const struct settings *s, const struct envelope *env, int message_fd, struct buf *text_out, enum control_status *status_out,
    struct err *e)
{
	struct msg m, reply;
	struct buf text;

	buf_init(&text, BUF_UNBOUNDED);
	envelope_put(env, &text);
	msg_init(&m, CONTROL_SUBMIT);
	msg_put_slice(&m, buf_view(&text));
	buf_done(&text);
	m.fd = dup(message_fd);
	if (call(s, &m, &reply, text_out, status_out, e) < 0)
		return -1;
	msg_free(&reply);
	return 0;
}
