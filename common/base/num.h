/*
 * base/num.h - numbers from octets and back. Every reader checks the whole slice and the range; nothing is skipped or guessed.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Decimal digits only, no sign, no blank. -1: not a number, or over max; *out untouched. */
int num_u64(struct slice s, uint64_t max, uint64_t *out) WARN_UNUSED;
int num_u32(struct slice s, uint32_t max, uint32_t *out) WARN_UNUSED;
int num_i64(struct slice s, int64_t *out) WARN_UNUSED;                /* one leading '-' allowed */
int num_hex(struct slice s, uint64_t *out) WARN_UNUSED;

/* Lower-case base 36, as UIDs ride in file names. */
int num_base36(struct slice s, uint64_t max, uint64_t *out) WARN_UNUSED;
size_t num_to_base36(uint64_t v, char out[14]);                       /* NUL-terminated; returns the length */

/* "90", "10s", "5m", "2h", "3d", "1w" to seconds; "64K", "25M", "2G" to octets. */
int num_secs(struct slice s, uint64_t *secs_out) WARN_UNUSED;
int num_size(struct slice s, uint64_t *octets_out) WARN_UNUSED;
void num_put_secs(struct buf *b, uint64_t secs);                      /* the shortest exact form */
void num_put_size(struct buf *b, uint64_t octets);

/* Unaligned little-endian fields of disk formats and messages. */
void num_put_le16(void *p, uint16_t v);
void num_put_le32(void *p, uint32_t v);
void num_put_le64(void *p, uint64_t v);
uint16_t num_get_le16(const void *p);
uint32_t num_get_le32(const void *p);
uint64_t num_get_le64(const void *p);

#endif
