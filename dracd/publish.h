/*
 * dracd/publish.h - dracd.db, the table that sendmail, Postfix, Exim and our fallback read: a Berkeley DB btree, page size 512, key the address, value the
 * expiry in seconds since 1970, digits only, no NUL on either (drac.md 1.6).
 *
 * Always a new file and a rename, so that no reader ever meets half a table. keeper.c calls this in a child, so that no caller waits for it.
 */
#ifndef DRACD_PUBLISH_H
#define DRACD_PUBLISH_H

#include "base/err.h"
#include "dracd/table.h"

enum publish_keys { PUBLISH_PLAIN = 1, PUBLISH_SENDMAIL = 2, PUBLISH_EXIM = 4, PUBLISH_EXIM_NET = 8 };

int publish_keys_parse(const char *words, unsigned *keys_out, struct err *e) WARN_UNUSED;   /* drac_ipv6_keys */
/* The spelling of an IPv6 address as one of these programs looks it up (drac.md 1.8); IPv4 has one spelling for all. */
void publish_key(const struct net_addr *a, enum publish_keys kind, struct buf *out);

int publish_write(struct table *t, const char *path, unsigned keys, struct err *e) WARN_UNUSED;

#endif
