/*
 * drac/drac_msg.h - what goes over the wire between dracd and those who tell and ask it: ONC RPC (RFC 5531) program 900101, versions 1 to 3
 * (drac3.x). Both directions of every message stand here. Pure: octets in, structs out; slices of what was read borrow from the input.
 */
#ifndef DRAC_DRAC_MSG_H
#define DRAC_DRAC_MSG_H

#include "drac/xdr.h"
#include "io/net.h"

#define DRAC_PROGRAM 900101u
#define DRAC_RECORD_LAST 0x80000000u                                      /* of a record mark (RFC 5531 section 11) */

enum { DRAC_NULL = 0, DRAC_ADD = 1 };                                     /* procedures of versions 1 and 2 */
enum drac_addstat { DRAC_ADD_OK, DRAC_ADD_PERM, DRAC_ADD_SYSERR, DRAC_ADD_UNKNOWN };
enum drac_proc { DRAC3_GRANT = 1, DRAC3_QUERY, DRAC3_REVOKE, DRAC3_USED, DRAC3_LIST, DRAC3_FLUSH, DRAC3_STATS, DRAC3_PULL };
enum drac_status { DRAC3_OK, DRAC3_DENIED, DRAC3_SYSERR, DRAC3_UNKNOWN, DRAC3_NOTFOUND, DRAC3_BADADDR, DRAC3_NEVER, DRAC3_LIMITED, DRAC3_CURSOR, DRAC3_REDIRECT };

enum { DRAC_USER_MAX = 255, DRAC_SERVICE_MAX = 32, DRAC_HOST_MAX = 255, DRAC_SESSION_MAX = 64, DRAC_SENDER_MAX = 320, DRAC_CURSOR_MAX = 32,
	DRAC_PAGE = 64, DRAC_VOUCHERS = 8, DRAC_STATS = 64 };
/* TRUSTED: ours, a v1 or v2 caller of drac_trust_v1; REPLICATED: dracd has it from another host. A receiver heeds no bits but these. */
enum { DRAC_WHO_TLS = 1, DRAC_WHO_PROXIED = 2, DRAC_WHO_RENEWAL = 4, DRAC_WHO_TRUSTED = 8, DRAC_WHO_REPLICATED = 16, DRAC_WHO_BITS = 31 };

/* The call's head (RFC 5531 section 9). */
struct drac_call {
	uint32_t xid, rpc_version, program, version, procedure, cred_flavor;
	struct slice args;
};
int drac_call_read(struct slice in, struct drac_call *out) WARN_UNUSED;   /* -1: no call, not answered */
void drac_call_put(struct buf *b, uint32_t xid, uint32_t version, uint32_t procedure);      /* AUTH_NONE; arguments follow */

enum drac_accept { DRAC_SUCCESS, DRAC_PROG_UNAVAIL, DRAC_PROG_MISMATCH, DRAC_PROC_UNAVAIL, DRAC_GARBAGE_ARGS, DRAC_SYSTEM_ERR };
enum { DRAC_AUTH_REJECTEDCRED = 2, DRAC_AUTH_TOOWEAK = 5 };
void drac_reply_put(struct buf *b, uint32_t xid, enum drac_accept stat);  /* SUCCESS: the result follows; MISMATCH: low 1, high 3 is included */
void drac_reply_put_low_high(struct buf *b, uint32_t xid, uint32_t low, uint32_t high);
void drac_reply_put_denied(struct buf *b, uint32_t xid, uint32_t auth_stat);
/* 0: SUCCESS, the result is in *result_out; 1: the server refused the call; -1: no reply. */
int drac_reply_read(struct slice in, uint32_t *xid_out, struct slice *result_out) WARN_UNUSED;

/* Versions 1 and 2. The lengths must fit exactly. */
int drac1_args_read(struct slice args, struct net_addr *out) WARN_UNUSED;
int drac2_args_read(struct slice args, struct net_addr *out) WARN_UNUSED;
void drac1_args_put(struct buf *b, const struct net_addr *a);
void drac2_args_put(struct buf *b, const struct net_addr *a);             /* sign-extended, as x86 sends it */

/* Version 3. An address that is read keeps len 0 when it was empty; bad_addr says that it had an impossible length. */
struct drac_who { struct slice user, service, host, session; uint32_t flags; };
struct drac_grant_args { struct net_addr addr; bool bad_addr; struct drac_who who; uint32_t ttl; };
struct drac_voucher { struct drac_who who; uint64_t at, expires; };      /* at: when the user logged in */
struct drac_entry {                                                   /* drac3_grant */
	struct net_addr addr;
	uint64_t first, expires;
	uint32_t used;
	size_t n;
	struct drac_voucher vouchers[DRAC_VOUCHERS];
};
struct drac_key { struct net_addr addr; bool bad_addr; struct slice user; };
struct drac_use_args { struct net_addr addr; bool bad_addr; struct slice sender; uint32_t rcpts; };
struct drac_list_args { struct slice cursor; uint32_t max; struct slice user; };
struct drac_pull_args { uint64_t epoch, after; uint32_t max, wait_ms; };
enum drac_event_kind { DRAC_EV_GRANT, DRAC_EV_REVOKE, DRAC_EV_FLUSH };
/* login: of a GRANT, when the user logged in; 0: not known. On the wire it is the upper 24 bits of flags: seconds from the login to the expiry. `expires` of a
   REVOKE or FLUSH is when it was said: who logs in later is not meant. 0: not known. */
struct drac_event { uint64_t serial; uint32_t kind; struct net_addr addr; struct drac_who who; uint64_t expires, login; };
struct drac_pull_head { uint64_t epoch, last; bool snapshot_needed; };

int drac_grant_args_read(struct slice args, struct drac_grant_args *out) WARN_UNUSED;
void drac_grant_args_put(struct buf *b, const struct drac_grant_args *g);
int drac_key_read(struct slice args, struct drac_key *out) WARN_UNUSED;
void drac_key_put(struct buf *b, const struct drac_key *k);
int drac_use_args_read(struct slice args, struct drac_use_args *out) WARN_UNUSED;
void drac_use_args_put(struct buf *b, const struct drac_use_args *u);
int drac_list_args_read(struct slice args, struct drac_list_args *out) WARN_UNUSED;
void drac_list_args_put(struct buf *b, const struct drac_list_args *l);
int drac_pull_args_read(struct slice args, struct drac_pull_args *out) WARN_UNUSED;
void drac_pull_args_put(struct buf *b, const struct drac_pull_args *p);

/* Results. A status that we do not know reads as DRAC3_UNKNOWN. */
void drac_entry_put(struct buf *b, const struct drac_entry *g);
void drac_entry_get(struct xdr *x, struct drac_entry *out);
void drac_grant_res_put(struct buf *b, enum drac_status status, const struct drac_entry *g, uint32_t retry_after);
int drac_grant_res_read(struct slice result, enum drac_status *status_out, struct drac_entry *out, uint32_t *retry_after_out) WARN_UNUSED;
void drac_count_put(struct buf *b, enum drac_status status, uint32_t n);
int drac_count_read(struct slice result, enum drac_status *status_out, uint32_t *n_out) WARN_UNUSED;
enum drac_status drac_status_get(struct xdr *x);
void drac_event_put(struct buf *b, const struct drac_event *e);
void drac_event_get(struct xdr *x, struct drac_event *out);

/*
 * What a dracd hears from another one. Everything is looked at before fn is called for the first time; what fn gets is borrowed for the call.
 * -1: the reply makes no sense. Status other than OK: nothing else is set.
 */
typedef void drac_event_fn(void *ctx, const struct drac_event *e);
typedef void drac_entry_fn(void *ctx, const struct drac_entry *e);
struct drac_pulled { enum drac_status status; struct drac_pull_head head; uint32_t n; };
/* Serials must rise, from above `after` to head.last at most; of another epoch no events are told. */
int drac_pull_res_read(struct slice result, uint64_t epoch, uint64_t after, struct drac_pulled *out, drac_event_fn *fn, void *ctx) WARN_UNUSED;
struct drac_listed { enum drac_status status; uint32_t n; struct slice next; bool eof; };      /* next: borrowed from the result */
int drac_list_res_read(struct slice result, struct drac_listed *out, drac_entry_fn *fn, void *ctx) WARN_UNUSED;
/* One number out of a STATS reply by its name. 1: there; 0: not there. */
int drac_stats_res_find(struct slice result, const char *name, uint64_t *value_out) WARN_UNUSED;

#endif
