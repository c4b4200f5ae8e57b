/*
 * base/text.h - the small codings that every protocol needs: base64, hex, UTF-8, xtext, glob-free comparison of secrets, random octets.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* RFC 4648 section 4, strict: padding required, no white space, no stray bits. -1: not base64, or over out's max; out unchanged. */
int text_unbase64(struct slice s, struct buf *out) WARN_UNUSED;
int text_base64(struct slice s, struct buf *out) WARN_UNUSED;

void text_hex(struct slice s, struct buf *out);                       /* lower case */
int text_unhex(struct slice s, struct buf *out) WARN_UNUSED;

bool text_is_utf8(struct slice s);                                    /* RFC 3629: no overlongs, no surrogates */
size_t text_utf8_len(struct slice s);                                 /* octets of the character at the start; 0: none valid there */
bool text_is_ascii(struct slice s);                                   /* octets 0x01 to 0x7f */
bool text_has_ctl(struct slice s);                                    /* any octet below 0x20, or 0x7f */

size_t text_print_run(struct slice s);                                /* octets at the start that are 0x20 to 0x7e but no backslash */

/* Appends s with control, backslash and invalid UTF-8 octets as \xHH: for logs and readable files. */
void text_escape(struct slice s, struct buf *out);
/* Appends s as a string of JSON (RFC 8259 section 7), quotes included. What is no UTF-8 becomes U+FFFD, an octet each. */
void text_json(struct slice s, struct buf *out);

/* RFC 3461 section 4 xtext. */
int text_unxtext(struct slice s, struct buf *out) WARN_UNUSED;
int text_xtext(struct slice s, struct buf *out) WARN_UNUSED;

bool text_equal_secret(struct slice a, struct slice b);               /* time depends on the lengths only */
void text_random(void *p, size_t n);                                  /* getrandom(2); never fails */

#endif
