/*
 * deliver/boxes.h - the mailboxes that this process has open, the least recently used ones closed first.
 */
#ifndef DELIVER_BOXES_H
#define DELIVER_BOXES_H

#include "conf/settings.h"
#include "store/mbox.h"

struct boxes;
struct boxes *boxes_new(const struct settings *s);
void boxes_free(struct boxes **b);
/* The box of user (local@domain), made where it is missing. Borrowed until the next call. */
int boxes_get(struct boxes *b, struct slice user, struct box **box_out, struct err *e) WARN_UNUSED;
void boxes_forget(struct boxes *b, struct slice user);                /* close it: the next get opens it anew */

#endif
