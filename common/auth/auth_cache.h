/*
 * auth/auth_cache.h - passwords that were right a moment ago, as HMAC-SHA-256 under a key that was drawn at start and never leaves the process.
 */
#ifndef AUTH_AUTH_CACHE_H
#define AUTH_AUTH_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define AUTH_CACHE_USERS 65536u                                           /* the cache forgets all when it holds so many */

struct auth_cache;

struct auth_cache *auth_cache_new(int64_t lifetime_ms);               /* 0: remembers nothing */
void auth_cache_free(struct auth_cache **c);
bool auth_cache_has(struct auth_cache *c, struct slice user, struct slice password, int64_t now_ms);
void auth_cache_put(struct auth_cache *c, struct slice user, struct slice password, int64_t now_ms);
void auth_cache_clear(struct auth_cache *c);                          /* users.db changed */

#endif
