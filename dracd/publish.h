/*
 * dracd/publish.h - dracd.db, the table that sendmail, Postfix, Exim and our fallback read: a Berkeley DB btree, page size 512, key the address, value the
 * expiry in seconds since 1970, digits only, no NUL on either.
 *
 * Always a new file and a rename, so that no reader ever meets half a table. What is left is sendmail's own: it
 * compares what stat and open of the name find, a few microseconds apart, and refuses (550, SYSERR in its log) where the name changed hands between
 * the two. That is why map_build_commit() locks its readers out and the keeper does not rename more often than it must.
 * keeper.c calls this in a child, so that no caller waits for it.
 */
#ifndef DRACD_PUBLISH_H
#define DRACD_PUBLISH_H

#include "base/err.h"
#include "dracd/table.h"

/* sendmail asks for IPv6:..., and a map without -f folds that to ipv6:... */
enum publish_keys { PUBLISH_PLAIN = 1, PUBLISH_SENDMAIL = 2, PUBLISH_SENDMAIL_FOLDED = 4, PUBLISH_EXIM = 8, PUBLISH_EXIM_NET = 16 };

int publish_keys_parse(const char *words, unsigned *keys_out, struct err *e) WARN_UNUSED;   /* drac_ipv6_keys */
/* The spelling of an IPv6 address as one of these programs looks it up; IPv4 has one spelling for all. */
void publish_key(const struct net_addr *a, enum publish_keys kind, struct buf *out);

int publish_write(struct table *t, const char *path, unsigned keys, struct err *e) WARN_UNUSED;

#endif
