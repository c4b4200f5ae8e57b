/*
 * auth/auth_cache.c - one entry a user: the digest of the last good password and its end. A hit does not prolong it.
 */
#include "auth/auth_cache.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/text.h"

#define DIGEST 32

struct entry {
	unsigned char digest[DIGEST];
	int64_t ends_at;
};

struct auth_cache {
	unsigned char key[DIGEST];
	int64_t lifetime_ms;
	struct hmap *users;
};

struct auth_cache *auth_cache_new(int64_t lifetime_ms)
{
	struct auth_cache *c = mem_new(sizeof(*c));

	text_random(c->key, sizeof(c->key));
	c->lifetime_ms = lifetime_ms;
	c->users = hmap_new();
	return c;
}

void auth_cache_clear(struct auth_cache *c)
{
	struct slice key;
	void *v;
	size_t at = 0;

	while (hmap_next(c->users, &at, &key, &v))
		free(v);
	hmap_free(&c->users);
	c->users = hmap_new();
}

void auth_cache_free(struct auth_cache **c)
{
	if (c == NULL || *c == NULL)
		return;
	auth_cache_clear(*c);
	hmap_free(&(*c)->users);
	OPENSSL_cleanse((*c)->key, sizeof((*c)->key));
	free(*c);
	*c = NULL;
}

/* The user is in it too: one password's digest is no other user's (CVE-2025-30189 was such a cache). */
static void digest(const struct auth_cache *c, struct slice user, struct slice password, unsigned char out[DIGEST])
{
	struct buf b;
	unsigned n = DIGEST;

	buf_init(&b, BUF_UNBOUNDED);
	buf_put(&b, user);
	buf_putc(&b, '\0');
	buf_put(&b, password);
	if (HMAC(EVP_sha256(), c->key, sizeof(c->key), (const unsigned char *)b.p, b.len, out, &n) == NULL)
		abort();
	buf_wipe(&b);
}

bool auth_cache_has(struct auth_cache *c, struct slice user, struct slice password, int64_t now_ms)
{
	unsigned char d[DIGEST];
	const struct entry *n = hmap_get(c->users, user);

	if (n == NULL || now_ms >= n->ends_at)
		return false;
	digest(c, user, password, d);
	return CRYPTO_memcmp(d, n->digest, DIGEST) == 0;
}

void auth_cache_put(struct auth_cache *c, struct slice user, struct slice password, int64_t now_ms)
{
	struct entry *n = hmap_get(c->users, user);

	if (c->lifetime_ms == 0)
		return;
	if (n == NULL) {
		if (hmap_count(c->users) >= AUTH_CACHE_USERS)
			auth_cache_clear(c);
		n = mem_new(sizeof(*n));
		hmap_put(c->users, user, n);
	}
	digest(c, user, password, n->digest);
	n->ends_at = now_ms + c->lifetime_ms;
}
