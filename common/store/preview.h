/*
 * store/preview.h - the beginning of what a message says, for lists of messages (RFC 8970). Pure.
 */
#ifndef STORE_PREVIEW_H
#define STORE_PREVIEW_H

#include "base/buf.h"
#include "mail/mime.h"

#define PREVIEW_CHARS 200

/* UTF-8, at most PREVIEW_CHARS characters, white space folded to single blanks. The first text/plain part, or else the first text/html without its
   tags; attachments aside. Nothing for a message without text. */
void preview_put(struct slice message, const struct mime_part *root, struct buf *out);

#endif
