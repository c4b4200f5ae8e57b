/*
 * store/blob.h - octets of the store that somebody reads: a message, a snapshot.
 */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include <stdint.h>

#include "base/slice.h"

/* octets are good until store_blob_done(). fd: where sendfile(2) may take the same octets from, or -1. The rest is the backend's. */
struct blob { struct slice octets; int64_t mtime; int fd; void *hold; size_t hold_len; void (*release)(struct blob *b); };

void store_blob_done(struct blob *b);                                 /* a zeroed blob is fine */

#endif
