/*
 * dracd/rpc.h - one call in, one reply out: octets, no sockets. Versions 1 and 2 by UDP and TCP, version 3 by the local socket and TLS.
 */
#ifndef DRACD_RPC_H
#define DRACD_RPC_H

#include "dracd/core.h"

enum rpc_outcome {
	RPC_DROP,                                                     /* not worth an answer */
	RPC_NOW,                                                      /* reply is in out */
	RPC_SYNC,                                                     /* the same, to be sent after core_sync(); rpc_failed() if that fails */
	RPC_WAIT                                                      /* a PULL with nothing to tell yet: call rpc_pull() on news or at its time */
};

struct rpc_mark {                                                     /* what rpc_failed() and rpc_pull() need of the call */
	uint32_t xid, version, procedure;
	struct drac_pull_args pull;
};

enum rpc_outcome rpc_handle(struct core *c, const struct core_caller *who, struct slice call, struct table_time now, struct buf *out, struct rpc_mark *mark_out);
void rpc_failed(const struct rpc_mark *m, struct buf *out);           /* "system error" in the words of the procedure */
void rpc_pull(struct core *c, const struct rpc_mark *m, struct buf *out);

#endif
