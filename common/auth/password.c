/*
 * auth/password.c - yescrypt by libcrypt, PBKDF2 and HMAC by OpenSSL.
 */
#include "auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "auth/saslprep.h"
#include "auth/users.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

#define SALT_OCTETS 16
#define KEY_OCTETS 32

/* Hash of no password, with the cost that users_hash_password() chooses. */
static const char nobody_hash[] = "$y$j9T$uB0oQk7rP1mXw3vZ5yA8d.$CTnZJM1vBUXyCTn4mWc6bWxX3k1QmVg7cqkYd3nT6u9";

static int crypt_matches(const char *password, const char *hash)
{
	struct crypt_data *d = mem_new(sizeof(*d));
	const char *got = hash[0] == '$' ? crypt_r(password, hash, d) : NULL;         /* the old DES kind has no '$' and is no protection */
	int rc;

	if (got == NULL || got[0] == '*')
		rc = -1;
	else
		rc = text_equal_secret(slice_of(got), slice_of(hash)) ? 1 : 0;
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
	return rc;
}

/* What crypt(3) sees: the prepared form where there is one, else the octets as sent. */
static const char *crypt_text(struct slice password, struct arena *a)
{
	struct buf b;

	if (password.n == 0 || password.n >= CRYPT_MAX_PASSPHRASE_SIZE || memchr(password.p, '\0', password.n) != NULL)
		return NULL;
	buf_init(&b, CRYPT_MAX_PASSPHRASE_SIZE - 1);
	const char *text = saslprep(password, &b) == 0 ? arena_str(a, buf_view(&b)) : arena_str(a, password);

	buf_wipe(&b);
	return text;
}

int password_check(struct slice hash, struct slice password, struct err *e)
{
	struct arena *a = arena_new_secret(0);
	const char *text = crypt_text(password, a);
	int rc = crypt_matches(text ? text : "", arena_str(a, hash));

	arena_free(&a);
	if (rc < 0)
		return err_set(e, ERR_TEMP, 0, "password store unreadable: the stored hash is of no known kind");
	return text != NULL && rc == 1;
}

void password_check_nobody(struct slice password)
{
	if (password_check(slice_of(nobody_hash), password, NULL) == 1)
		return;                                                   /* whoever finds it logs in nowhere */
}

static void hmac(const unsigned char *key, size_t n, const char *text, unsigned char out[KEY_OCTETS])
{
	unsigned len = KEY_OCTETS;

	if (HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)text, strlen(text), out, &len) == NULL)
		abort();
}

static struct slice verifier(unsigned iterations, struct slice salt, const unsigned char *stored, const unsigned char *server, struct arena *a)
{
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	buf_putf(&b, "%u:", iterations);
	if (text_base64(salt, &b) != 0 || buf_addc(&b, ':') != 0 || text_base64(slice_mem(stored, KEY_OCTETS), &b) != 0 ||
	    buf_addc(&b, ':') != 0 || text_base64(slice_mem(server, KEY_OCTETS), &b) != 0)
		abort();
	struct slice s = arena_dup(a, buf_view(&b));

	buf_wipe(&b);
	return s;
}

struct slice password_scram(struct slice prepared, struct slice salt, unsigned iterations, struct arena *a)
{
	unsigned char salted[KEY_OCTETS], client[KEY_OCTETS], stored[KEY_OCTETS], server[KEY_OCTETS];

	if (PKCS5_PBKDF2_HMAC(prepared.p, (int)prepared.n, (const unsigned char *)salt.p, (int)salt.n, (int)iterations, EVP_sha256(), KEY_OCTETS, salted) != 1)
		abort();
	hmac(salted, sizeof(salted), "Client Key", client);
	hmac(salted, sizeof(salted), "Server Key", server);
	SHA256(client, sizeof(client), stored);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client, sizeof(client));
	return verifier(iterations, salt, stored, server, a);
}

struct slice password_scram_nobody(struct slice name, struct slice key, struct arena *a)
{
	unsigned char salt[KEY_OCTETS], stored[KEY_OCTETS], server[KEY_OCTETS];
	const unsigned char *k = (const unsigned char *)key.p;

	hmac(k, key.n, arena_printf(a, "salt %.*s", SLICE_FMT(name)), salt);
	hmac(k, key.n, arena_printf(a, "stored %.*s", SLICE_FMT(name)), stored);
	hmac(k, key.n, arena_printf(a, "server %.*s", SLICE_FMT(name)), server);
	return verifier(PASSWORD_SCRAM_ITERATIONS, slice_mem(salt, SALT_OCTETS), stored, server, a);
}

struct slice password_scram_property(struct slice text, struct arena *a)
{
	struct slice iterations, salt, stored, server;

	if (!slice_next(&text, ':', &iterations) || !slice_next(&text, ':', &salt) || !slice_next(&text, ':', &stored) || !slice_next(&text, ':', &server))
		return SLICE_NONE;
	return slice_of(arena_printf(a, "SCRAM-SHA-256$%.*s:%.*s$%.*s:%.*s", SLICE_FMT(iterations), SLICE_FMT(salt), SLICE_FMT(stored), SLICE_FMT(server)));
}

static int yescrypt(const char *text, struct arena *a, struct slice *hash_out, struct err *e)
{
	char random[16], setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data *d = mem_new(sizeof(*d));
	int rc = 0;

	text_random(random, sizeof(random));
	const char *got = crypt_gensalt_rn("$y$", 0, random, sizeof(random), setting, sizeof(setting)) ? crypt_r(text, setting, d) : NULL;
	if (got == NULL || got[0] == '*')
		rc = err_set(e, ERR_TEMP, 0, "this machine's libcrypt makes no yescrypt hash");
	else
		*hash_out = arena_dup(a, slice_of(got));
	OPENSSL_cleanse(d, sizeof(*d));
	free(d);
	return rc;
}

int users_hash_password(struct slice password, struct arena *a, struct user *user, struct err *e)
{
	struct buf prepared;
	char salt[SALT_OCTETS];
	struct slice hash;

	if (slice_is_empty(password))
		return err_set(e, ERR_SYNTAX, 0, "the password is empty");
	if (password.n > LIMIT_PASSWORD || password.n >= CRYPT_MAX_PASSPHRASE_SIZE)
		return err_set(e, ERR_LIMIT, 0, "the password is longer than %d octets", CRYPT_MAX_PASSPHRASE_SIZE - 1);
	buf_init(&prepared, CRYPT_MAX_PASSPHRASE_SIZE - 1);
	if (saslprep(password, &prepared) != 0 || prepared.len == 0)
		return err_set(e, ERR_SYNTAX, 0, "the password holds control characters or is not UTF-8");
	if (yescrypt(buf_str(&prepared), a, &hash, e) != 0) {
		buf_wipe(&prepared);
		return -1;
	}
	text_random(salt, sizeof(salt));
	user->hash = hash;
	user->scram = password_scram(buf_view(&prepared), slice_mem(salt, sizeof(salt)), PASSWORD_SCRAM_ITERATIONS, a);
	buf_wipe(&prepared);
	return 0;
}
