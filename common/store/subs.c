/*
 * store/subs.c - subscriptions: a text of the box, a name a line.
 */
#include "store/box.h"

int subs_load(struct box *b, struct buf *out, struct err *e)
{
	struct err why;

	if (store_kv_get(b->top, SUBS_NAME, out, &why) == 0 || why.kind == ERR_NOTFOUND)
		return 0;
	*e = why;
	return -1;
}

static bool subs_has(struct slice text, struct slice name)
{
	struct slice line;

	while (slice_next(&text, '\n', &line))
		if (slice_eq(line, name) && name.n > 0)
			return true;
	return false;
}

/* Each line that is not (below) `from`; those that are come under `to`, unless that is SLICE_NONE. */
void subs_rewrite(struct slice text, struct slice from, struct slice to, bool below, struct buf *out)
{
	struct slice line;

	while (slice_next(&text, '\n', &line)) {
		bool hit = slice_eq(line, from) || (below && slice_starts(line, from) && line.n > from.n && line.p[from.n] == '/');

		if (line.n == 0 || (hit && to.p == NULL))
			continue;
		if (hit)
			buf_put(out, to);
		buf_put(out, hit ? slice_from(line, from.n) : line);
		buf_putc(out, '\n');
	}
}

int subs_save(struct box *b, const struct buf *text, struct err *e)
{
	return store_kv_put(b->top, SUBS_NAME, buf_view(text), !b->making, e);
}

static int subscribe_locked(struct box *b, struct slice name, bool on, struct err *e)
{
	struct buf old, next;
	int rc;

	buf_init(&old, SUBS_MAX);
	buf_init(&next, BUF_UNBOUNDED);
	rc = subs_load(b, &old, e);
	if (rc == 0 && subs_has(buf_view(&old), name) != on) {
		subs_rewrite(buf_view(&old), name, SLICE_NONE, false, &next);
		if (on) {
			buf_put(&next, name);
			buf_putc(&next, '\n');
		}
		rc = next.len > SUBS_MAX ? err_set(e, ERR_LIMIT, 0, "too many subscriptions") : subs_save(b, &next, e);
	}
	buf_done(&old);
	buf_done(&next);
	return rc;
}

int box_subscribe(struct box *b, struct slice name, bool on, struct err *e)
{
	struct buf canonical;
	int rc;

	buf_init(&canonical, BUF_UNBOUNDED);
	rc = folder_name_check(name, &canonical, e);
	if (rc == 0)
		rc = box_lock(b, e);
	if (rc == 0) {
		rc = subscribe_locked(b, buf_view(&canonical), on, e);
		box_unlock(b);
	}
	buf_done(&canonical);
	return rc;
}
