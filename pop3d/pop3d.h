/*
 * pop3d/pop3d.h - what the parts of pop3d share: the protocol before login, the protocol after it, and the list of capabilities.
 */
#ifndef POP3D_POP3D_H
#define POP3D_POP3D_H

#include "serve/login.h"
#include "serve/session.h"

extern const struct daemon_table pop3d_table;                         /* procs.c */
extern const struct login_proto pop3_login;                           /* login_pop3.c: AUTHORIZATION state */
extern const struct session_proto pop3_session;                       /* session.c: TRANSACTION and UPDATE states */

int pop3_uidl_check(const struct settings *s, struct err *e) WARN_UNUSED;   /* pop3_uidl_format gives each message an id of its own, or why not */

struct pop3_offer {                                                   /* what CAPA says depends on where we are */
	bool stls, user;
	const char *mechanisms;                                       /* "" or NULL: no SASL line */
};
/* The whole multi-line reply to CAPA (RFC 2449 5, RFC 6856 2), "+OK" and "." included. */
void pop3_put_capa(const struct pop3_offer *offer, struct buf *out);

/*
 * The state that travels from login to session: flags and the folder of `user+folder`, empty for INBOX.
 */
struct pop3_state {
	bool utf8;
	struct slice folder;
};
void pop3_state_put(const struct pop3_state *st, struct buf *out);
struct pop3_state pop3_state_get(struct slice octets);                /* the folder is borrowed from octets */

#endif
