/*
 * dracd/jrecord.h - the octets of the journal: both directions of each record. Pure.
 *
 *   header   "DRACJNL2", a salt of this file (u32)
 *   record   length (u32), CRC-32C of salt and body (u32), body: kind, times, address, who, in XDR
 *
 * Damage costs the records that it hit and no others. The salt keeps a user from writing a record into his own name for the day of such damage.
 */
#ifndef DRACD_JRECORD_H
#define DRACD_JRECORD_H

#include "dracd/table.h"

void jrecord_header(struct buf *b, uint32_t salt);
void jrecord_grant(struct buf *b, uint32_t salt, const struct net_addr *addr, const struct drac_who *who, int64_t login_at, int64_t expires_at);
void jrecord_revoke(struct buf *b, uint32_t salt, const struct net_addr *addr, struct slice user);
void jrecord_flush(struct buf *b, uint32_t salt);                     /* everything is revoked */

/* A whole file into the table. Returns the octets that are in no whole record. */
size_t jrecord_apply_all(struct slice file, struct table *t, struct table_time now);
/* One record. Returns octets used, 0 when more are needed, -1 when damaged. */
long jrecord_apply(struct slice in, uint32_t salt, struct table *t, struct table_time now);

#endif
