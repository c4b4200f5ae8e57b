/*
 * store/sindex.h - posthouse.index: a snapshot of a folder, mapped read-only, replaced whole, never written in place.
 *
 *     header (256) | count records of 64 octets, by UID | expunge history | deliveries of the last day | names
 *
 * In the machine's own byte order: an index of another machine is damaged to us, and rebuilt. Opening checks the header and the arithmetic of the
 * sections; each record has a CRC of its own, seeded with the file's id and its number, and is checked whenever it is used, so that opening costs
 * nothing however many there are. A name is believed only where it bears the record's UID.
 */
#ifndef STORE_SINDEX_H
#define STORE_SINDEX_H

#include "store/mbox.h"
#include "store/store.h"

#define SINDEX_NAME "posthouse.index"

struct irec {
	struct mrec m;
	uint64_t cache_at;                                            /* offset in posthouse.cache, 0: none */
	uint64_t name;                                                /* offset << 16 | length */
	uint32_t state;                                               /* SLOT_* of folder.h */
	uint32_t crc;
};

struct igone { uint64_t modseq; uint32_t uid, zero; };                /* expunged */
struct idone { uint64_t id_hash; int64_t when; };                     /* delivered: hash_stable of the queue id */

struct ihead {
	char magic[8];
	uint32_t order, uidvalidity;
	uint64_t id, count, n_gone, n_done, names_len;
	uint64_t log_before, log_before_end, log_after;               /* valid with the log `before` from that offset on, or with all of `after` */
	uint64_t modseq, gone_floor;                                  /* expunges up to gone_floor are forgotten */
	uint64_t octets;
	uint32_t uidnext, recent_from, unseen, deleted, dirty, racy;
	int64_t stamp_new, stamp_cur, boot;
	uint32_t sections_crc;                                        /* of history and deliveries */
	char reserved[96];
	uint32_t crc;
};

struct sindex {
	const struct ihead *h;                                        /* NULL: none */
	const struct irec *recs;
	const struct igone *gone;
	const struct idone *done;
	const char *names;
	struct blob file;
};

/* ERR_NOTFOUND: none; ERR_SYNTAX: damaged. */
int sindex_open(struct sindex *x, struct shelf *h, struct err *e) WARN_UNUSED;
void sindex_close(struct sindex *x);
int sindex_parse(struct slice file, struct sindex *out) WARN_UNUSED;  /* pure; -1: damaged. file is aligned to 8 */
bool sindex_rec_is_sound(const struct sindex *x, size_t i);
bool sindex_name(const struct sindex *x, const struct irec *r, struct slice *out);     /* false: outside the file */
bool sindex_sections_are_sound(const struct sindex *x);

/* Writing. Add count records in ascending order of UID, then finish: flushed and put into place. Drop after any failure. */
struct sindex_out;
struct sindex_out *sindex_out_new(struct shelf *h, uint64_t id, uint64_t count, const struct igone *gone, size_t n_gone, const struct idone *done, size_t n_done);
void sindex_out_add(struct sindex_out *w, const struct mrec *m, uint64_t cache_at, uint32_t state, struct slice name);
int sindex_out_finish(struct sindex_out *w, const struct ihead *head, struct err *e) WARN_UNUSED;     /* magic, counts and CRCs are filled in */
void sindex_out_free(struct sindex_out **w);

#endif
