/*
 * base/hash.h - checksums for disks, keyed hashes for tables that peers can fill, and one table.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

/* CRC-32C (Castagnoli, RFC 3720 B.4), hardware where the CPU has it. Start with 0; feed the last result to go on. */
uint32_t hash_crc32c(uint32_t crc, const void *p, size_t n);
uint32_t hash_crc32c_portable(uint32_t crc, const void *p, size_t n);  /* by table: what any other CPU gets */

uint64_t hash_siphash(const uint64_t key[2], struct slice s);          /* SipHash-2-4 under a key of the caller */

/* SipHash-2-4 under a key drawn at process start: no peer can aim at one bucket. Not stable across processes. */
uint64_t hash_keyed(struct slice s);

/* The same under a fixed key: stable on disk, for names that are not hostile. */
uint64_t hash_stable(struct slice s);

/*
 * A map from octets to pointers. Keys are copied, values borrowed. Open addressing, keyed hash.
 */
struct hmap;
struct hmap *hmap_new(void);
void hmap_free(struct hmap **m);
void *hmap_get(const struct hmap *m, struct slice key);               /* NULL: not there */
void *hmap_put(struct hmap *m, struct slice key, void *value);        /* returns the value replaced, or NULL */
void *hmap_del(struct hmap *m, struct slice key);                     /* returns what was there */
size_t hmap_count(const struct hmap *m);
/* Walk in no order: start with *at = 0; false at the end. The map may not change meanwhile, except hmap_del of the key just
   seen. That key stays readable until the next hmap_put. */
bool hmap_next(const struct hmap *m, size_t *at, struct slice *key_out, void **value_out);

#endif
