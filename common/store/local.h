/*
 * store/local.h - the inside of the local backend, shared by store_local.c and local_*.c, and by nobody else: only these may open, rename or flush
 * a file of the mailboxes (tests/lint).
 */
#ifndef STORE_LOCAL_H
#define STORE_LOCAL_H

#include "store/store.h"

struct local_notifier { int dir, sock; char topic[128]; };            /* a sender's descriptors for the last topic, opened when first needed */

struct local_shelf {
	struct shelf base;
	char *path;                                                   /* of the top: as given; of a folder: its directory's name in it, "" for the top's own */
	struct local_shelf *top;                                      /* of a folder */
	int dir, cur, fresh, tmp;                                     /* fresh: new/; a top has dir alone; tmp when first needed */
	bool dir_sync;                                                /* a file system where fsync of the file does not bring its name along */
	struct local_notifier notifier;
};

static inline struct local_shelf *local_shelf_of(struct shelf *h)
{
	return (struct local_shelf *)(void *)h;
}

int local_bay(struct local_shelf *h, enum bay bay);                   /* its directory's descriptor, -1: none */
int local_failed(struct err *e, const char *name);                    /* err_set() of errno; -1 */
void local_tmp_name(const char *purpose, char out[128]);              /* "tmp/purpose.RANDOM" */

/* ---- local_draft.c ---- */
struct local_draft {
	struct draft base;
	struct local_shelf *h;
	int fd;
	bool is_message, is_placed;
	uint64_t size;
	char tmp[128];                                                /* "" for a file without a name, and once it has its own */
};
int local_draft_open(struct shelf *h, const char *purpose, struct draft **out, struct err *e);
int local_draft_write(struct draft *d, uint64_t at, struct slice octets, struct err *e);
int local_draft_map(struct draft *d, struct blob *out, struct err *e);
void local_draft_date(struct draft *d, int64_t mtime);
int local_draft_place(struct draft *d, const char *name, struct err *e);
int local_draft_flush(struct draft *d, struct err *e);
void local_draft_drop(struct draft *d);
int local_write_at(int fd, uint64_t at, struct slice octets);         /* -1: errno set */

/* ---- local_blob.c ---- */
int local_blob_read(struct shelf *h, enum bay bay, const char *name, unsigned how, struct blob *out, struct err *e);
int local_blob_pour(struct shelf *h, enum bay bay, const char *name, store_piece_fn *fn, void *ctx, struct blob_info *out, struct err *e);
int local_blob_odd(struct shelf *h, enum bay bay, store_odd_fn *fn, void *ctx, struct err *e);
int local_blob_stat(struct shelf *h, enum bay bay, const char *name, struct blob_info *out, struct err *e);
int local_blob_link(struct shelf *from, const char *name, struct shelf *to, const char *as, struct err *e);
void local_blob_ref(struct shelf *h, const char *name, struct buf *out);
int local_blob_link_ref(const char *ref, struct shelf *to, const char *as, struct err *e);
int local_blob_move(struct shelf *from, enum bay bay, const char *name, struct shelf *to, const char *as, struct err *e);
int local_blob_delete(struct shelf *h, enum bay bay, const char *name, struct err *e);
int local_blob_flush(struct shelf *h, const char *name, struct err *e);
int local_blob_list(struct shelf *h, enum bay bay, store_name_fn *fn, void *ctx, struct err *e);
int64_t local_blob_stamp(struct shelf *h, enum bay bay);
int local_map(int fd, size_t n, bool shared, struct blob *out);       /* -1: errno set */

/* ---- local_log.c ---- */
int local_log_open(struct shelf *h, const char *name, unsigned how, struct store_log **out, struct err *e);
void local_log_close(struct store_log *l);
int local_log_lock(struct store_log *l, bool *replaced_out, uint64_t *size_out, struct err *e);
void local_log_unlock(struct store_log *l);
bool local_log_look(struct store_log *l, uint64_t *size_out);
int local_log_read(struct store_log *l, uint64_t at, char *p, size_t n, size_t *got_out, struct err *e);
int local_log_append(struct store_log *l, uint64_t expected, struct slice octets, struct err *e);
int local_log_cut(struct store_log *l, uint64_t at, struct err *e);
int local_log_flush(struct store_log *l, struct err *e);
int local_log_swap(struct shelf *h, const char *name, struct draft *d, struct store_log **out, struct err *e);
int local_lock(int fd, bool wait, short type);                        /* OFD lock of the whole file; -1: errno set */

/* ---- local_kv.c ---- */
int local_kv_get(struct shelf *h, const char *name, struct buf *out, struct err *e);
int local_kv_put(struct shelf *h, const char *name, struct slice text, bool flushed, struct err *e);
bool local_kv_has(struct shelf *h, const char *name);
int local_lease_take(struct shelf *h, struct err *e);
void local_lease_drop(struct shelf *h);

/* ---- local_tally.c ---- */
int local_tally_open(struct shelf *h, const char *name, struct tally **out, struct err *e);
void local_tally_close(struct tally *t);
bool local_tally_look(struct tally *t);
bool local_tally_lock(struct tally *t, enum tally_lock which, bool on);
int local_tally_get(struct tally *t, uint64_t key, struct tally_row *out);
int local_tally_put(struct tally *t, const struct tally_row *row);
void local_tally_delete(struct tally *t, uint64_t key);
size_t local_tally_rows(struct tally *t, struct arena *a, struct tally_row **out);
uint64_t local_tally_note(struct tally *t, unsigned which);
void local_tally_set_note(struct tally *t, unsigned which, uint64_t value);

/* ---- local_tree.c ---- */
int local_shelf_make(struct shelf *top, const char *name, struct err *e);
bool local_shelf_has(struct shelf *top, const char *name);
int local_shelf_list(struct shelf *top, store_name_fn *fn, void *ctx, struct err *e);
int local_shelf_rename(struct shelf *top, const char *from, const char *to, struct err *e);
int local_shelf_remove(struct shelf *top, const char *name, struct err *e);
int local_make_bays(int dirfd, struct err *e);

/* ---- local_notify.c ---- */
void local_notifier_init(struct local_notifier *n);
void local_notifier_close(struct local_notifier *n);
void local_notify(struct shelf *h, const char *topic);
int local_listen(const struct store *s, const char *path, const char *topic, int *fd_out, struct err *e);
void local_unlisten(const struct store *s, const char *path, const char *topic, int *fd);

#endif
