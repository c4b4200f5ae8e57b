/*
 * dracd/peer_link.h - the connection to one other dracd: its addresses, TCP, TLS with certificates on both sides, one call at a time with a deadline.
 *
 * Knows nothing of what is said. Hooks are called from the loop; inside them every function here is fine but peer_link_free().
 */
#ifndef DRACD_PEER_LINK_H
#define DRACD_PEER_LINK_H

#include "drac/drac_msg.h"
#include "dracd/peer_conf.h"
#include "io/dns.h"
#include "io/loop.h"

#define PEER_CONNECT_MS 10000                                             /* addresses, connection and handshake, each */

struct peer_link;

struct peer_link_hooks {
	void (*ready)(void *ctx);                                     /* the other side has shown a good certificate: call */
	void (*reply)(void *ctx, struct slice result);                /* borrowed for the call */
	void (*down)(void *ctx, const char *why);                     /* it is over, in words; it may be opened again */
};

/* host and its texts are borrowed for good; dns may be NULL where host.addr is there. */
struct peer_link *peer_link_new(struct loop *l, struct tls_ctx *tls, struct dns *dns, const struct peer_host *host, const struct peer_link_hooks *hooks, void *ctx);
void peer_link_free(struct peer_link **k);
void peer_link_open(struct peer_link *k);                             /* ends in ready or down; down may come at once */
void peer_link_call(struct peer_link *k, enum drac_proc proc, struct slice args, int timeout_ms);
void peer_link_drop(struct peer_link *k, const char *why);            /* down(why) */
void peer_link_close(struct peer_link *k);                            /* without a word */

#endif
