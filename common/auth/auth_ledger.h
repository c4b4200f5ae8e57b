/*
 * auth/auth_ledger.h - failed logins by address and by user, in one small file that the auth processes of all daemons map: who guesses at POP3 is slowed
 * down at IMAP and SMTP too.
 *
 * A count halves every LEDGER_HALF_LIFE_S seconds. IPv6 clients count by /64. A pair of address and user that has logged in well within a week is known
 * good: what strangers do to the user's name neither slows nor blocks it there. Loopback has no count of its own: web mail and tests sit there. Counts are approximate: the table is fixed, the oldest gives way.
 */
#ifndef AUTH_AUTH_LEDGER_H
#define AUTH_AUTH_LEDGER_H

#include "base/err.h"
#include "io/net.h"

#define LEDGER_HALF_LIFE_S 300
#define LEDGER_DELAY_MAX_MS 15000u
#define LEDGER_BLOCK_ADDR 40u                                             /* failures of an address, then it is refused unheard for a while */
#define LEDGER_BLOCK_USER 100u                                            /* of a user, from addresses that are not known good */
#define LEDGER_GOOD_S (7 * 86400)

struct auth_ledger;

/* path NULL, or not to be opened: a ledger of this process alone, and the reason in *e (never a failure). */
struct auth_ledger *auth_ledger_open(const char *path, struct err *e);
void auth_ledger_close(struct auth_ledger **l);

bool auth_ledger_may_try(const struct auth_ledger *l, const struct net_addr *addr, struct slice user, int64_t now_s);
/* Counts one, and says how long its answer is to be held back: first_ms, then twice that for each further one. */
uint32_t auth_ledger_failed(struct auth_ledger *l, const struct net_addr *addr, struct slice user, int64_t now_s, uint32_t first_ms);
void auth_ledger_succeeded(struct auth_ledger *l, const struct net_addr *addr, struct slice user, int64_t now_s);

#endif
