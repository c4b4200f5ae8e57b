/*
 * store/umap.h - a map from numbers (slots, UIDs) to pointers. Values are borrowed, never NULL; nothing is ever taken out.
 */
#ifndef STORE_UMAP_H
#define STORE_UMAP_H

#include <stddef.h>
#include <stdint.h>

struct umap { uint32_t *keys; void **values; size_t count, cap; };

void *umap_get(const struct umap *m, uint32_t key);                   /* NULL: not there */
void umap_put(struct umap *m, uint32_t key, void *value);
void umap_done(struct umap *m);                                       /* a zeroed map is fine */

#endif
