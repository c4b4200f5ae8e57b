/*
 * drac/drac_call.h - version 3 without a loop, for commands: one connection, one call after the other, each with a deadline.
 */
#ifndef DRAC_DRAC_CALL_H
#define DRAC_DRAC_CALL_H

#include "base/err.h"
#include "drac/drac_msg.h"

struct drac_link;

int drac_link_open(struct drac_link **l_out, const char *socket_path, struct err *e) WARN_UNUSED;
void drac_link_close(struct drac_link **l);
/* The result's octets are borrowed until the next call. */
int drac_link_call(struct drac_link *l, enum drac_proc proc, struct slice args, int timeout_ms, struct slice *result_out, struct err *e) WARN_UNUSED;

/* Ends every grant of a user (password changed, account closed). dracd not running is no error: ERR_NOTFOUND is told in *e with 0. */
int drac_revoke_user(const char *socket_path, struct slice user, unsigned *n_out, struct err *e) WARN_UNUSED;

#endif
