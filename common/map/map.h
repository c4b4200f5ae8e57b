/*
 * map/map.h - lookup tables behind one interface: Berkeley DB btree and hash, text, CIDR, regular expressions.
 *
 * Text is the source, a database image beside it (FILE.db) is a cache: map_open("access") rebuilds the image when the text is newer, into a new
 * file and a rename; where the text is broken the last good image stays and the error says file and line. Keys are folded to lower case, a trailing dot
 * is dropped, domains in UTF-8 become A-labels (base/idn.h), in texts and in questions alike; a foreign image is searched as it is. Every database is opened with whole-file locks (fcntl and flock: what others take) and no DB environment.
 */
#ifndef MAP_MAP_H
#define MAP_MAP_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"

struct map;

/* spec: "/path" or "table:/path" (text of keys and values), "aliases:/path", "list:/path" (words; their value is empty), all with their image
   PATH.db; "text:/path" (as table, but no image is ever written), "btree:/path", "hash:/path" (".db" may be left out), "cidr:/path", "regexp:/path",
   "snapshot:/path" (a database that is never written, only replaced by rename: no locks, and answers are remembered).
   A missing file is an empty map, and is found when it appears. A text of up to MAP_MEMORY_MAX octets is held in memory (so that map_where()
   knows the line), a larger one is read through its image. */
#define MAP_MEMORY_MAX (1u << 20)
int map_open(struct map **m_out, const char *spec, struct err *e) WARN_UNUSED;
void map_close(struct map **m);

/* 1 found (value lives in the arena, trailing NUL of foreign files dropped), 0 not there, -1 error (ERR_TEMP: fail closed). */
int map_get(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e) WARN_UNUSED;
/* "" or why the newest text is not in use ("access:12: ..."): the last good image or content answers meanwhile. Also hints such as a stripped dot. */
const char *map_warning(const struct map *m);
bool map_is_stale(const struct map *m);                               /* the newest text is broken, something older answers */
/* Where the value of the last hit stands in the text: "access:12", or the image's name. Borrowed until the next call. */
const char *map_where(const struct map *m);
/* Re-opens or rebuilds what changed on disk (cheap: one stat). Call once a session. */
int map_refresh(struct map *m, struct err *e) WARN_UNUSED;
unsigned map_generation(const struct map *m);                         /* changes whenever a refresh found new content */
int map_each(struct map *m, int (*fn)(void *ctx, struct slice key, struct slice value), void *ctx, struct err *e);

/* One line of a sendmail-style text map: "key<ws>value", '#' comments, continuation by leading blank, optional quotes around the key; "key: value" in aliases. */
enum map_text { MAP_TEXT_TABLE, MAP_TEXT_ALIASES, MAP_TEXT_LIST };
int map_text_each(const char *path, enum map_text kind, int (*fn)(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e),
    void *ctx, struct err *e) WARN_UNUSED;

/* Text to image in one go: new file, rename. Errors name "path:line". */
enum map_db { MAP_DB_BTREE, MAP_DB_HASH, MAP_DB_CHECKED, MAP_DB_BTREE_DUPS, MAP_DB_HASH_DUPS };
int map_compile(const char *text, enum map_text kind, const char *image, enum map_db db, struct err *e) WARN_UNUSED;

/* Builds an image (makemap, newaliases, users.db): new file, fsync, then rename. An existing file's mode is kept, a new one gets `mode`.
   MAP_DB_CHECKED is a btree with a checksum on every page: for tables that only we read. _DUPS keeps several values of a key (makemap -d). Page size 0: the library's choice. */
struct map_build;
int map_build_new(struct map_build **b_out, const char *db_path, enum map_db kind, unsigned page_size, mode_t mode, struct err *e) WARN_UNUSED;
int map_build_put(struct map_build *b, struct slice key, struct slice value, struct err *e) WARN_UNUSED;   /* a double key: ERR_EXISTS, but with _DUPS */
int map_build_commit(struct map_build **b, struct err *e) WARN_UNUSED;
void map_build_drop(struct map_build **b);

#endif
