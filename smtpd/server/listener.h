/*
 * server/listener.h - the doors of smtpd: each port is a row with its own rules.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include <stdbool.h>

enum smtp_listener_kind { SMTP_ON_25, SMTP_ON_587, SMTP_ON_465, SMTP_ON_LMTP, SMTP_LISTENERS };

enum smtp_listener_flags {
	LISTENER_TLS_AT_ONCE   = 1,                                   /* RFC 8314: TLS before the greeting */
	LISTENER_MUST_LOGIN    = 2,                                   /* nobody sends without a login or a live DRAC grant, not even to us (RFC 6409 4.3) */
	LISTENER_FIX_UPS       = 4,                                   /* a missing Date and Message-ID are added, Bcc goes (RFC 6409 8) */
	LISTENER_AUTH          = 8,                                   /* AUTH always; elsewhere by smtpd_auth_on_port_25 */
	LISTENER_LMTP          = 16,                                  /* RFC 2033: LHLO, a reply for each recipient; our own recipients only */
	LISTENER_GREET_PAUSE   = 32                                   /* strangers wait a moment for the greeting: who talks first is a robot */
};

struct smtp_listener {
	enum smtp_listener_kind kind;
	const char *name;                                             /* as in super_listener: "smtp" */
	unsigned flags;
	const char *prose;
};

const struct smtp_listener *smtp_listener_of(int kind);               /* NULL: no such kind */
const struct smtp_listener *smtp_listener_named(const char *name);

#endif
