/*
 * server/session_in.h - the inside of a session, for session.c and the cmd_*.c files alone.
 *
 * States (RFC 5321 4.1.4), written by smtp_enter() alone:
 *
 *	CONNECTED --EHLO--> GREETED --MAIL--> MAIL --RCPT--> RCPT --DATA/BDAT LAST--> GREETED
 *	                       ^------------- RSET, EHLO --------'  '--BDAT--> CHUNKS --'
 *
 * The mode says what the next octets are: command lines, the answer to a 334, the message by DATA, octets of a BDAT chunk.
 */
#ifndef SERVER_SESSION_IN_H
#define SERVER_SESSION_IN_H

#include "base/arena.h"
#include "mail/line.h"
#include "reply/codes.h"
#include "server/params.h"
#include "server/session.h"

enum smtp_state { ST_CONNECTED, ST_GREETED, ST_MAIL, ST_RCPT, ST_CHUNKS, SMTP_STATES };
#define IN(state) (1u << (state))
#define IN_ANY (IN(SMTP_STATES) - 1)

enum smtp_mode { MODE_COMMAND, MODE_AUTH, MODE_DATA, MODE_CHUNK, MODE_SKIP /* the rest of a line that is too long */ };

enum smtp_cmd_flags {
	CMD_ENDS_PIPELINE = 1,                                        /* RFC 2920 3.1: the client must wait for the reply */
	CMD_FORGETS       = 2,                                        /* nothing may follow in the same segment: STARTTLS */
	CMD_ON_SMTP       = 4,
	CMD_ON_LMTP       = 8,
	CMD_HIDDEN        = 16                                        /* not in HELP */
};

struct smtp_cmd {
	const char *verb, *counted;                                   /* counted: in the disconnect line */
	enum smtp_want (*run)(struct smtp_session *s, struct slice args, struct buf *out);
	unsigned legal;                                               /* IN() of states */
	unsigned flags;
	const char *rfc, *help;
};
extern const struct smtp_cmd smtp_cmds[];
extern const size_t smtp_n_cmds;
#define SMTP_CMDS_MAX 20

struct smtp_body {                                                    /* the message as it comes */
	struct buf octets;                                            /* not yet handed out */
	struct dot dot;                                               /* DATA */
	uint64_t chunk_left;                                          /* BDAT */
	bool chunk_last, refuse_chunk, end_pending;                   /* end_pending: the end comes after the spill */
	bool chunk_cr, chunk_in_line;                                 /* the last octet was CR; was not LF */
	uint64_t came;                                                /* octets of the client's message so far */
	uint64_t lines;
	bool composed, spilled;
	char *refusal;                                                /* in mail_arena: why it won't be taken; the octets are only counted from here on */
	bool close_after;                                             /* a smuggler: nothing more is said to it */
	struct slice header;
	struct buf prefix;                                            /* Received and what we add */
	struct slice *pieces;
	size_t n_pieces;
};

struct smtp_session {
	struct smtp_env env;
	struct arena *arena, *mail_arena, *cmd_arena;                 /* session, transaction, command */
	int64_t now_us;
	enum smtp_state state;
	enum smtp_mode mode;
	enum smtp_want want;
	bool greeted, esmtp, closing, auth_last_word;
	bool tls;
	const char *tls_version, *tls_cipher;
	int tls_bits;
	char *helo;                                                   /* malloc'd: it outlives transactions */
	char *user, *method;
	unsigned bad_commands, bad_rcpts, auth_failures;
	size_t skipped;
	const struct smtp_cmd *cmd;                                   /* whose reply is due */
	struct { unsigned good, all; } counts[SMTP_CMDS_MAX];
	struct smtp_ask ask;
	struct buf auth_octets;                                       /* decoded response */

	struct path path;                                             /* being asked about */
	struct smtp_params params;
	struct path sender;
	struct envelope envelope;
	size_t rcpts_cap;
	uint64_t size;                                                /* as MAIL said; 0: not */
	bool discard;
	struct slice voucher;                                         /* as in smtp_answer, in mail_arena */
	struct smtp_body body;
};

void smtp_enter(struct smtp_session *s, enum smtp_state to);
void smtp_forget_mail(struct smtp_session *s);                        /* RSET: back to GREETED (or CONNECTED) */

/* Each writes one reply line. smtp_reply(): a yes ("250 2.1.0 ...") or a reply that is made already; the others put status and code of the row around
   the text (reply/codes.h), CODE_NONE again for one that is made. Return SMTP_INPUT. */
enum smtp_want smtp_reply(struct smtp_session *s, struct buf *out, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum smtp_want smtp_no(struct smtp_session *s, struct buf *out, enum code c, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* A no that counts as a mistake of the client; too many of them end the session. */
enum smtp_want smtp_bad(struct smtp_session *s, struct buf *out, enum code c, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The last word: SMTP_CLOSE. */
enum smtp_want smtp_bye(struct smtp_session *s, struct buf *out, enum code c, const char *fmt, ...) PRINTF_LIKE(4, 5);
void smtp_good(struct smtp_session *s);                               /* counts the present command as done */
const char *smtp_shown(struct smtp_session *s, struct slice octets);  /* a peer's octets, safe in a reply; lives until the next command */

enum smtp_want smtp_cmd_ehlo(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_helo(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_mail(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_rcpt(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_data(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_bdat(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_starttls(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_auth(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_rset(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_noop(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_quit(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_help(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_vrfy(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_http(struct smtp_session *s, struct slice args, struct buf *out);
enum smtp_want smtp_cmd_off(struct smtp_session *s, struct slice args, struct buf *out);

bool smtp_auth_is_offered(const struct smtp_session *s);
const char *smtp_mechanisms(const struct smtp_session *s);
enum smtp_want smtp_auth_line(struct smtp_session *s, struct slice line, struct buf *out);
enum smtp_want smtp_auth_answered(struct smtp_session *s, const struct auth_answer *a, struct buf *out);
enum smtp_want smtp_mail_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out);
enum smtp_want smtp_rcpt_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out);
enum smtp_want smtp_queue_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out);
enum smtp_want smtp_spill_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out);
void smtp_body_reset(struct smtp_session *s);
enum smtp_want smtp_body_dot(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out);
enum smtp_want smtp_body_chunk(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out);

#endif
