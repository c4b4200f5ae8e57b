/*
 * store/store.h - the one door to durable state: five verbs that a directory tree and an object store can both keep.
 *
 *     blob     whole objects, which appear under their name at once or not at all. Their octets never change; the name may (flags ride in it as a hint)
 *     log      octets, appended only where the writer knew the end (compare-and-append), under a lock that dies with its holder
 *     kv       small texts under a name, replaced whole; and a tally: rows of numbers that all who have it open see change
 *     lease    who may change a shelf's tree; it ends with its holder
 *     notify   a wake-up for whoever listens
 *
 * They act on a *shelf*: the place of one folder, below the place of one user. A backend is a const struct store_ops: store_local.c keeps a shelf as a Maildir;
 * tests/unit/store/store_object.c keeps all shelves in a server process that knows puts, reads, compare-and-append and listings, as an object store does.
 * Nothing else in store/ opens, renames or flushes a file (tests/lint). Records with CRCs, snapshots and transactions are above this line (slog.h,
 * sindex.h, scache.h), and verbs under plain names, with fences and lifetimes, for what is no mailbox (named.h).
 *
 * Calls return -1 with *e. ERR_NOTFOUND, ERR_EXISTS, ERR_LIMIT (full), ERR_DENIED (not a plain object; not ours), ERR_TEMP. Handles belong to whoever opened them
 * and are closed before their shelf. What is said to be flushed survives a power cut.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/blob.h"

struct store_ops;

/* The beginnings of a backend's own structs. */
struct store { const struct store_ops *ops; };
struct shelf {
	const struct store_ops *ops;
	bool stamps_last;                                             /* store_blob_stamp() is right after a power cut, too */
};
struct draft { const struct store_ops *ops; };
struct store_log { const struct store_ops *ops; };
struct tally { const struct store_ops *ops; };

/* A shelf's blobs lie in bays: messages that have a UID; messages that other programs left for us; what is beside the messages; half-made ones. A backend that
   no other program can write to has nothing in NEW and TMP. */
enum bay { BAY_CUR, BAY_NEW, BAY_OWN, BAY_TMP, BAYS };

enum { BLOB_MAP = 1 /* however small: it is read here and there */, BLOB_FD = 2 };

struct blob_info { uint64_t size; int64_t mtime; };                   /* mtime: seconds, when the octets were written (or as store_draft_date() said) */

typedef int store_piece_fn(void *ctx, struct slice octets);            /* -1 stops */
typedef void store_odd_fn(void *ctx, const char *name, const char *what);
typedef int store_name_fn(void *ctx, const char *name);               /* -1 stops; the verb then returns 0 */

enum { TALLY_NUMBERS = 4, TALLY_NOTES = 8 };
enum tally_lock { TALLY_ROOM /* rows are made and taken away under it */, TALLY_COUNTING, TALLY_LOCKS };
struct tally_row { uint64_t key; bool busy, sound; uint64_t v[TALLY_NUMBERS]; };      /* sound: it is as somebody wrote it */

enum flush { FLUSH_NAMES /* of messages */, FLUSH_TREE /* of shelves */, FLUSH_ALL };
enum { LOG_MAKE = 1, LOG_GUARDED = 2 /* the lock of another log of the shelf is what its writers hold */ };

struct store_ops {
	const char *name;

	int (*shelf_open)(const struct store *s, const char *path, bool make, struct shelf **out, struct err *e);
	int (*shelf_child)(struct shelf *top, const char *name, bool make, struct shelf **out, struct err *e);
	void (*shelf_close)(struct shelf *h);
	bool (*shelf_look)(struct shelf *top);
	uint64_t (*shelf_number)(struct shelf *h);
	int (*shelf_make)(struct shelf *top, const char *name, struct err *e);
	bool (*shelf_has)(struct shelf *top, const char *name);
	int (*shelf_list)(struct shelf *top, store_name_fn *fn, void *ctx, struct err *e);
	int (*shelf_rename)(struct shelf *top, const char *from, const char *to, struct err *e);
	int (*shelf_remove)(struct shelf *top, const char *name, struct err *e);
	int (*shelf_flush)(struct shelf *h, enum flush what, struct err *e);
	int (*flush_all)(const struct store *s, const char *path, struct err *e);

	int (*draft_open)(struct shelf *h, const char *purpose, struct draft **out, struct err *e);
	int (*draft_write)(struct draft *d, uint64_t at, struct slice octets, struct err *e);
	int (*draft_map)(struct draft *d, struct blob *out, struct err *e);
	void (*draft_date)(struct draft *d, int64_t mtime);
	int (*draft_place)(struct draft *d, const char *name, struct err *e);
	int (*draft_flush)(struct draft *d, struct err *e);
	void (*draft_drop)(struct draft *d);

	int (*blob_read)(struct shelf *h, enum bay bay, const char *name, unsigned how, struct blob *out, struct err *e);
	int (*blob_pour)(struct shelf *h, enum bay bay, const char *name, store_piece_fn *fn, void *ctx, struct blob_info *out, struct err *e);
	int (*blob_stat)(struct shelf *h, enum bay bay, const char *name, struct blob_info *out, struct err *e);
	int (*blob_link)(struct shelf *from, const char *name, struct shelf *to, const char *as, struct err *e);
	void (*blob_ref)(struct shelf *h, const char *name, struct buf *out);
	int (*blob_link_ref)(const char *ref, struct shelf *to, const char *as, struct err *e);
	int (*blob_move)(struct shelf *from, enum bay bay, const char *name, struct shelf *to, const char *as, struct err *e);
	int (*blob_delete)(struct shelf *h, enum bay bay, const char *name, struct err *e);
	int (*blob_flush)(struct shelf *h, const char *name, struct err *e);
	int (*blob_list)(struct shelf *h, enum bay bay, store_name_fn *fn, void *ctx, struct err *e);
	int (*blob_odd)(struct shelf *h, enum bay bay, store_odd_fn *fn, void *ctx, struct err *e);
	int64_t (*blob_stamp)(struct shelf *h, enum bay bay);

	int (*log_open)(struct shelf *h, const char *name, unsigned how, struct store_log **out, struct err *e);
	void (*log_close)(struct store_log *l);
	int (*log_lock)(struct store_log *l, bool *replaced_out, uint64_t *size_out, struct err *e);
	void (*log_unlock)(struct store_log *l);
	bool (*log_look)(struct store_log *l, uint64_t *size_out);
	int (*log_read)(struct store_log *l, uint64_t at, char *p, size_t n, size_t *got_out, struct err *e);
	int (*log_append)(struct store_log *l, uint64_t expected, struct slice octets, struct err *e);
	int (*log_cut)(struct store_log *l, uint64_t at, struct err *e);
	int (*log_flush)(struct store_log *l, struct err *e);
	int (*log_swap)(struct shelf *h, const char *name, struct draft *d, struct store_log **out, struct err *e);

	int (*kv_get)(struct shelf *h, const char *name, struct buf *out, struct err *e);
	int (*kv_put)(struct shelf *h, const char *name, struct slice text, bool flushed, struct err *e);
	bool (*kv_has)(struct shelf *h, const char *name);


	int (*tally_open)(struct shelf *h, const char *name, struct tally **out, struct err *e);
	void (*tally_close)(struct tally *t);
	bool (*tally_look)(struct tally *t);
	bool (*tally_lock)(struct tally *t, enum tally_lock which, bool on);
	int (*tally_get)(struct tally *t, uint64_t key, struct tally_row *out);
	int (*tally_put)(struct tally *t, const struct tally_row *row);
	void (*tally_delete)(struct tally *t, uint64_t key);
	size_t (*tally_rows)(struct tally *t, struct arena *a, struct tally_row **out);
	uint64_t (*tally_note)(struct tally *t, unsigned which);
	void (*tally_set_note)(struct tally *t, unsigned which, uint64_t value);

	int (*lease_take)(struct shelf *h, struct err *e);
	void (*lease_drop)(struct shelf *h);

	void (*notify)(struct shelf *h, const char *topic);
	int (*listen)(const struct store *s, const char *path, const char *topic, int *fd_out, struct err *e);
	void (*unlisten)(const struct store *s, const char *path, const char *topic, int *fd);
};

const struct store *store_local(void);                                /* Maildirs; a path of a shelf is a directory */

/* ---- shelves ---- */

/* A user's place, with `make` made when missing; and a folder of it. "" is the one that every place has (INBOX). A folder is there when shelf_make() has made
   it; make here adds the bays that it may lack. ERR_NOTFOUND. */
int store_shelf_open(const struct store *s, const char *path, bool make, struct shelf **out, struct err *e) WARN_UNUSED;
int store_shelf_child(struct shelf *top, const char *name, bool make, struct shelf **out, struct err *e) WARN_UNUSED;
void store_shelf_close(struct shelf **h);
bool store_shelf_look(struct shelf *top);                              /* false: its path leads elsewhere by now, or nowhere */
uint64_t store_shelf_number(struct shelf *h);                         /* its own as long as it is there; 0: not to be had */
int store_shelf_make(struct shelf *top, const char *name, struct err *e) WARN_UNUSED;                  /* ERR_EXISTS */
bool store_shelf_has(struct shelf *top, const char *name);
int store_shelf_list(struct shelf *top, store_name_fn *fn, void *ctx, struct err *e) WARN_UNUSED;      /* all but "" */
int store_shelf_rename(struct shelf *top, const char *from, const char *to, struct err *e) WARN_UNUSED;   /* open ones stay open */
int store_shelf_remove(struct shelf *top, const char *name, struct err *e) WARN_UNUSED;               /* with all in it; at once for who looks, and flushed */
int store_shelf_flush(struct shelf *h, enum flush what, struct err *e) WARN_UNUSED;
int store_flush_all(const struct store *s, const char *path, struct err *e) WARN_UNUSED;              /* everything below path, whoever wrote it */

/* ---- blob ---- */

/* Octets that have no name yet. purpose: NULL for a message, else the name in BAY_OWN that place will give (and take from another blob there). A message's
   place is in BAY_CUR, ERR_EXISTS where the name is taken. Flushed after it was placed the name is durable too. Dropping it takes nothing away that was placed. */
int store_draft_open(struct shelf *h, const char *purpose, struct draft **out, struct err *e) WARN_UNUSED;
int store_draft_write(struct draft *d, uint64_t at, struct slice octets, struct err *e) WARN_UNUSED;
int store_draft_map(struct draft *d, struct blob *out, struct err *e) WARN_UNUSED;
void store_draft_date(struct draft *d, int64_t mtime);
int store_draft_place(struct draft *d, const char *name, struct err *e) WARN_UNUSED;
int store_draft_flush(struct draft *d, struct err *e) WARN_UNUSED;
void store_draft_drop(struct draft **d);

int store_blob_read(struct shelf *h, enum bay bay, const char *name, unsigned how, struct blob *out, struct err *e) WARN_UNUSED;
int store_blob_stat(struct shelf *h, enum bay bay, const char *name, struct blob_info *out, struct err *e) WARN_UNUSED;
/* From beginning to end in pieces, however large it is. A blob over LIMIT_MESSAGE_FILE in CUR or NEW is ERR_DENIED to read and to pour. */
int store_blob_pour(struct shelf *h, enum bay bay, const char *name, store_piece_fn *fn, void *ctx, struct blob_info *out, struct err *e) WARN_UNUSED;
/* In BAY_CUR of both: one more name for the same octets, written once. By reference: any shelf of the store; ERR_EXISTS where that can't be done. */
int store_blob_link(struct shelf *from, const char *name, struct shelf *to, const char *as, struct err *e) WARN_UNUSED;
void store_blob_ref(struct shelf *h, const char *name, struct buf *out);
int store_blob_link_ref(const char *ref, struct shelf *to, const char *as, struct err *e) WARN_UNUSED;
/* Into BAY_CUR of `to`, at once: never in both places, never in neither. Within a shelf it is how a name changes. */
int store_blob_move(struct shelf *from, enum bay bay, const char *name, struct shelf *to, const char *as, struct err *e) WARN_UNUSED;
int store_blob_delete(struct shelf *h, enum bay bay, const char *name, struct err *e) WARN_UNUSED;
int store_blob_flush(struct shelf *h, const char *name, struct err *e) WARN_UNUSED;                   /* the octets */
int store_blob_list(struct shelf *h, enum bay bay, store_name_fn *fn, void *ctx, struct err *e) WARN_UNUSED;   /* plain objects, in no order */
/* What lies there and can't be a message, with words that say why. */
int store_blob_odd(struct shelf *h, enum bay bay, store_odd_fn *fn, void *ctx, struct err *e) WARN_UNUSED;
/* Another number after each change of the bay's names. Numbers are times in ns: changes within RACY_NS of each other may have one. */
int64_t store_blob_stamp(struct shelf *h, enum bay bay);

/* ---- log ---- */

int store_log_open(struct shelf *h, const char *name, unsigned how, struct store_log **out, struct err *e) WARN_UNUSED;   /* ERR_NOTFOUND without LOG_MAKE */
void store_log_close(struct store_log **l);                           /* and with it its lock */
/* Waits for it. *replaced_out: another log has the name by now, so it isn't the one to write to (and is not locked). */
int store_log_lock(struct store_log *l, bool *replaced_out, uint64_t *size_out, struct err *e) WARN_UNUSED;
void store_log_unlock(struct store_log *l);
bool store_log_look(struct store_log *l, uint64_t *size_out);         /* false: replaced */
int store_log_read(struct store_log *l, uint64_t at, char *p, size_t n, size_t *got_out, struct err *e) WARN_UNUSED;      /* less than n: the end */
/* ERR_EXISTS: its size is not `expected`: others have appended. Whole or not at all, but for a power cut, which may leave a torn end. */
int store_log_append(struct store_log *l, uint64_t expected, struct slice octets, struct err *e) WARN_UNUSED;
int store_log_cut(struct store_log *l, uint64_t at, struct err *e) WARN_UNUSED;                       /* locked: a torn end */
int store_log_flush(struct store_log *l, struct err *e) WARN_UNUSED;
/* The draft, opened for that purpose, becomes the log of that name; whoever has the old one open sees it replaced. *out: the new one, locked. */
int store_log_swap(struct shelf *h, const char *name, struct draft *d, struct store_log **out, struct err *e) WARN_UNUSED;

/* ---- kv ---- */

int store_kv_get(struct shelf *h, const char *name, struct buf *out, struct err *e) WARN_UNUSED;      /* ERR_NOTFOUND; ERR_TEMP: over out->max */
int store_kv_put(struct shelf *h, const char *name, struct slice text, bool flushed, struct err *e) WARN_UNUSED;
bool store_kv_has(struct shelf *h, const char *name);

/* Rows by number, and eight notes of the owner's, which begin as 0. Nothing of it need survive a restart of the machine, so a note says when it was right. */
int store_tally_open(struct shelf *h, const char *name, struct tally **out, struct err *e) WARN_UNUSED;
void store_tally_close(struct tally **t);
bool store_tally_look(struct tally *t);                               /* false: somebody has removed it: open it again */
bool store_tally_lock(struct tally *t, enum tally_lock which, bool on);                               /* waits; goes with the holder; false: can't be had */
int store_tally_get(struct tally *t, uint64_t key, struct tally_row *out) WARN_UNUSED;                /* -1: no such row */
/* -1: no room. A busy row keeps its numbers and says that they are about to change, until it is put with those. */
int store_tally_put(struct tally *t, const struct tally_row *row) WARN_UNUSED;
void store_tally_delete(struct tally *t, uint64_t key);
size_t store_tally_rows(struct tally *t, struct arena *a, struct tally_row **out);
uint64_t store_tally_note(struct tally *t, unsigned which);
void store_tally_set_note(struct tally *t, unsigned which, uint64_t value);

/* ---- lease, notify ---- */

int store_lease_take(struct shelf *top, struct err *e) WARN_UNUSED;   /* waits; for the tree of shelves and the kv of the top */
void store_lease_drop(struct shelf *top);

/* A descriptor that becomes readable when somebody notifies: drain it by recv(2) until EAGAIN. A wake-up may be lost only where more than that wait. */
void store_notify(struct shelf *top, const char *topic);
int store_listen(const struct store *s, const char *path, const char *topic, int *fd_out, struct err *e) WARN_UNUSED;
void store_unlisten(const struct store *s, const char *path, const char *topic, int *fd);

#endif
