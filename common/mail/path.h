/*
 * mail/path.h - addresses of the envelope (RFC 5321 4.1.2, RFC 6531 for UTF-8).
 */
#ifndef MAIL_PATH_H
#define MAIL_PATH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

struct path {
	struct slice local;                                           /* quoted-string taken apart: as it is meant, may hold anything but NUL, CR, LF */
	struct slice domain;                                          /* lower case, in A-labels, without trailing dot; "[192.0.2.1]" with brackets; empty for <> and <postmaster> */
	bool is_null;                                                 /* <> */
	bool is_utf8;                                                 /* was written beyond ASCII: needs SMTPUTF8 */
};

enum path_flags { PATH_ALLOW_NULL = 1, PATH_ALLOW_BARE = 2 /* without <>, hand-typed */, PATH_ALLOW_UTF8 = 4, PATH_ALLOW_NO_DOMAIN = 8 };

/* Reads a path at the start of `in`; *used_out octets; source routes are read and dropped (RFC 5321 appendix F.2). Slices live in the arena.
   -1: *where_out is the index of the offending octet, *why_out what is wrong there. */
int path_parse(struct slice in, unsigned flags, struct arena *a, struct path *out, size_t *used_out, size_t *where_out, const char **why_out) WARN_UNUSED;

/* "local@domain", quoted where it must be; "" for the null path. No angle brackets. */
void path_put(const struct path *p, struct buf *out);
struct slice path_text(const struct path *p, struct arena *a);
/* From text we wrote ourselves or an admin did: "user@domain" or "user". */
int path_from_text(struct slice s, struct arena *a, struct path *out) WARN_UNUSED;
bool path_eq(const struct path *a, const struct path *b);            /* domain by ASCII case, local by ASCII case too: for our own domains */
bool domain_is_valid(struct slice s);                                 /* RFC 1035 letters-digits-hyphen labels, or an address literal; UTF-8 labels pass */

#endif
