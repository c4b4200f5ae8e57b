/*
 * conf/expand.h - $name and ${name} inside a value. Pure: the caller knows what a name stands for.
 */
#ifndef CONF_EXPAND_H
#define CONF_EXPAND_H

#include "base/buf.h"
#include "base/err.h"

#define CONF_VALUE_MAX (64u << 10)                                    /* octets of one value, expanded or not */

/* Appends what `name` stands for; -1: *e says why not. */
typedef int conf_lookup_fn(void *ctx, struct slice name, struct buf *out, struct err *e);

int conf_expand(struct slice text, conf_lookup_fn *lookup, void *ctx, struct buf *out, struct err *e) WARN_UNUSED;

#endif
