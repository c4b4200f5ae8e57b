/*
 * store/uidlist.h - the UID lists that Dovecot (dovecot-uidlist, versions 1 and 3) and Courier (courierimapuiddb) keep beside a Maildir. Pure.
 */
#ifndef STORE_UIDLIST_H
#define STORE_UIDLIST_H

#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

struct uidlist_entry { uint32_t uid; struct slice base; };            /* base: the file's name up to its ":2," */
struct uidlist { uint32_t uidvalidity, uidnext; struct uidlist_entry *v; size_t n; };

/* Slices borrow from text. Lines that can't be read are left out; -1: no such list at all. */
int uidlist_parse(struct slice text, struct arena *a, struct uidlist *out) WARN_UNUSED;

/* dovecot-keywords: "0 $Label1" is letter a. Names by number, at most `most`; returns how many. */
size_t uidlist_keywords(struct slice text, struct slice *names_out, size_t most);

/* One line of a subscriptions file to the form ".a.b" of a directory; empty: none. prefix "INBOX." of Courier is taken off. */
struct slice uidlist_subscription(struct slice line, bool version2, struct arena *a);

#endif
