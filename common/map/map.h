/*
 * map/map.h - lookup tables behind one interface: Berkeley DB btree and hash, text, CIDR, regular expressions.
 *
 * Text is the source, a database image beside it (FILE.db) is a cache: map_open("access") rebuilds the image when the text is newer, into a new
 * file and a rename; where the text is broken the last good image stays and the error says file and line. Keys are folded to lower case, a trailing dot
 * is dropped. Every database is opened with the lock kinds of drac.md fact 5 and no DB environment.
 */
#ifndef MAP_MAP_H
#define MAP_MAP_H

#include "base/arena.h"
#include "base/err.h"

struct map;

enum map_fold { MAP_KEEP_CASE, MAP_FOLD_CASE };

/* spec: "/path" (text, compiled when large), "btree:/path", "hash:/path", "text:/path", "cidr:/path", "regexp:/path".
   A missing text file is an empty map. */
int map_open(struct map **m_out, const char *spec, struct err *e) WARN_UNUSED;
void map_close(struct map **m);

/* 1 found (value lives in the arena, trailing NUL of foreign files dropped), 0 not there, -1 error (ERR_TEMP: fail closed). */
int map_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e) WARN_UNUSED;
/* Where the value of the last hit stands in the text: "access:12", or the image's name. Borrowed until the next call. */
const char *map_where(const struct map *m);
/* Re-opens or rebuilds what changed on disk (cheap: one stat). Call once a session. */
int map_refresh(struct map *m, struct err *e) WARN_UNUSED;
int map_each(struct map *m, int (*fn)(void *ctx, struct slice key, struct slice value), void *ctx, struct err *e);

/* One line of a sendmail-style text map: "key<ws>value", '#' comments, continuation by leading blank, optional quotes around the key; "key: value" in aliases. */
enum map_text { MAP_TEXT_TABLE, MAP_TEXT_ALIASES, MAP_TEXT_LIST };
int map_text_each(const char *path, enum map_text kind, int (*fn)(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e),
    void *ctx, struct err *e) WARN_UNUSED;

/* Builds an image (makemap, newaliases, users.db): new file, then rename. */
enum map_db { MAP_DB_BTREE, MAP_DB_HASH };
struct map_build;
int map_build_new(struct map_build **b_out, const char *db_path, enum map_db kind, struct err *e) WARN_UNUSED;
int map_build_put(struct map_build *b, struct slice key, struct slice value, struct err *e) WARN_UNUSED;   /* a double key: ERR_EXISTS */
int map_build_commit(struct map_build **b, struct err *e) WARN_UNUSED;
void map_build_drop(struct map_build **b);

#endif
