/*
 * mail/mime_field.h - the Content- fields of one part (RFC 2045, 2183, 2231, 1864, 3282, 2557). Used by mime.c alone.
 */
#ifndef MAIL_MIME_FIELD_H
#define MAIL_MIME_FIELD_H

#include "mail/mime.h"

/* Fills type to location from the header; the first field of each name counts. in_digest: without a type it is message/rfc822 (RFC 2046 5.1.5). */
void mime_field_read(struct mime_part *p, struct slice header, bool in_digest, struct arena *a);

/* Value of a parameter, SLICE_NONE when it is not there. */
struct slice mime_field_param(const struct mime_param *params, size_t n, struct slice name);

#endif
