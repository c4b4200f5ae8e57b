/* serve/boxdir.c - from a name to a directory; checked here again, whatever was checked before. */
#include "serve/boxdir.h"

#include "base/limits.h"
#include "base/text.h"

static bool is_plain_name(struct slice s)
{
	return s.n > 0 && s.p[0] != '.' && slice_chr(s, '/') < 0 && !text_has_ctl(s);
}

int boxdir_of(const struct settings *s, struct slice user, struct buf *out)
{
	ptrdiff_t at = slice_rchr(user, '@');
	struct slice local, domain;

	if (at <= 0 || user.n > LIMIT_USER_NAME)
		return -1;
	local = slice_head(user, (size_t)at);
	domain = slice_from(user, (size_t)at + 1);
	if (!is_plain_name(local) || !is_plain_name(domain))
		return -1;
	return buf_addf(out, "%s/%.*s/%.*s", s->mail_directory, SLICE_FMT(domain), SLICE_FMT(local));
}
