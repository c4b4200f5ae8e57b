/*
 * map/map_bdb.c - Berkeley DB handles without an environment and without messages of its own.
 */
#include "map/map_bdb.h"

#include <stdlib.h>
#include <string.h>

static void silent(const DB_ENV *env UNUSED, const char *prefix UNUSED, const char *msg UNUSED)
{
}

DB *map_bdb_new(void)
{
	DB *db = NULL;

	if (db_create(&db, NULL, 0) != 0)
		abort();
	db->set_errcall(db, silent);
	return db;
}

DBT map_bdb_dbt(struct slice s)
{
	DBT t;
	union { const char *in; void *out; } octets = { .in = s.p };      /* the library's prototypes lack const */

	memset(&t, 0, sizeof(t));
	t.data = octets.out;
	t.size = (u_int32_t)s.n;
	return t;
}

int map_bdb_err(struct err *e, int rc, const char *path)
{
	if (rc > 0)
		return err_set(e, err_kind_of(rc) == ERR_NOTFOUND ? ERR_NOTFOUND : ERR_TEMP, rc, "database %s", path);
	return err_set(e, ERR_TEMP, 0, "database %s unreadable: %s", path, db_strerror(rc));
}
