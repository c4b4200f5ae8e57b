/*
 * imapd/imap.h - an IMAP session after login: its state, and the doors between session.c (dialogue), the commands and the long jobs.
 *
 * A command is parsed and run to its end in one call, or becomes a job: a function that is called again after each piece of output until it says done.
 * What a command allocates lives in s->cmd, which is reset when its tagged reply is out. Sequence numbers move only in imap_sync().
 */
#ifndef IMAPD_IMAP_H
#define IMAPD_IMAP_H

#include "base/list.h"
#include "imapd/parse.h"
#include "imapd/reader.h"
#include "serve/session.h"

enum {
	IMAP_STEP = 64 << 10,                                         /* octets of output that one call produces, about */
	IMAP_STEP_MESSAGES = 4096,                                    /* messages that one call looks at, from the index alone */
	IMAP_STEP_READS = 64                                          /* messages that one call opens */
};

enum { ENABLED_CONDSTORE = 1, ENABLED_QRESYNC = 2 };

struct imap;
typedef bool imap_job(struct imap *s, void *job, struct buf *out);    /* true: done, the tagged reply is in out */

struct imap_append;

struct imap {
	struct arena *arena;                                          /* of the session, this struct included */
	struct arena *cmd;                                            /* of the running command */
	const struct session_env *env;
	struct imap_reader reader;
	struct buf user, session_id, client;                          /* for the log */
	struct slice tag;                                             /* of the running command */
	bool uid;                                                     /* it came as UID ... */
	bool by_number;                                               /* it names messages by number: no expunges while it runs */

	struct mbox *mbox;                                            /* selected, or NULL */
	struct view *view;
	bool read_only;
	size_t keywords_told;                                         /* how many of mbox_keywords() the client knows */
	uint64_t told_modseq;                                         /* flags changed after it may be unknown to the client */
	unsigned enabled;
	struct arena *saved_arena;
	struct imap_set saved;                                        /* UIDs of SEARCH RETURN (SAVE), RFC 5182 */

	imap_job *step;                                               /* the running job, or NULL */
	void *job;
	void (*job_drop)(void *job);                                  /* NULL: nothing but memory */
	struct imap_append *append;                                   /* between APPEND's literals */
	bool idling;
	struct buf idle_tag;
	unsigned bad;
	uint32_t n_fetched, n_appended, n_expunged;                   /* for the log */
	uint64_t fetched_octets;
	bool logged_out;
};

/* ---- respond.c: replies ---- */
void imap_ok(struct imap *s, struct buf *out, const char *fmt, ...) PRINTF_LIKE(3, 4);   /* TAG OK ...: the last thing a command does */
void imap_no(struct imap *s, struct buf *out, const char *fmt, ...) PRINTF_LIKE(3, 4);
void imap_bad(struct imap *s, struct buf *out, const char *fmt, ...) PRINTF_LIKE(3, 4);  /* counted */
void imap_no_err(struct imap *s, struct buf *out, const struct err *e, bool trycreate);  /* code and words for e; what the client cannot mend is logged */
void imap_put_capabilities(const struct settings *set, struct buf *out);      /* "CAPABILITY IMAP4rev1 ..." */
void imap_put_mailbox(struct slice utf8, struct buf *out);            /* as an astring in modified UTF-7 */
void imap_put_flags(const struct imap *s, uint32_t seq, struct buf *out);     /* "FLAGS (...)" */
void imap_put_changed(const struct imap *s, uint32_t seq, bool with_flags, struct buf *out);   /* "* n FETCH (...)", with UID and MODSEQ where they belong */
void imap_put_number(uint64_t v, struct buf *out);                    /* decimal; printf is too slow for a hundred thousand of them */
void imap_put_date_time(int64_t when, struct buf *out);               /* "22-Nov-2026 00:48:07 +0000" with its quotes */
void imap_put_flag_list(struct imap *s, struct buf *out);             /* "* FLAGS (...)" and PERMANENTFLAGS */
/* What others changed, as untagged replies (RFC 3501 5.2, 7.4.1). */
void imap_sync(struct imap *s, bool expunges, struct buf *out);
/* The same for a command that ends: expunges wait where the command named messages by number. */
void imap_sync_after(struct imap *s, struct buf *out);
bool imap_enable(struct imap *s, unsigned what, struct buf *out);     /* true: was off. Tells HIGHESTMODSEQ where a folder is selected */

/* ---- names.c ---- */
/* The mailbox argument: modified UTF-7 to UTF-8, a trailing "/" dropped, INBOX in one spelling. -1: replied. */
int imap_mailbox_arg(struct imap *s, struct imap_text *t, struct slice *utf8_out, struct buf *out) WARN_UNUSED;
int imap_mailbox_utf8(struct slice utf7, struct arena *a, struct slice *utf8_out) WARN_UNUSED;
bool imap_glob(struct slice pattern, struct slice name, bool any_case);       /* "*" and "%" (RFC 3501 6.3.8); time is length times length */

/* ---- seqs.c: the messages a command names ---- */
/* Resolves a set as read (sequence numbers, or UIDs for UID commands) into sequence numbers of the view. -1: replied BAD. */
int imap_seqs(struct imap *s, struct imap_set *set, struct buf *out) WARN_UNUSED;
/* Every sequence number, in an array of the command's arena. */
size_t imap_seq_array(struct imap *s, const struct imap_set *seqs, uint32_t **out);
struct imap_walk { const struct imap_set *set; size_t at; uint32_t next; };   /* start with at 0, next 0 */
uint32_t imap_walk_next(struct imap_walk *w);                         /* 0 at the end */
void imap_put_vanished(struct imap *s, const struct imap_set *uids, bool earlier, struct buf *out);
/* Those UIDs of the range set (or 1 to UIDNEXT when NULL) that the view does not have: RFC 7162's VANISHED (EARLIER) without a history. */
void imap_missing_uids(struct imap *s, const struct imap_set *uids, struct imap_set *missing_out);

/* ---- session.c ---- */
void imap_start_job(struct imap *s, imap_job *step, void *job, void (*drop)(void *job));
bool imap_at_end_or_bad(struct imap *s, struct imap_text *t, struct buf *out);
void imap_unselect(struct imap *s);

/* ---- the commands: each reads its arguments from t, which stands behind the name ---- */
typedef void imap_cmd(struct imap *s, struct imap_text *t, struct buf *out);
/* cmd_select.c */
imap_cmd imap_cmd_select, imap_cmd_examine, imap_cmd_unselect, imap_cmd_close, imap_cmd_check, imap_cmd_expunge;
int imap_select_folder(struct imap *s, struct slice name, bool read_only, struct err *e) WARN_UNUSED;  /* no replies; for waking up */
/* cmd_folder.c */
imap_cmd imap_cmd_create, imap_cmd_delete, imap_cmd_rename, imap_cmd_subscribe, imap_cmd_unsubscribe, imap_cmd_status, imap_cmd_namespace,
    imap_cmd_getquota, imap_cmd_getquotaroot;
/* Items of STATUS as bits; -1: t->why. */
int imap_status_items(struct imap_text *t, unsigned *items_out) WARN_UNUSED;
int imap_put_status(struct imap *s, struct slice name, unsigned items, struct buf *out, struct err *e) WARN_UNUSED;
extern const struct imap_use { const char *word; unsigned attr; } imap_uses[];        /* \Sent ...; ends with NULL */
/* list.c */
imap_cmd imap_cmd_list, imap_cmd_lsub, imap_cmd_xlist;
/* fetch.c, cmd_store.c, cmd_copy.c */
imap_cmd imap_cmd_fetch, imap_cmd_store, imap_cmd_copy, imap_cmd_move;
/* cmd_search.c, sort.c, thread.c */
imap_cmd imap_cmd_search, imap_cmd_sort, imap_cmd_thread;
/* append.c: message literals that stream. */
bool imap_append_streams(void *ctx, struct slice text);               /* imap_reader.streams */
/* A literal was announced: text ends with "{n}". Streams or refuses it. CLOSE: BYE is in out. */
enum session_want imap_append_literal(struct imap *s, struct slice text, struct buf *out);
size_t imap_append_octets(struct imap *s, struct slice in);           /* takes octets of the literal */
bool imap_append_wants_octets(const struct imap *s);
void imap_append_end(struct imap *s, struct slice text, struct buf *out);     /* the line behind the last literal */
void imap_append_drop(struct imap *s);
/* idle.c: IDLE, and sleeping outside of the process. */
imap_cmd imap_cmd_idle;
enum session_want imap_idle_input(struct imap *s, struct slice in, size_t *used_out, struct buf *out);
bool imap_park(struct imap *s, struct buf *state_out);
int imap_wake(struct imap *s, struct slice state, struct buf *out, struct err *e) WARN_UNUSED;

#endif
