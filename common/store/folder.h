/*
 * store/folder.h - the inside of a mailbox: shared by the .c files of store/ that make up mbox.h, and by nobody else.
 *
 * A message is a *slot*: slots 0 to base.count-1 lie in the mapped index, later ones in `tail`, in the order of UIDs; a slot number never changes while
 * the folder is open. What the log changed since the snapshot lies in `over`. Expunged slots stay as holes (`gone`), so that views that were not yet
 * told go on counting them. Everything that changes a folder is a transaction: operations in a buffer, appended to the log under its lock, then applied
 * by the same function that applies what other processes appended.
 */
#ifndef STORE_FOLDER_H
#define STORE_FOLDER_H

#include "base/limits.h"
#include "store/mbox.h"
#include "store/name.h"
#include "store/scache.h"
#include "store/sindex.h"
#include "store/slog.h"
#include "store/store.h"
#include "store/umap.h"

#define LOG_NAME "posthouse.log"
#define FOLDER_NAME "posthouse.folder"
#define BOX_NAME "posthouse.box"
#define SUBS_NAME "posthouse.subscriptions"
#define NOTIFY_TOPIC "posthouse.notify"

#define UID_BLOCK 4096u                                               /* reserved durably at a time */
#define RACY_NS 20000000ll                                            /* a directory stamp this young may hide a later change */

enum { SLOT_LF = 1, SLOT_DIRTY = 2 /* the name lags behind the flags */, SLOT_GONE = 4 };

struct slot {
	struct mrec m;
	uint64_t cache_at;
	uint32_t state;
	char *name;                                                   /* owned; NULL: as in the index */
};

/* What a view must hear of, in order. */
struct event { uint32_t slot; bool expunged; const struct view *origin; };

struct box {
	char *dir;                                                    /* absolute */
	struct shelf *top;
	struct mbox *folders;                                         /* open ones */
	char *hostname;
	char *special;                                                /* "Drafts Sent ..." */
	uint64_t quota_storage, quota_messages;
	bool knows_limits;                                            /* quota_* are this user's; else what the file says counts */
	bool making;                                                  /* a new box: one flush at the end instead of fifty */
	int64_t boot;
	uint32_t last_uidvalidity;
	uint64_t counter;                                             /* for unique names */
	struct quota *quota;
};

struct mbox {
	struct mbox *next;
	struct box *box;
	unsigned refs;
	char *name, *disk;                                            /* canonical; its shelf's, "" for INBOX */
	struct shelf *shelf;

	uint32_t uidvalidity, uidnext, reserved, recent_from;
	uint64_t modseq;
	int64_t boot;
	char *keyword[LIMIT_KEYWORDS];                                /* by their bit in mrec.keywords */
	struct slice keyword_name[LIMIT_KEYWORDS];
	size_t n_keywords;

	struct sindex base;
	uint32_t n_base;                                              /* base.h->count, 0 without */
	struct umap over;                                             /* slot -> struct slot: base slots that changed */
	struct slot **tail;
	size_t n_tail, cap_tail;
	uint32_t *gone;                                               /* slots without a message, ascending */
	size_t n_gone, cap_gone;
	bool damaged;                                                 /* the index turned out not to be sound: rebuild at the next chance */

	uint64_t quota_key;                                           /* quota.c's own */
	uint64_t octets;
	uint32_t unseen, deleted, dirty;

	struct slog log;
	uint64_t next_log;                                            /* what the log said of its successor */
	struct scache cache;
	int64_t stamp_new, stamp_cur;
	uint32_t racy;                                                /* 1: new, 2: cur */
	bool swept;                                                   /* tmp/ was looked through once */
	bool stamps_moved;                                            /* a transaction of ours touches the directories */

	uint32_t *unlink_slots;                                       /* expunged by the log, perhaps not yet from the directory */
	size_t n_unlink, cap_unlink;
	struct igone *history;                                        /* expunged since the snapshot */
	size_t n_history, cap_history;
	struct idone *done;
	size_t n_done, cap_done;

	struct event *events;
	size_t n_events, cap_events;
	uint64_t first_event;                                         /* number of events[0] since the folder was opened */
	struct view *views;
	int64_t dirty_since_ms;
};

struct view {
	struct view *next;
	struct mbox *m;
	bool read_only, told_closed;
	uint32_t end;                                                 /* slots below it are in the view */
	uint32_t *hidden;                                             /* slots without a sequence number, ascending */
	size_t n_hidden;
	uint64_t seen_events;
	uint32_t recent_from, recent_to;                              /* UIDs */
	uint32_t *pending;                                            /* expunged, not yet told */
	size_t n_pending, cap_pending;
};

/* ---- mbox.c: state ---- */
uint32_t mbox_slots(const struct mbox *m);
const struct mrec *mbox_rec(struct mbox *m, uint32_t slot);           /* never NULL; a hole for what is damaged beyond help */
struct slot *mbox_edit(struct mbox *m, uint32_t slot);
uint32_t mbox_slot_of(struct mbox *m, uint32_t uid);                  /* UINT32_MAX: never known, or already a hole before we opened */
uint32_t mbox_slot_from(struct mbox *m, uint32_t uid);                /* first slot whose UID is >= uid */
bool mbox_is_gone(const struct mbox *m, uint32_t slot);
bool mbox_slot_name(struct mbox *m, uint32_t slot, struct slice *out);
uint64_t mbox_slot_cache(struct mbox *m, uint32_t slot);
uint32_t mbox_slot_state(struct mbox *m, uint32_t slot);
uint32_t mbox_count(const struct mbox *m);
void mbox_clear_state(struct mbox *m);

/* ---- mbox_heal.c ---- */
void mbox_heal(struct mbox *m);                                        /* after it every base slot is sound or in `over` */

/* ---- mbox_load.c ---- */
int mbox_load(struct mbox *m, struct err *e) WARN_UNUSED;             /* index and log into an empty state */
int mbox_refresh(struct mbox *m, struct err *e) WARN_UNUSED;          /* what others did; takes the lock only for foreign files and repair */
int mbox_switch_log(struct mbox *m, struct err *e) WARN_UNUSED;       /* the log was replaced: follow, or load anew */
int mbox_read_log(struct mbox *m, bool *bad_out, struct err *e) WARN_UNUSED;
int mbox_reload(struct mbox *m, struct err *e) WARN_UNUSED;           /* load anew, keeping slots and telling the views the difference */
int64_t mbox_boot_now(void);
bool box_is_same_boot(struct box *b, int64_t boot);                    /* has the machine run since then? */

/* ---- mbox_txn.c: changes ---- */
struct txn { struct buf b; uint64_t modseq; };
/* Locks, catches up, adopts foreign files. After 0 mbox_end() must follow. */
int mbox_begin(struct mbox *m, struct err *e) WARN_UNUSED;
void mbox_end(struct mbox *m);
void txn_init(struct mbox *m, struct txn *t);
void txn_done(struct txn *t);
void txn_add(struct txn *t, const struct slot *s, struct slice name, uint64_t id_hash);
void txn_flags(struct txn *t, uint32_t uid, uint32_t flags, uint64_t keywords);
void txn_expunge(struct txn *t, uint32_t uid);
void txn_unlinked(struct txn *t);
void txn_name(struct txn *t, uint32_t uid, uint32_t state, struct slice name);
void txn_cache(struct txn *t, uint32_t uid, uint64_t at);
void txn_recent(struct txn *t, uint32_t uid);
void txn_next(struct txn *t, uint32_t uidnext, int64_t boot);
void txn_keyword(struct txn *t, unsigned bit, struct slice name);
void txn_ended(struct txn *t, uint64_t next_log);
bool txn_is_empty(const struct txn *t);
/* Appends, applies, and wakes everybody. On failure nothing has changed. */
int mbox_commit(struct mbox *m, struct txn *t, const struct view *origin, struct err *e) WARN_UNUSED;
int mbox_commit_quietly(struct mbox *m, struct txn *t, struct err *e) WARN_UNUSED;    /* wakes nobody */
int mbox_apply(struct mbox *m, struct slice payload, const struct view *origin) WARN_UNUSED;   /* -1: not a transaction */
/* Of a transaction, only what it says of flags of messages that are there. */
int mbox_apply_flags(struct mbox *m, struct slice payload) WARN_UNUSED;
void mbox_remember_gone(struct mbox *m, uint32_t uid, uint64_t modseq);
int mbox_take_uids(struct mbox *m, uint32_t n, uint32_t *first_out, struct err *e) WARN_UNUSED;       /* durable reservation */
int mbox_keyword_bits(struct mbox *m, const struct slice *names, size_t n, struct txn *t, uint64_t *bits_out, struct err *e) WARN_UNUSED;
int mbox_finish_unlinks(struct mbox *m, struct err *e) WARN_UNUSED;
int mbox_flush_names(struct mbox *m, size_t most, struct err *e) WARN_UNUSED;
void mbox_stamp(struct mbox *m);

/* ---- mbox_fold.c ---- */
int mbox_fold(struct mbox *m, struct err *e) WARN_UNUSED;             /* locked: new snapshot, new log */
bool mbox_wants_fold(const struct mbox *m);
int mbox_rebuild(struct mbox *m, struct err *e) WARN_UNUSED;          /* locked: from the directory and whatever can be trusted */

/* ---- mbox_scan.c ---- */
int mbox_scan_new(struct mbox *m, struct err *e) WARN_UNUSED;         /* locked: adopts what lies in new/ */
int mbox_scan_cur(struct mbox *m, struct err *e) WARN_UNUSED;         /* locked: compares cur/ with what we know */

/* ---- import.c: Dovecot, Courier ---- */
int import_uidlist(struct mbox *m, struct err *e) WARN_UNUSED;        /* locked, nothing of ours there yet: UIDs of others into the names */
int import_subscriptions(struct box *b, struct err *e) WARN_UNUSED;

/* ---- meta.c: posthouse.folder ---- */
int meta_load(struct mbox *m, struct err *e) WARN_UNUSED;             /* ERR_NOTFOUND, ERR_SYNTAX */
int meta_save(struct mbox *m, struct err *e) WARN_UNUSED;             /* durable */
int meta_parse(struct slice text, struct mbox *m) WARN_UNUSED;        /* pure but for m's uidvalidity, reserved, keywords */

/* ---- box.c ---- */

uint32_t box_next_uidvalidity(struct box *b);
int box_note_uidvalidity(struct box *b, uint32_t uidvalidity, struct err *e) WARN_UNUSED;    /* a folder has it: no later one will */

/* ---- notify.c ---- */
void notify_send(struct box *b);

/* ---- quota.c ---- */
int quota_prepare(struct box *b, struct err *e) WARN_UNUSED;          /* before a folder is locked for something that needs room */
int quota_check(struct mbox *m, uint64_t octets, uint64_t messages, struct err *e) WARN_UNUSED;       /* under the folder's lock also locks the quota, until mbox_end() */
void quota_release(struct box *b);
void quota_touch(struct mbox *m);                                     /* locked; the log is about to grow */
void quota_set(struct mbox *m);                                       /* locked; this folder's totals as they are now */
bool quota_is_behind(struct mbox *m);                                 /* does not know this folder as it is: quota_set() it under the lock */
void quota_drop(struct box *b, uint64_t key);                         /* the folder of that quota_key is gone */
uint64_t quota_key(struct mbox *m);
void quota_close(struct box *b);

/* ---- append.c ---- */
void unique_stem(struct box *b, int64_t date, const char *id, struct buf *out);
uint64_t cache_fill(struct mbox *m, uint32_t uid, struct slice octets);       /* 0: could not */

/* ---- view.c ---- */
void view_note(struct mbox *m, uint32_t slot, bool expunged, const struct view *origin);
uint32_t view_slot(const struct view *v, uint32_t seq);

#endif
