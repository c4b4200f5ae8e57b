/*
 * store/mbox_fold.h - what a fold (mbox_fold.c) and a rebuild (mbox_rebuild.c) have in common: writing snapshot and log.
 */
#ifndef STORE_MBOX_FOLD_H
#define STORE_MBOX_FOLD_H

#include "store/folder.h"

uint64_t fold_id(void);                                               /* random, not 0 */

/* Expunges and deliveries that the next snapshot has to remember: of the last one and of the log. */
struct fold_carried { struct igone *gone; size_t n_gone; uint64_t floor; struct idone *done; size_t n_done; };
void fold_carry(const struct mbox *m, struct fold_carried *c);
void fold_carried_done(struct fold_carried *c);

/* Snapshot of all that m has, to be continued by the log `next_id`; and that log, empty. */
int fold_put_index(struct mbox *m, const struct fold_carried *c, bool old_log_fits, uint64_t index_id, uint64_t next_id, struct err *e) WARN_UNUSED;
int fold_put_log(struct mbox *m, uint64_t id, uint64_t base, struct slog *out, struct err *e) WARN_UNUSED;

#endif
