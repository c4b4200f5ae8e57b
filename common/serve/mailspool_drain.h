/*
 * serve/mailspool_drain.h - the messages of a locked spool mbox into a mailbox, each once whatever happens, and the file empty behind them.
 *
 *     posthouse.spool in the mailbox    the spool file                  a crash here
 *     -                                 messages                        nothing has happened
 *     run NONCE                         messages                        the same again: each message's id is made of nonce and octets, so none comes twice
 *     run NONCE, drained SIZE DIGEST    messages, all delivered, flushed   the same again, all are there; or, where the file begins with other octets, a new run
 *     run NONCE, drained SIZE DIGEST    empty                           the file posthouse.spool is removed
 *
 * Each line's file is flushed before the next step. The nonce keeps a message apart from an equal one of an earlier filling.
 */
#ifndef SERVE_MAILSPOOL_DRAIN_H
#define SERVE_MAILSPOOL_DRAIN_H

#include "store/mbox.h"

/* fd: open for reading and writing, locked by the caller. *n_out: messages delivered, also on -1, when the file is as it was: ERR_SYNTAX: no mbox; ERR_LIMIT:
   no room for all of it; else what failed. */
int mailspool_drain(int fd, struct box *b, const char *box_dir, unsigned *n_out, struct err *e) WARN_UNUSED;

#endif
