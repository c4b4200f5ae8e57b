/*
 * io/tls_peer.c - see the header.
 */
#include "io/tls_peer.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define NAMES_MAX 160u                                                    /* octets of a stranger's names in a log line */

struct tls_peer {
	char *accept;
	bool has_ca;
	char finding[256];
};

int tls_peer_fingerprint(struct slice word, unsigned char octets_out[TLS_FINGERPRINT_SIZE])
{
	struct buf hex, raw;
	int rc = -1;

	if (!slice_istarts(word, SLICE("sha256:")))
		return 0;
	word = slice_from(word, strlen("sha256:"));
	buf_init(&hex, 2 * TLS_FINGERPRINT_SIZE);
	buf_init(&raw, TLS_FINGERPRINT_SIZE);
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] != ':' && buf_add(&hex, slice_mem(word.p + i, 1)) < 0)
			goto out;
	if (text_unhex(buf_view(&hex), &raw) == 0 && raw.len == TLS_FINGERPRINT_SIZE) {
		memcpy(octets_out, raw.p, TLS_FINGERPRINT_SIZE);
		rc = 1;
	}
out:
	buf_done(&hex);
	buf_done(&raw);
	return rc;
}

static void put_name(const GENERAL_NAME *gn, struct buf *out)
{
	char addr[INET6_ADDRSTRLEN];
	const ASN1_STRING *s = gn->d.ia5;
	const unsigned char *p = s != NULL ? ASN1_STRING_get0_data(s) : NULL;
	int n = s != NULL ? ASN1_STRING_length(s) : 0;

	if (gn->type == GEN_DNS) {
		buf_puts(out, out->len ? " " : "");
		text_escape(slice_head(slice_mem(p, (size_t)n), NAMES_MAX), out);
	} else if (gn->type == GEN_IPADD && (n == 4 || n == 16) && inet_ntop(n == 4 ? AF_INET : AF_INET6, p, addr, sizeof(addr)) != NULL) {
		buf_putf(out, "%s%s", out->len ? " " : "", addr);
	}
}

void tls_peer_names(X509 *cert, struct buf *out)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char cn[128];

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && out->len < NAMES_MAX; i++)
		put_name(sk_GENERAL_NAME_value(names, i), out);
	GENERAL_NAMES_free(names);
	if (out->len == 0 && X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn)) > 0)
		text_escape(slice_of(cn), out);
	ERR_clear_error();
}

static bool has_fingerprint(const struct tls_peer *p, X509 *cert)
{
	unsigned char shown[EVP_MAX_MD_SIZE], listed[TLS_FINGERPRINT_SIZE];
	struct slice rest = slice_of(p->accept), word;
	unsigned n = 0;

	if (X509_digest(cert, EVP_sha256(), shown, &n) != 1 || n != TLS_FINGERPRINT_SIZE)
		return false;
	while (slice_word(&rest, &word))
		if (tls_peer_fingerprint(word, listed) == 1 && memcmp(shown, listed, n) == 0)
			return true;
	return false;
}

static bool bears(X509 *cert, struct slice word)
{
	char text[256];

	if (word.n == 0 || word.n >= sizeof(text))
		return false;
	memcpy(text, word.p, word.n);
	text[word.n] = '\0';
	if (X509_check_ip_asc(cert, text, 0) == 1)
		return true;
	return X509_check_host(cert, text, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

static bool has_name(const struct tls_peer *p, X509 *cert)
{
	struct slice rest = slice_of(p->accept), word;

	while (slice_word(&rest, &word))
		if (bears(cert, word))
			return true;
	return false;
}

/* Our own finding, in words that say what to do. Returns 0, what OpenSSL takes for no. */
static int refuse(struct tls_peer *p, X509_STORE_CTX *store, X509 *cert, int verdict, const char *why)
{
	struct buf names;

	buf_init(&names, BUF_UNBOUNDED);
	tls_peer_names(cert, &names);
	snprintf(p->finding, sizeof(p->finding), "%s (it names %.*s)", why, (int)(names.len < NAMES_MAX ? names.len : NAMES_MAX), names.len ? names.p : "nobody");
	buf_done(&names);
	X509_STORE_CTX_set_error(store, verdict);
	return 0;
}

static int check_dates(struct tls_peer *p, X509_STORE_CTX *store, X509 *cert)
{
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0)
		return refuse(p, store, cert, X509_V_ERR_CERT_HAS_EXPIRED, "it has expired; give that host a new one");
	if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0)
		return refuse(p, store, cert, X509_V_ERR_CERT_NOT_YET_VALID, "it is not valid yet; do both clocks agree?");
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

static const char *advice(int verdict)
{
	switch (verdict) {
	case X509_V_ERR_CERT_HAS_EXPIRED: return "; give that host a new one";
	case X509_V_ERR_CERT_NOT_YET_VALID: return "; do both clocks agree?";
	case X509_V_ERR_INVALID_PURPOSE: return "; its extendedKeyUsage must allow clientAuth and serverAuth";
	default: return "; is its authority in the CA file, or its fingerprint listed?";
	}
}

static int judge(X509_STORE_CTX *store, void *ctx)
{
	struct tls_peer *p = ctx;
	X509 *cert = X509_STORE_CTX_get0_cert(store);
	char why[200];

	p->finding[0] = '\0';
	if (cert == NULL)
		return 0;
	if (has_fingerprint(p, cert))
		return check_dates(p, store, cert);
	if (!p->has_ca)
		return refuse(p, store, cert, X509_V_ERR_CERT_REJECTED, "its fingerprint is not listed, and there is no CA file");
	if (X509_verify_cert(store) != 1) {
		int verdict = X509_STORE_CTX_get_error(store);
		snprintf(why, sizeof(why), "%s%s", X509_verify_cert_error_string(verdict), advice(verdict));
		return refuse(p, store, cert, verdict, why);
	}
	if (has_name(p, cert))
		return 1;
	return refuse(p, store, cert, X509_V_ERR_HOSTNAME_MISMATCH, "none of its names is listed as a peer");
}

static int check_words(const char *accept, bool has_ca, struct err *e)
{
	unsigned char octets[TLS_FINGERPRINT_SIZE];
	struct slice rest = slice_of(accept), word;
	size_t n_names = 0, n_prints = 0;

	while (slice_word(&rest, &word)) {
		int rc = tls_peer_fingerprint(word, octets);
		if (rc < 0)
			return err_set(e, ERR_SYNTAX, 0, "'%.*s' is no fingerprint: sha256: and 64 hexadecimal digits", SLICE_FMT(slice_head(word, 100)));
		n_prints += rc == 1;
		n_names += rc == 0;
	}
	if (n_names + n_prints == 0)
		return err_set(e, ERR_SYNTAX, 0, "no certificate would be good: neither a name nor a fingerprint of a peer is listed");
	if (n_prints == 0 && !has_ca)
		return err_set(e, ERR_SYNTAX, 0, "names of peers count only with the certificate of the authority that signs for them: it is not set, and no fingerprint is listed");
	return 0;
}

int tls_peer_new(struct tls_peer **p_out, SSL_CTX *ssl_ctx, const char *ca_file, const char *accept, struct err *e)
{
	struct tls_peer *p;
	bool has_ca = ca_file[0] != '\0';

	if (check_words(accept, has_ca, e) != 0)
		return -1;
	ERR_clear_error();
	if (has_ca && SSL_CTX_load_verify_locations(ssl_ctx, ca_file, NULL) != 1) {
		ERR_clear_error();
		return err_set(e, ERR_NOTFOUND, 0, "%s: not a usable list of certificates (PEM)", ca_file);
	}
	if (has_ca)
		SSL_CTX_set_client_CA_list(ssl_ctx, SSL_load_client_CA_file(ca_file));
	p = mem_new(sizeof(*p));
	p->accept = mem_str(accept);
	p->has_ca = has_ca;
	SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ssl_ctx, judge, p);
	SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);                   /* a resumed session would show no certificate */
	SSL_CTX_set_num_tickets(ssl_ctx, 0);
	*p_out = p;
	return 0;
}

void tls_peer_free(struct tls_peer **pp)
{
	if (*pp == NULL)
		return;
	free((*pp)->accept);
	free(*pp);
	*pp = NULL;
}

const char *tls_peer_finding(const struct tls_peer *p)
{
	return p->finding;
}
