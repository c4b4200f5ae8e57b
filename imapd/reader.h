/*
 * imapd/reader.h - whole commands off the wire: lines, and the literals in them (RFC 3501 4.3, RFC 7888).
 *
 * A command that came in one piece is handed out where it lies in the input, without a copy. Others are gathered: text, "{n}" CRLF, n octets, text ...
 * The caps are checked before the first octet of a literal is taken. Literals that the owner wants to stream (APPEND's messages) are not gathered:
 * the owner's streams() is asked with the text up to and with "{n}".
 */
#ifndef IMAPD_READER_H
#define IMAPD_READER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct imap_caps {
	size_t line, literal;                                         /* octets of a command: its lines, its literals */
	uint64_t swallow;                                             /* a refused literal{n+} up to this is skipped; the connection ends upon a larger one */
	const char *where;                                            /* " before login": for the replies */
};
extern const struct imap_caps imap_caps_login, imap_caps_session;

enum imap_read {
	IMAP_READ_MORE,                                               /* all taken, or no whole line is there; perhaps a "+" went to out */
	IMAP_READ_COMMAND,                                            /* *command_out is whole, without its last CRLF; valid until the next call */
	IMAP_READ_LITERAL,                                            /* streams() said yes; *command_out ends with "{n}". Call _stream or _refuse next */
	IMAP_READ_BAD,                                                /* a BAD is in out; go on reading */
	IMAP_READ_CLOSE                                               /* a BYE is in out: what follows cannot be understood */
};

struct imap_reader {
	const struct imap_caps *caps;
	bool (*streams)(void *ctx, struct slice text);                /* NULL: never */
	void *ctx;
	struct buf text;                                              /* gathered so far */
	size_t lines, literals;                                       /* octets of this command, against the caps */
	uint64_t want;                                                /* octets of a literal that are still to come */
	uint64_t size;                                                /* of the announced literal, for the owner */
	bool plus;                                                    /* it does not wait for a "+" */
	bool refused;                                                 /* what is left of this command is skipped: its reply was said */
	bool finished;                                                /* the text was handed out */
};

void imap_reader_init(struct imap_reader *r, const struct imap_caps *caps);
void imap_reader_done(struct imap_reader *r);
bool imap_reader_is_idle(const struct imap_reader *r);                /* between two commands */

/* *used_out octets of `in` are done with. */
enum imap_read imap_reader_input(struct imap_reader *r, struct slice in, size_t *used_out, struct slice *command_out, struct buf *out);

/* Answers to IMAP_READ_LITERAL. stream: the owner takes r->size octets off the input itself, then a new text begins (the rest of the line).
   refuse: the reply was said by the owner; the literal, if it comes anyway, and the rest of the command are skipped. BAD, or CLOSE with a BYE in out. */
void imap_reader_stream(struct imap_reader *r, struct buf *out);
enum imap_read imap_reader_refuse(struct imap_reader *r, struct buf *out);

#endif
