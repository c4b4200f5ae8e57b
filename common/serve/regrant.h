/*
 * serve/regrant.h - grants that dracd did not take in time: the login went on without, here they are tried again for a minute.
 *
 * So that who logs in while dracd is restarted may send all the same. Belongs to an auth process; what waits is lost with it.
 */
#ifndef SERVE_REGRANT_H
#define SERVE_REGRANT_H

#include "auth/auth_server.h"
#include "drac/drac.h"

#define REGRANT_MAX 1024u                                                 /* logins that may wait; more are not tried again */
#define REGRANT_FOR_MS 60000

struct regrant;

struct regrant *regrant_new(struct loop *l, struct drac_client *drac, const char *hostname);     /* both borrowed */
void regrant_free(struct regrant **r);
void regrant_add(struct regrant *r, const struct auth_login_fact *f); /* copied */

#endif
