/*
 * auth/users_edit.c - changing users.db and accounts.db: lock file, everything into memory, new files by rename.
 *
 * The lock is on a file of its own, users.db.lock, because users.db itself is replaced.
 */
#include "auth/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "auth/users_record.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"
#include "map/map.h"

struct users_edit {
	struct arena *arena;
	struct hmap *records;                                         /* name to struct slice * */
	const char *path, *accounts;                                  /* accounts: NULL where none is kept */
	int lock_fd;
};

static void put(struct users_edit *x, struct slice key, struct slice value)
{
	struct slice *v = arena_alloc(x->arena, sizeof(*v));

	*v = arena_dup(x->arena, value);
	hmap_put(x->records, key, v);
}

static int load_one(void *ctx, struct slice key, struct slice value)
{
	put(ctx, key, value);
	return 0;
}

static int load(struct users_edit *x, struct err *e)
{
	struct map *m = NULL;
	char secret[USERS_SECRET_OCTETS];

	if (map_open(&m, arena_printf(x->arena, "btree:%s", x->path), e) != 0)
		return -1;
	int rc = map_each(m, load_one, x, e);

	map_close(&m);
	if (rc == 0 && hmap_get(x->records, SLICE(USERS_SECRET_KEY)) == NULL) {
		do
			text_random(secret, sizeof(secret));
		while (secret[sizeof(secret) - 1] == '\0');               /* readers drop a last NUL */
		put(x, SLICE(USERS_SECRET_KEY), slice_mem(secret, sizeof(secret)));
	}
	return rc;
}

static int take_lock(struct users_edit *x, struct err *e)
{
	const char *path = arena_printf(x->arena, "%s.lock", x->path);

	x->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (x->lock_fd < 0)
		return err_set(e, err_kind_of(errno), errno, "%s", path);
	while (flock(x->lock_fd, LOCK_EX) != 0)
		if (errno != EINTR)
			return err_set(e, ERR_TEMP, errno, "%s", path);
	return 0;
}

static int make_directory_of(const char *path, mode_t mode, struct arena *a, struct err *e)
{
	ptrdiff_t slash = slice_rchr(slice_of(path), '/');

	return slash <= 0 ? 0 : file_mkdirs(arena_str(a, slice_head(slice_of(path), (size_t)slash)), mode, e);
}

int users_edit_begin(struct users_edit **x_out, const char *db_path, const char *accounts_db, struct err *e)
{
	struct users_edit *x = mem_new(sizeof(*x));

	x->lock_fd = -1;
	x->arena = arena_new_secret(0);
	x->records = hmap_new();
	x->path = arena_str(x->arena, slice_of(db_path));
	x->accounts = accounts_db != NULL ? arena_str(x->arena, slice_of(accounts_db)) : NULL;
	if (make_directory_of(x->path, 0700, x->arena, e) != 0 || (x->accounts != NULL && make_directory_of(x->accounts, 0755, x->arena, e) != 0) ||
	    take_lock(x, e) != 0 || load(x, e) != 0) {
		users_edit_drop(&x);
		return -1;
	}
	*x_out = x;
	return 0;
}

int users_edit_get(struct users_edit *x, struct slice name, struct arena *a, struct user *out, struct err *e)
{
	const struct slice *v = hmap_get(x->records, name);
	struct user got = { .name = SLICE_NONE };

	if (v == NULL)
		return 0;
	if (users_record_read(arena_dup(a, *v), &got) != 0)
		return err_set(e, ERR_TEMP, 0, "accounts: the record of '%.*s' is damaged", SLICE_FMT(slice_head(name, 100)));
	got.name = arena_dup(a, name);
	*out = got;
	return 1;
}

int users_edit_put(struct users_edit *x, const struct user *user, struct err *e)
{
	struct buf b;
	struct arena *a = arena_new(0);
	struct slice name;
	int rc = users_canonical(user->name, "", a, &name) == 0 && slice_eq(name, user->name) ? 0 :
	    err_set(e, ERR_SYNTAX, 0, "'%.*s' is not a user name in the form local@domain, in lower case", SLICE_FMT(slice_head(user->name, 100)));

	arena_free(&a);
	if (rc != 0)
		return -1;
	buf_init(&b, BUF_UNBOUNDED);
	users_record_write(user, &b);
	put(x, user->name, buf_view(&b));
	buf_wipe(&b);
	return 0;
}

int users_edit_delete(struct users_edit *x, struct slice name, struct err *e)
{
	if (slice_chr(name, '@') < 0 || hmap_del(x->records, name) == NULL)
		return err_set(e, ERR_NOTFOUND, 0, "there is no user '%.*s'", SLICE_FMT(slice_head(name, 100)));
	return 0;
}

static int write_table(const char *path, struct hmap *records, mode_t mode, struct err *e)
{
	struct map_build *b = NULL;
	struct slice key;
	void *v;
	size_t at = 0;
	int rc = map_build_new(&b, path, MAP_DB_CHECKED, 0, mode, e);

	while (rc == 0 && hmap_next(records, &at, &key, &v))
		rc = map_build_put(b, key, *(const struct slice *)v, e);
	if (rc == 0)
		rc = map_build_commit(&b, e);
	map_build_drop(&b);
	return rc;
}

/* ---- accounts.db ---- */

/* What accounts.db should hold: the records without what belongs to a password. */
static int public_records(struct users_edit *x, struct hmap *out, struct err *e)
{
	struct slice key, *copy;
	struct buf b;
	void *v;
	size_t at = 0;
	int rc = 0;

	buf_init(&b, BUF_UNBOUNDED);
	while (rc == 0 && hmap_next(x->records, &at, &key, &v)) {
		struct user u = { .name = key };

		if (slice_chr(key, '@') < 0)
			continue;
		if (users_record_read(*(const struct slice *)v, &u) != 0)
			rc = err_set(e, ERR_TEMP, 0, "accounts: the record of '%.*s' is damaged", SLICE_FMT(slice_head(key, 100)));
		u.hash = u.scram = SLICE("");
		buf_reset(&b);
		users_record_write(&u, &b);
		copy = arena_alloc(x->arena, sizeof(*copy));
		*copy = arena_dup(x->arena, buf_view(&b));
		hmap_put(out, key, copy);
	}
	buf_done(&b);
	return rc;
}

struct comparison {
	const struct hmap *wanted;
	size_t same;
};

/* 1 ends the walk: a record that should not be there, or not so. */
static int compare_one(void *ctx, struct slice key, struct slice value)
{
	struct comparison *c = ctx;
	const struct slice *v = hmap_get(c->wanted, key);

	if (v == NULL || !slice_eq(*v, value))
		return 1;
	c->same++;
	return 0;
}

/* False also where it can't be read: then it is written anew. */
static bool accounts_are(struct users_edit *x, const struct hmap *wanted)
{
	struct comparison c = { .wanted = wanted };
	struct map *m = NULL;
	struct err ignored;
	int rc;

	if (access(x->accounts, F_OK) != 0 || map_open(&m, arena_printf(x->arena, "btree:%s", x->accounts), &ignored) != 0)
		return false;
	rc = map_each(m, compare_one, &c, &ignored);
	map_close(&m);
	return rc == 0 && c.same == hmap_count(wanted);
}

static int write_accounts(struct users_edit *x, struct err *e)
{
	struct hmap *wanted;
	int rc;

	if (x->accounts == NULL)
		return 0;
	wanted = hmap_new();
	rc = public_records(x, wanted, e);
	if (rc == 0 && !accounts_are(x, wanted))
		rc = write_table(x->accounts, wanted, 0640, e);
	hmap_free(&wanted);
	return rc;
}

/* users.db could not be written: it holds what was, and accounts.db shall hold that too. As far as possible; the next start tries it again. */
static void take_back(struct users_edit *x)
{
	struct err ignored;

	hmap_free(&x->records);
	x->records = hmap_new();
	if (load(x, &ignored) == 0)
		(void)!write_accounts(x, &ignored);
}

int users_edit_commit(struct users_edit **xp, struct err *e)
{
	struct users_edit *x = *xp;
	int rc = write_accounts(x, e);

	if (rc == 0 && (rc = write_table(x->path, x->records, 0600, e)) != 0)
		take_back(x);
	users_edit_drop(xp);
	return rc;
}

int users_accounts_mend(const char *db_path, const char *accounts_db, struct err *e)
{
	struct users_edit *x;
	int rc;

	if (access(db_path, F_OK) != 0 && access(accounts_db, F_OK) != 0 && errno == ENOENT)
		return 0;
	if (users_edit_begin(&x, db_path, accounts_db, e) != 0)
		return -1;
	rc = write_accounts(x, e);
	users_edit_drop(&x);
	return rc;
}

void users_edit_drop(struct users_edit **xp)
{
	struct users_edit *x = xp ? *xp : NULL;

	if (x == NULL)
		return;
	file_close(&x->lock_fd);
	hmap_free(&x->records);
	arena_free(&x->arena);
	free(x);
	*xp = NULL;
}

int users_set(const char *db_path, const char *accounts_db, const struct user *user, struct err *e)
{
	struct users_edit *x;

	if (users_edit_begin(&x, db_path, accounts_db, e) != 0)
		return -1;
	if (users_edit_put(x, user, e) == 0)
		return users_edit_commit(&x, e);
	users_edit_drop(&x);
	return -1;
}

int users_delete(const char *db_path, const char *accounts_db, struct slice name, struct err *e)
{
	struct users_edit *x;

	if (users_edit_begin(&x, db_path, accounts_db, e) != 0)
		return -1;
	if (users_edit_delete(x, name, e) == 0)
		return users_edit_commit(&x, e);
	users_edit_drop(&x);
	return -1;
}
