/*
 * io/tls_peer.h - TLS between hosts of ours: both sides show a certificate, and only listed ones are good.
 *
 * A certificate is good when it is in date and either its fingerprint is listed, or its chain leads to one of ca_file and it bears a listed name (DNS
 * name or address of subjectAltName; the common name where there is no such). Nothing else: a chain to the authority alone proves that somebody has a
 * certificate, not that he is one of us.
 */
#ifndef IO_TLS_PEER_H
#define IO_TLS_PEER_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#define TLS_FINGERPRINT_SIZE 32

struct tls_peer;

/* accept: words apart by blanks, each a name, an address, or "sha256:HEX" (colons between octets are fine). ca_file "": fingerprints alone count.
   From then on a handshake of ssl_ctx fails unless the other side shows a good certificate; no session is resumed. */
int tls_peer_new(struct tls_peer **p_out, SSL_CTX *ssl_ctx, const char *ca_file, const char *accept, struct err *e) WARN_UNUSED;
void tls_peer_free(struct tls_peer **p);
const char *tls_peer_finding(const struct tls_peer *p);               /* why the last certificate was refused; "" when it was not, or none was shown */

/* A word "sha256:HEX" of accept. -1: it begins so and is none; 0: it is no such word; 1: octets_out is filled. */
int tls_peer_fingerprint(struct slice word, unsigned char octets_out[TLS_FINGERPRINT_SIZE]) WARN_UNUSED;
/* Names and addresses that a certificate bears, "mx1.office.example 192.0.2.7", for the log. */
void tls_peer_names(X509 *cert, struct buf *out);

#endif
