/*
 * store/mbox.h - mailboxes: a user's Maildir++ tree and its folders, for pop3d, imapd, deliver and the commands.
 *
 * A process opens a user once (struct box) and a folder once (struct mbox); each session that has the folder selected holds a view, whose message
 * sequence numbers move only when the session asks (view_sync). Folder names here are UTF-8 with '/' between levels, "INBOX" in any case.
 * All calls are synchronous and return -1 with *e; ERR_NOTFOUND: no such folder or message, ERR_EXISTS, ERR_LIMIT: quota or full disk, ERR_DENIED: name not allowed.
 * Durable unless said otherwise: what returned 0 survives a power cut (append, copy, move, expunge, create). Flags are durable at mbox_sync(), as is view_remove().
 */
#ifndef STORE_MBOX_H
#define STORE_MBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/blob.h"

/* ---- a user ---- */
struct box;
struct store;

struct box_options {
	const char *special_folders;                                  /* made and subscribed at the first open: "Drafts Sent Junk Trash Archive" */
	uint64_t quota_storage, quota_messages;                       /* 0: none */
	const char *hostname;                                         /* for file names */
	bool limits_unknown;                                          /* the quotas are not this user's: those set last by another process count */
	const struct store *store;                                    /* NULL: Maildirs; of whoever opens, and open as long */
};

/* dir is mail/DOMAIN/LOCALPART; made when missing, if create. */
int box_open(struct box **b_out, const char *dir, bool create, const struct box_options *opt, struct err *e) WARN_UNUSED;
void box_close(struct box **b);
bool box_is_there(struct box *b);                                     /* false: removed, or another one is in its place: open it again */

enum folder_attr {
	FOLDER_NOSELECT = 1, FOLDER_HAS_CHILDREN = 2, FOLDER_SUBSCRIBED = 4,
	FOLDER_DRAFTS = 16, FOLDER_SENT = 32, FOLDER_JUNK = 64, FOLDER_TRASH = 128, FOLDER_ARCHIVE = 256
};
struct folder { struct slice name; unsigned attrs; };
/* All folders, INBOX first, then by name; a missing parent of an existing folder appears with NOSELECT; subscribed names without a folder too. */
int box_list(struct box *b, struct arena *a, struct folder **list_out, size_t *n_out, struct err *e) WARN_UNUSED;
int box_create(struct box *b, struct slice name, unsigned special_attr, struct err *e) WARN_UNUSED;
int box_delete(struct box *b, struct slice name, struct err *e) WARN_UNUSED;
int box_rename(struct box *b, struct slice from, struct slice to, struct err *e) WARN_UNUSED;   /* children too; INBOX: moves its messages */
int box_subscribe(struct box *b, struct slice name, bool on, struct err *e) WARN_UNUSED;
int box_quota(struct box *b, uint64_t *octets_out, uint64_t *messages_out, struct err *e) WARN_UNUSED;
/* Counts all folders again; box_quota does so by itself where it must. *wrong_out: folders whose totals were not what they should be. */
int box_recount(struct box *b, unsigned *wrong_out, struct err *e) WARN_UNUSED;
/* Other limits from now on, in every process that has the box open. 0: none. */
void box_set_limits(struct box *b, uint64_t octets, uint64_t messages);
void box_limits(struct box *b, uint64_t *octets_out, uint64_t *messages_out);
/* Is there room for a message of so many octets (0: of any size)? never: it is larger than all the room there is. full_since: when the first message
   was refused after the user last removed something, in seconds since 1970. */
struct box_room { bool fits, never; int64_t full_since; };
int box_room(struct box *b, uint64_t octets, struct box_room *out, struct err *e) WARN_UNUSED;

struct folder_status { uint32_t messages, recent, unseen, deleted, uidnext, uidvalidity; uint64_t highestmodseq, octets, deleted_octets; };
int box_status(struct box *b, struct slice name, struct folder_status *out, struct err *e) WARN_UNUSED;

/* ---- a folder ---- */
struct mbox;
int mbox_open(struct mbox **m_out, struct box *b, struct slice name, struct err *e) WARN_UNUSED;   /* counted: a second open gives the same one */
void mbox_close(struct mbox **m);
struct slice mbox_name(const struct mbox *m);
uint32_t mbox_uidvalidity(const struct mbox *m);
uint32_t mbox_uidnext(const struct mbox *m);
uint64_t mbox_highestmodseq(const struct mbox *m);
size_t mbox_keywords(const struct mbox *m, const struct slice **names_out);   /* index: bit number in mrec.keywords below 64 */

enum { MSG_SEEN = 1, MSG_ANSWERED = 2, MSG_FLAGGED = 4, MSG_DELETED = 8, MSG_DRAFT = 16, MSG_FORWARDED = 32 /* $Forwarded rides as P */ };

struct mrec {                                                         /* a message as the index knows it */
	uint32_t uid;
	uint32_t flags;                                               /* MSG_* */
	uint64_t keywords;                                            /* bits by mbox_keywords() */
	uint64_t modseq;
	uint64_t size;                                                /* RFC822.SIZE: octets with CRLF */
	int64_t internaldate;                                         /* seconds since 1970 */
};

/* UIDs that were expunged after modseq `since`, ascending, for VANISHED (RFC 7162 3.2.5.1). Where the history does not reach back so far: every UID
   below UIDNEXT that no message has, which says the same with more words. */
struct uid_range { uint32_t first, last; };
void mbox_vanished(struct mbox *m, uint64_t since, struct arena *a, struct uid_range **list_out, size_t *n_out);

/* ---- a session's view ---- */
struct view;
struct view *view_open(struct mbox *m, bool read_only);
void view_close(struct view **v);
uint32_t view_count(const struct view *v);
uint32_t view_recent(const struct view *v);
bool view_is_recent(const struct view *v, uint32_t seq);
const struct mrec *view_get(const struct view *v, uint32_t seq);      /* 1..count; borrowed until the next view_sync; the flags are the newest known */
uint32_t view_seq_of(const struct view *v, uint32_t uid);             /* 0: not in the view */
uint32_t view_seq_from(const struct view *v, uint32_t uid);           /* first seq whose uid is >= uid; count + 1 when none */

/* What others changed since the last sync. Expunges only when allowed (RFC 3501 7.4.1): told highest sequence number first, then flags, then growth. */
struct view_events {
	void (*expunged)(void *ctx, uint32_t seq, uint32_t uid);
	void (*flags)(void *ctx, uint32_t seq);
	void (*grown)(void *ctx, uint32_t count, uint32_t recent);
};
int view_sync(struct view *v, bool expunges, const struct view_events *ev, void *ctx, struct err *e) WARN_UNUSED;

/* Octets of a message: mapped read-only, CRLF as stored. ERR_NOTFOUND: expunged meanwhile. fd: the same octets, for sendfile(2), or -1. */
struct mbody { struct slice octets; int fd; struct blob blob; char *wire; };
int view_read(struct view *v, uint32_t seq, struct mbody *out, struct err *e) WARN_UNUSED;
void mbody_done(struct mbody *b);

/* Cached at delivery, computed and kept when missing. IMAP text as mail/mime.h prints it; HEADERS is the raw header block of the cached names,
   PREVIEW plain UTF-8 (RFC 8970). */
enum mcache { MCACHE_ENVELOPE, MCACHE_BODYSTRUCTURE, MCACHE_BODY, MCACHE_HEADERS, MCACHE_PREVIEW };
int view_cached(struct view *v, uint32_t seq, enum mcache what, struct arena *a, struct slice *out, struct err *e) WARN_UNUSED;
bool mcache_has_header(struct slice name);                            /* is that header in MCACHE_HEADERS? (Thunderbird's fifteen and Outlook's) */

/* ---- changes ---- */
enum flag_op { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };
struct flag_change {
	enum flag_op op;
	uint32_t flags;
	const struct slice *keywords;                                 /* names; new ones are added to the folder, over LIMIT_KEYWORDS: ERR_LIMIT */
	size_t n_keywords;
	uint64_t unchangedsince;                                      /* 0: no condition (RFC 7162) */
};
/* seqs ascending. The caller's own view sees the new flags at once; *modified_out (may be NULL) gets those refused by unchangedsince. */
int view_store_flags(struct view *v, const uint32_t *seqs, size_t n, const struct flag_change *ch, struct arena *a, uint32_t **modified_out, size_t *n_modified_out, struct err *e) WARN_UNUSED;
/* Removes those of the listed sequence numbers that are \Deleted (all of the view when seqs is NULL); told through view_sync. */
int view_expunge(struct view *v, const uint32_t *seqs, size_t n, struct err *e) WARN_UNUSED;
/* Removes the listed ones whether \Deleted or not: POP3 QUIT, MOVE. All or none. */
int view_remove(struct view *v, const uint32_t *seqs, size_t n, struct err *e) WARN_UNUSED;

/* Copies by hard link; dst_uids_out: the new UIDs, in order (COPYUID). All or none. Dates, flags and keywords are kept. */
int view_copy(struct view *v, const uint32_t *seqs, size_t n, struct mbox *dst, struct uid_range *dst_uids_out, struct err *e) WARN_UNUSED;
int view_move(struct view *v, const uint32_t *seqs, size_t n, struct mbox *dst, struct uid_range *dst_uids_out, struct err *e) WARN_UNUSED;

/* APPEND in pieces: octets go to a temporary file as they come; nothing is there before commit. */
struct mappend;
int mappend_begin(struct mappend **a_out, struct mbox *m, uint64_t size_hint, struct err *e) WARN_UNUSED;
int mappend_write(struct mappend *a, struct slice octets, struct err *e) WARN_UNUSED;
int mappend_commit(struct mappend **a, uint32_t flags, const struct slice *keywords, size_t n_keywords, int64_t internaldate, uint32_t *uid_out, struct err *e) WARN_UNUSED;
void mappend_drop(struct mappend **a);

int mbox_sync(struct mbox *m, struct err *e) WARN_UNUSED;             /* everything so far is on disk */

/* For mail that comes from another server: an empty folder that never had a message takes over its UIDVALIDITY, so that clients fetch nothing again. true:
   the folder has it now, or had it already. Nobody else may have the folder open for long. */
int mbox_take_over(struct mbox *m, uint32_t uidvalidity, bool *taken_out, struct err *e) WARN_UNUSED;

/* ---- delivery ---- */
struct delivery {
	const char *queue_id;                                         /* part of the file name: the same id is delivered to a user once */
	struct slice octets;                                          /* the whole message with CRLF, Return-Path and Received included */
	const char *link_from;                                        /* an earlier copy of the same message, as *path_out named it, to share octets with; or NULL */
	int64_t internaldate;
	bool maybe_again;                                             /* after a crash: look whether it is there before writing */
	bool unclean;                                                 /* and the machine went down: what is there may be torn, so the file itself decides */
	uint32_t flags;                                               /* MSG_*: of a message that comes from another mailbox */
	const struct slice *keywords;
	size_t n_keywords;
	uint32_t uid;                                                 /* 0: the next one; else this one, or the next one where that is higher */
};
/* Visible at once, durable at the next store_checkpoint(). *path_out (arena) names it, for later deliveries to link from.
   ERR_LIMIT: over quota (sys 0), or full disk. Returns 0 also when it was there already, with *path_out NULL. folder "": INBOX. */
int box_deliver(struct box *b, struct slice folder, const struct delivery *d, struct arena *a, const char **path_out, struct err *e) WARN_UNUSED;
/* The queue ids (or what was given as such) that the names of the folder's messages bear, one call a message; the slice is borrowed. Messages that came
   by APPEND have one too, drawn at random. */
void mbox_each_id(struct mbox *m, void (*fn)(void *ctx, struct slice id), void *ctx);
/* Flushes all below mail_directory: every delivery that returned before is durable. -1: treat none of them as durable. */
int store_checkpoint(const char *mail_directory, struct err *e) WARN_UNUSED;

/* ---- change notification ---- */
/* A datagram to every process that has the folder open goes out by itself after each change. A process that wants to hear binds once: */
int notify_bind(const char *box_dir, int *fd_out, struct err *e) WARN_UNUSED;      /* readable: drain with notify_drain() and view_sync the views */
void notify_drain(int fd);
void notify_unbind(const char *box_dir, int *fd);

/* Flags to text and back. */
void mrec_put_flags(const struct mbox *m, const struct mrec *r, bool recent, struct buf *out);      /* "\\Seen $Label1" without parentheses */

#endif
