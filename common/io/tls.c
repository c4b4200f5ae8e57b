/*
 * io/tls.c - OpenSSL 3 behind the few things that mail needs of it.
 */
#include "io/tls.h"

#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "io/tls_peer.h"

#define TLS_EXPORTER_LABEL "EXPORTER-Channel-Binding"                 /* RFC 9266 section 2 */
#define TLS_EXPORTER_SIZE 32

struct tls_ctx {
	SSL_CTX *ssl_ctx;
	unsigned refs;
	bool is_client, verify;
	unsigned char alpn[16];                                       /* wire form: length, then the name */
	unsigned alpn_len;
	struct tls_peer *peer;                                        /* NULL: not between hosts of ours */
};

/* OpenSSL's own words for what went wrong last; empties its queue. */
static int tls_fail(struct err *e, enum err_kind kind, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	return err_set(e, kind, 0, "%s: %s", what, reason != NULL ? reason : "no reason given by OpenSSL");
}

int tls_why(SSL *ssl, const char *what, struct err *e)
{
	int sys = errno;
	long verdict = SSL_get_verify_result(ssl);
	const struct tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const char *finding = ctx->peer != NULL ? tls_peer_finding(ctx->peer) : "";

	if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE && verdict != X509_V_OK) {
		ERR_clear_error();
		return err_set(e, ERR_DENIED, 0, "%s: certificate of the peer: %s", what, finding[0] ? finding : X509_verify_cert_error_string(verdict));
	}
	if (ERR_peek_last_error() != 0)
		return tls_fail(e, ERR_TEMP, what);
	if (sys != 0)
		return err_set(e, ERR_TEMP, sys, "%s", what);
	return err_set(e, ERR_TEMP, 0, "%s: the peer closed the connection", what);
}

static struct tls_ctx *tls_ctx_new(bool is_client)
{
	struct tls_ctx *ctx = calloc(1, sizeof(*ctx));

	if (ctx == NULL)
		abort();
	ctx->refs = 1;
	ctx->is_client = is_client;
	ctx->ssl_ctx = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
	if (ctx->ssl_ctx == NULL)
		abort();
	SSL_CTX_set_app_data(ctx->ssl_ctx, ctx);
	SSL_CTX_set_min_proto_version(ctx->ssl_ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx->ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx->ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_session_cache_mode(ctx->ssl_ctx, SSL_SESS_CACHE_OFF);        /* tickets do without */
	SSL_CTX_set_read_ahead(ctx->ssl_ctx, 0);
	return ctx;
}

void tls_ctx_cap_version(struct tls_ctx *ctx, int version)
{
	SSL_CTX_set_max_proto_version(ctx->ssl_ctx, version);
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx)
{
	ctx->refs++;
	return ctx;
}

void tls_ctx_unref(struct tls_ctx **ctx)
{
	if (*ctx != NULL && --(*ctx)->refs == 0) {
		SSL_CTX_free((*ctx)->ssl_ctx);
		tls_peer_free(&(*ctx)->peer);
		free(*ctx);
	}
	*ctx = NULL;
}

/*
 * Servers
 */

/* A client that sends ALPN without our protocol means another service: refuse, so that no page of its can be answered by a mail server. */
static int tls_choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls_ctx *ctx = arg;

	(void)ssl;
	for (unsigned at = 0; at < in_len && at + in[at] < in_len; at += in[at] + 1u)
		if (in[at] + 1u == ctx->alpn_len && memcmp(in + at, ctx->alpn, ctx->alpn_len) == 0) {
			*out = in + at + 1;
			*out_len = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void tls_set_alpn(struct tls_ctx *ctx, const char *alpn)
{
	size_t n = strlen(alpn);

	assert(n + 1 <= sizeof(ctx->alpn));
	ctx->alpn[0] = (unsigned char)n;
	memcpy(ctx->alpn + 1, alpn, n);
	ctx->alpn_len = (unsigned)n + 1;
	SSL_CTX_set_alpn_select_cb(ctx->ssl_ctx, tls_choose_alpn, ctx);
}

static int tls_load_pair(struct tls_ctx *ctx, const char *cert_file, const char *key_file, struct err *e)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx->ssl_ctx, cert_file) != 1) {
		tls_fail(e, ERR_NOTFOUND, "not a usable certificate (PEM, server first, then its chain)");
		return err_context(e, "tls_cert_file %s", cert_file);
	}
	if (SSL_CTX_use_PrivateKey_file(ctx->ssl_ctx, key_file, SSL_FILETYPE_PEM) != 1) {
		tls_fail(e, ERR_NOTFOUND, "not a usable private key for that certificate (PEM, without a passphrase)");
		return err_context(e, "tls_key_file %s", key_file);
	}
	if (SSL_CTX_check_private_key(ctx->ssl_ctx) != 1) {
		tls_fail(e, ERR_SYNTAX, "key and certificate do not belong together");
		return err_context(e, "%s and %s", cert_file, key_file);
	}
	return 0;
}

int tls_server_ctx(struct tls_ctx **ctx_out, const char *cert_file, const char *key_file, const char *alpn, struct err *e)
{
	struct tls_ctx *ctx = tls_ctx_new(false);

	if (tls_load_pair(ctx, cert_file, key_file, e) < 0) {
		tls_ctx_unref(&ctx);
		return -1;
	}
	SSL_CTX_set_dh_auto(ctx->ssl_ctx, 1);
	if (alpn != NULL)
		tls_set_alpn(ctx, alpn);
	*ctx_out = ctx;
	return 0;
}

/*
 * Clients
 */

static int tls_load_trust(struct tls_ctx *ctx, const char *ca_file, struct err *e)
{
	ERR_clear_error();
	if (ca_file == NULL || *ca_file == '\0') {
		if (SSL_CTX_set_default_verify_paths(ctx->ssl_ctx) == 1)
			return 0;
		return tls_fail(e, ERR_TEMP, "the system's certificate store");
	}
	if (SSL_CTX_load_verify_locations(ctx->ssl_ctx, ca_file, NULL) == 1)
		return 0;
	tls_fail(e, ERR_NOTFOUND, "not a usable list of certificates (PEM)");
	return err_context(e, "tls_ca_file %s", ca_file);
}

int tls_client_ctx(struct tls_ctx **ctx_out, bool verify, const char *ca_file, struct err *e)
{
	struct tls_ctx *ctx = tls_ctx_new(true);

	ctx->verify = verify;
	if (verify && tls_load_trust(ctx, ca_file, e) < 0) {
		tls_ctx_unref(&ctx);
		return -1;
	}
	SSL_CTX_set_verify(ctx->ssl_ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	if (!verify)                                                  /* a short key is still better than plain text */
		SSL_CTX_set_security_level(ctx->ssl_ctx, 1);
	*ctx_out = ctx;
	return 0;
}

int tls_peer_ctx(struct tls_ctx **ctx_out, bool is_client, const char *cert_file, const char *key_file, const char *ca_file, const char *accept,
    const char *alpn, struct err *e)
{
	struct tls_ctx *ctx = tls_ctx_new(is_client);

	if (tls_load_pair(ctx, cert_file, key_file, e) < 0 || tls_peer_new(&ctx->peer, ctx->ssl_ctx, ca_file, accept, e) < 0) {
		tls_ctx_unref(&ctx);
		return -1;
	}
	tls_set_alpn(ctx, alpn);
	if (is_client && SSL_CTX_set_alpn_protos(ctx->ssl_ctx, ctx->alpn, ctx->alpn_len) != 0)
		abort();
	*ctx_out = ctx;
	return 0;
}

static bool tls_is_ip(const char *name)
{
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
	bool is = ip != NULL;

	ASN1_OCTET_STRING_free(ip);
	ERR_clear_error();
	return is;
}

static void tls_expect_name(SSL *ssl, const struct tls_ctx *ctx, const char *name)
{
	union { const char *in; char *out; } sni = { .in = name };    /* the macro wants it writable and copies it */

	if (tls_is_ip(name)) {                                        /* RFC 6066 section 3: no literal address in SNI */
		if (ctx->verify)
			X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
		return;
	}
	SSL_set_tlsext_host_name(ssl, sni.out);
	if (ctx->verify) {
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		SSL_set1_host(ssl, name);
	}
}

SSL *tls_new(struct tls_ctx *ctx, int fd, const char *peer_name)
{
	SSL *ssl = SSL_new(ctx->ssl_ctx);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1)
		abort();
	if (!ctx->is_client) {
		SSL_set_accept_state(ssl);
		return ssl;
	}
	if (peer_name != NULL)
		tls_expect_name(ssl, ctx, peer_name);
	SSL_set_connect_state(ssl);
	return ssl;
}

struct tls_info tls_describe(SSL *ssl)
{
	struct tls_info info = { SSL_get_version(ssl), SSL_get_cipher_name(ssl), 0 };

	info.bits = SSL_get_cipher_bits(ssl, NULL);
	return info;
}

/*
 * Channel bindings
 */

static int tls_bind_exporter(SSL *ssl, struct buf *out)
{
	unsigned char octets[TLS_EXPORTER_SIZE];

	/* RFC 9266 section 4.2 allows it on TLS 1.2 with conditions; there tls-unique does the same work. */
	if (SSL_version(ssl) != TLS1_3_VERSION)
		return -1;
	if (SSL_export_keying_material(ssl, octets, sizeof(octets), TLS_EXPORTER_LABEL, sizeof(TLS_EXPORTER_LABEL) - 1,
	    (const unsigned char *)"", 0, 1) != 1)
		return -1;
	return buf_add(out, slice_mem(octets, sizeof(octets)));
}

/* RFC 5929 section 3: the first Finished of the handshake - the client's, or the server's where a session was resumed. Without the
   extended master secret (RFC 7627) the value does not bind. */
static int tls_bind_unique(SSL *ssl, struct buf *out)
{
	unsigned char octets[EVP_MAX_MD_SIZE];
	bool first_is_server = SSL_session_reused(ssl) == 1;
	size_t n;

	if (SSL_version(ssl) != TLS1_2_VERSION || SSL_get_extms_support(ssl) != 1)
		return -1;
	if (first_is_server == (SSL_is_server(ssl) == 1))
		n = SSL_get_finished(ssl, octets, sizeof(octets));
	else
		n = SSL_get_peer_finished(ssl, octets, sizeof(octets));
	return n > 0 && n <= sizeof(octets) ? buf_add(out, slice_mem(octets, n)) : -1;
}

/* RFC 5929 section 4: the hash of the server's certificate by the hash of its signature, SHA-256 in place of MD5 and SHA-1. */
static int tls_bind_end_point(SSL *ssl, struct buf *out)
{
	X509 *cert = SSL_is_server(ssl) ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
	unsigned char octets[EVP_MAX_MD_SIZE];
	const EVP_MD *md;
	unsigned n = 0;
	int md_nid;

	if (cert == NULL || X509_get_signature_info(cert, &md_nid, NULL, NULL, NULL) != 1 || md_nid == NID_undef)
		return -1;
	md = md_nid == NID_md5 || md_nid == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(md_nid);
	if (md == NULL || X509_digest(cert, md, octets, &n) != 1)
		return -1;
	return buf_add(out, slice_mem(octets, n));
}

int tls_channel_binding(SSL *ssl, const char *type, struct buf *out)
{
	int rc = -1;

	if (strcmp(type, "tls-exporter") == 0)
		rc = tls_bind_exporter(ssl, out);
	else if (strcmp(type, "tls-unique") == 0)
		rc = tls_bind_unique(ssl, out);
	else if (strcmp(type, "tls-server-end-point") == 0)
		rc = tls_bind_end_point(ssl, out);
	ERR_clear_error();
	return rc;
}
