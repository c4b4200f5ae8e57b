/*
 * pop3d/pop3.h - a POP3 session after login: its state, and the doors between session.c (dialogue), cmd.c (commands), send.c (messages), uidl.c.
 */
#ifndef POP3D_POP3_H
#define POP3D_POP3_H

#include "base/list.h"
#include "serve/session.h"

enum {
	POP3_STEP = 64 << 10,                                         /* octets of output that one call produces, about */
	POP3_BUSY_S = 60,                                             /* a session that did something within this time is alive (IN-USE) */
	POP3_BAD_COMMANDS = 50
};

/* A message on its way out. Octets come straight from the mapped file; long stretches that need no mending are left to sendfile where the caller can do that. */
struct pop3_send {
	struct mbody body;
	bool active;
	size_t at;                                                    /* octets of the file that went */
	bool bol;                                                     /* dot_stuff's: at the beginning of a line */
	bool cr;                                                      /* the last octet was CR */
	bool in_body;                                                 /* the empty line after the header was seen */
	uint64_t body_lines_left;                                     /* TOP; UINT64_MAX: all */
	bool by_file;                                                 /* no TLS: stretches of the file may go by SESSION_FILE */
	size_t file_at, file_n;                                       /* the stretch that goes now; 0: none */
};

enum pop3_listing { POP3_LIST_NONE, POP3_LIST_SIZES, POP3_LIST_UIDS };

struct pop3 {
	struct list_node node;                                        /* in pop3_shared.sessions */
	struct arena *arena;                                          /* everything of the session, this struct included */
	const struct session_env *env;
	struct mbox *mbox;
	struct view *view;                                            /* read-only, never synced: the maildrop as it was at login (RFC 1939 4) */
	struct buf who;                                               /* "user=<...>, session=<...>" for the log */
	uint8_t *deleted;                                             /* a bit a message; NULL before the first DELE */
	uint32_t n_deleted;
	uint64_t octets, deleted_octets;
	bool counted;                                                 /* octets holds the sum; it is made when first asked for */
	enum pop3_listing listing;
	uint32_t next;                                                /* listing: message to tell next */
	struct pop3_send send;
	int64_t active_at;                                            /* wall seconds of the last octets from the client */
	bool taken_over, quit, utf8, tls;
	unsigned bad;
	uint32_t n_retr, n_top, n_removed;
	uint64_t sent_octets;
};

struct pop3_shared {                                                  /* what the sessions of one user share */
	struct list_node sessions;
	struct mbox *inbox;                                           /* stays open between sessions, so that a login opens nothing */
};

/* cmd.c: one command line, without CRLF. Replies go to out; may start a listing or a message. */
enum session_want pop3_command(struct pop3 *s, struct slice line, struct buf *out);
/* Goes on with a listing; false when it is complete. */
bool pop3_listing_step(struct pop3 *s, struct buf *out);
bool pop3_is_deleted(const struct pop3 *s, uint32_t seq);

/* send.c: the message goes out by steps. SESSION_MORE: again; SESSION_FILE: behind out go file_n octets of the file, then again; SESSION_INPUT: done, its "." is in
   out. by_file: SESSION_FILE is welcome. */
void pop3_send_start(struct pop3_send *t, const struct mbody *body, uint64_t body_lines, bool by_file);
enum session_want pop3_send_step(struct pop3_send *t, struct buf *out);
void pop3_send_done(struct pop3_send *t);

/*
 * uidl.c: the unique-id of a message (RFC 1939 7), by the setting pop3_uidl_format. In it %v is UIDVALIDITY, %u the UID, %f stands for both in the form
 * of our file names (base 36); a width and x or X ("%08Xu%08Xv", in small letters) give the ids that Dovecot gave. Octets outside 0x21-0x7e are left out, 70 at
 * most. %h is the id that qpopper left in the X-UIDL field of the message, see below.
 */
const char *pop3_uidl_format(const char *setting);                    /* the format that a word like "dovecot" stands for; else the setting itself */
/* An id in the header, which a message has from another server: not one that came in through our smtpd, whose sender could have chosen somebody else's.
   id_out is borrowed from the message. */
bool pop3_uidl_of_header(struct slice message, struct slice *id_out);
void pop3_put_uidl(const char *format, uint32_t uidvalidity, uint32_t uid, struct buf *out);

#endif
