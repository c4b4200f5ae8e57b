/*
 * pop3d/cmd.c - the commands of the TRANSACTION state (RFC 1939 5, 6, 7; CAPA: RFC 2449 5). A command is a row.
 */
#include "pop3d/pop3.h"

#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/num.h"
#include "pop3d/pop3d.h"

struct cmd {
	const char *verb;
	enum session_want (*run)(struct pop3 *s, struct slice args, struct buf *out);
	enum { NO_ARGS, ARGS } args;
};

static enum session_want bad(struct pop3 *s, struct buf *out, const char *why)
{
	if (++s->bad > POP3_BAD_COMMANDS) {
		buf_puts(out, "-ERR Too many errors, good-bye\r\n");
		return SESSION_CLOSE;
	}
	buf_putf(out, "-ERR %s\r\n", why);
	return SESSION_INPUT;
}

static enum session_want ok(struct buf *out, const char *text)
{
	buf_putf(out, "+OK %s\r\n", text);
	return SESSION_INPUT;
}

bool pop3_is_deleted(const struct pop3 *s, uint32_t seq)
{
	return s->deleted != NULL && (s->deleted[(seq - 1) / 8] >> ((seq - 1) % 8) & 1) != 0;
}

static uint64_t size_of(const struct pop3 *s, uint32_t seq)
{
	return view_get(s->view, seq)->size;
}

/* The sum over the maildrop; 1,000,000 messages take some milliseconds, so it is made once. */
static uint64_t octets_left(struct pop3 *s)
{
	if (!s->counted)
		for (uint32_t seq = 1; seq <= view_count(s->view); seq++)
			s->octets += size_of(s, seq);
	s->counted = true;
	return s->octets - s->deleted_octets;
}

static uint32_t messages_left(const struct pop3 *s)
{
	return view_count(s->view) - s->n_deleted;
}

/* A message number (RFC 1939 2). 0: it is none, and the reply is in out. */
static uint32_t take_msg(struct pop3 *s, struct slice *args, struct buf *out)
{
	struct slice word;
	uint32_t seq;

	if (!slice_word(args, &word) || num_u32(word, UINT32_MAX, &seq) < 0)
		(void)bad(s, out, "A message number is wanted: 1 to 4294967295, digits only");
	else if (seq == 0 || seq > view_count(s->view))
		buf_putf(out, "-ERR No such message: there are %u\r\n", view_count(s->view));
	else if (pop3_is_deleted(s, seq))
		buf_putf(out, "-ERR Message %u is marked deleted: RSET brings it back\r\n", seq);
	else
		return seq;
	return 0;
}

static bool has_more(struct slice args)
{
	return slice_trim(args).n > 0;
}

static enum session_want after_bad(const struct pop3 *s)
{
	return s->bad > POP3_BAD_COMMANDS ? SESSION_CLOSE : SESSION_INPUT;
}

static enum session_want cmd_stat(struct pop3 *s, struct slice args, struct buf *out)
{
	uint64_t octets = octets_left(s);

	(void)args;
	buf_putf(out, "+OK %u %llu\r\n", messages_left(s), (unsigned long long)octets);
	return SESSION_INPUT;
}

static void put_size(const struct pop3 *s, uint32_t seq, struct buf *out)
{
	buf_putf(out, "%u %llu\r\n", seq, (unsigned long long)size_of(s, seq));
}

/* The id that an earlier server left in the message. */
static bool put_uid_of_header(const struct pop3 *s, uint32_t seq, struct buf *out)
{
	struct err e = ERR_INIT;
	struct mbody body;
	struct slice id;
	bool has;

	if (view_read(s->view, seq, &body, &e) < 0)                   /* gone meanwhile: its other id says so as well */
		return false;
	has = pop3_uidl_of_header(body.octets, &id);
	if (has)
		buf_put(out, id);
	mbody_done(&body);
	return has;
}

static void put_uid(const struct pop3 *s, uint32_t seq, struct buf *out)
{
	const char *format = pop3_uidl_format(s->env->s->pop3_uidl_format);

	buf_putf(out, "%u ", seq);
	if (strcmp(format, "%h") != 0)
		pop3_put_uidl(format, mbox_uidvalidity(s->mbox), view_get(s->view, seq)->uid, out);
	else if (!put_uid_of_header(s, seq, out))
		pop3_put_uidl(pop3_uidl_format("dovecot"), mbox_uidvalidity(s->mbox), view_get(s->view, seq)->uid, out);
	buf_puts(out, "\r\n");
}

bool pop3_listing_step(struct pop3 *s, struct buf *out)
{
	size_t stop = out->len + POP3_STEP;

	for (; s->next <= view_count(s->view) && out->len < stop; s->next++) {
		if (pop3_is_deleted(s, s->next))
			continue;
		if (s->listing == POP3_LIST_SIZES)
			put_size(s, s->next, out);
		else
			put_uid(s, s->next, out);
	}
	if (s->next <= view_count(s->view))
		return true;
	s->listing = POP3_LIST_NONE;
	buf_puts(out, ".\r\n");
	return false;
}

static enum session_want list(struct pop3 *s, struct slice args, enum pop3_listing what, struct buf *out)
{
	uint32_t seq;

	if (!has_more(args)) {
		buf_putf(out, "+OK %u messages\r\n", messages_left(s));
		s->listing = what;
		s->next = 1;
		return pop3_listing_step(s, out) ? SESSION_MORE : SESSION_INPUT;
	}
	seq = take_msg(s, &args, out);
	if (seq == 0)
		return after_bad(s);
	if (has_more(args))
		return bad(s, out, "One message number at most");
	buf_puts(out, "+OK ");
	if (what == POP3_LIST_SIZES)
		put_size(s, seq, out);
	else
		put_uid(s, seq, out);
	return SESSION_INPUT;
}

static enum session_want cmd_list(struct pop3 *s, struct slice args, struct buf *out)
{
	return list(s, args, POP3_LIST_SIZES, out);
}

static enum session_want cmd_uidl(struct pop3 *s, struct slice args, struct buf *out)
{
	return list(s, args, POP3_LIST_UIDS, out);
}

/* Reply line and message. */
static enum session_want start_send(struct pop3 *s, uint32_t seq, uint64_t body_lines, struct buf *out)
{
	struct mbody body;
	struct err e = ERR_INIT;

	if (view_read(s->view, seq, &body, &e) < 0) {
		if (e.kind == ERR_NOTFOUND) {
			buf_putf(out, "-ERR Message %u is gone: another program deleted it after this login\r\n", seq);
			return SESSION_INPUT;
		}
		buf_putf(out, "-ERR [SYS/TEMP] Message %u cannot be read just now, the log says why\r\n", seq);
		log_error("message not readable: %s, uid=%u: %s", buf_str(&s->who), view_get(s->view, seq)->uid, e.text);
		return SESSION_INPUT;
	}
	s->sent_octets += body.octets.n;
	if (body_lines == UINT64_MAX)
		buf_putf(out, "+OK %llu octets\r\n", (unsigned long long)size_of(s, seq));
	else
		buf_puts(out, "+OK Its top\r\n");
	pop3_send_start(&s->send, &body, body_lines, !s->tls);
	return pop3_send_step(&s->send, out);
}

static enum session_want cmd_retr(struct pop3 *s, struct slice args, struct buf *out)
{
	uint32_t seq = take_msg(s, &args, out);

	if (seq == 0)
		return after_bad(s);
	if (has_more(args))
		return bad(s, out, "RETR takes one message number");
	s->n_retr++;
	return start_send(s, seq, UINT64_MAX, out);
}

static enum session_want cmd_top(struct pop3 *s, struct slice args, struct buf *out)
{
	uint32_t seq = take_msg(s, &args, out);
	struct slice word;
	uint64_t lines;

	if (seq == 0)
		return after_bad(s);
	if (!slice_word(&args, &word) || num_u64(word, UINT32_MAX, &lines) < 0 || has_more(args))
		return bad(s, out, "TOP takes a message number and a number of lines, 0 to 4294967295");
	s->n_top++;
	return start_send(s, seq, lines, out);
}

static enum session_want cmd_dele(struct pop3 *s, struct slice args, struct buf *out)
{
	uint32_t seq = take_msg(s, &args, out);

	if (seq == 0)
		return after_bad(s);
	if (has_more(args))
		return bad(s, out, "DELE takes one message number");
	if (s->deleted == NULL)
		s->deleted = arena_alloc(s->arena, view_count(s->view) / 8 + 1);
	s->deleted[(seq - 1) / 8] |= (uint8_t)(1u << ((seq - 1) % 8));
	s->n_deleted++;
	s->deleted_octets += size_of(s, seq);
	buf_putf(out, "+OK Message %u goes at QUIT\r\n", seq);
	return SESSION_INPUT;
}

static enum session_want cmd_rset(struct pop3 *s, struct slice args, struct buf *out)
{
	(void)args;
	if (s->deleted != NULL)
		memset(s->deleted, 0, view_count(s->view) / 8 + 1);
	s->n_deleted = 0;
	s->deleted_octets = 0;
	return ok(out, "Nothing is marked deleted");
}

static enum session_want cmd_noop(struct pop3 *s, struct slice args, struct buf *out)
{
	(void)s, (void)args;
	return ok(out, "Still here");
}

static enum session_want cmd_capa(struct pop3 *s, struct slice args, struct buf *out)
{
	struct pop3_offer offer = { .user = true };

	(void)s, (void)args;
	pop3_put_capa(&offer, out);
	return SESSION_INPUT;
}

static enum session_want cmd_before(struct pop3 *s, struct slice args, struct buf *out)
{
	(void)args;
	return bad(s, out, "That belongs before the login; you are logged in");
}

/* The marked ones as another view numbers them; what somebody else deleted meanwhile is not among them. */
static uint32_t marked_in(const struct pop3 *s, const struct view *now, uint32_t *seqs)
{
	uint32_t n = 0;

	for (uint32_t seq = 1; seq <= view_count(s->view); seq++) {
		uint32_t there = pop3_is_deleted(s, seq) ? view_seq_of(now, view_get(s->view, seq)->uid) : 0;

		if (there != 0)
			seqs[n++] = there;
	}
	return n;
}

/* The UPDATE state (RFC 1939 6): all deletions or none, and on disk before the client hears so. The view of the login is read-only, so that
   looking at mail writes nothing; the deletions take a view of their own. */
static int remove_marked(struct pop3 *s, struct err *e)
{
	struct view *now;
	uint32_t *seqs, n;
	int rc = 0;

	if (s->n_deleted == 0)
		return 0;
	seqs = arena_array(s->arena, s->n_deleted, sizeof(*seqs));
	now = view_open(s->mbox, false);
	n = marked_in(s, now, seqs);
	if (n > 0 && (view_remove(now, seqs, n, e) < 0 || mbox_sync(s->mbox, e) < 0))
		rc = -1;
	view_close(&now);
	return rc;
}

static enum session_want cmd_quit(struct pop3 *s, struct slice args, struct buf *out)
{
	struct err e = ERR_INIT;

	(void)args;
	s->quit = true;
	if (remove_marked(s, &e) < 0) {
		buf_puts(out, "-ERR [SYS/TEMP] The deletions could not be done, the messages are still there; the log says why\r\n");
		log_error("deletions not done: %s: %s", buf_str(&s->who), e.text);
		return SESSION_CLOSE;
	}
	s->n_removed = s->n_deleted;
	if (s->n_removed > 0)
		buf_putf(out, "+OK %u deleted, good-bye\r\n", s->n_removed);
	else
		buf_puts(out, "+OK Good-bye\r\n");
	return SESSION_CLOSE;
}

static const struct cmd cmds[] = {
	{ "STAT", cmd_stat,   NO_ARGS },                              /* RFC 1939 5 */
	{ "LIST", cmd_list,   ARGS    },
	{ "RETR", cmd_retr,   ARGS    },
	{ "DELE", cmd_dele,   ARGS    },
	{ "NOOP", cmd_noop,   NO_ARGS },
	{ "RSET", cmd_rset,   NO_ARGS },
	{ "QUIT", cmd_quit,   NO_ARGS },                              /* RFC 1939 6 */
	{ "TOP",  cmd_top,    ARGS    },                              /* RFC 1939 7 */
	{ "UIDL", cmd_uidl,   ARGS    },
	{ "CAPA", cmd_capa,   NO_ARGS },                              /* RFC 2449 5 */
	{ "USER", cmd_before, ARGS    },
	{ "PASS", cmd_before, ARGS    },
	{ "AUTH", cmd_before, ARGS    },                              /* RFC 5034 4 */
	{ "STLS", cmd_before, ARGS    },                              /* RFC 2595 4: AUTHORIZATION state only */
	{ "UTF8", cmd_before, ARGS    },                              /* RFC 6856 2 */
};

enum session_want pop3_command(struct pop3 *s, struct slice line, struct buf *out)
{
	struct slice rest = line, verb;

	if (line.n > LIMIT_POP3_LINE)
		return bad(s, out, "That line is longer than 512 octets");
	if (!slice_word(&rest, &verb))
		return bad(s, out, "An empty line is no command");
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		if (!slice_ieqs(verb, cmds[i].verb))
			continue;
		if (cmds[i].args == NO_ARGS && has_more(rest))
			return bad(s, out, "That command takes no argument");
		return cmds[i].run(s, rest, out);
	}
	return bad(s, out, "Unknown command; CAPA lists what there is");
}
