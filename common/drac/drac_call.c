/*
 * drac/drac_call.c - see the header.
 */
#include "drac/drac_call.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"

struct drac_link {
	int fd;
	uint32_t xid;
	struct buf reply;
};

int drac_link_open(struct drac_link **l_out, const char *socket_path, struct err *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(socket_path) >= sizeof(sa.sun_path))
		return err_set(e, ERR_SYNTAX, 0, "drac_socket: the path %s is too long", socket_path);
	memcpy(sa.sun_path, socket_path, strlen(socket_path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)(const void *)&sa, sizeof(sa)) != 0) {
		int sys = errno;
		file_close(&fd);
		return err_set(e, sys == EACCES ? ERR_DENIED : ERR_NOTFOUND, sys, "dracd does not answer at %s (is it running?)", socket_path);
	}
	*l_out = mem_new(sizeof(**l_out));
	(*l_out)->fd = fd;
	buf_init(&(*l_out)->reply, LIMIT_DRAC_REPLY + 4);
	return 0;
}

void drac_link_close(struct drac_link **l)
{
	if (l == NULL || *l == NULL)
		return;
	file_close(&(*l)->fd);
	buf_done(&(*l)->reply);
	free(*l);
	*l = NULL;
}

/* Reads until the buffer holds n octets. */
static int read_up_to(struct drac_link *l, size_t n, int64_t end_ms, struct err *e)
{
	while (l->reply.len < n) {
		struct pollfd pfd = { .fd = l->fd, .events = POLLIN };
		int64_t left = end_ms - clock_mono_ms();
		char *room = buf_room(&l->reply, n - l->reply.len);

		if (room == NULL)
			return err_set(e, ERR_LIMIT, 0, "dracd's reply is too large");
		if (left <= 0 || poll(&pfd, 1, (int)left) == 0)
			return err_set(e, ERR_TEMP, 0, "dracd does not answer in time");
		ssize_t got = recv(l->fd, room, n - l->reply.len, MSG_DONTWAIT);
		if (got > 0)
			buf_filled(&l->reply, (size_t)got);
		else if (got == 0 || (errno != EAGAIN && errno != EINTR))
			return err_set(e, ERR_TEMP, got == 0 ? 0 : errno, "dracd closed the connection");
	}
	return 0;
}

int drac_link_call(struct drac_link *l, enum drac_proc proc, struct slice args, int timeout_ms, struct slice *result_out, struct err *e)
{
	int64_t end = clock_mono_ms() + timeout_ms;
	uint32_t xid = ++l->xid, got = 0;
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	xdr_put_u32(&b, 0);
	drac_call_put(&b, xid, 3, proc);
	buf_put(&b, args);
	xdr_set_u32(&b, 0, DRAC_RECORD_LAST | (uint32_t)(b.len - 4));
	int rc = file_write_all(l->fd, buf_view(&b)) == 0 ? 0 : err_set(e, ERR_TEMP, errno, "dracd");

	buf_done(&b);
	buf_reset(&l->reply);
	if (rc != 0 || read_up_to(l, 4, end, e) != 0)
		return -1;
	struct xdr x = { buf_view(&l->reply), false };
	uint32_t n = xdr_get_u32(&x) & ~DRAC_RECORD_LAST;
	if (read_up_to(l, 4 + (size_t)n, end, e) != 0)
		return -1;
	rc = drac_reply_read(slice_from(buf_view(&l->reply), 4), &got, result_out);
	if (rc != 0 || got != xid)
		return err_set(e, ERR_DENIED, 0, "dracd refused the call");
	return 0;
}

int drac_revoke_user(const char *socket_path, struct slice user, unsigned *n_out, struct err *e)
{
	const struct drac_key k = { .user = user };
	struct drac_link *l = NULL;
	struct slice result;
	enum drac_status st;
	uint32_t n = 0;
	struct buf args;

	*n_out = 0;
	if (drac_link_open(&l, socket_path, e) != 0)
		return e->kind == ERR_NOTFOUND ? 0 : -1;
	buf_init(&args, BUF_UNBOUNDED);
	drac_key_put(&args, &k);
	int rc = drac_link_call(l, DRAC3_REVOKE, buf_view(&args), 2000, &result, e);

	if (rc == 0 && (drac_count_read(result, &st, &n) != 0 || st != DRAC3_OK))
		rc = err_set(e, ERR_DENIED, 0, "dracd did not end the grants of %.*s", SLICE_FMT(slice_head(user, 100)));
	*n_out = n;
	buf_done(&args);
	drac_link_close(&l);
	return rc;
}
