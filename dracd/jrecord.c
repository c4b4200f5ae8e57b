/*
 * dracd/jrecord.c - see the header.
 */
#include "dracd/jrecord.h"

#include <string.h>

#include "base/hash.h"

#define MAGIC "DRACJNL2"
#define MAGIC_OLD "DRACJNL1"                                              /* without a salt, as the first release wrote it */
#define RECORD_MAX 2048u
#define HEAD 8u

enum kind { KIND_GRANT = 1, KIND_REVOKE, KIND_FLUSH };

static size_t begin(struct buf *b, enum kind kind)
{
	size_t at = b->len;

	xdr_put_u32(b, 0);
	xdr_put_u32(b, 0);
	xdr_put_u32(b, kind);
	return at;
}

static void finish(struct buf *b, size_t at, uint32_t salt)
{
	size_t n = b->len - at - HEAD;

	xdr_set_u32(b, at, (uint32_t)n);
	xdr_set_u32(b, at + 4, hash_crc32c(salt, b->p + at + HEAD, n));
}

void jrecord_grant(struct buf *b, uint32_t salt, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at)
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
	finish(b, at, salt);
}

void jrecord_revoke(struct buf *b, uint32_t salt, const struct net_addr *addr, struct slice user)
{
	size_t at = begin(b, KIND_REVOKE);

	xdr_put_opaque(b, slice_mem(addr->octets, addr->len));
	xdr_put_opaque(b, user);
	finish(b, at, salt);
}

void jrecord_flush(struct buf *b, uint32_t salt)
{
	finish(b, begin(b, KIND_FLUSH), salt);
}

void jrecord_header(struct buf *b, uint32_t salt)
{
	buf_puts(b, MAGIC);
	xdr_put_u32(b, salt);
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

long jrecord_apply(struct slice in, uint32_t salt, struct table *t, struct table_time now)
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
	if (hash_crc32c(salt, x.rest.p, n) != crc)
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

/* Takes the header off. -1: none that we know. */
static int take_header(struct slice *rest, uint32_t *salt_out)
{
	struct xdr x;

	*salt_out = 0;
	if (slice_starts(*rest, SLICE(MAGIC_OLD))) {
		*rest = slice_from(*rest, sizeof(MAGIC_OLD) - 1);
		return 0;
	}
	if (!slice_starts(*rest, SLICE(MAGIC)))
		return -1;
	x = (struct xdr){ slice_from(*rest, sizeof(MAGIC) - 1), false };
	*salt_out = xdr_get_u32(&x);
	*rest = x.rest;
	return x.broken ? -1 : 0;
}

/* Every record that is whole. Damage is stepped over word by word: all records have a multiple of four octets. Returns the octets in none. */
size_t jrecord_apply_all(struct slice rest, struct table *t, struct table_time now)
{
	size_t lost = 0;
	uint32_t salt;

	if (take_header(&rest, &salt) != 0)
		return rest.n;

	while (rest.n != 0) {
		long used = jrecord_apply(rest, salt, t, now);
		size_t step = rest.n < 4 ? rest.n : 4;
		if (used <= 0)
			lost += step;
		rest = slice_from(rest, used > 0 ? (size_t)used : step);
	}
	return lost;
}
