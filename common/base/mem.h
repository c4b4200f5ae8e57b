/*
 * base/mem.h - the heap. Out of memory aborts the process: systemd restarts it, and the queue survives.
 * Prefer an arena; this is for what outlives one and has exactly one owner.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/attr.h"

void *mem_new(size_t n);                                              /* zeroed; free(3) it */
void *mem_array(size_t count, size_t size);                           /* the same, multiplication checked */
void *mem_grow(void *p, size_t n);                                    /* as realloc; p may be NULL */
char *mem_str(const char *str);                                       /* as strdup */

#endif
