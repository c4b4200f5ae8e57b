/*
 * dracd/peers.h - pulling the grants, renewals, revocations and flushes of other hosts (drac_peers) over version 3 and TLS.
 *
 * Each host tells only what happened at itself, and each pulls from all others: so nothing goes in circles, and what is heard of one host is that
 * host's own word. A peer is asked by PULL, which it holds back until there is news. Where its position is gone (it was restarted, or we were away for
 * too long) its whole table is read by LIST, and what we had of it and it has no more ends.
 *
 * Everything is asynchronous in the loop. A peer that is away, hangs or talks rubbish is tried again with growing pauses, is one line in the log when
 * that begins and one when it ends, and delays no answer of ours.
 */
#ifndef DRACD_PEERS_H
#define DRACD_PEERS_H

#include "dracd/core.h"
#include "io/loop.h"

struct peers;

struct peers_hooks {
	void (*news)(void *ctx);                                      /* the core has changed: journal it, publish it */
	void *ctx;
};

/* NULL in *out: drac_peers is empty. Reads files and resolv_conf, so before the sandbox closes. */
int peers_new(struct peers **out, struct loop *l, const struct settings *s, struct core *c, const struct peers_hooks *hooks, struct err *e) WARN_UNUSED;
void peers_free(struct peers **p);
void peers_start(struct peers *p);                                    /* fine for NULL; after the sandbox closed */
bool peers_need_names(const struct peers *p);                         /* asks the DNS, which needs a thread */

#endif
