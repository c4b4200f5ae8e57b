/*
 * mail/charset.h - text in any charset that mail uses, to UTF-8.
 *
 * Only charsets of a list of ours reach iconv(3): its exotic ones have been holes (CVE-2024-2961), and no honest mail uses them.
 */
#ifndef MAIL_CHARSET_H
#define MAIL_CHARSET_H

#include "base/buf.h"
#include "base/slice.h"

/* Appends `octets` as UTF-8; what is not valid becomes U+FFFD. -1: a charset we do not know, or over out->max; out unchanged. */
int charset_to_utf8(struct slice charset, struct slice octets, struct buf *out) WARN_UNUSED;
bool charset_is_known(struct slice charset);

#endif
