/*
 * auth/saslprep.h - SASLprep (RFC 4013) of passwords, so that the octets which a client hashes for SCRAM are the ones that we hashed.
 */
#ifndef AUTH_SASLPREP_H
#define AUTH_SASLPREP_H

#include "base/buf.h"

/* ASCII without control octets comes out as it went in. -1: not UTF-8, or a prohibited character; out unchanged.
   The tables are those of the characters people type; the bidirectional rule (RFC 3454 section 6) is not checked. */
int saslprep(struct slice in, struct buf *out) WARN_UNUSED;

#endif
