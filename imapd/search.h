/*
 * imapd/search.h - the keys of SEARCH, SORT and THREAD (RFC 3501 6.4.4, WITHIN: RFC 5032, MODSEQ: RFC 7162), read once and asked of each message.
 *
 * Text is compared as UTF-8 in folded case. Keys that the index answers are asked before those that need the cached header, and those before the
 * ones that need the file.
 */
#ifndef IMAPD_SEARCH_H
#define IMAPD_SEARCH_H

#include "imapd/imap.h"

enum search_kind {
	KEY_ALL, KEY_AND, KEY_OR, KEY_NOT, KEY_FLAG, KEY_KEYWORD, KEY_RECENT, KEY_SEQS, KEY_BEFORE, KEY_ON, KEY_SINCE, KEY_SENTBEFORE, KEY_SENTON,
	KEY_SENTSINCE, KEY_LARGER, KEY_SMALLER, KEY_OLDER, KEY_YOUNGER, KEY_MODSEQ, KEY_HEADER, KEY_BODY, KEY_TEXT
};

struct search_key {
	enum search_kind kind;
	unsigned cost;                                                /* 0: index, 1: cached header, 2: the file */
	uint32_t flag;
	uint64_t number;
	int64_t when;
	struct slice name, text;                                      /* KEY_HEADER's field; what is looked for, folded */
	struct imap_set set;                                          /* sequence numbers */
	struct search_key *first, *next;
};

struct search {
	struct search_key *root;
	bool has_modseq;
	uint32_t last;                                                /* message that search_step() looked at last */
	/* Of the message in question: */
	uint32_t seq;
	struct arena *msg;
	struct mbody body;
	bool has_body;
	unsigned reads;                                               /* files opened so far */
};

/* Keys to the end of t; [CHARSET x] before them where charset is NULL. -1: replied. */
int search_read(struct imap *s, struct imap_text *t, const struct slice *charset, struct search *out, struct buf *reply) WARN_UNUSED;
/* A step's worth of messages: found() for each that matches, in order. True: all of the view are looked at. */
typedef void search_found(struct imap *s, void *job, uint32_t seq);
bool search_step(struct imap *s, struct search *q, search_found *found, void *job);
void search_done(struct search *q);                                   /* also after a search_read that failed */

/* Folded case, normal enough to compare; the result lives in the arena. ASCII costs one copy. */
struct slice search_fold(struct slice utf8, struct arena *a);
/* Header field of message seq, unfolded and decoded to UTF-8, from the cache where it can be; p == NULL: none, or the message is gone. */
struct slice search_header(struct imap *s, struct search *q, uint32_t seq, struct slice name, bool decode);
/* When it was sent: its Date, else when it came (RFC 5256 2.2). sort.c. */
int64_t search_sent(struct imap *s, struct search *q, uint32_t seq);

#endif
