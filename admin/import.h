/*
 * admin/import.h - bringing messages of other programs into a user's mailbox: what all sources share. Behind it stand the readers of each format.
 *
 * A message gets its delivery id from its octets, its folder and how many equal ones of the same source came before it. The id rides in its file's name, so a
 * second run over the same source, whole or after a break, adds nothing twice, even where the user has moved messages elsewhere meanwhile.
 * As root the mailbox is written as the owner of mail_directory, and the sources are read as root.
 */
#ifndef ADMIN_IMPORT_H
#define ADMIN_IMPORT_H

#include <sys/types.h>

#include "admin/commands.h"
#include "admin/imap_client.h"
#include "base/hash.h"
#include "store/mbox.h"

/* Root for reading what is elsewhere, the mail owner for the mailbox; nothing where we are not root. */
struct import_who { uid_t uid; gid_t gid; bool both; };
int import_who_init(struct import_who *w, const char *mail_directory, struct err *e) WARN_UNUSED;
int import_be_owner(const struct import_who *w, struct err *e) WARN_UNUSED;
int import_be_self(const struct import_who *w, struct err *e) WARN_UNUSED;

/* An open mailbox of a user, for import (made where the account has none yet) and export. Return an exit status, EX_OK or one with its error told. */
struct import_box { const struct settings *s; struct import_who who; struct arena *a; struct box *b; struct buf dir; };
int import_box_open(struct import_box *x, const struct settings *s, const char *user, bool create, bool dry);   /* dry: x->b may be NULL, where there is no mailbox */
void import_box_close(struct import_box *x);
int import_status(const struct err *e);                               /* kind to sysexits.h */

/* A plain file mapped read-only. by_hand: the admin named it, so links are followed, and programs that hold it locked for delivery are waited for. */
struct import_file { struct slice octets; int64_t mtime; void *map; size_t map_len; int fd; };
int import_file_open(struct import_file *f, int dirfd, const char *name, bool by_hand, struct err *e) WARN_UNUSED;
void import_file_close(struct import_file *f);

struct import {
	struct import_box *x;
	struct arena *a;                                              /* of one message */
	struct arena *ids;
	struct hmap *there;                                           /* ids in the mailbox: at HERE or ELSEWHERE */
	struct hmap *seen;                                            /* digests of this source: unsigned, how often */
	struct mbox *m;
	bool unclean;                                                 /* the machine went down during the last run */
	bool dry;                                                     /* nothing is changed, only counted */
	const char *folder;
	uint32_t uidnext;                                             /* UIDs are kept, and this is the source's next one; 0: they are not */
	bool is_tty;
	uint64_t added, had, without_keywords;
	int64_t told_ms;
};

int import_begin(struct import *im, struct import_box *x, bool dry, struct err *e) WARN_UNUSED;
/* Where the next messages go: made and subscribed when missing. Equal messages are counted anew from here. */
int import_folder(struct import *im, struct slice name, bool subscribe, struct err *e) WARN_UNUSED;
/* The source's UIDVALIDITY and UIDNEXT: into a folder that never had a message, or has that UIDVALIDITY already, messages come with their own UIDs. Give them
   in the order of their UIDs, those without one last. Zeros: the source has none. */
int import_keep_uids(struct import *im, uint32_t uidvalidity, uint32_t uidnext, struct err *e) WARN_UNUSED;

struct import_message {
	struct slice octets;
	uint32_t flags;
	const struct slice *keywords;
	size_t n_keywords;
	int64_t date;
	uint32_t uid;                                                 /* at the source; 0: none */
	const char *id;                                               /* what import_has() gave; NULL: from the octets */
};
/* For a source that should not be asked for octets in vain: the id of the message that `what` stands for, and whether it is there. Lives until the next message. */
int import_has(struct import *im, struct slice what, const char **id_out, bool *has_out, struct err *e) WARN_UNUSED;
int import_one(struct import *im, const struct import_message *msg, struct err *e) WARN_UNUSED;
void import_progress(struct import *im, const char *source, size_t done, size_t whole);
/* Makes durable what came. Also after a failure. */
int import_end(struct import *im, struct err *e) WARN_UNUSED;

/* The sources. Errors name the file and the message. */
int import_mbox(struct import *im, struct slice folder, const char *path, struct err *e) WARN_UNUSED;
int import_maildir(struct import *im, struct slice folder, const char *path, struct err *e) WARN_UNUSED;
/* All folders of another server, below `folder` unless that is INBOX. */
int import_imap(struct import *im, struct slice folder, const struct imap_source *src, struct err *e) WARN_UNUSED;

/* The other way. path must not exist. folder SLICE_NONE: for Maildir all folders. *n_out messages. */
int export_mbox(struct import_box *x, struct slice folder, const char *path, uint64_t *n_out, struct err *e) WARN_UNUSED;
int export_maildir(struct import_box *x, struct slice folder, const char *path, uint64_t *n_out, struct err *e) WARN_UNUSED;

#endif
