/*
 * base/slice.h - borrowed octets: a pointer and a length, never a NUL.
 *
 * A slice owns nothing; whoever hands it out says how long it lives. The wire is read through slices only.
 * Case is ASCII case: protocol words are ASCII, whatever the locale. What is inline here is called for each octet or each word of the wire.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"

struct slice {
	const char *p;
	size_t n;
};

#define SLICE(lit) ((struct slice){ "" lit, sizeof(lit) - 1 })        /* of a string literal */
#define SLICE_INIT(lit) { "" lit, sizeof(lit) - 1 }                   /* the same, for static tables */
#define SLICE_NONE ((struct slice){ NULL, 0 })
#define SLICE_FMT(s) (int)(s).n, (s).p                                /* for "%.*s" */

struct slice slice_of(const char *str);                               /* NULL gives SLICE_NONE */
static inline struct slice slice_mem(const void *p, size_t n)
{
	return (struct slice){ p, n };
}

static inline bool slice_is_empty(struct slice s)
{
	return s.n == 0;
}

bool slice_eq(struct slice a, struct slice b);                        /* octet for octet */
bool slice_ieq(struct slice a, struct slice b);                       /* ASCII case aside */
bool slice_eqs(struct slice a, const char *b);
bool slice_ieqs(struct slice a, const char *b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_istarts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
bool slice_iends(struct slice s, struct slice suffix);
int slice_cmp(struct slice a, struct slice b);                        /* as memcmp, then by length */
int slice_icmp(struct slice a, struct slice b);

/* The rest from `at`; empty past the end. */
static inline struct slice slice_from(struct slice s, size_t at)
{
	return at >= s.n ? (struct slice){ s.p == NULL ? NULL : s.p + s.n, 0 } : (struct slice){ s.p + at, s.n - at };
}

/* The first n at most. */
static inline struct slice slice_head(struct slice s, size_t n)
{
	return (struct slice){ s.p, n < s.n ? n : s.n };
}

struct slice slice_trim(struct slice s);                              /* blanks, tabs, CR, LF at both ends */

/* Index of the first (last) octet c, or -1. */
ptrdiff_t slice_chr(struct slice s, char c);
ptrdiff_t slice_rchr(struct slice s, char c);
ptrdiff_t slice_find(struct slice s, struct slice needle);            /* -1: not there */
ptrdiff_t slice_ifind(struct slice s, struct slice needle);

/* Takes everything before the first `sep` off *rest; false when *rest was already used up (p == NULL). Empty fields count. */
bool slice_next(struct slice *rest, char sep, struct slice *field_out);

/* Takes the next run of non-blank octets off *rest; false when only blanks are left. */
bool slice_word(struct slice *rest, struct slice *word_out);

static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline char ascii_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
}

static inline bool ascii_is_alpha(char c)
{
	return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_alnum(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c);
}

static inline bool ascii_is_blank(char c)                             /* space or tab */
{
	return c == ' ' || c == '\t';
}

static inline bool ascii_is_print(char c)                             /* 0x20 to 0x7e */
{
	return c >= 0x20 && c <= 0x7e;
}

#endif
