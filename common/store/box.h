/*
 * store/box.h - the inside of a user's tree, shared by box.c and folders.c.
 */
#ifndef STORE_BOX_H
#define STORE_BOX_H

#include "base/limits.h"
#include "store/dirlist.h"
#include "store/folder.h"

struct boxfile {
	struct arena *a;
	uint32_t last_uidvalidity;
	bool made;                                                    /* the special folders have been */
	struct folder special[16];                                    /* one a special use: five at most */
	size_t n;
};

void boxfile_init(struct boxfile *f);
void boxfile_done(struct boxfile *f);
int boxfile_parse(struct slice text, struct boxfile *f) WARN_UNUSED;
int boxfile_load(struct box *b, struct boxfile *f, struct err *e) WARN_UNUSED;
int boxfile_save(struct box *b, const struct boxfile *f, struct err *e) WARN_UNUSED;
void boxfile_set_special(struct boxfile *f, struct slice name, unsigned attr);     /* attr 0: none any more */

int box_lock(struct box *b, struct err *e) WARN_UNUSED;               /* for box files and the tree of folders */
void box_unlock(struct box *b);
int box_first_folders(struct box *b, struct err *e) WARN_UNUSED;      /* special folders and subscriptions of a new box */
unsigned special_of(struct slice word);

/* ---- folders.c, folders_rename.c ---- */
struct folder_names { struct buf name, disk; };                       /* canonical; its shelf's */
int folder_names(struct slice name, struct folder_names *n, struct err *e) WARN_UNUSED;        /* done in either case */
void folder_names_done(struct folder_names *n);
bool folder_has_wildcard(struct slice name);
int folder_set_special(struct box *b, struct slice name, unsigned attr, struct err *e) WARN_UNUSED;

/* ---- subs.c ---- */
#define SUBS_MAX (4u << 20)
int subs_load(struct box *b, struct buf *out, struct err *e) WARN_UNUSED;
int subs_save(struct box *b, const struct buf *text, struct err *e) WARN_UNUSED;
/* Each line that is not (below) `from`; those that are come under `to`, unless that is SLICE_NONE. */
void subs_rewrite(struct slice text, struct slice from, struct slice to, bool below, struct buf *out);

int folder_init(struct mbox *m, struct err *e) WARN_UNUSED;
int mbox_open_disk(struct mbox **m_out, struct box *b, const struct buf *name, const struct buf *disk, bool make, struct err *e) WARN_UNUSED;

#endif
