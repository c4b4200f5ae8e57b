/*
 * map/map_bdb.h - the few things that reader and writer of Berkeley DB files share. No DB environment, ever: no DB_CONFIG of any directory is read
 * (CVE-2017-10140), and no process that is killed leaves a lock for the others.
 */
#ifndef MAP_MAP_BDB_H
#define MAP_MAP_BDB_H

#include <db.h>
#include <errno.h>

#include "base/err.h"
#include "base/slice.h"

DB *map_bdb_new(void);                                                /* silent handle; aborts when out of memory */
DBT map_bdb_dbt(struct slice s);                                      /* borrowed octets for put and get */
int map_bdb_err(struct err *e, int rc, const char *path);             /* always -1 */

#endif
