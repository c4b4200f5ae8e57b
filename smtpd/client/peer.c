/*
 * client/peer.c - one connection to another server: tries the candidates of its destination in turn, then sends message after message.
 *
 * Before the first transaction any trouble means the next candidate; where TLS was optional and its handshake failed, the same one in the clear first.
 * In a transaction the server's word counts, and a broken connection defers what is open; what is deferred goes on to another MX host (dest_done_with()).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/dest.h"

enum { MAILS_A_CONNECTION = 100, IDLE_MS = 3000, QUIT_MS = 5000, CHUNK = 64 << 10, FINAL_MIN_S = 600 };

struct peer {
	struct list_node node;
	struct dest *dest;
	struct conn *conn;
	struct dialogue dialogue;
	bool has_dialogue, connected, opening, idle, quitting, sending;
	struct dest_place at;                                         /* at.candidate: the one that it is connected to, or tries */
	struct mail_out *mail;
	size_t body_at;
	bool bol;
	unsigned n_mails;
	struct loop_timer idle_timer;
	char name[320];                                               /* "mx.example.net[192.0.2.1]:25" */
	char failure[REPLY_TEXT_MAX + 512], failure_dsn[REPLY_DSN_MAX];
};

static const struct conn_limits limits = { 64 << 10, 1 << 20, 0 };

static void try_candidates(struct peer *p);
static void act(struct peer *p, enum dialogue_want want);

static struct outward *out_of(const struct peer *p)
{
	return p->dest->out;
}

static void peer_free(struct peer *p)
{
	list_remove(&p->node);
	loop_timer_stop(out_of(p)->loop, &p->idle_timer);
	conn_free(&p->conn);
	if (p->has_dialogue)
		dialogue_done(&p->dialogue);
	free(p);
}

static void peer_end(struct peer *p)
{
	struct dest *d = p->dest;
	bool opening = p->opening;
	size_t start = p->at.start;

	peer_free(p);
	dest_peer_gone(d, start, opening);
}

/* Trouble before the first transaction. */
static void next_candidate(struct peer *p, const char *dsn, const char *why)
{
	bool again = p->has_dialogue && p->dialogue.tls_trouble && !out_of(p)->tls_required && !p->dest->no_tls[p->at.candidate];

	log_info("%s to %s: %s%s", p->connected ? "session" : "connect", p->name, why, again ? "; again without TLS" : "");
	snprintf(p->failure, sizeof(p->failure), "%s", why);
	snprintf(p->failure_dsn, sizeof(p->failure_dsn), "%s", dsn);
	conn_free(&p->conn);
	if (p->has_dialogue)
		dialogue_done(&p->dialogue);
	p->has_dialogue = p->connected = false;
	if (again)
		p->dest->no_tls[p->at.candidate] = true;
	else
		p->at.candidate++;
	try_candidates(p);
}

static void finish_mail(struct peer *p)
{
	struct mail_out *m = p->mail;

	if (m == NULL)
		return;
	p->mail = NULL;
	dest_done_with(p->dest, m, p->at.candidate, p->name);
}

/* The server had ended the connection before it heard of this message, which then goes by another one: nothing of it was sent yet. */
static bool put_back_unheard(struct peer *p)
{
	if (p->mail == NULL || p->n_mails < 2 || !(p->dialogue.state == DS_MAIL || p->dialogue.unheard))
		return false;
	p->dialogue.mail = NULL;
	dest_put_back(p->dest, p->mail);
	p->mail = NULL;
	return true;
}

/* The connection is of no more use. */
static void over(struct peer *p, const char *dsn, const char *why)
{
	if (p->has_dialogue)
		dialogue_lost(&p->dialogue, dsn, why);
	if (p->opening) {
		next_candidate(p, p->has_dialogue ? p->dialogue.trouble_dsn : dsn, p->has_dialogue ? p->dialogue.trouble : why);
		return;
	}
	finish_mail(p);
	peer_end(p);
}

/* ---- sending ---- */

static void set_deadline(struct peer *p)
{
	uint32_t s = out_of(p)->settings->client_timeout;

	if (p->dialogue.state == DS_FINAL && s < FINAL_MIN_S / 2)
		s = FINAL_MIN_S / 2;
	conn_deadline_ms(p->conn, (int64_t)s * (p->dialogue.state == DS_FINAL ? 2 : 1) * CLOCK_MS_PER_S);
}

static void send_body(struct peer *p)
{
	struct buf *out = conn_out(p->conn);
	struct slice rest = slice_from(p->mail->octets, p->body_at), chunk;

	while (rest.n > 0 && conn_unsent(p->conn) < 4 * CHUNK) {
		chunk = slice_head(rest, CHUNK);
		dot_stuff(chunk, &p->bol, out);
		p->body_at += chunk.n;
		rest = slice_from(rest, chunk.n);
	}
	if (rest.n == 0) {
		buf_puts(out, p->bol ? ".\r\n" : "\r\n.\r\n");
		p->sending = false;
		dialogue_body_sent(&p->dialogue);
	}
	set_deadline(p);
	conn_flush(p->conn);
}

static void on_idle(void *ctx)
{
	struct peer *p = ctx;

	p->quitting = true;
	p->idle = false;
	dialogue_quit(&p->dialogue, conn_out(p->conn));
	conn_deadline_ms(p->conn, QUIT_MS);
	conn_flush(p->conn);
}

static void next_mail(struct peer *p)
{
	enum dialogue_want want;

	finish_mail(p);
	for (;;) {
		p->mail = p->n_mails < MAILS_A_CONNECTION ? dest_next(p->dest, &p->at) : NULL;
		if (p->mail == NULL)
			break;
		if (!mail_out_prepare(out_of(p), p->mail)) {
			p->mail = NULL;
			continue;
		}
		p->n_mails++;
		p->mail->times.connected = clock_wall_us();
		want = dialogue_begin(&p->dialogue, &p->mail->mail, conn_out(p->conn));
		if (want == DIALOGUE_INPUT) {
			set_deadline(p);
			conn_flush(p->conn);
			return;
		}
		finish_mail(p);
	}
	if (p->n_mails >= MAILS_A_CONNECTION) {
		on_idle(p);
		return;
	}
	p->idle = true;
	conn_deadline_ms(p->conn, 0);
	loop_timer_start(out_of(p)->loop, &p->idle_timer, IDLE_MS, on_idle, p);
}

static void start_tls(struct peer *p)
{
	const struct candidate *c = &p->dest->resolved->list[p->at.candidate];
	struct net_addr literal;
	size_t dropped = 0;

	conn_start_tls(p->conn, out_of(p)->tls, net_addr_parse(slice_of(c->host), &literal) == 0 ? NULL : c->host, &dropped);
	if (dropped > 0)
		over(p, "4.7.5", "server spoke before TLS");
}

static void act(struct peer *p, enum dialogue_want want)
{
	switch (want) {
	case DIALOGUE_INPUT:
		if (p->dialogue.reply.lines == 0)                     /* the time is for a whole reply, however many lines trickle in */
			set_deadline(p);
		conn_flush(p->conn);
		break;
	case DIALOGUE_TLS:
		start_tls(p);
		break;
	case DIALOGUE_READY:
		if (p->opening) {
			p->opening = false;
			dest_peer_opened(p->dest, p->at.start);
		}
		next_mail(p);
		break;
	case DIALOGUE_BODY:
		p->body_at = 0;
		p->bol = p->sending = true;
		send_body(p);
		break;
	case DIALOGUE_CLOSE:
		if (p->dialogue.unheard && put_back_unheard(p))
			peer_end(p);
		else
			over(p, p->dialogue.trouble_dsn, p->dialogue.trouble);
		break;
	}
}

/* ---- the connection ---- */

static void on_input(void *ctx)
{
	struct peer *p = ctx;
	struct slice in;

	while ((in = conn_input(p->conn)).n > 0) {
		size_t used = 0;
		enum dialogue_want want;
		bool was_idle = p->idle;

		if (was_idle) {                                       /* "421 idle too long", or nonsense: either way it is over */
			loop_timer_stop(out_of(p)->loop, &p->idle_timer);
			peer_end(p);
			return;
		}
		want = dialogue_input(&p->dialogue, in, &used, conn_out(p->conn));
		conn_take(p->conn, used);
		if (want == DIALOGUE_INPUT && used == 0)
			return;
		act(p, want);
		if (want == DIALOGUE_CLOSE || want == DIALOGUE_TLS)
			return;                                       /* p may be gone, or its input dropped */
	}
}

static void on_tls(void *ctx)
{
	struct peer *p = ctx;
	struct tls_info info = tls_describe(conn_ssl(p->conn));

	log_debug("%s: %s, %s, %d bits", p->name, info.version, info.cipher, info.bits);
	act(p, dialogue_tls_done(&p->dialogue, conn_out(p->conn)));
}

static void on_drained(void *ctx)
{
	struct peer *p = ctx;

	if (!p->connected) {
		p->connected = true;
		set_deadline(p);
	} else if (p->sending) {
		send_body(p);
	}
}

static void on_close(void *ctx, enum conn_end why, const struct err *e)
{
	struct peer *p = ctx;
	char text[400];

	if (p->idle || p->quitting) {
		peer_end(p);
		return;
	}
	switch (why) {
	case CONN_DEADLINE:
	case CONN_IDLE:
		snprintf(text, sizeof(text), "%s", p->connected ? "time ran out" : "no answer in time");
		break;
	case CONN_EOF:
		snprintf(text, sizeof(text), "the server closed the connection");
		break;
	case CONN_TLS_FAILED:
		snprintf(text, sizeof(text), "TLS failed: %s", e != NULL ? e->text : "");
		break;
	default:
		snprintf(text, sizeof(text), "%s", e != NULL && e->text[0] != '\0' ? e->text : "the connection broke");
	}
	if (!p->connected) {
		char words[800];

		snprintf(words, sizeof(words), "connect to %s: %s", p->name, text);
		next_candidate(p, "4.4.1", words);
		return;
	}
	if ((why == CONN_EOF || why == CONN_ERROR) && put_back_unheard(p))
		peer_end(p);
	else
		over(p, why == CONN_TLS_FAILED ? "4.7.5" : "4.4.2", text);
}

static const struct conn_ops conn_ops = { on_input, on_tls, on_drained, on_close, NULL, NULL };

static socklen_t address_of(const struct candidate *c, struct sockaddr_storage *out)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	size_t n = strlen(c->host);

	if (c->addr.len != 0)
		return net_addr_to_sockaddr(&c->addr, out);
	if (n >= sizeof(un.sun_path))
		return 0;
	memcpy(un.sun_path, c->host, n);
	memcpy(out, &un, sizeof(un));
	return (socklen_t)sizeof(un);
}

static bool connect_candidate(struct peer *p)
{
	struct outward *o = out_of(p);
	const struct candidate *c = &p->dest->resolved->list[p->at.candidate];
	struct sockaddr_storage ss, local;
	socklen_t n, local_n = 0;
	char text[NET_TEXT_MAX];
	struct err e = ERR_INIT;

	if (c->addr.len != 0)
		snprintf(p->name, sizeof(p->name), "%s[%s]:%u", c->host, net_addr_text(&c->addr, text), c->addr.port);
	else
		snprintf(p->name, sizeof(p->name), "%s[local]", c->host);
	n = address_of(c, &ss);
	if (o->bind_address.len != 0 && o->bind_address.len == c->addr.len)
		local_n = net_addr_to_sockaddr(&o->bind_address, &local);
	p->conn = n == 0 ? NULL : conn_connect(o->loop, (const struct sockaddr *)&ss, n, local_n > 0 ? (const struct sockaddr *)&local : NULL, local_n,
	    &limits, &conn_ops, p, &e);
	if (p->conn == NULL) {
		snprintf(p->failure, sizeof(p->failure), "connect to %s: %s", p->name, n == 0 ? "the path is too long for a socket" : e.text);
		snprintf(p->failure_dsn, sizeof(p->failure_dsn), "4.4.1");
		log_info("%s", p->failure);
		return false;
	}
	conn_deadline_ms(p->conn, (int64_t)o->settings->client_connect_timeout * CLOCK_MS_PER_S);
	dialogue_init(&p->dialogue, o->settings->myhostname, p->name, p->dest->hop.lmtp, o->tls != NULL && !p->dest->no_tls[p->at.candidate], o->tls_required);
	p->has_dialogue = true;
	return true;
}

static void try_candidates(struct peer *p)
{
	struct dest *d = p->dest;

	for (; p->at.candidate < d->resolved->n; p->at.candidate++) {
		if (connect_candidate(p))
			return;
	}
	dest_unreachable(d, p->at.start, p->failure_dsn, p->failure);
	peer_end(p);
}

/* ---- the outside ---- */

void peer_open(struct dest *d, size_t start)
{
	struct peer *p = mem_new(sizeof(*p));

	p->dest = d;
	p->opening = true;
	p->at = (struct dest_place){ start, start };
	list_append(&d->peers, &p->node);
	d->n_peers++;
	*(start > 0 ? &d->n_opening_moved : &d->n_opening) += 1;
	d->out->n_peers++;
	try_candidates(p);
}

void peer_wake_one(struct dest *d)
{
	LIST_EACH_SAFE(n, &d->peers) {
		struct peer *p = LIST_OF(n, struct peer, node);

		if (!p->idle || !dest_has_for(d, &p->at))
			continue;
		p->idle = false;
		loop_timer_stop(d->out->loop, &p->idle_timer);
		next_mail(p);
	}
}

void peer_drop_all(struct dest *d)
{
	struct list_node *n;

	while ((n = list_first(&d->peers)) != NULL) {
		struct peer *p = LIST_OF(n, struct peer, node);

		if (p->mail != NULL)
			mail_out_free(p->mail);
		d->n_peers--;
		*(p->at.start > 0 ? &d->n_opening_moved : &d->n_opening) -= p->opening;
		d->out->n_peers--;
		peer_free(p);
	}
}
