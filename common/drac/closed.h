/*
 * drac/closed.h - can strangers grant themselves the relay? Asked by posthouse check and by the start and reload of smtpd and dracd.
 *
 * Versions 1 and 2 have no password: whoever dracd.allow lets call may register any address, his own too. Such a grant counts where
 * drac_match_sender = no, and otherwise where the caller is in drac_trust_v1 as well. A wide allow file is then an open relay, unless both versions
 * are served on this machine's loopback alone.
 */
#ifndef DRAC_CLOSED_H
#define DRAC_CLOSED_H

#include "base/err.h"

struct settings;

/* -1, ERR_DENIED: they can, with file and line in *e. Also -1 where a list can not be read. */
int drac_is_closed(const struct settings *s, struct err *e) WARN_UNUSED;

#endif
