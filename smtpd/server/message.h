/*
 * server/message.h - what we do to a message on its way in: one Received line on top (RFC 5321 4.4), and on submission the fix-ups of RFC 6409 8:
 * Date and Message-ID where they are missing, Bcc away. Nothing else is ever altered. Return-Path is added at delivery.
 *
 * Pure: octets in, a prefix and a list of pieces out.
 */
#ifndef SERVER_MESSAGE_H
#define SERVER_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"

struct message_facts {
	const char *helo;                                             /* "" where none was said */
	struct slice peer_name;
	const char *peer_text;                                        /* the address */
	bool peer_forged;
	const char *tls_version, *tls_cipher;                         /* NULL: no TLS */
	int tls_bits;
	const char *user;                                             /* NULL: not logged in */
	struct slice voucher;                                         /* taken by DRAC: whose login vouches, "" where that is not known; else p is NULL */
	const char *myhostname, *proto, *id;
	struct slice only_rcpt;                                       /* for "for <...>": the recipient, where there is exactly one */
	int64_t now_us;
	bool fix_ups;
};

struct message_plan {
	struct slice header;                                          /* as it came, borrowed from the octets */
	struct slice *pieces;                                         /* in the arena: prefix, header without what goes, the rest */
	size_t n_pieces;
};

/* octets: the message, or so much of it as the header is surely in. whole: there is no more. prefix is written.
   -1: *refusal_out says why it can't be taken ("554 5.4.6 ..."). */
int message_compose(const struct message_facts *f, struct slice octets, bool whole, struct arena *a, struct buf *prefix, struct message_plan *out,
    const char **refusal_out) WARN_UNUSED;

#endif
