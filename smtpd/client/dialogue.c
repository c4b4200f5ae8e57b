/*
 * client/dialogue.c - see dialogue.h.
 *
 * MAIL and all RCPTs go out together where the server offers PIPELINING; DATA waits for their replies, so that no empty message is ever sent.
 * What the server says before TLS is forgotten when TLS starts, and octets that came with the 220 to STARTTLS end the connection (CVE-2021-38371).
 */
#include "client/dialogue.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/text.h"

static const char *const commands[] = {
	[DS_GREETING] = "the greeting", [DS_EHLO] = "EHLO", [DS_HELO] = "HELO", [DS_STARTTLS] = "STARTTLS", [DS_TLS] = "the TLS handshake",
	[DS_READY] = "nothing", [DS_MAIL] = "MAIL FROM", [DS_RCPT] = "RCPT TO", [DS_DATA] = "DATA", [DS_BODY] = "the message", [DS_FINAL] = "end of DATA",
	[DS_RSET] = "RSET", [DS_QUIT] = "QUIT", [DS_CLOSED] = "nothing",
};

const char *dialogue_phase(const struct dialogue *d)
{
	return commands[d->state];
}

/* ---- outcomes ---- */

static void settle_one(struct dialogue_rcpt *r, enum qoutcome outcome, const char *dsn, const char *text)
{
	if (r->settled)
		return;
	r->settled = true;
	r->outcome = outcome;
	snprintf(r->dsn, sizeof(r->dsn), "%s", dsn);
	snprintf(r->text, sizeof(r->text), "%s", text);
}

void dialogue_settle(struct dialogue_mail *m, enum qoutcome outcome, const char *dsn, const char *fmt, ...)
{
	char text[REPLY_TEXT_MAX + 512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < m->n_rcpts; i++)
		settle_one(&m->rcpts[i], outcome, dsn, text);
}

/* What the reply means, in words that stay true in a bounce a week later. */
static void reply_words(const struct dialogue *d, char *out, size_t n)
{
	const struct reply *r = &d->reply;

	if (r->code < 400)
		snprintf(out, n, "%u%s%s %.*s", r->code, r->dsn[0] != '\0' ? " " : "", r->dsn, SLICE_FMT(buf_view(&r->text)));
	else
		snprintf(out, n, "host %s said: %u%s%s %.*s (in reply to %s)", d->peer, r->code, r->dsn[0] != '\0' ? " " : "", r->dsn,
		    SLICE_FMT(buf_view(&r->text)), commands[d->state]);
}

static enum qoutcome outcome_of(unsigned code)
{
	return code < 400 ? QRESULT_SENT : code < 500 ? QRESULT_DEFERRED : QRESULT_FAILED;
}

static void settle_by_reply(struct dialogue *d, struct dialogue_rcpt *r)
{
	char text[REPLY_TEXT_MAX + 512];
	enum qoutcome outcome = outcome_of(d->reply.code);

	if (outcome == QRESULT_SENT && d->state != DS_FINAL)          /* 2xx where no 2xx belongs */
		outcome = QRESULT_DEFERRED;
	reply_words(d, text, sizeof(text));
	settle_one(r, outcome, reply_dsn(&d->reply), text);
}

static void settle_all_by_reply(struct dialogue *d)
{
	for (size_t i = 0; i < d->mail->n_rcpts; i++)
		settle_by_reply(d, &d->mail->rcpts[i]);
}

/* ---- ends ---- */

static enum dialogue_want end(struct dialogue *d, const char *dsn, const char *text)
{
	snprintf(d->trouble, sizeof(d->trouble), "%s", text);
	snprintf(d->trouble_dsn, sizeof(d->trouble_dsn), "%s", dsn);
	if (d->mail != NULL)
		dialogue_settle(d->mail, QRESULT_DEFERRED, dsn, "%s", text);
	d->state = DS_CLOSED;
	return DIALOGUE_CLOSE;
}

static enum dialogue_want end_by_reply(struct dialogue *d)
{
	char text[REPLY_TEXT_MAX + 512], dsn[REPLY_DSN_MAX];

	reply_words(d, text, sizeof(text));
	snprintf(dsn, sizeof(dsn), "%s", d->reply.code >= 400 ? reply_dsn(&d->reply) : "4.5.0");
	return end(d, dsn, text);
}

void dialogue_lost(struct dialogue *d, const char *dsn, const char *why)
{
	char text[REPLY_TEXT_MAX + 512];

	if (d->state == DS_CLOSED)
		return;
	if (d->state == DS_TLS || d->state == DS_STARTTLS)
		d->tls_trouble = true;
	if (d->state == DS_FINAL && d->mail != NULL)
		d->mail->may_be_in = true;
	snprintf(text, sizeof(text), "host %s: %s (during %s)", d->peer, why, commands[d->state]);
	end(d, dsn, text);
}

/* ---- greeting, EHLO, STARTTLS ---- */

static enum dialogue_want say_hello(struct dialogue *d, struct buf *out)
{
	d->features = 0;
	d->size_max = 0;
	buf_putf(out, "%s %s\r\n", d->lmtp ? "LHLO" : "EHLO", d->helo);
	d->state = DS_EHLO;
	return DIALOGUE_INPUT;
}

static void learn_feature(struct dialogue *d, struct slice line)
{
	static const struct { const char *word; unsigned bit; } words[] = {
		{ "PIPELINING", FEATURE_PIPELINING }, { "SIZE", FEATURE_SIZE }, { "8BITMIME", FEATURE_8BITMIME }, { "STARTTLS", FEATURE_STARTTLS },
		{ "SMTPUTF8", FEATURE_SMTPUTF8 }, { "DSN", FEATURE_DSN }, { "ENHANCEDSTATUSCODES", FEATURE_ENHANCED }, { "CHUNKING", FEATURE_CHUNKING },
		{ "REQUIRETLS", FEATURE_REQUIRETLS },
	};
	struct slice word, value;

	if (!slice_word(&line, &word))
		return;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (slice_ieqs(word, words[i].word))
			d->features |= words[i].bit;
	}
	if (slice_ieqs(word, "SIZE") && slice_word(&line, &value) && num_u64(value, UINT64_MAX, &d->size_max) < 0)
		d->size_max = 0;
}

static enum dialogue_want greeted(struct dialogue *d, struct buf *out)
{
	struct slice rest = buf_view(&d->reply.text), line;

	slice_next(&rest, '\n', &line);                               /* its name */
	while (slice_next(&rest, '\n', &line))
		learn_feature(d, line);
	if (!d->tls && (d->may_tls || d->must_tls) && (d->features & FEATURE_STARTTLS)) {
		buf_puts(out, "STARTTLS\r\n");
		d->state = DS_STARTTLS;
		return DIALOGUE_INPUT;
	}
	if (d->must_tls && !d->tls) {
		char text[400];

		snprintf(text, sizeof(text), "host %s does not offer TLS, which client_tls asks for", d->peer);
		return end(d, "4.7.4", text);
	}
	d->state = DS_READY;
	return DIALOGUE_READY;
}

static enum dialogue_want on_starttls(struct dialogue *d, struct slice rest, struct buf *out)
{
	char text[400];

	if (d->reply.code != 220) {
		d->tls_trouble = true;
		if (d->must_tls)
			return end_by_reply(d);
		d->state = DS_READY;                                  /* in the clear then: TLS is optional */
		(void)out;
		return DIALOGUE_READY;
	}
	if (rest.n > 0) {
		snprintf(text, sizeof(text), "host %s: server spoke before TLS", d->peer);
		return end(d, "4.7.5", text);
	}
	d->state = DS_TLS;
	return DIALOGUE_TLS;
}

enum dialogue_want dialogue_tls_done(struct dialogue *d, struct buf *out)
{
	d->tls = true;
	return say_hello(d, out);
}

/* ---- a transaction ---- */

static void put_rcpt(struct dialogue *d, const struct qjob_rcpt *r, struct buf *out)
{
	static const struct { unsigned bit; const char *word; } notify[] = {
		{ NOTIFY_NEVER, "NEVER" }, { NOTIFY_SUCCESS, "SUCCESS" }, { NOTIFY_FAILURE, "FAILURE" }, { NOTIFY_DELAY, "DELAY" },
	};
	const char *sep = " NOTIFY=";

	buf_putf(out, "RCPT TO:<%.*s>", SLICE_FMT(r->address));
	if (d->features & FEATURE_DSN) {
		for (size_t i = 0; i < 4; i++) {
			if (!(r->notify & notify[i].bit))
				continue;
			buf_puts(out, sep);
			buf_puts(out, notify[i].word);
			sep = ",";
		}
		if (r->orcpt.n > 0)
			buf_putf(out, " ORCPT=%.*s", SLICE_FMT(r->orcpt));
		else if (r->original.n > 0 && text_is_ascii(r->original)) {
			buf_puts(out, " ORCPT=rfc822;");
			if (text_xtext(r->original, out) < 0)
				buf_puts(out, "");
		}
	}
	buf_puts(out, "\r\n");
}

static void put_mail(const struct dialogue *d, struct buf *out)
{
	const struct qjob *job = d->mail->job;

	buf_putf(out, "MAIL FROM:<%.*s>", SLICE_FMT(job->sender));
	if (d->features & FEATURE_SIZE)
		buf_putf(out, " SIZE=%llu", (unsigned long long)job->size);
	if ((d->features & FEATURE_8BITMIME) && (job->env_flags & (ENV_8BITMIME | ENV_SMTPUTF8)))
		buf_puts(out, " BODY=8BITMIME");
	if (job->env_flags & ENV_SMTPUTF8)
		buf_puts(out, " SMTPUTF8");
	if (d->features & FEATURE_DSN) {
		if (job->env_flags & (ENV_RET_HDRS | ENV_RET_FULL))
			buf_puts(out, job->env_flags & ENV_RET_HDRS ? " RET=HDRS" : " RET=FULL");
		if (job->envid.n > 0)
			buf_putf(out, " ENVID=%.*s", SLICE_FMT(job->envid));
	}
	if (job->env_flags & ENV_REQUIRETLS)
		buf_puts(out, " REQUIRETLS");
	buf_puts(out, "\r\n");
}

/* What need not be tried. True: settled. */
static bool cannot_take(struct dialogue *d)
{
	const struct qjob *job = d->mail->job;

	if ((job->env_flags & ENV_SMTPUTF8) && !(d->features & FEATURE_SMTPUTF8))
		dialogue_settle(d->mail, QRESULT_FAILED, "5.6.7", "host %s does not take internationalised mail (SMTPUTF8), which this message needs", d->peer);
	else if (d->size_max > 0 && job->size > d->size_max)
		dialogue_settle(d->mail, QRESULT_FAILED, "5.3.4", "the message has %llu octets, host %s takes at most %llu",
		    (unsigned long long)job->size, d->peer, (unsigned long long)d->size_max);
	else if ((job->env_flags & ENV_REQUIRETLS) && !(d->tls && (d->features & FEATURE_REQUIRETLS)))
		dialogue_settle(d->mail, QRESULT_FAILED, "5.7.30", "host %s does not support REQUIRETLS, which the sender asked for", d->peer);
	else
		return false;
	return true;
}

enum dialogue_want dialogue_begin(struct dialogue *d, struct dialogue_mail *mail, struct buf *out)
{
	d->mail = mail;
	mail->may_be_in = false;
	for (size_t i = 0; i < mail->n_rcpts; i++)
		mail->rcpts[i].accepted = mail->rcpts[i].settled = false;
	mail->dsn_passed_on = (d->features & FEATURE_DSN) != 0;
	if (cannot_take(d)) {
		d->mail = NULL;
		return DIALOGUE_READY;
	}
	put_mail(d, out);
	d->sent = d->answered = 0;
	if (d->features & FEATURE_PIPELINING) {
		while (d->sent < mail->n_rcpts)
			put_rcpt(d, mail->rcpts[d->sent++].rcpt, out);
	}
	d->state = DS_MAIL;
	return DIALOGUE_INPUT;
}

static enum dialogue_want transaction_over(struct dialogue *d)
{
	d->mail = NULL;
	d->n_done++;
	d->state = DS_READY;
	return DIALOGUE_READY;
}

static enum dialogue_want reset(struct dialogue *d, struct buf *out)
{
	buf_puts(out, "RSET\r\n");
	d->state = DS_RSET;
	return DIALOGUE_INPUT;
}

static enum dialogue_want next_rcpt(struct dialogue *d, struct buf *out)
{
	bool any = false;

	if (d->sent < d->mail->n_rcpts) {
		put_rcpt(d, d->mail->rcpts[d->sent++].rcpt, out);
		return DIALOGUE_INPUT;
	}
	if (d->answered < d->sent)
		return DIALOGUE_INPUT;
	for (size_t i = 0; i < d->mail->n_rcpts; i++)
		any |= d->mail->rcpts[i].accepted;
	if (!any)
		return reset(d, out);
	buf_puts(out, "DATA\r\n");
	d->state = DS_DATA;
	return DIALOGUE_INPUT;
}

static enum dialogue_want on_mail(struct dialogue *d, struct buf *out)
{
	if (d->reply.code >= 300)
		settle_all_by_reply(d);                               /* the replies to pipelined RCPTs are read and change nothing */
	else
		d->state = DS_RCPT;
	if (d->reply.code >= 300 && d->sent == 0)
		return reset(d, out);
	d->state = DS_RCPT;
	return next_rcpt(d, out);
}

static enum dialogue_want on_rcpt(struct dialogue *d, struct buf *out)
{
	struct dialogue_rcpt *r = &d->mail->rcpts[d->answered++];

	if (d->reply.code < 300 && !r->settled)
		r->accepted = true;
	else
		settle_by_reply(d, r);
	return next_rcpt(d, out);
}

static enum dialogue_want on_data(struct dialogue *d, struct buf *out)
{
	if (d->reply.code != 354) {
		settle_all_by_reply(d);
		return reset(d, out);
	}
	d->answered = 0;
	d->state = DS_BODY;
	return DIALOGUE_BODY;
}

enum dialogue_want dialogue_body_sent(struct dialogue *d)
{
	d->state = DS_FINAL;
	return DIALOGUE_INPUT;
}

static enum dialogue_want on_final(struct dialogue *d)
{
	if (!d->lmtp) {
		settle_all_by_reply(d);
		return transaction_over(d);
	}
	while (d->answered < d->mail->n_rcpts && !d->mail->rcpts[d->answered].accepted)
		d->answered++;
	if (d->answered < d->mail->n_rcpts)
		settle_by_reply(d, &d->mail->rcpts[d->answered++]);
	while (d->answered < d->mail->n_rcpts && !d->mail->rcpts[d->answered].accepted)
		d->answered++;
	return d->answered == d->mail->n_rcpts ? transaction_over(d) : DIALOGUE_INPUT;
}

void dialogue_quit(struct dialogue *d, struct buf *out)
{
	buf_puts(out, "QUIT\r\n");
	d->state = DS_QUIT;
}

/* ---- replies ---- */

static enum dialogue_want on_reply(struct dialogue *d, struct slice rest, struct buf *out)
{
	unsigned code = d->reply.code;

	if (code == 421) {
		d->unheard = d->state == DS_MAIL;
		if (d->state == DS_RCPT && d->mail != NULL && d->answered < d->mail->n_rcpts)
			settle_by_reply(d, &d->mail->rcpts[d->answered]);
		return end_by_reply(d);
	}
	switch (d->state) {
	case DS_GREETING:
		return code == 220 ? say_hello(d, out) : end_by_reply(d);
	case DS_EHLO:
		if (code == 250)
			return greeted(d, out);
		if (code < 500 || d->lmtp || d->tls || d->must_tls)
			return end_by_reply(d);
		buf_putf(out, "HELO %s\r\n", d->helo);
		d->state = DS_HELO;
		return DIALOGUE_INPUT;
	case DS_HELO:
		if (code != 250)
			return end_by_reply(d);
		d->state = DS_READY;
		return DIALOGUE_READY;
	case DS_STARTTLS:
		return on_starttls(d, rest, out);
	case DS_MAIL:
		return on_mail(d, out);
	case DS_RCPT:
		return on_rcpt(d, out);
	case DS_DATA:
		return on_data(d, out);
	case DS_BODY:                                                 /* it does not wait for the end: whatever it says, the message is not in */
		if (code >= 400)
			settle_all_by_reply(d);
		return end_by_reply(d);
	case DS_FINAL:
		return on_final(d);
	case DS_RSET:
		return code < 300 ? transaction_over(d) : end_by_reply(d);
	case DS_QUIT:
		d->state = DS_CLOSED;
		return DIALOGUE_CLOSE;
	default:
		return end(d, "4.5.0", "the server spoke out of turn");
	}
}

enum dialogue_want dialogue_input(struct dialogue *d, struct slice in, size_t *used_out, struct buf *out)
{
	bool fresh = d->reply.lines == 0;
	const char *why;
	char text[600];
	size_t used = 0;
	enum parse p;
	enum dialogue_want want;

	*used_out = 0;
	if (in.n == 0 || d->state == DS_CLOSED)
		return d->state == DS_CLOSED ? DIALOGUE_CLOSE : DIALOGUE_INPUT;
	if (fresh)
		reply_reset(&d->reply);
	p = reply_take(&d->reply, in, d->state == DS_EHLO, &used, &why);
	*used_out = used;
	if (p == PARSE_MORE)
		return DIALOGUE_INPUT;
	if (p == PARSE_BAD) {
		struct buf said;

		buf_init(&said, BUF_UNBOUNDED);
		text_escape(slice_head(slice_from(in, used), 60), &said);
		snprintf(text, sizeof(text), "host %s: reply not understood (%s): \"%s\"", d->peer, why, buf_str(&said));
		buf_done(&said);
		*used_out = in.n;
		if (d->state == DS_FINAL && d->mail != NULL)
			d->mail->may_be_in = true;
		return end(d, "4.4.2", text);
	}
	want = on_reply(d, slice_from(in, used), out);
	d->reply.lines = 0;
	return want;
}

void dialogue_init(struct dialogue *d, const char *helo, const char *peer, bool lmtp, bool may_tls, bool must_tls)
{
	memset(d, 0, sizeof(*d));
	d->helo = helo;
	d->lmtp = lmtp;
	d->may_tls = may_tls;
	d->must_tls = must_tls;
	snprintf(d->peer, sizeof(d->peer), "%s", peer);
	reply_init(&d->reply);
}

void dialogue_done(struct dialogue *d)
{
	reply_done(&d->reply);
}
