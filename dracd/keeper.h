/*
 * dracd/keeper.h - what goes to disk beside the loop, by children: dracd.db after changes, and the journal when it must be written anew.
 *
 * dracd.db follows at once when it was quiet, then with pauses that double to a second while changes keep coming. Where it or the journal can not be
 * written, the pauses grow to a minute; one line of the log tells that it failed and one that it works again.
 */
#ifndef DRACD_KEEPER_H
#define DRACD_KEEPER_H

#include "dracd/core.h"
#include "io/loop.h"

struct keeper;

/* news: to be called when the journal has a new file to take over, for the next flush. Watches SIGCHLD. */
struct keeper *keeper_new(struct loop *l, struct core *c, const char *table_path, unsigned keys, void (*news)(void *ctx), void *ctx);
void keeper_changed(struct keeper *k);                                /* after each round of the doors */
void keeper_free(struct keeper **k);                                  /* ends what runs, writes dracd.db itself a last time */

#endif
