/*
 * map/map_source.c - a text and its image: PATH and PATH.db.
 *
 *   text      image       what answers
 *   no        no          nothing: an empty map
 *   no        yes         the image (made by makemap or postmap)
 *   small     any         the text, in memory; the image is written too when it is older, for restarts with a broken text and for other programs
 *   large     fresh       the image
 *   large     older, no   the image, once rebuilt; where this process may not write it (a confined front), the text in memory until somebody who may
 *                         (posthouse check or reload, makemap, newaliases) has written it
 *   broken    yes         what answered before, or the last good image; map_warning() says file and line
 *   broken    no          what answered before, or the error
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/idn.h"
#include "map/map_impl.h"

struct map_source {
	struct map base;
	enum map_text kind;
	struct map *active;
	char *image;
	struct stat seen, image_seen;
	bool wants_image;                                             /* a large text is in memory because its image could not be written here */
};

static struct map_source *self(struct map *m)
{
	return (struct map_source *)(void *)m;
}

/* Equal counts as older: file times move in steps of some milliseconds. */
static bool older(const struct stat *image, const struct stat *text)
{
	if (image->st_mtim.tv_sec != text->st_mtim.tv_sec)
		return image->st_mtim.tv_sec < text->st_mtim.tv_sec;
	return image->st_mtim.tv_nsec <= text->st_mtim.tv_nsec;
}

struct image_load {
	struct map_build *build;
	struct arena *arena;
	const char *path;
};

static int put_entry(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct image_load *l = ctx;
	int rc = map_build_put(l->build, idn_fold_key(key, l->arena), value, e);

	arena_reset(l->arena);
	return rc == 0 ? 0 : err_context(e, "%s:%u", l->path, line);
}

int map_compile(const char *text, enum map_text kind, const char *image, enum map_db db, struct err *e)
{
	struct image_load l = { .path = text };

	if (map_build_new(&l.build, image, db, 0, 0644, e) != 0)
		return -1;
	l.arena = arena_new(0);
	int rc = map_text_each(text, kind, put_entry, &l, e);

	arena_free(&l.arena);
	if (rc == 0)
		return map_build_commit(&l.build, e);
	map_build_drop(&l.build);
	return -1;
}

static void use(struct map_source *s, struct map *m)
{
	if (s->active == m)
		return;
	map_close(&s->active);
	s->active = m;
}

/* A small text. The image is a by-product: failing to write it is no failure. */
static int load_memory(struct map_source *s, bool image_is_older, struct err *e)
{
	struct map *m;

	if (map_mem_open(&m, s->base.path, s->kind, e) != 0)
		return -1;
	if (image_is_older && map_compile(s->base.path, s->kind, s->image, MAP_DB_HASH, NULL) != 0)
		s->image_seen = (struct stat){ 0 };                       /* the next program that may write here makes it */
	use(s, m);
	s->wants_image = false;
	memcpy(s->base.warning, m->warning, sizeof(s->base.warning));
	return 0;
}

/* Whatever kept the image from being written - no permission, no space - the text itself is here: a broken text fails again in memory. */
static int load_without_image(struct map_source *s, struct err *e)
{
	if (load_memory(s, false, e) != 0)
		return -1;
	s->wants_image = true;
	return 0;
}

static int load_image(struct map_source *s, bool image_is_older, struct err *e)
{
	struct map *m;

	if (image_is_older && map_compile(s->base.path, s->kind, s->image, MAP_DB_HASH, NULL) != 0)
		return load_without_image(s, e);
	if (map_db_open(&m, s->image, e) != 0)
		return -1;
	use(s, m);
	s->wants_image = false;
	s->base.warning[0] = '\0';
	return 0;
}

/* The text is broken: what is there already stays, else the image as it is. */
static int fall_back(struct map_source *s, bool has_image, const struct err *why, struct err *e)
{
	struct map *m;

	if (s->active == NULL && (!has_image || map_db_open(&m, s->image, NULL) != 0))
		return err_set(e, why->kind, 0, "%s", why->text);
	if (s->active == NULL)
		use(s, m);
	s->base.stale = true;
	memcpy(s->base.warning, why->text, sizeof(s->base.warning));
	return 0;
}

static int source_load(struct map_source *s, const struct stat *text, struct err *e)
{
	struct stat image;
	struct err why = ERR_INIT;
	bool has_image = stat(s->image, &image) == 0, stale = !has_image || older(&image, text);
	int rc;

	s->base.generation++;
	s->image_seen = has_image ? image : (struct stat){ 0 };
	if (text->st_ino == 0)
		rc = has_image ? load_image(s, false, &why) : load_memory(s, false, &why);
	else if (text->st_size > MAP_MEMORY_MAX)
		rc = load_image(s, stale, &why);
	else
		rc = load_memory(s, stale, &why);
	s->base.stale = false;
	return rc == 0 ? 0 : fall_back(s, has_image, &why, e);
}

static int source_refresh(struct map *m, struct err *e)
{
	struct map_source *s = self(m);
	struct stat now, image;

	if (map_impl_changed(m->path, &s->seen, &now) || s->active == NULL) {
		if (source_load(s, &now, e) != 0)
			return -1;
		s->seen = now;
		return 0;
	}
	if ((now.st_ino == 0 || s->wants_image) && map_impl_changed(s->image, &s->image_seen, &image))
		return source_load(s, &now, e);
	unsigned before = map_generation(s->active);
	int rc = map_refresh(s->active, e);
	m->generation += map_generation(s->active) != before;
	return rc;
}

static int source_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e)
{
	struct map *active = self(m)->active;
	int rc = active->ops->get(active, key, a, value_out, e);

	if (rc == 1)
		memcpy(m->where, active->where, sizeof(m->where));
	return rc;
}

static int source_each(struct map *m, int (*fn)(void *ctx, struct slice key, struct slice value), void *ctx, struct err *e)
{
	return map_each(self(m)->active, fn, ctx, e);
}

static void source_close(struct map *m)
{
	map_close(&self(m)->active);
	free(self(m)->image);
}

static const struct map_ops source_ops = { .get = source_get, .refresh = source_refresh, .each = source_each, .close = source_close };

int map_source_open(struct map **m_out, const char *path, enum map_text kind, struct err *e)
{
	struct map_source *s = map_impl_new(sizeof(*s), &source_ops, path);
	struct map *m = &s->base;

	s->kind = kind;
	if (asprintf(&s->image, "%s.db", path) < 0)
		abort();
	if (source_refresh(m, e) != 0) {
		map_close(&m);
		return -1;
	}
	*m_out = m;
	return 0;
}
