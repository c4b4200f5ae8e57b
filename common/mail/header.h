/*
 * mail/header.h - the fields of a message header (RFC 5322 2.2, 3.6), read where they lie. Lines end in CRLF; a bare LF is read as a line end too.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

/* Header and body of a message: the header ends with the line end of its last field, the body begins behind the first empty line.
   *has_end_out is false where there is no such line; then all of it is header. */
struct slice header_split(struct slice message, struct slice *body_out, bool *has_end_out);

/* Walks fields: *rest starts as the header; false at the end. name without colon, value unparsed with folds, raw the whole field with its line end.
   A line that is no field has the empty name. An empty line ends the walk. */
bool header_next(struct slice *rest, struct slice *name_out, struct slice *value_out, struct slice *raw_out);
/* First field of that name. */
bool header_find(struct slice header, struct slice name, struct slice *value_out);
size_t header_count(struct slice header, struct slice name);
struct slice header_unfold(struct slice value, struct arena *a);      /* line ends dropped, outer blanks trimmed */

/* RFC 2047 encoded words to UTF-8 (unknown charsets stay as they are). */
struct slice header_decode(struct slice value, struct arena *a);

/* Address lists (RFC 5322 3.4), obsolete forms and comments included. */
struct address {
	struct slice name;                                            /* display name as written (may be encoded words), unquoted; the comment where there is none */
	struct slice route, local, domain;
	enum { ADDRESS_MAILBOX, ADDRESS_GROUP_START, ADDRESS_GROUP_END } kind;
};
/* At most LIMIT_ADDRESSES; junk is skipped to the next comma. Returns how many; *list_out lives in the arena. */
size_t address_list(struct slice value, struct arena *a, struct address **list_out);

/* RFC 5322 3.3 dates, obsolete zones included; seconds since 1970. -1: not a date. zone_min_out may be NULL. */
int date_parse(struct slice value, int64_t *when_out, int *zone_min_out) WARN_UNUSED;
void date_put(int64_t when, int zone_min, struct buf *out);           /* "Sun, 22 Nov 2026 01:48:07 +0000" */
int date_local_zone(int64_t when);                                    /* minutes east of UTC */

#endif
