/*
 * imapd/parse.h - the one tokenizer of IMAP commands (RFC 3501 section 9), used before and after the login.
 *
 * Works on one whole command as imapd/reader.h gathers it: text, and where a literal is, "{n}" CRLF and the octets themselves; no CRLF at the end.
 * Every function takes its token off the front of `t` and returns 0, or returns -1 with t->why saying in plain words what was expected; t has not moved
 * then, so an alternative can be tried. Slices are borrowed from the command or live in the arena. No recursion; depth is counted in t->depth.
 */
#ifndef IMAPD_PARSE_H
#define IMAPD_PARSE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

struct imap_text {
	struct slice rest;                                            /* not yet read */
	struct arena *a;
	const char *why;                                              /* of the last -1 */
	unsigned depth;                                               /* parentheses that are open */
};

void imap_text_init(struct imap_text *t, struct slice command, struct arena *a);

bool imap_at_end(struct imap_text *t);                                /* trailing blanks count as the end: clients send them */
bool imap_peek(const struct imap_text *t, char c);
int imap_char(struct imap_text *t, char c) WARN_UNUSED;
int imap_space(struct imap_text *t) WARN_UNUSED;                      /* one or more */
int imap_open(struct imap_text *t) WARN_UNUSED;                       /* "(" : -1 also beyond LIMIT_IMAP_DEPTH */
int imap_close(struct imap_text *t) WARN_UNUSED;
bool imap_word(struct imap_text *t, const char *word);                /* takes that atom in any case; false: something else is there */

int imap_tag(struct imap_text *t, struct slice *out) WARN_UNUSED;
int imap_atom(struct imap_text *t, struct slice *out) WARN_UNUSED;
int imap_string(struct imap_text *t, struct slice *out) WARN_UNUSED;  /* quoted or literal */
int imap_astring(struct imap_text *t, struct slice *out) WARN_UNUSED;
int imap_nstring(struct imap_text *t, struct slice *out) WARN_UNUSED; /* NIL: p == NULL */
int imap_list_mailbox(struct imap_text *t, struct slice *out) WARN_UNUSED;    /* astring with % and * */
int imap_number(struct imap_text *t, uint32_t *out) WARN_UNUSED;      /* 0 to 2^32-1 */
int imap_number64(struct imap_text *t, uint64_t *out) WARN_UNUSED;    /* 0 to 2^63-1 (RFC 7162 mod-sequence-value) */
int imap_date(struct imap_text *t, int64_t *day_out) WARN_UNUSED;     /* 22-Nov-2026, quoted or not: seconds at 00:00 UTC */
int imap_date_time(struct imap_text *t, int64_t *when_out) WARN_UNUSED;       /* "22-Nov-2026 01:48:07 +0100" */

/* (\Seen \Deleted $Label1): system flags as MSG_* of store/mbox.h, the others as names. \Recent is read and dropped. */
struct imap_flags {
	uint32_t flags;
	struct slice *keywords;
	size_t n_keywords;
};
int imap_flags(struct imap_text *t, bool need_parens, struct imap_flags *out) WARN_UNUSED;

/*
 * Sequence sets. As parsed: as written, UINT32_MAX for "*", SAVED for "$" (RFC 5182). imap_set_resolve() replaces "*" by max, puts ranges in
 * order and joins those that touch; max 0 (an empty folder) makes "*" vanish.
 */
struct imap_range { uint32_t first, last; };
struct imap_set {
	struct imap_range *r;
	size_t n;
	bool saved;
};
#define IMAP_STAR UINT32_MAX
int imap_set(struct imap_text *t, struct imap_set *out) WARN_UNUSED;
void imap_set_resolve(struct imap_set *s, uint32_t max);
void imap_set_tidy(struct imap_set *s);                               /* order and join only */
bool imap_set_has(const struct imap_set *s, uint32_t n);              /* resolved sets; by halving */
void imap_set_add(struct imap_set *s, size_t *cap, uint32_t n, struct arena *a);      /* n above all that are in it */
void imap_set_put(const struct imap_set *s, struct buf *out);         /* "1:3,7" */

#endif
