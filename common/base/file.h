/*
 * base/file.h - whole small files: read with a cap, replace by rename. For configuration, certificates and tables.
 * Mail and the queue do not come here: they have store/ and queue/.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

int file_read(const char *path, struct buf *out, struct err *e) WARN_UNUSED;   /* over out->max: ERR_LIMIT */

/* Writes path.tmp.PID, fsync, rename, fsync of the directory. Readers see the old or the new file, whole. */
int file_replace(const char *path, struct slice content, mode_t mode, struct err *e) WARN_UNUSED;

int file_sync_directory_of(const char *path) WARN_UNUSED;                 /* what makes a rename durable; -1: errno set. Allocates nothing */
int file_mkdirs(const char *path, mode_t mode, struct err *e) WARN_UNUSED;     /* as mkdir -p */
int file_write_all(int fd, struct slice s) WARN_UNUSED;                       /* -1: errno set */
void file_close(int *fd);                                                     /* closes and stores -1; -1 is fine */

#endif
