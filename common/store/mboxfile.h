/*
 * store/mboxfile.h - the mbox format (RFC 4155, mboxrd quoting), read and written. Pure.
 *
 * A message begins with a line "From SENDER DATE" and ends before the next such line; a line is one only with a date in it, so that text
 * beginning with "From " does not tear a message that some program wrote unquoted. Status, X-Status, X-Keywords and X-UID are the bookkeeping of mail
 * programs: they become flags, keywords and UIDs, and are no part of the message. So are X-IMAP and X-IMAPbase.
 */
#ifndef STORE_MBOXFILE_H
#define STORE_MBOXFILE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define MBOXFILE_KEYWORDS 64                                          /* of a message; more are left out */

struct mboxfile_message {
	size_t at;                                                    /* where its From line begins, octets from the start of the file */
	struct slice sender;
	int64_t date;                                                 /* seconds since 1970; UTC where the line names no zone */
	struct slice raw;                                             /* as it lies in the file, the empty line between two messages taken off */
};

struct mboxfile_marks {
	uint32_t flags;                                               /* MSG_* of store/mbox.h */
	struct slice keywords[MBOXFILE_KEYWORDS];
	size_t n_keywords;
	uint32_t uid;                                                 /* X-UID; 0: none */
	uint32_t uidvalidity, uidnext;                                /* X-IMAP, X-IMAPbase: of the folder, in its first message; 0: none */
	bool is_internal;                                             /* the pseudo message in which UW imapd keeps its folder's data */
};

/* The message at *at, which moves behind it. 0: the end. -1: no From line there (only the first can lack one); empty lines before it are skipped. */
int mboxfile_next(struct slice file, size_t *at, struct mboxfile_message *out) WARN_UNUSED;
int mboxfile_from_line(struct slice line, struct slice *sender_out, int64_t *date_out) WARN_UNUSED;    /* -1: none */

/* The message itself, with CRLF, appended to out; slices of the marks borrow from raw. */
void mboxfile_clean(struct slice raw, struct mboxfile_marks *marks_out, struct buf *out);
/* A whole entry, From line to empty line, with LF. What mboxfile_clean() reads back is `octets`, its end of line added where it has none. */
void mboxfile_put(struct slice octets, const struct mboxfile_marks *marks, int64_t date, struct buf *out);

/* Every line end a CRLF; every CRLF an LF. */
void mboxfile_to_crlf(struct slice s, struct buf *out);
void mboxfile_to_lf(struct slice s, struct buf *out);

#endif
