/*
 * server/listener.c - the table of doors.
 */
#include "server/listener.h"

#include <stddef.h>
#include <string.h>

static const struct smtp_listener smtp_listeners[SMTP_LISTENERS] = {
	[SMTP_ON_25]   = { SMTP_ON_25,   "smtp",        LISTENER_GREET_PAUSE, "mail from other servers" },
	[SMTP_ON_587]  = { SMTP_ON_587,  "submission",  LISTENER_MUST_LOGIN | LISTENER_FIX_UPS | LISTENER_AUTH, "mail from our users, STARTTLS" },
	[SMTP_ON_465]  = { SMTP_ON_465,  "submissions", LISTENER_TLS_AT_ONCE | LISTENER_MUST_LOGIN | LISTENER_FIX_UPS | LISTENER_AUTH,
	    "mail from our users, TLS at once" },
	[SMTP_ON_LMTP] = { SMTP_ON_LMTP, "lmtp",        LISTENER_LMTP, "mail from a filter or another server of ours" },
};

const struct smtp_listener *smtp_listener_of(int kind)
{
	return kind < 0 || kind >= SMTP_LISTENERS ? NULL : &smtp_listeners[kind];
}

const struct smtp_listener *smtp_listener_named(const char *name)
{
	for (size_t i = 0; i < SMTP_LISTENERS; i++)
		if (strcmp(smtp_listeners[i].name, name) == 0)
			return &smtp_listeners[i];
	return NULL;
}
