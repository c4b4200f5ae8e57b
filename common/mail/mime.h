/*
 * mail/mime.h - the tree of a message (RFC 2045, 2046), and ENVELOPE and BODYSTRUCTURE as IMAP prints them (RFC 3501 7.4.2).
 *
 * Iterative, no recursion on the stack; depth over LIMIT_MIME_DEPTH or more than LIMIT_MIME_PARTS leaves become one leaf.
 */
#ifndef MAIL_MIME_H
#define MAIL_MIME_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

struct mime_param { struct slice name, value; };

struct mime_part {
	struct slice type, subtype;                                   /* lower case; "text" "plain" when missing or broken */
	struct mime_param *params;
	size_t n_params;
	struct slice id, description, encoding;                       /* encoding upper-case word, "7BIT" default */
	struct slice disposition, md5, language, location;
	struct mime_param *disposition_params;
	size_t n_disposition_params;
	size_t header_at, header_len;                                 /* octets in the message; the header with its empty line */
	size_t body_at, body_len;
	uint64_t body_lines;
	struct mime_part *parent, *first, *next;                      /* multipart: children; message/rfc822: one child, the inner message */
	unsigned n_children;
};

/* All of it lives in the arena; offsets refer to `message`. Never fails: what cannot be read is a text/plain leaf. */
struct mime_part *mime_parse(struct slice message, struct arena *a);

/* "1.2.3" as of RFC 3501 6.4.5; *tail_out gets what follows the numbers ("HEADER", "MIME", "TEXT", ""). NULL: no such part. */
struct mime_part *mime_section(struct mime_part *root, struct slice section, struct slice *tail_out);

int mime_decode(struct slice body, struct slice encoding, struct buf *out) WARN_UNUSED;   /* base64, quoted-printable; -1: over out->max */

/* IMAP text. extended: BODYSTRUCTURE, otherwise BODY. */
void mime_put_envelope(struct slice header, struct buf *out);
void mime_put_structure(struct slice message, const struct mime_part *root, bool extended, struct buf *out);
void imap_put_string(struct slice s, struct buf *out);                /* quoted or literal, whichever is legal */
void imap_put_nstring(struct slice s, struct buf *out);               /* NIL for p == NULL */

/* Modified UTF-7 of mailbox names (RFC 3501 5.1.3). -1: not valid. */
int utf7_to_utf8(struct slice s, struct buf *out) WARN_UNUSED;
int utf8_to_utf7(struct slice s, struct buf *out) WARN_UNUSED;

#endif
