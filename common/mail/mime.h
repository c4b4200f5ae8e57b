/*
 * mail/mime.h - the tree of a message (RFC 2045, 2046), and ENVELOPE and BODYSTRUCTURE as IMAP prints them (RFC 3501 7.4.2).
 *
 * Iterative, no recursion on the stack; what is deeper than LIMIT_MIME_DEPTH is one text/plain leaf, and the LIMIT_MIME_PARTS-th part takes the
 * rest of the message. One pass over the octets, whatever they are. Bodies end before the line end that belongs to the delimiter (RFC 2046 5.1.1);
 * body_lines counts line ends. A multipart without a delimiter has one empty text/plain child, because IMAP's grammar wants one.
 * Parameter continuations (RFC 2231 section 3) are joined as its section 8 asks: name*0, name*1 become name; with charset they become name*.
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
	unsigned n_children, depth;
};

/* All of it lives in the arena; offsets refer to `message`. Never fails: what cannot be read is a text/plain leaf. */
struct mime_part *mime_parse(struct slice message, struct arena *a);

bool mime_is_multipart(const struct mime_part *p);
bool mime_is_message(const struct mime_part *p);                      /* message/rfc822 that was parsed: p->first is the inner message */

/* "1.2.3" as of RFC 3501 6.4.5; *tail_out gets what follows the numbers ("HEADER", "MIME", "TEXT", ""). NULL: no such part.
   "" is the whole message (root, tail ""); "2.HEADER" gives part 2, whose inner message is ->first. */
struct mime_part *mime_section(struct mime_part *root, struct slice section, struct slice *tail_out);

/* base64 and quoted-printable as the world writes them: what does not belong is skipped. Other encodings are copied. */
int mime_decode(struct slice body, struct slice encoding, struct buf *out) WARN_UNUSED;   /* -1: over out->max */

/* IMAP text. extended: BODYSTRUCTURE, otherwise BODY. */
void mime_put_envelope(struct slice header, struct buf *out);
void mime_put_structure(struct slice message, const struct mime_part *root, bool extended, struct buf *out);
void imap_put_string(struct slice s, struct buf *out);                /* quoted or literal, whichever is legal */
void imap_put_nstring(struct slice s, struct buf *out);               /* NIL for p == NULL */

/* Modified UTF-7 of mailbox names (RFC 3501 5.1.3). -1: not valid, or over out's max; out unchanged. Strict: what has more than one
   spelling (an encoded "A", two shifts in a row, spare bits) is not valid, so that one folder has one name. */
int utf7_to_utf8(struct slice s, struct buf *out) WARN_UNUSED;
int utf8_to_utf7(struct slice s, struct buf *out) WARN_UNUSED;

#endif
