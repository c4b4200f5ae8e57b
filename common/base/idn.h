/*
 * base/idn.h - internationalised domain names: the A-labels by which a domain is looked up, whatever it was written in (RFC 5890, 5891; UTS 46).
 */
#ifndef BASE_IDN_H
#define BASE_IDN_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/slice.h"

/* Lower case, UTF-8 labels as A-labels ("B\u00fccher.example" is "xn--bcher-kva.example"). In the arena.
   -1: beyond ASCII, and no domain name; what comes out of one is letters, digits, hyphens and single dots. ASCII comes out as it is, in lower case. */
int idn_to_ascii(struct slice domain, struct arena *a, struct slice *out) WARN_UNUSED;

/* A key of a map or list, as it is hashed: lower case, without a dot at the end, and what is a domain in it - behind the last '@' or a tag's ':', or all
   of a name with dots - in A-labels. What is no domain name stays as it is. In the arena, with a NUL behind. */
struct slice idn_fold_key(struct slice key, struct arena *a);

#endif
