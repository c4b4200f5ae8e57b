/*
 * store/name.h - names on disk: of message files, and of the folders of a Maildir++ tree. Pure.
 *
 * A message file is TIME.ID.HOST,S=SIZE[,W=SIZE],U=UIDVALIDITY.UID[,D=DATE][,K=KEYWORDS]:2,FLAGS. U, D and K are in base 36. W is there where the
 * file has bare LFs (other programs write such): the size with CRLF. D is the internal date where TIME is not. FLAGS are the letters of
 * Maildir (DFPRST) and a-z for the first 26 keywords of the folder; K has the bits of the others. So a name alone gives back all that the index knew.
 *
 * A folder a/b.c is the directory .a.b&AC4-c: modified UTF-7 (RFC 3501 5.1.3) with the dot, which separates levels there, encoded too.
 */
#ifndef STORE_NAME_H
#define STORE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define MNAME_MAX 255                                                 /* octets of a file name (NAME_MAX) */
#define MNAME_LETTERS 26                                              /* keywords that have a letter of their own */

struct mname {
	struct slice stem;                                            /* TIME.ID.HOST */
	struct slice id;                                              /* between first and last dot of the stem; may be empty */
	int64_t date;                                                 /* D=, or TIME; -1: neither */
	uint64_t size;                                                /* W=, or S= */
	bool has_size;
	bool has_lf;                                                  /* W= differs from S=: the file has bare LFs */
	uint64_t file_size;                                           /* S= */
	bool has_uid;
	uint32_t uidvalidity, uid;                                    /* neither is 0 when has_uid */
	uint32_t flags;                                               /* MSG_* of mbox.h */
	uint64_t keywords;
};

/* Reads any name; -1 only for what can't be a message: empty, over MNAME_MAX, a leading dot, a slash or NUL inside. */
int mname_parse(struct slice name, struct mname *out) WARN_UNUSED;

/* Puts the name of `n`. -1: over MNAME_MAX, out unchanged. */
int mname_put(const struct mname *n, struct buf *out) WARN_UNUSED;
bool mname_id_is_valid(struct slice id);                              /* may ride in a stem: letters, digits, '-', '_' */

/* "INBOX" in any case to upper case, and what may never be a folder: empty levels, "." and "..", control octets, bad UTF-8, too long or too deep.
   -1 with ERR_DENIED. out gets the canonical name, for display and comparison. */
int folder_name_check(struct slice name, struct buf *out, struct err *e) WARN_UNUSED;
/* Canonical name to the directory's name ("" for INBOX), and back (-1: not a name that we would have made). */
int folder_name_to_disk(struct slice name, struct buf *out, struct err *e) WARN_UNUSED;
int folder_name_from_disk(struct slice disk, struct buf *out) WARN_UNUSED;

#endif
