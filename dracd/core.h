/*
 * dracd/core.h - dracd without sockets: the table, its journal, who may do what, and what is counted. rpc.c turns octets into calls of this.
 *
 * Nothing here waits. What must be durable before it is answered is gathered; the caller flushes once for all that waits.
 */
#ifndef DRACD_CORE_H
#define DRACD_CORE_H

#include "conf/settings.h"
#include "drac/allow.h"
#include "dracd/journal.h"
#include "dracd/table.h"

#define CORE_EVENTS 8192u                                                 /* that peers may still ask for; older ones mean a snapshot */
#define CORE_LOG_LINES 20u                                                /* of one kind a second, then a sum */

enum core_class { CLASS_NONE, CLASS_READ, CLASS_SUBMIT, CLASS_PEER, CLASS_ADMIN };
enum core_door { DOOR_UDP, DOOR_TCP, DOOR_LOCAL, DOOR_TLS };

struct core_caller {
	enum core_door door;
	enum core_class class;                                        /* of version 3 */
	struct net_addr addr;                                         /* UDP, TCP, TLS */
};

enum core_stat {
	STAT_CALLS, STAT_GRANTS, STAT_NEW, STAT_RENEWED, STAT_REFUSED_CALLER, STAT_NEVER, STAT_LIMITED, STAT_SHARED, STAT_QUERIES, STAT_HITS, STAT_USED,
	STAT_REVOKED, STAT_EXPIRED, STAT_GARBAGE, STAT_SYNCS, STAT_SYNC_FAILED, STAT_PUBLISHED, STAT_REPLICATED, STAT_COUNT
};
extern const char *const core_stat_names[STAT_COUNT];

struct core;

/* Loads allow file, lists and journal. Everything that is wrong in them is said with file and line or setting. */
int core_new(struct core **c_out, const struct settings *s, struct table_time now, size_t *lost_out, struct err *e) WARN_UNUSED;
/* The same without a journal (tests, fuzzing): nothing is durable, core_sync() succeeds. */
int core_new_volatile(struct core **c_out, const struct settings *s, struct err *e) WARN_UNUSED;
void core_free(struct core **c);
/* What -T and `posthouse check` ask: would core_new() find fault with the files and lists? */
int core_check(const struct settings *s, struct err *e) WARN_UNUSED;

struct table *core_table(struct core *c);
uint64_t *core_stats(struct core *c);
bool core_changed(struct core *c);                                    /* since the last call: something to publish */
uint64_t core_epoch(const struct core *c);
uint64_t core_serial(const struct core *c);                           /* of the last event */
/* The encoded events after `after`: appends up to max, returns how many; -1: they are gone, or of another epoch: a snapshot is needed. */
int core_events(const struct core *c, uint64_t epoch, uint64_t after, uint32_t max, struct buf *out, uint64_t *last_out);

bool core_may_register(const struct core *c, const struct net_addr *caller);      /* versions 1 and 2 */
bool core_trusts(const struct core *c, const struct net_addr *caller);

/* needs_sync: answer after core_sync(). */
enum drac_status core_grant(struct core *c, const struct drac_grant_args *g, struct table_time now, uint32_t *retry_out, bool *needs_sync_out);
enum drac_status core_query(struct core *c, const struct net_addr *addr, struct table_time now, struct drac_entry *out);
unsigned core_revoke(struct core *c, const struct net_addr *addr, struct slice user, struct table_time now);
unsigned core_flush(struct core *c, struct table_time now);
unsigned core_expire(struct core *c, struct table_time now);
bool core_is_dirty(const struct core *c);                             /* something waits for a flush */
/* A flush in three parts (journal.h): the second may run in a thread. core_sync_end() logs when it begins to fail and when it works again. */
bool core_sync_begin(struct core *c);
void core_sync_work(struct core *c);
int core_sync_end(struct core *c) WARN_UNUSED;
int core_sync(struct core *c) WARN_UNUSED;                            /* all three */
bool core_wants_rewrite(const struct core *c);                        /* of the journal; keeper.c does it */
void core_rewrite(struct core *c);
int core_write_new(struct core *c) WARN_UNUSED;                       /* in the child; -1: errno set */
void core_rewritten(struct core *c, bool ok);

/*
 * Other hosts. What one of them said is taken over and not told on to others: each is asked itself. Its users and addresses count against the same
 * limits as ours. Of two logins of a user from one address the later end counts; a revocation ends what is older, also when that is heard of later.
 * origin: core_origin() of the peer, kept in the flags of its vouchers, so that it survives a restart.
 */
void core_replicate(struct core *c, const struct drac_event *ev, uint32_t origin, struct table_time now);
unsigned core_drop(struct core *c, const struct net_addr *addr, struct slice user);   /* the peer has it no more; no revocation of ours */
uint32_t core_origin(struct slice peer);
uint32_t core_origin_of(uint32_t flags);                              /* 0: a voucher of ours */

enum core_peer_state { CORE_PEER_AWAY, CORE_PEER_CONNECTING, CORE_PEER_LISTING, CORE_PEER_UP, CORE_PEER_SELF };
struct core_peer {                                                    /* for STATS; peers.c writes it */
	enum core_peer_state state;
	int64_t caught_up_mono_s;                                     /* when we last had all it knew */
	int64_t clock_s;                                              /* its clock minus ours */
	uint64_t events, resyncs;
};
#define CORE_PEERS_MAX 8u
#define CORE_PEER_SILENT_S 12                                             /* a PULL is held back no longer; within it silence means no news */
struct core_peer *core_peer_add(struct core *c);
size_t core_peers(const struct core *c, const struct core_peer **out);

#endif
