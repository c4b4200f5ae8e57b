/*
 * admin/imap_client.h - the client's side of IMAP4rev1 (RFC 3501), as far as a command needs it that fetches mail: it blocks, with a deadline for each answer.
 *
 * One response is read whole, literals included, and handed to the caller piece by piece. What the server says is a stranger's: every size has its cap
 * (base/limits.h), and what can't be read ends the connection.
 */
#ifndef ADMIN_IMAP_CLIENT_H
#define ADMIN_IMAP_CLIENT_H

#include "base/attr.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct imap_source {
	const char *host, *login, *password, *ca_file;                /* ca_file NULL: the system's */
	const char *resolv_conf, *dns_server;                         /* as the settings of these names */
	uint16_t port;                                                /* 0: 993, or 143 where TLS does not begin at once */
	bool starttls, no_tls, no_verify;                             /* no_tls: the password goes over the open connection */
};

struct imap_client;
/* Connected, TLS as asked, greeted and logged in. */
int imap_client_open(struct imap_client **c_out, const struct imap_source *src, struct err *e) WARN_UNUSED;
void imap_client_close(struct imap_client **c);
bool imap_client_has(const struct imap_client *c, const char *capability);

/* A piece of a response. Text of strings is unquoted; borrowed for the call. */
enum imap_piece_kind { IMAP_PIECE_END, IMAP_PIECE_ATOM, IMAP_PIECE_STRING, IMAP_PIECE_OPEN, IMAP_PIECE_CLOSE };
struct imap_piece { enum imap_piece_kind kind; struct slice text; };
/* Takes the next piece off *rest; a broken one is END. Strings with escapes are unquoted into a. */
struct imap_piece imap_piece_next(struct slice *rest, struct arena *a);

/* Sends a command and tells fn each untagged response ("FETCH ...", without "* "; a is for pieces) until it is answered. NO and BAD: -1, in the server's words.
   fn returns -1 with *e to end the connection. */
typedef int imap_client_fn(void *ctx, struct slice response, struct arena *a, struct err *e);
int imap_client_do(struct imap_client *c, imap_client_fn *fn, void *ctx, struct err *e, const char *fmt, ...) PRINTF_LIKE(5, 6) WARN_UNUSED;
void imap_client_quote(struct slice text, struct buf *out);           /* as a quoted string */

#endif
