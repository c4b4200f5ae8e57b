/*
 * store/verify.h - checks a user's mailboxes against their directories, and mends them.
 */
#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H

#include "store/mbox.h"

struct verify_report { void (*line)(void *ctx, const char *text); void *ctx; };

/* A line for each fault: folder, what is wrong. With repair, folders that had any are built anew from their files, and leftovers in tmp/ go. */
int box_verify(struct box *b, bool repair, const struct verify_report *to, unsigned *faults_out, struct err *e) WARN_UNUSED;

#endif
