/*
 * auth/auth_pam.h - PAM behind a process of its own: requests come over a link, each runs in a child that is killed at its deadline.
 *
 * A child a request, because PAM modules block, leak, fork and crash as they like. pam_acct_mgmt() is always asked after pam_authenticate(), so
 * expired and locked accounts stay out; the delay that modules ask for (pam_fail_delay) is not slept but told to the front. root and every other
 * account with user id 0 are refused, whatever PAM says.
 */
#ifndef AUTH_AUTH_PAM_H
#define AUTH_AUTH_PAM_H

#include "auth/auth_msg.h"

#define AUTH_PAM_CHILDREN 16u                                             /* at once; the others wait, their time counts from their start */
#define AUTH_PAM_QUEUE 1000u

struct auth_pam;

struct auth_pam *auth_pam_new(struct loop *l, const char *pam_service, int64_t timeout_ms);
void auth_pam_link(struct auth_pam *p, int fd);                       /* of an auth process */
void auth_pam_free(struct auth_pam **p);
size_t auth_pam_busy(const struct auth_pam *p);

/* What a child does: one conversation. Blocks. */
struct auth_pam_verdict { enum auth_result result; uint32_t delay_ms; char text[160]; };
void auth_pam_ask(const char *pam_service, const char *user, const char *password, const struct net_addr *addr, struct auth_pam_verdict *out);

#endif
