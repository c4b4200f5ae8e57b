/*
 * imapd/fetch.h - what one FETCH asks for (RFC 3501 6.4.5; BINARY: RFC 3516), and how a section is found in a message.
 */
#ifndef IMAPD_FETCH_H
#define IMAPD_FETCH_H

#include "imapd/parse.h"

enum fetch_kind {
	FETCH_UID, FETCH_FLAGS, FETCH_MODSEQ, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY, FETCH_BODYSTRUCTURE,
	FETCH_SECTION, FETCH_BINARY, FETCH_BINARY_SIZE
};

enum fetch_what { WHAT_ALL, WHAT_HEADER, WHAT_FIELDS, WHAT_FIELDS_NOT, WHAT_TEXT, WHAT_MIME };

struct fetch_item {
	enum fetch_kind kind;
	enum fetch_what what;
	struct slice label;                                           /* as the reply names it: "BODY[1.HEADER]<0>" */
	struct slice numbers;                                         /* "1.2", or "" */
	struct slice *names;                                          /* HEADER.FIELDS */
	size_t n_names;
	uint64_t name_lengths;                                        /* a bit for each length (mod 64) among the names: most fields are passed over by it */
	bool partial, peek, cached;                                   /* cached: all names are in MCACHE_HEADERS */
	uint32_t offset, length;

	/* Of the message being told: */
	struct slice octets;                                          /* p == NULL: NIL */
};

struct fetch_items { struct fetch_item *list; size_t n, cap; };

/* An item, a macro, or a list in parentheses. */
int fetch_read(struct imap_text *t, struct fetch_items *out) WARN_UNUSED;
struct fetch_item *fetch_add(struct fetch_items *items, enum fetch_kind kind, struct arena *a);
bool fetch_has(const struct fetch_items *items, enum fetch_kind kind);

/* The header fields of that name list (or the others), and the empty line (RFC 3501 6.4.5). */
struct slice fetch_filter(struct slice header, const struct fetch_item *it, struct arena *a);

#endif
