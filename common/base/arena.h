/*
 * base/arena.h - memory whose lifetime is a place: daemon, session or command.
 *
 * Allocation never fails (out of memory aborts). Nothing is freed one by one: arena_reset() takes all of it back, after running the
 * functions registered with arena_on_reset() in reverse order. The first block is kept over a reset, so a command costs no malloc.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena;

struct arena *arena_new(size_t first_block);                          /* octets of the first block, 0: 1 KiB */
struct arena *arena_new_secret(size_t first_block);                   /* wipes its memory at reset and free */
void arena_reset(struct arena *a);
void arena_free(struct arena **a);                                    /* NULL or *a == NULL is fine */
size_t arena_used(const struct arena *a);                             /* octets handed out since the last reset */

void *arena_alloc(struct arena *a, size_t n);                         /* zeroed, aligned for anything */
void *arena_array(struct arena *a, size_t count, size_t size);        /* the same, multiplication checked */
char *arena_str(struct arena *a, struct slice s);                     /* copy with a NUL */
struct slice arena_dup(struct arena *a, struct slice s);              /* copy, NUL behind it */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_on_reset(struct arena *a, void (*fn)(void *ctx), void *ctx);

#endif
