/*
 * map/map_impl.h - what the kinds of map share. Each kind is a struct that starts with a struct map, made by its own constructor.
 */
#ifndef MAP_MAP_IMPL_H
#define MAP_MAP_IMPL_H

#include <sys/stat.h>

#include "map/map.h"

struct map_ops {
	bool raw_key;                                                 /* wants the key as given, neither folded nor cut */
	int (*get)(struct map *m, struct slice key, struct arena *a, struct slice *value_out, struct err *e);
	int (*refresh)(struct map *m, struct err *e);
	int (*each)(struct map *m, int (*fn)(void *ctx, struct slice key, struct slice value), void *ctx, struct err *e);
	void (*close)(struct map *m);                                 /* frees m's own parts, not m */
};

struct map {
	const struct map_ops *ops;
	char *path;
	unsigned generation;
	char where[160];
	char warning[256];
	bool stale;
};

/* Constructors: path is borrowed for the call. */
int map_db_open(struct map **m_out, const char *path, struct err *e) WARN_UNUSED;
int map_snapshot_open(struct map **m_out, const char *path, struct err *e) WARN_UNUSED;
int map_mem_open(struct map **m_out, const char *path, enum map_text kind, struct err *e) WARN_UNUSED;
int map_source_open(struct map **m_out, const char *path, enum map_text kind, struct err *e) WARN_UNUSED;
int map_cidr_open(struct map **m_out, const char *path, struct err *e) WARN_UNUSED;
int map_regexp_open(struct map **m_out, const char *path, struct err *e) WARN_UNUSED;

void *map_impl_new(size_t size, const struct map_ops *ops, const char *path);
void map_impl_where(struct map *m, const char *path, unsigned line);  /* line 0: the file alone */
const char *map_impl_base(const char *path);                          /* the part after the last '/' */

/* Has the file behind path changed since *seen was filled? A file that is not there is a zeroed stat. */
bool map_impl_changed(const char *path, const struct stat *seen, struct stat *now_out);

/* The refresh of a map that is read whole: calls `load` when the file has changed since *seen. load takes the new content over and sets m->warning, or
   returns -1 and leaves what is there: then that goes on answering and the error becomes the warning. loaded: there is content. */
int map_impl_reload(struct map *m, struct stat *seen, bool loaded, int (*load)(struct map *m, bool exists, struct err *e), struct err *e);

/* A text whose entries are tried in order. A kind's entry begins with a struct map_rule and lives in the arena. */
struct map_rule {
	unsigned line;
	struct slice value;
	struct map_rule *next;
};
struct map_rules {
	struct arena *arena;
	struct map_rule *first, **last;
	const char *path;                                             /* borrowed, for messages */
};
/* Replaces *now with what the text says; add() makes an entry of a line and calls map_rules_append(). For map_impl_reload(). */
int map_rules_load(struct map_rules **now, struct map *m, bool exists,
    int (*add)(void *rules, unsigned line, struct slice key, struct slice value, struct err *e), struct err *e);
void map_rules_append(struct map_rules *r, struct map_rule *rule, unsigned line, struct slice value);      /* value lives as long as the arena */
void map_rules_free(struct map_rules **r);

#endif
