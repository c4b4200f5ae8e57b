/*
 * admin/drac_print.h - what dracd answers, for people and for programs: entries, and the counters with the other hosts.
 */
#ifndef ADMIN_DRAC_PRINT_H
#define ADMIN_DRAC_PRINT_H

#include "drac/drac_msg.h"

void drac_print_entry(const struct drac_entry *e, bool json, struct buf *out);   /* lines, or one object without a line end */
/* The reply to STATS. `peers` is the setting drac_peers, which names the hosts that dracd numbers. -1: the reply makes no sense, out may hold a part. */
int drac_print_stats(struct slice result, const char *peers, bool json, struct buf *out) WARN_UNUSED;

#endif
