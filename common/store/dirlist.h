/*
 * store/dirlist.h - the message files of cur/ or new/, and what is inside one that another program wrote.
 */
#ifndef STORE_DIRLIST_H
#define STORE_DIRLIST_H

#include "store/name.h"
#include "base/arena.h"

struct found {
	struct slice name;                                            /* NUL behind it */
	struct mname n;                                               /* slices borrow from name */
	bool in_new;
	bool is_torn;                                                 /* measured: not as long as its name says */
};

/* Plain files whose names can be messages, in no order; all in the arena. */
int dirlist(int dirfd, bool in_new, struct arena *a, struct found **list_out, size_t *n_out, struct err *e) WARN_UNUSED;
/* What lies there and can't be a message, with words that say why. */
int dirlist_odd(int dirfd, void (*fn)(void *ctx, const char *name, const char *what), void *ctx, struct err *e) WARN_UNUSED;
/* Size on disk, size with CRLF, and modification time of a file in dirfd. ERR_NOTFOUND; ERR_DENIED: not a plain file, too large, not for us;
   others: may go another time. */
int message_measure(int dirfd, const char *name, uint64_t *file_size_out, uint64_t *size_out, int64_t *mtime_out, struct err *e) WARN_UNUSED;

#endif
