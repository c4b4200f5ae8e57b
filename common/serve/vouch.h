/*
 * serve/vouch.h - how the auth process tells the spawner who has logged in, past the front (serve/gate.h is the other end).
 */
#ifndef SERVE_VOUCH_H
#define SERVE_VOUCH_H

#include "auth/auth.h"

struct vouch;

struct vouch *vouch_new(struct loop *l);
void vouch_free(struct vouch **v);
void vouch_link(struct vouch *v, int fd);                             /* to the spawner of our generation; a later one replaces it */
/* Draws a ticket and sends it with the user (borrowed) before it returns; while the spawner is being restarted it waits for the next one.
   -1: too many wait, ticket_out untouched. */
int vouch_for(struct vouch *v, struct slice user, const struct net_addr *addr, uint8_t ticket_out[AUTH_TICKET_SIZE]) WARN_UNUSED;

#endif
