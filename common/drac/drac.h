/*
 * drac/drac.h - asking and telling dracd: version 3 of RPC program 900101 over its local socket.
 *
 * Asynchronous: one connection a process, calls in flight matched by XID, each with its own deadline, re-connected when dracd was restarted.
 */
#ifndef DRAC_DRAC_H
#define DRAC_DRAC_H

#include "base/slice.h"
#include "io/loop.h"
#include "io/net.h"

struct drac_client;

struct drac_client *drac_client_new(struct loop *l, const char *socket_path);   /* connects at the first call */
void drac_client_free(struct drac_client **c);

enum drac_verdict { DRAC_LIVE, DRAC_NO_GRANT, DRAC_REFUSED, DRAC_UNREACHABLE };

struct drac_grant {                                                   /* borrowed for the call */
	enum drac_verdict verdict;
	int64_t expires_at;                                           /* seconds since 1970, of the voucher that counts */
	size_t n_users;
	struct slice users[8];                                        /* whose logins vouch; an empty one: a v1/v2 grant that drac_trust_v1 lists */
	const char *text;                                             /* for the log */
};
typedef void drac_answer_fn(void *ctx, const struct drac_grant *g);

/* fn is always called exactly once, from the loop, within timeout_ms (DRAC_UNREACHABLE then). */
void drac_query(struct drac_client *c, const struct net_addr *addr, int timeout_ms, drac_answer_fn *fn, void *ctx);
void drac_send_grant(struct drac_client *c, const struct net_addr *addr, struct slice user, const char *service, const char *host,
    struct slice session, unsigned flags, int timeout_ms, drac_answer_fn *fn, void *ctx);
void drac_forget(struct drac_client *c, void *ctx);                   /* the asker is gone: no calls with this ctx any more */
void drac_used(struct drac_client *c, const struct net_addr *addr, struct slice sender, unsigned rcpts);  /* counted, not waited for */

#endif
