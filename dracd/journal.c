/*
 * dracd/journal.c - see the header.
 */
#include "dracd/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"

#define MAGIC "DRACJNL1"
#define RECORD_MAX 2048u
#define HEAD 8u
#define FILE_MAX (1u << 30)
#define REWRITE_LEAST (4u << 20)                                          /* no sooner than that */

enum kind { KIND_GRANT = 1, KIND_REVOKE, KIND_FLUSH };

struct journal {
	char *path;
	int fd;
	struct buf pending;
	size_t size, rewrite_at;
};

static size_t begin(struct buf *b, enum kind kind)
{
	size_t at = b->len;

	xdr_put_u32(b, 0);
	xdr_put_u32(b, 0);
	xdr_put_u32(b, kind);
	return at;
}

static void finish(struct buf *b, size_t at)
{
	size_t n = b->len - at - HEAD;

	xdr_set_u32(b, at, (uint32_t)n);
	xdr_set_u32(b, at + 4, hash_crc32c(0, b->p + at + HEAD, n));
}

static void put_grant(struct buf *b, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at)
{
	size_t at = begin(b, KIND_GRANT);

	xdr_put_u64(b, (uint64_t)login_at);
	xdr_put_u64(b, (uint64_t)expires_at);
	xdr_put_opaque(b, slice_mem(addr->octets, addr->len));
	xdr_put_opaque(b, who->user);
	xdr_put_opaque(b, who->service);
	xdr_put_opaque(b, who->host);
	xdr_put_opaque(b, who->session);
	xdr_put_u32(b, who->flags);
	finish(b, at);
}

static bool get_addr(struct xdr *x, struct net_addr *out)
{
	struct slice s = xdr_get_opaque(x, 16);

	memset(out, 0, sizeof(*out));
	if (s.n != 0)
		memcpy(out->octets, s.p, s.n);
	out->len = (uint8_t)s.n;
	return s.n == 0 || s.n == 4 || s.n == 16;
}

static bool apply_grant(struct xdr *x, struct table *t, struct table_time now)
{
	int64_t login_at = (int64_t)xdr_get_u64(x), expires_at = (int64_t)xdr_get_u64(x);
	struct net_addr addr;
	struct drac_who who;

	if (!get_addr(x, &addr) || addr.len == 0)
		return false;
	who.user = xdr_get_opaque(x, DRAC_USER_MAX);
	who.service = xdr_get_opaque(x, DRAC_SERVICE_MAX);
	who.host = xdr_get_opaque(x, DRAC_HOST_MAX);
	who.session = xdr_get_opaque(x, DRAC_SESSION_MAX);
	who.flags = xdr_get_u32(x);
	if (!xdr_done(x) || login_at < 0 || expires_at < 0)
		return false;
	table_restore(t, &addr, &who, login_at, expires_at, now);
	return true;
}

static bool apply_revoke(struct xdr *x, struct table *t)
{
	struct net_addr addr;

	if (!get_addr(x, &addr))
		return false;
	struct slice user = xdr_get_opaque(x, DRAC_USER_MAX);

	if (!xdr_done(x))
		return false;
	table_revoke(t, &addr, user, NULL, NULL);
	return true;
}

long journal_apply(struct slice in, struct table *t, struct table_time now)
{
	struct xdr head = { in, false };
	uint32_t n = xdr_get_u32(&head), crc = xdr_get_u32(&head);

	if (head.broken)
		return 0;
	if (n < 4 || n > RECORD_MAX)
		return -1;
	if (head.rest.n < n)
		return 0;
	struct xdr x = { slice_head(head.rest, n), false };
	if (hash_crc32c(0, x.rest.p, n) != crc)
		return -1;
	bool ok;

	switch (xdr_get_u32(&x)) {
	case KIND_GRANT: ok = apply_grant(&x, t, now); break;
	case KIND_REVOKE: ok = apply_revoke(&x, t); break;
	case KIND_FLUSH: ok = xdr_done(&x); table_flush(t); break;
	default: ok = false;
	}
	return ok ? (long)(HEAD + n) : -1;
}

static int replay(const char *path, struct table *t, struct table_time now, size_t *lost_out, struct err *e)
{
	struct buf b;
	struct err why = ERR_INIT;
	long used = 1;

	buf_init(&b, FILE_MAX);
	if (file_read(path, &b, &why) != 0) {
		buf_done(&b);
		return why.kind == ERR_NOTFOUND ? 0 : err_set(e, why.kind, 0, "%s", why.text);
	}
	struct slice rest = buf_view(&b);

	if (slice_starts(rest, SLICE(MAGIC)))
		rest = slice_from(rest, sizeof(MAGIC) - 1);
	else
		used = -1;
	while (used > 0 && rest.n != 0 && (used = journal_apply(rest, t, now)) > 0)
		rest = slice_from(rest, (size_t)used);
	*lost_out = rest.n;
	buf_done(&b);
	return 0;
}

static void snapshot_one(void *ctx, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at)
{
	put_grant(ctx, addr, who, login_at, expires_at);
}

/* The whole table into a new file, which takes the name. */
static int rewrite(struct journal *j, struct table *t, struct err *e)
{
	struct buf b;

	file_close(&j->fd);
	buf_init(&b, BUF_UNBOUNDED);
	buf_puts(&b, MAGIC);
	table_each_voucher(t, snapshot_one, &b);
	int rc = file_replace(j->path, buf_view(&b), 0600, e);

	j->size = b.len;
	j->rewrite_at = b.len * 4 > REWRITE_LEAST ? b.len * 4 : REWRITE_LEAST;
	buf_done(&b);
	if (rc != 0)
		return -1;
	j->fd = open(j->path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (j->fd < 0)
		return err_set(e, ERR_TEMP, errno, "%s", j->path);
	buf_reset(&j->pending);                                           /* the table has it all */
	return 0;
}

int journal_open(struct journal **j_out, const char *path, struct table *t, struct table_time now, size_t *lost_out, struct err *e)
{
	struct journal *j = mem_new(sizeof(*j));

	j->fd = -1;
	j->path = mem_str(path);
	buf_init(&j->pending, BUF_UNBOUNDED);
	*lost_out = 0;
	if (replay(path, t, now, lost_out, e) != 0 || rewrite(j, t, e) != 0) {
		journal_close(&j);
		return -1;
	}
	*j_out = j;
	return 0;
}

void journal_close(struct journal **jp)
{
	struct journal *j = jp ? *jp : NULL;

	if (j == NULL)
		return;
	file_close(&j->fd);
	buf_done(&j->pending);
	free(j->path);
	free(j);
	*jp = NULL;
}

void journal_grant(struct journal *j, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at)
{
	put_grant(&j->pending, addr, who, login_at, expires_at);
}

void journal_revoke(struct journal *j, const struct net_addr *addr, struct slice user)
{
	size_t at = begin(&j->pending, KIND_REVOKE);

	xdr_put_opaque(&j->pending, slice_mem(addr->octets, addr->len));
	xdr_put_opaque(&j->pending, user);
	finish(&j->pending, at);
}

void journal_flush(struct journal *j)
{
	finish(&j->pending, begin(&j->pending, KIND_FLUSH));
}

bool journal_is_dirty(const struct journal *j)
{
	return j->pending.len != 0;
}

int journal_sync(struct journal *j, struct table *t, struct err *e)
{
	if (j->pending.len == 0)
		return 0;
	if (j->fd < 0 || j->size > j->rewrite_at)
		return rewrite(j, t, e);
	if (file_write_all(j->fd, buf_view(&j->pending)) != 0 || fdatasync(j->fd) != 0)
		return rewrite(j, t, e);
	j->size += j->pending.len;
	buf_reset(&j->pending);
	return 0;
}
