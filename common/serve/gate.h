/*
 * serve/gate.h - who may come in at the spawner: a hand-over needs the ticket that the auth process drew for exactly that user.
 *
 * A front parses what strangers send; what it says of a login is a claim. The auth process says the same over a link of its own: gate_vouch(). A ticket is
 * good once, for its user, until its time is over. The two messages come over different links, so that a hand-over may be first: it is held for
 * GATE_HOLD_MS. The address of who comes in is the auth process's word too. Whatever has no ticket by then is turned away, never let in: a lost ticket costs a login, not a mailbox.
 */
#ifndef SERVE_GATE_H
#define SERVE_GATE_H

#include "io/loop.h"
#include "serve/session_msg.h"

enum {
	GATE_HOLD_MS = 2000,
	GATE_TICKET_MS = 30000,                                       /* at most, whatever was said */
	GATE_TICKETS = 4096,                                          /* over it the oldest goes */
	GATE_HELD = 256,                                              /* hand-overs; over it: turned away */
	GATE_HELD_OCTETS = 4 << 20
};

struct gate;

struct gate_ops {                                                     /* the card is borrowed for the call, the descriptor becomes the callee's */
	void (*pass)(void *ctx, void *front, struct session_card *card, int fd);
	void (*turn_away)(void *ctx, void *front, struct session_card *card, int fd);
};

struct gate *gate_new(struct loop *l, const struct gate_ops *ops, void *ctx);
void gate_free(struct gate **g);                                      /* closes what is held */
void gate_link(struct gate *g, int fd);                               /* to an auth process: what it says is gate_vouch() */
void gate_vouch(struct gate *g, struct slice ticket, struct slice user, const struct net_addr *addr, uint32_t ttl_ms);
void gate_come(struct gate *g, void *front, struct session_card *card, int fd);   /* takes over fd; card->ticket is empty when it passes */
void gate_forget(struct gate *g, const void *front);                  /* that front is gone: what it had sent is closed */

#endif
