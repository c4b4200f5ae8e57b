/*
 * serve/session_msg.h - what front, spawner and session process say to each other. Packed and read here alone.
 *
 *   front   -> spawner   START card + descriptor          a login that succeeded, or a parked connection that must wake up
 *   auth    -> spawner   auth/auth_msg.h VOUCH: who has logged in; without it no START of a front is good
 *   spawner -> session   START card + descriptor
 *   session -> spawner -> front   PARKED card + descriptor    the connection sleeps at the front (card.state says how to go on)
 *   session -> spawner -> front   REFUSED card + descriptor   the mailbox could not be opened (card.state says why, in words for the client)
 *   front   -> spawner   GONE id                          a parked connection was closed
 *   spawner -> front     WAKE id                          something changed in that user's mailboxes
 *   spawner -> front     EVICT id                         over the user's connection limit: say good-bye
 *   session -> spawner   EVICT 0                          the same, asked for by the session: the spawner chooses the oldest parked one
 *   session -> spawner   WAKE 0                           a change that came while connections were being parked
 *   session -> spawner   USED card                        its client has been at work since the login or the last USED (serve/renew.h)
 *   session -> spawner   ENDED card                       the connection is over; card.in_use: at work since then
 *   session -> spawner   EXIT n                           I have seen n STARTs and nobody is left: may I go?
 *   spawner -> session   EXIT 0                           yes (no answer: another START is on its way)
 *   front   -> spawner -> session   RETIRE 0              the daemon stops: good-bye to all
 *
 * The descriptor is the client's socket where there is no TLS, else the session's end of the socketpair that the front shovels. It goes back with
 * PARKED and REFUSED, so octets that were under way inside a socketpair are never lost: whoever holds both ends can read them.
 */
#ifndef SERVE_SESSION_MSG_H
#define SERVE_SESSION_MSG_H

#include "auth/auth.h"
#include "io/chan.h"
#include "io/net.h"

enum session_msg { SMSG_START = 1, SMSG_PARKED, SMSG_REFUSED, SMSG_GONE, SMSG_WAKE, SMSG_EVICT, SMSG_EXIT, SMSG_RETIRE,
	SMSG_USED, SMSG_ENDED };

#define SESSION_STATE_MAX 16384                                       /* octets of login_proto.hand_over() or session_proto.park() */
#define SESSION_LEFT_MAX 65536                                        /* octets the client had sent behind its login */

struct session_card {                                                 /* slices borrowed from the message */
	uint64_t id;                                                  /* the front's number of the connection */
	uint32_t front;                                               /* which front; filled in by the spawner */
	uint32_t idle_left_s;                                         /* PARKED: until autologout */
	uint32_t parked_others;                                       /* START to the session: how many of this user are parked */
	uint32_t linger_ms;                                           /* START to the session: stay that long after the last connection */
	uint64_t quota_octets, quota_messages;                        /* START to the session: what the account may keep; 0: any amount */
	bool tls, parked;
	bool in_use;                                                  /* PARKED: it waits in IDLE; ENDED: see above */
	struct net_addr peer;
	struct slice user, session_id, method, state, left;
	struct slice ticket;                                          /* START of a front, not parked: the auth process's (serve/gate.h) */
};

/* fd -1: none. The channel owns it afterwards. */
void session_msg_card(struct chan *c, enum session_msg type, const struct session_card *card, int fd);
void session_msg_id(struct chan *c, enum session_msg type, uint64_t id);

/* -1: not what we write: treat the peer as broken. */
int session_msg_read_card(struct msg *m, struct session_card *out) WARN_UNUSED;
int session_msg_read_id(struct msg *m, uint64_t *id_out) WARN_UNUSED;

#endif
