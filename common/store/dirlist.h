/*
 * store/dirlist.h - the messages of a bay, and what is inside one that another program wrote.
 */
#ifndef STORE_DIRLIST_H
#define STORE_DIRLIST_H

#include "base/arena.h"
#include "store/name.h"
#include "store/store.h"

struct found {
	struct slice name;                                            /* NUL behind it */
	struct mname n;                                               /* slices borrow from name */
	enum bay bay;
	bool is_torn;                                                 /* measured: not as long as its name says */
};

/* A list that grows by names; a name that can't be a message's is left out. store_name_fn over a zeroed one with an arena. */
struct dirlist { struct arena *a; enum bay bay; struct found *v; size_t n, cap; };
int dirlist_add(void *list, const char *name);

/* Those whose names can be messages, in no order; all in the arena. */
int dirlist(struct shelf *h, enum bay bay, struct arena *a, struct found **list_out, size_t *n_out, struct err *e) WARN_UNUSED;
/* Size on disk, size with CRLF, and modification time of one. ERR_NOTFOUND; ERR_DENIED: not a plain file, too large, not for us;
   others: may go another time. */
int message_measure(struct shelf *h, enum bay bay, const char *name, uint64_t *file_size_out, uint64_t *size_out, int64_t *mtime_out, struct err *e) WARN_UNUSED;

#endif
