/*
 * store/mbox_op.h - a transaction as it lies in the log, shared by mbox_txn.c, which writes it, and mbox_apply.c, which reads it.
 *
 *     payload: modseq u64, stamp of new/ i64, of cur/ i64, racy u32, zero u32, operations
 *     operation: code u32, uid u32, and what txn_add() and the like write behind it; little-endian, not aligned
 */
#ifndef STORE_MBOX_OP_H
#define STORE_MBOX_OP_H

#include "store/folder.h"

#define TXN_HEAD 32

enum op { OP_ADD = 1, OP_FLAGS, OP_EXPUNGE, OP_UNLINKED, OP_NAME, OP_CACHE, OP_RECENT, OP_NEXT, OP_KEYWORD, OP_ENDED };

char *mbox_str(struct slice s);                                       /* the heap's, NUL behind it */

#endif
