/*
 * store/slog.h - records in a log of store.h, under its write lock; readers never wait.
 *
 *     header (64 octets): magic, id (random), base (id of the snapshot that it continues, 0: nothing), tag (the owner's), CRC
 *     record: length u32, CRC32C u32 of (id, offset, length, payload), payload; padded to 8
 *
 * Ids make a record of another file, or of an older life of the same blocks, fail its CRC. A reader that meets a bad record stops there; a writer
 * (who alone may be in the middle of an append) finds by it that a crash or the disk damaged the tail. A log that was replaced says so.
 */
#ifndef STORE_SLOG_H
#define STORE_SLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"

#define SLOG_HEADER 64
#define SLOG_RECORD_MAX (64u << 20)

struct slog {
	struct store_log *f;                                          /* NULL: not open */
	uint64_t id, base, tag;                                       /* id 0: the log is empty, nobody has begun it */
	uint64_t end;                                                 /* behind the last record that was read or appended */
	uint64_t size;                                                /* when it was locked last: more than end is there to be read */
	bool locked;
};

void slog_init(struct slog *l);
/* Opens, makes the log when `create`. A header that can't be trusted leaves id 0 (end 0). ERR_NOTFOUND. */
int slog_open(struct slog *l, struct shelf *h, const char *name, bool create, struct err *e) WARN_UNUSED;
void slog_close(struct slog *l);

/* Takes the write lock, waiting for it. *replaced_out: another log has its name by now, so it isn't the one to write to (and is not locked). */
int slog_lock(struct slog *l, bool *replaced_out, struct err *e) WARN_UNUSED;
void slog_unlock(struct slog *l);

enum slog_state { SLOG_SAME, SLOG_GROWN, SLOG_REPLACED };
enum slog_state slog_look(const struct slog *l);                      /* one fstat, locally */

/* Reads every whole record behind l->end and moves end. payload is borrowed for the call. *bad_out: octets follow that are no record.
   fn returns -1 to stop behind that record (rc 0 all the same). */
int slog_read(struct slog *l, int (*fn)(void *ctx, struct slice payload, uint64_t at), void *ctx, bool *bad_out, struct err *e) WARN_UNUSED;

/* Locked only. Begins an empty or untrusted log anew; appends at end. On failure the log is as it was. */
int slog_begin(struct slog *l, uint64_t id, uint64_t base, uint64_t tag, struct err *e) WARN_UNUSED;
int slog_append(struct slog *l, struct slice payload, struct err *e) WARN_UNUSED;
int slog_flush(struct slog *l, struct err *e) WARN_UNUSED;
int slog_cut(struct slog *l, struct err *e) WARN_UNUSED;              /* locked: what is behind end was never acknowledged */

/* A new log of that name, which holds the octets (a header, records); those who have the old one open find it replaced. Opened as `out`, locked. */
int slog_swap(struct shelf *h, const char *name, struct slice octets, bool flushed, struct slog *out, struct err *e) WARN_UNUSED;

/* Pure: one record in `in`, which lies at offset `at` of file `id`. */
enum slog_parse { SLOG_RECORD, SLOG_SHORT, SLOG_BAD };
enum slog_parse slog_record_parse(struct slice in, uint64_t id, uint64_t at, struct slice *payload_out, size_t *used_out);
void slog_record_put(struct slice payload, uint64_t id, uint64_t at, struct buf *out);
void slog_header_put(uint64_t id, uint64_t base, uint64_t tag, struct buf *out);
int slog_header_parse(struct slice in, uint64_t *id_out, uint64_t *base_out, uint64_t *tag_out) WARN_UNUSED;

#endif
