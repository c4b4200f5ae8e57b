/*
 * io/tls.h - TLS contexts (OpenSSL 3): TLS 1.2 and 1.3, no renegotiation, no compression, server cipher order left to OpenSSL's level 2.
 *
 * A context is shared by all connections made with it and is reference counted, so a reload can swap it under live ones.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct tls_ctx;

/* alpn: "smtp", "pop3", "imap" (RFC 7301 names); a client that offers only others gets the alert (ALPACA, CVE-2021-3618).
   Reads both files now, so it works before the sandbox closes; checks that key and certificate belong together. */
int tls_server_ctx(struct tls_ctx **ctx_out, const char *cert_file, const char *key_file, const char *alpn, struct err *e);

/* verify: check the chain and the name of the peer (system store, or ca_file when neither NULL nor ""); otherwise opportunistic. */
int tls_client_ctx(struct tls_ctx **ctx_out, bool verify, const char *ca_file, struct err *e);

/* For either end of a connection between hosts of ours (io/tls_peer.h says which certificates are good, ca_file and accept are its). */
int tls_peer_ctx(struct tls_ctx **ctx_out, bool is_client, const char *cert_file, const char *key_file, const char *ca_file, const char *accept,
    const char *alpn, struct err *e) WARN_UNUSED;

void tls_ctx_cap_version(struct tls_ctx *ctx, int version);           /* no newer than, say, TLS1_2_VERSION, for connections made from now on */
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);
void tls_ctx_unref(struct tls_ctx **ctx);
SSL *tls_new(struct tls_ctx *ctx, int fd, const char *peer_name);     /* peer_name: SNI and name check of a client, NULL for a server */

/* After an SSL call failed (not WANT_READ, WANT_WRITE): sets *e to "what: why", in OpenSSL's words or errno's, with the finding of the
   certificate check where that was it. Returns -1. */
int tls_why(SSL *ssl, const char *what, struct err *e);

/* For the log and Received: "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256. Static or SSL-owned strings. */
struct tls_info { const char *version, *cipher; int bits; };
struct tls_info tls_describe(SSL *ssl);

/* Channel binding for SCRAM -PLUS: tls-exporter (RFC 9266) on TLS 1.3, tls-unique (RFC 5929) on TLS 1.2, tls-server-end-point on either.
   type is one of those names; appends the octets of the binding. -1: not to be had on this connection, or over the max of out. */
int tls_channel_binding(SSL *ssl, const char *type, struct buf *out) WARN_UNUSED;

#endif
