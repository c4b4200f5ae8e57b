/*
 * map/map_text.h - the reader behind map_text_each(): text in, entries out, no file. Pure, so that it can be fuzzed.
 */
#ifndef MAP_MAP_TEXT_H
#define MAP_MAP_TEXT_H

#include "base/buf.h"
#include "map/map.h"

struct map_text_reader {
	enum map_text kind;
	struct slice rest;
	unsigned at_line;                                             /* last physical line taken */
	unsigned line;                                                /* where the entry of the last map_text_next() began */
	struct buf logical;
};

void map_text_start(struct map_text_reader *r, enum map_text kind, struct slice text);   /* text is borrowed until map_text_done() */
/* 1: an entry, borrowed until the next call; 0: the end; -1: error with "path:line: ...". */
int map_text_next(struct map_text_reader *r, const char *path, struct slice *key_out, struct slice *value_out, struct err *e) WARN_UNUSED;
void map_text_done(struct map_text_reader *r);

#endif
