/*
 * store/store.c - the verbs: names are checked here, once, for every backend.
 */
#include "store/store.h"

#include <string.h>

#define NAME_MOST 200

bool store_name_is_valid(const char *name)
{
	char before = '/';
	size_t n = 0;

	for (; name[n] != '\0'; before = name[n++]) {
		char c = name[n];

		if (n == NAME_MOST || (before == '/' && (c == '/' || c == '.')))
			return false;
		if (!ascii_is_alnum(c) && strchr("._-/", c) == NULL)
			return false;
	}
	return before != '/';
}

static int check(const char *name, struct err *e)
{
	return store_name_is_valid(name) ? 0 : err_set(e, ERR_DENIED, 0, "not a name for the store");
}

void store_close(struct store **s)
{
	if (*s != NULL)
		(*s)->ops->close(*s);
	*s = NULL;
}

int store_blob_put(struct store *s, const char *name, struct slice octets, struct err *e)
{
	return check(name, e) != 0 ? -1 : s->ops->blob_put(s, name, octets, e);
}

int store_blob_get(struct store *s, const char *name, struct buf *out, struct err *e)
{
	return check(name, e) != 0 ? -1 : s->ops->blob_get(s, name, out, e);
}

int store_blob_delete(struct store *s, const char *name, struct err *e)
{
	return check(name, e) != 0 ? -1 : s->ops->blob_delete(s, name, e);
}

int store_log_append(struct store *s, const char *name, uint64_t expected, uint64_t fence, struct slice record, uint64_t *end_out, struct err *e)
{
	if (record.n == 0)
		return err_set(e, ERR_SYNTAX, 0, "an empty record");
	return check(name, e) != 0 ? -1 : s->ops->log_append(s, name, expected, fence, record, end_out, e);
}

int store_log_read(struct store *s, const char *name, uint64_t from, store_fn *fn, void *ctx, uint64_t *end_out, struct err *e)
{
	return check(name, e) != 0 ? -1 : s->ops->log_read(s, name, from, fn, ctx, end_out, e);
}

int store_log_trim(struct store *s, const char *name, uint64_t before, struct err *e)
{
	return check(name, e) != 0 ? -1 : s->ops->log_trim(s, name, before, e);
}

int store_kv_put(struct store *s, const char *table, struct slice key, struct slice value, uint64_t expires_ms, struct err *e)
{
	return check(table, e) != 0 ? -1 : s->ops->kv_put(s, table, key, value, expires_ms, e);
}

int store_kv_get(struct store *s, const char *table, struct slice key, uint64_t now_ms, struct buf *out, struct err *e)
{
	return check(table, e) != 0 ? -1 : s->ops->kv_get(s, table, key, now_ms, out, e);
}

int store_kv_scan(struct store *s, const char *table, struct slice prefix, uint64_t now_ms, store_fn *fn, void *ctx, struct err *e)
{
	return check(table, e) != 0 ? -1 : s->ops->kv_scan(s, table, prefix, now_ms, fn, ctx, e);
}

int store_lease_take(struct store *s, const char *name, uint64_t holder, uint64_t now_ms, uint64_t until_ms, uint64_t *fence_out, struct err *e)
{
	return check(name, e) != 0 ? -1 : s->ops->lease_take(s, name, holder, now_ms, until_ms, fence_out, e);
}

int store_lease_drop(struct store *s, const char *name, uint64_t holder, struct err *e)
{
	return check(name, e) != 0 ? -1 : s->ops->lease_drop(s, name, holder, e);
}

int store_notify(struct store *s, const char *topic, struct err *e)
{
	return check(topic, e) != 0 ? -1 : s->ops->notify(s, topic, e);
}

int store_listen(struct store *s, const char *topic, int *fd_out, struct err *e)
{
	return check(topic, e) != 0 ? -1 : s->ops->listen(s, topic, fd_out, e);
}
