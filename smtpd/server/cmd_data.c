/*
 * server/cmd_data.c - DATA and BDAT: the octets of the message, and what is answered at its end (RFC 5321 4.1.1.4, RFC 3030).
 *
 * Line ends are strict in both: a message with a bare CR, a bare LF or a NUL is refused at its true end and the connection closed, because what follows
 * may be smuggled (weaknesses.md row 1). A refused message is still read to its end, but not kept.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/num.h"
#include "server/message.h"
#include "server/session_in.h"

/* ---- storing ---- */

static void refuse(struct smtp_session *s, const char *reply)
{
	if (s->body.refusal == NULL)
		s->body.refusal = arena_str(s->mail_arena, slice_of(reply));
	buf_reset(&s->body.octets);
}

static const char *too_large(struct smtp_session *s)
{
	return code_reply(s->cmd_arena, CODE_TOO_LARGE, "message larger than %" PRIu64 " octets", s->env.s->message_size_limit);
}

static void store(void *ctx, struct slice octets)
{
	struct smtp_session *s = ctx;

	s->body.came += octets.n;
	if (s->body.refusal != NULL)
		return;
	if (s->body.came > s->env.s->message_size_limit)
		refuse(s, too_large(s));
	else if (buf_add(&s->body.octets, octets) != 0)
		refuse(s, code_reply(s->cmd_arena, CODE_NO_MEMORY, "Out of room for this message, try again"));
}

static int compose(struct smtp_session *s, bool whole)
{
	char text[NET_TEXT_MAX];
	const struct message_facts facts = {
		.helo = s->helo == NULL ? "" : s->helo, .peer_name = s->env.peer_name, .peer_text = net_addr_text(&s->env.peer, text),
		.peer_forged = s->env.peer_forged, .tls_version = s->tls ? s->tls_version : NULL, .tls_cipher = s->tls_cipher, .tls_bits = s->tls_bits,
		.user = s->user, .voucher = s->voucher, .myhostname = s->env.s->myhostname, .proto = smtp_session_proto(s), .id = s->envelope.id,
		.only_rcpt = s->envelope.n_rcpts == 1 ? s->envelope.rcpts[0].address : SLICE_NONE, .now_us = s->now_us,
		.fix_ups = (s->env.listener->flags & LISTENER_FIX_UPS) != 0,
	};
	const char *refusal = "";
	struct message_plan plan;

	if (message_compose(&facts, buf_view(&s->body.octets), whole, s->mail_arena, &s->body.prefix, &plan, &refusal) != 0) {
		refuse(s, refusal);
		return -1;
	}
	s->body.header = whole ? plan.header : arena_dup(s->mail_arena, plan.header);
	s->body.pieces = plan.pieces;
	s->body.n_pieces = plan.n_pieces;
	s->body.composed = true;
	return 0;
}

static void one_piece(struct smtp_session *s)
{
	if (s->body.pieces == NULL)
		s->body.pieces = arena_array(s->mail_arena, 1, sizeof(*s->body.pieces));
	s->body.pieces[0] = buf_view(&s->body.octets);
	s->body.n_pieces = s->body.octets.len > 0 ? 1 : 0;
}

/* Called after each round of octets: memory holds no more than LIMIT_SMTP_MEMORY_BODY. */
static enum smtp_want spill_if_long(struct smtp_session *s)
{
	if (s->body.refusal != NULL || s->body.octets.len <= LIMIT_SMTP_MEMORY_BODY)
		return SMTP_INPUT;
	if (s->body.composed)
		one_piece(s);
	else if (compose(s, false) != 0)
		return SMTP_INPUT;
	return SMTP_SPILL;
}

static enum smtp_want chunk_end(struct smtp_session *s, struct buf *out);

enum smtp_want smtp_spill_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out)
{
	bool at_end = s->body.end_pending;

	s->body.end_pending = false;
	s->body.spilled = s->body.spilled || a->ok;
	s->body.n_pieces = 0;
	if (a->ok)
		buf_reset(&s->body.octets);
	else
		refuse(s, arena_str(s->cmd_arena, a->reply));
	return at_end ? chunk_end(s, out) : SMTP_INPUT;
}

/* ---- the end ---- */

/* LMTP answers for each recipient (RFC 2033 4.2). reply: "550 5.2.0 text". */
static void put_replies(struct smtp_session *s, const char *reply, struct buf *out)
{
	size_t n = (s->env.listener->flags & LISTENER_LMTP) != 0 ? s->envelope.n_rcpts : 1;

	for (size_t i = 0; i < n; i++)
		smtp_reply(s, out, "%s", reply);
}

static enum smtp_want refuse_message(struct smtp_session *s, struct buf *out)
{
	bool close = s->body.close_after;

	put_replies(s, s->body.refusal, out);
	smtp_forget_mail(s);
	s->closing = close;
	return close ? SMTP_CLOSE : SMTP_INPUT;
}

static enum smtp_want finish(struct smtp_session *s, struct buf *out)
{
	s->mode = MODE_COMMAND;
	if (s->body.refusal == NULL && !s->body.composed)
		(void)compose(s, true);                               /* a failure is in body.refusal */
	else if (s->body.refusal == NULL)
		one_piece(s);
	if (s->body.refusal != NULL)
		return refuse_message(s, out);
	return SMTP_QUEUE;
}

enum smtp_want smtp_queue_answered(struct smtp_session *s, const struct smtp_answer *a, struct buf *out)
{
	struct slice reply = a->reply;

	if (a->ok) {
		smtp_good(s);
		if (slice_is_empty(reply))
			reply = slice_of(arena_printf(s->mail_arena, "250 2.0.0 Ok: queued as %s", s->envelope.id));
	}
	put_replies(s, arena_str(s->mail_arena, reply), out);
	smtp_forget_mail(s);
	s->closing = a->close;
	return a->close ? SMTP_CLOSE : SMTP_INPUT;
}

static void refuse_line_ends(struct smtp_session *s, const char *what, uint64_t line)
{
	refuse(s, code_reply(s->cmd_arena, CODE_LINE_ENDS, "%s in line %" PRIu64 " of the message: lines must end in CRLF", what, line));
	s->body.close_after = true;
}

/* ---- DATA ---- */

enum smtp_want smtp_cmd_data(struct smtp_session *s, struct slice args, struct buf *out)
{
	if (!slice_is_empty(args))
		return smtp_bad(s, out, CODE_ARGUMENT, "DATA takes no parameters");
	dot_init(&s->body.dot);
	s->mode = MODE_DATA;
	return smtp_reply(s, out, "354 End data with <CR><LF>.<CR><LF>");
}

static void check_dot(struct smtp_session *s)
{
	static const char *const words[] = { [DOT_BARE_CR] = "bare CR", [DOT_BARE_LF] = "bare LF", [DOT_NUL] = "NUL" };
	const struct dot *d = &s->body.dot;

	if (d->bad_line == 0 || s->body.close_after)
		return;
	if (d->bad == DOT_LONG)
		refuse(s, code_reply(s->cmd_arena, CODE_LINE_TOO_LONG, "line %" PRIu64 " of the message is longer than %u octets", d->bad_line, LIMIT_SMTP_BODY_LINE));
	else if (d->bad != DOT_FINE)
		refuse_line_ends(s, words[d->bad], d->bad_line);
}

enum smtp_want smtp_body_dot(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	enum parse at = dot_unstuff(&s->body.dot, in, used_out, store, s);

	check_dot(s);
	return at == PARSE_OK ? finish(s, out) : spill_if_long(s);
}

/* ---- BDAT ---- */

static enum smtp_want chunk_end(struct smtp_session *s, struct buf *out)
{
	uint64_t came = s->body.came;

	s->mode = MODE_COMMAND;
	if (s->body.refuse_chunk) {                                   /* its octets came where no chunk may come */
		s->body.refuse_chunk = false;
		return smtp_bad(s, out, CODE_WRONG_ORDER, s->state <= ST_GREETED ? "MAIL first" : "Need RCPT (recipient)");
	}
	if (s->body.chunk_cr && s->body.chunk_last)
		refuse_line_ends(s, "bare CR", s->body.lines + 1);
	if (s->body.refusal != NULL)
		return refuse_message(s, out);
	if (!s->body.chunk_last) {
		smtp_good(s);
		smtp_enter(s, ST_CHUNKS);
		return smtp_reply(s, out, "250 2.0.0 %" PRIu64 " octets so far", came);
	}
	return finish(s, out);
}

/* RFC 3030 2: "octets [LAST]". */
static int read_chunk_size(struct slice args, uint64_t *size_out, bool *last_out)
{
	struct slice size, last, junk;

	if (!slice_word(&args, &size) || num_u64(size, UINT64_MAX, size_out) != 0)
		return -1;
	*last_out = slice_word(&args, &last);
	return (*last_out && !slice_ieqs(last, "LAST")) || slice_word(&args, &junk) ? -1 : 0;
}

/* Where the size is not understood, or beyond all we would read, nobody can tell octets from commands: close. */
enum smtp_want smtp_cmd_bdat(struct smtp_session *s, struct slice args, struct buf *out)
{
	uint64_t size = 0;
	bool last = false;

	if (read_chunk_size(args, &size, &last) != 0)
		return smtp_bye(s, out, CODE_ARGUMENT, "chunk size not understood");
	if (size > s->env.s->message_size_limit)
		return smtp_bye(s, out, CODE_NONE, "%s", too_large(s));
	s->body.refuse_chunk = s->state != ST_RCPT && s->state != ST_CHUNKS;
	s->body.chunk_left = size;
	s->body.chunk_last = last;
	s->mode = MODE_CHUNK;
	return size == 0 ? chunk_end(s, out) : SMTP_INPUT;
}

/* The checks of the dot automaton, for octets that come counted. */
static void check_chunk(struct smtp_session *s, struct slice octets)
{
	for (size_t i = 0; i < octets.n; i++) {
		char c = octets.p[i];
		bool after_cr = s->body.chunk_cr;

		s->body.chunk_cr = c == '\r';
		s->body.chunk_in_line = c != '\n';
		if (after_cr != (c == '\n') || c == '\0') {
			refuse_line_ends(s, c == '\0' ? "NUL" : after_cr ? "bare CR" : "bare LF", s->body.lines + 1);
			return;
		}
		s->body.lines += c == '\n';
	}
}

/* DATA's lines always end in CRLF; the last chunk's last line need not, so it is given one. */
static void end_last_line(struct smtp_session *s)
{
	if (s->body.refusal == NULL && !s->body.chunk_cr && s->body.chunk_in_line)
		store(s, SLICE("\r\n"));
}

enum smtp_want smtp_body_chunk(struct smtp_session *s, struct slice in, size_t *used_out, struct buf *out)
{
	struct slice octets = slice_head(in, s->body.chunk_left > in.n ? in.n : (size_t)s->body.chunk_left);
	enum smtp_want want;

	*used_out = octets.n;
	s->body.chunk_left -= octets.n;
	if (!s->body.refuse_chunk) {
		if (!s->body.close_after)
			check_chunk(s, octets);
		store(s, octets);
	}
	if (s->body.chunk_left > 0)
		return spill_if_long(s);
	if (s->body.chunk_last && !s->body.refuse_chunk)
		end_last_line(s);
	want = spill_if_long(s);
	if (want == SMTP_INPUT)
		return chunk_end(s, out);
	s->body.end_pending = true;
	return want;
}
