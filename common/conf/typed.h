/*
 * conf/typed.h - one value between its text and its field in struct settings, by the type of its row.
 */
#ifndef CONF_TYPED_H
#define CONF_TYPED_H

#include "conf/conf.h"

/* Checks type and bounds, then writes the field; strings go to s->arena. The error says what would be right, without name or line. */
int conf_typed_read(struct settings *s, const struct conf_param *p, struct slice text, struct err *e) WARN_UNUSED;

/* Words apart by blanks or commas, joined by single blanks. */
void conf_typed_put_list(struct slice text, struct buf *out);

/* The field as text in its shortest form; dollar signs stand for themselves. */
void conf_typed_put(const struct settings *s, const struct conf_param *p, struct buf *out);

#endif
