/*
 * auth/users.c - reading users.db, and names of users.
 */
#include "auth/users.h"

#include "auth/users_record.h"
#include "base/idn.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "map/map.h"

#include <stdlib.h>
#include <string.h>

struct users {
	struct map *map;
	unsigned secret_generation;
	char secret[USERS_SECRET_OCTETS];
};

int users_open(struct users **u_out, const char *db_path, struct err *e)
{
	struct users *u = mem_new(sizeof(*u));
	struct arena *a = arena_new(0);
	int rc = map_open(&u->map, arena_printf(a, "snapshot:%s", db_path), e);

	arena_free(&a);
	if (rc != 0) {
		free(u);
		return -1;
	}
	text_random(u->secret, sizeof(u->secret));
	u->secret_generation = map_generation(u->map) - 1;
	*u_out = u;
	return 0;
}

void users_close(struct users **u)
{
	if (u == NULL || *u == NULL)
		return;
	map_close(&(*u)->map);
	free(*u);
	*u = NULL;
}

unsigned users_generation(const struct users *u)
{
	return map_generation(u->map);
}

struct slice users_secret(struct users *u)
{
	struct slice value;

	if (u->secret_generation != map_generation(u->map)) {
		struct arena *a = arena_new_secret(0);
		if (map_get(u->map, SLICE(USERS_SECRET_KEY), a, &value, NULL) == 1 && value.n == sizeof(u->secret))
			memcpy(u->secret, value.p, value.n);
		arena_free(&a);
		u->secret_generation = map_generation(u->map);
	}
	return slice_mem(u->secret, sizeof(u->secret));
}

int users_get(struct users *u, struct slice name, struct arena *a, struct user *out, struct err *e)
{
	struct slice value;
	struct user got = { .name = SLICE_NONE };
	int rc = slice_chr(name, '@') < 0 ? 0 : map_get(u->map, name, a, &value, e);

	if (rc != 1)
		return rc;
	if (users_record_read(value, &got) != 0)
		return err_set(e, ERR_TEMP, 0, "accounts: the record of '%.*s' is damaged", SLICE_FMT(slice_head(name, 100)));
	got.name = arena_dup(a, name);
	*out = got;
	return 1;
}

struct walk {
	int (*fn)(void *ctx, const struct user *user);
	void *ctx;
};

static int each(void *ctx, struct slice key, struct slice value)
{
	struct walk *w = ctx;
	struct user user = { .name = key };

	if (slice_chr(key, '@') < 0 || users_record_read(value, &user) != 0)
		return 0;
	return w->fn(w->ctx, &user);
}

int users_each(struct users *u, int (*fn)(void *ctx, const struct user *user), void *ctx, struct err *e)
{
	struct walk w = { fn, ctx };

	return map_each(u->map, each, &w, e);
}

static bool part_is_ok(struct slice s, size_t max)
{
	if (s.n == 0 || s.n > max || s.p[0] == '.' || s.p[s.n - 1] == '.' || slice_find(s, SLICE("..")) >= 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '/' || s.p[i] == ' ' || s.p[i] == '\\' || s.p[i] == ':' || s.p[i] == '"')
			return false;
	return true;
}

int users_canonical(struct slice login, const char *default_domain, struct arena *a, struct slice *name_out)
{
	ptrdiff_t at = slice_chr(login, '@');
	struct slice local = at < 0 ? login : slice_head(login, (size_t)at);
	struct slice domain = at < 0 ? slice_of(default_domain) : slice_from(login, (size_t)at + 1);

	if (login.n > LIMIT_USER_NAME || text_has_ctl(login) || !text_is_utf8(login) || slice_chr(domain, '@') >= 0)
		return -1;
	if (idn_to_ascii(domain, a, &domain) != 0)
		return -1;
	if (!part_is_ok(local, LIMIT_USER_LOCAL) || !part_is_ok(domain, LIMIT_DOMAIN) || local.n + 1 + domain.n > LIMIT_USER_NAME)
		return -1;
	char *name = arena_printf(a, "%.*s@%.*s", SLICE_FMT(local), SLICE_FMT(domain));

	for (char *p = name; *p; p++)
		*p = ascii_lower(*p);
	*name_out = slice_of(name);
	return 0;
}
