/*
 * map/map.c - the one interface: reads the spec, folds keys, calls the kind.
 */
#include "map/map.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/idn.h"
#include "map/map_impl.h"

void *map_impl_new(size_t size, const struct map_ops *ops, const char *path)
{
	struct map *m = calloc(1, size);

	if (m == NULL || (m->path = strdup(path)) == NULL)
		abort();
	m->ops = ops;
	return m;
}

const char *map_impl_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void map_impl_where(struct map *m, const char *path, unsigned line)
{
	const char *base = map_impl_base(path);

	if (line == 0)
		snprintf(m->where, sizeof(m->where), "%.100s", base);
	else
		snprintf(m->where, sizeof(m->where), "%.100s:%u", base, line);
}

bool map_impl_changed(const char *path, const struct stat *seen, struct stat *now_out)
{
	if (stat(path, now_out) != 0)
		memset(now_out, 0, sizeof(*now_out));
	return now_out->st_ino != seen->st_ino || now_out->st_dev != seen->st_dev || now_out->st_size != seen->st_size ||
	    now_out->st_mtim.tv_sec != seen->st_mtim.tv_sec || now_out->st_mtim.tv_nsec != seen->st_mtim.tv_nsec;
}

int map_impl_reload(struct map *m, struct stat *seen, bool loaded, int (*load)(struct map *m, bool exists, struct err *e), struct err *e)
{
	struct stat now;
	struct err why = ERR_INIT;

	if (!map_impl_changed(m->path, seen, &now) && loaded)
		return 0;
	*seen = now;
	if (load(m, now.st_ino != 0, &why) == 0) {
		m->stale = false;
		m->generation++;
		return 0;
	}
	if (!loaded)
		return err_set(e, why.kind, 0, "%s", why.text);
	m->stale = true;
	memcpy(m->warning, why.text, sizeof(m->warning));
	return 0;
}

static int open_memory_only(struct map **m_out, const char *path, struct err *e)
{
	return map_mem_open(m_out, path, MAP_TEXT_TABLE, e);
}

static int open_table(struct map **m_out, const char *path, struct err *e)
{
	return map_source_open(m_out, path, MAP_TEXT_TABLE, e);
}

static int open_aliases(struct map **m_out, const char *path, struct err *e)
{
	return map_source_open(m_out, path, MAP_TEXT_ALIASES, e);
}

static int open_list(struct map **m_out, const char *path, struct err *e)
{
	return map_mem_open(m_out, path, MAP_TEXT_LIST, e);
}

int map_open(struct map **m_out, const char *spec, struct err *e)
{
	static const struct {
		struct slice prefix;
		int (*open)(struct map **m_out, const char *path, struct err *e);
	} kinds[] = {
		{ SLICE_INIT("/"), open_table },
		{ SLICE_INIT("table:"), open_table },
		{ SLICE_INIT("text:"), open_memory_only },
		{ SLICE_INIT("aliases:"), open_aliases },
		{ SLICE_INIT("list:"), open_list },
		{ SLICE_INIT("btree:"), map_db_open },
		{ SLICE_INIT("hash:"), map_db_open },
		{ SLICE_INIT("snapshot:"), map_snapshot_open },
		{ SLICE_INIT("cidr:"), map_cidr_open },
		{ SLICE_INIT("regexp:"), map_regexp_open },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!slice_starts(slice_of(spec), kinds[i].prefix))
			continue;
		const char *path = spec[0] == '/' ? spec : spec + kinds[i].prefix.n;
		if (path[0] != '/')
			return err_set(e, ERR_SYNTAX, 0, "table %s: the path must begin with '/'", spec);
		return kinds[i].open(m_out, path, e);
	}
	return err_set(e, ERR_SYNTAX, 0, "table %s: unknown kind; known are table, text, aliases, list, btree, hash, cidr, regexp", spec);
}

void map_close(struct map **m)
{
	if (m == NULL || *m == NULL)
		return;
	(*m)->ops->close(*m);
	free((*m)->path);
	free(*m);
	*m = NULL;
}

int map_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e)
{
	if (slice_is_empty(key))
		return 0;
	return m->ops->get(m, m->ops->raw_key ? key : idn_fold_key(key, a), a, value_out, e);
}

const char *map_where(const struct map *m)
{
	return m->where;
}

const char *map_warning(const struct map *m)
{
	return m->warning;
}

bool map_is_stale(const struct map *m)
{
	return m->stale;
}

unsigned map_generation(const struct map *m)
{
	return m->generation;
}

int map_refresh(struct map *m, struct err *e)
{
	return m->ops->refresh(m, e);
}

int map_each(struct map *m, int (*fn)(void *ctx, struct slice key, struct slice value), void *ctx, struct err *e)
{
	if (m->ops->each == NULL)
		return err_set(e, ERR_SYNTAX, 0, "table %s holds patterns and can't be listed", m->path);
	return m->ops->each(m, fn, ctx, e);
}
