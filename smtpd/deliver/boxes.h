/*
 * deliver/boxes.h - the mailboxes that this process has open, the least recently used ones closed first.
 */
#ifndef DELIVER_BOXES_H
#define DELIVER_BOXES_H

#include "conf/settings.h"
#include "store/mbox.h"

struct boxes;
struct boxes *boxes_new(const struct settings *s, bool with_inbox);    /* with_inbox: INBOX stays open too */
void boxes_free(struct boxes **b);
/* The box of user (local@domain) with the limits that its account has now; where it is missing it is made, or ERR_NOTFOUND. Its directory is the one that
   was there at most a second before now_ms. Borrowed until the next call. */
int boxes_get(struct boxes *b, struct slice user, bool make, int64_t now_ms, struct box **box_out, struct err *e) WARN_UNUSED;
void boxes_limits(struct boxes *b, struct slice user, uint64_t *octets_out, uint64_t *messages_out);   /* 0: none */
void boxes_forget(struct boxes *b, struct slice user);                /* close it: the next get opens it anew */

#endif
