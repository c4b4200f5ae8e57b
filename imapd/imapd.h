/*
 * imapd/imapd.h - what the parts of imapd share: the protocol before login, the protocol after it.
 */
#ifndef IMAPD_IMAPD_H
#define IMAPD_IMAPD_H

#include "serve/login.h"
#include "serve/session.h"

extern const struct daemon_table imapd_table;                         /* procs.c */
extern const struct login_proto imap_login;                           /* login_imap.c: not authenticated (RFC 3501 3.1) */
extern const struct session_proto imap_session;                       /* session.c: authenticated and selected */

/* The state that travels from login to session: the tag that waits for its reply, and what the client said of itself by ID ("" if nothing). */
struct imap_hello {
	struct slice tag, client;
};
void imap_hello_put(const struct imap_hello *h, struct buf *out);
int imap_hello_get(struct slice octets, struct imap_hello *out) WARN_UNUSED;  /* borrowed from octets; -1: not what imap_hello_put() writes */

/* ID (RFC 2971). Reads the argument; name and version go to `client` (replaced; may be NULL), printable and short. */
struct imap_text;
int imap_id_read(struct imap_text *t, struct buf *client) WARN_UNUSED;
void imap_id_reply(struct buf *out);

#endif
