/*
 * store/named_in.h - the inside of named.h, shared by named_log.c and named_kv.c.
 */
#ifndef STORE_NAMED_IN_H
#define STORE_NAMED_IN_H

#include "store/named.h"
#include "store/slog.h"

struct named { const struct store *store; char *path; struct shelf *top, *shelf; };

#define NAMED_PATH 256

int named_path(const char *verb, const char *name, char out[NAMED_PATH], struct err *e) WARN_UNUSED;   /* ERR_DENIED */
int named_log_locked(struct named *n, const char *path, struct slog *log, struct err *e) WARN_UNUSED;

#endif
