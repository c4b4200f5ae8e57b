/*
 * server/front_rcpt.c - verdicts on MAIL and RCPT: policy is asked; where it wants to know something of dracd or DNS, they are asked first.
 */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/front_in.h"
#include "server/policy_room.h"

/* "NOQUEUE: reject: RCPT from name[addr]: 550 5.7.1 <b>... text; from=<a> to=<b> proto=ESMTP helo=<c>" */
void smtp_front_log_reject(const struct smtp_conn *sc, const char *id, const char *stage, struct slice reply, const struct path *rcpt)
{
	const struct path *sender = smtp_session_sender(sc->session);

	log_info("%s: reject: %s from " SC_WHO ": %.*s; from=<%.*s>%s%.*s%s proto=%s helo=<%.*s>", id, stage, SC_WHO_ARGS(sc), SLICE_FMT(reply),
	    SLICE_FMT(path_text(sender, sc->verdicts)), rcpt != NULL ? " to=<" : "", SLICE_FMT(rcpt != NULL ? path_text(rcpt, sc->verdicts) : SLICE("")),
	    rcpt != NULL ? ">" : "", smtp_session_proto(sc->session), SLICE_FMT(smtp_session_helo(sc->session)));
}

static void refuse_now(struct smtp_conn *sc, const char *stage, const char *reply, bool close)
{
	smtp_front_log_reject(sc, "NOQUEUE", stage, slice_of(reply), NULL);
	smtp_conn_answer(sc, &(struct smtp_answer){ .reply = slice_of(reply), .close = close });
}

static const char *maps_unreadable(struct smtp_conn *sc)
{
	return code_reply(sc->verdicts, CODE_MAPS_UNREADABLE, "The maps can't be read now, try again");
}

/* ---- MAIL ---- */

/* NULL: the spool can take a message. */
static const char *spool_refusal(struct smtp_conn *sc, bool *close_out)
{
	const char *why = "";
	enum entry_state state = entry_state(sc->f->entry, &why);

	*close_out = state == ENTRY_BROKEN;
	switch (state) {
	case ENTRY_NO_SEGMENT:
		return code_reply(sc->verdicts, CODE_QUEUE_NOT_READY, "The queue is not ready, try again in a minute");
	case ENTRY_NO_SPACE:
		log_warn("%s", why);
		return code_reply(sc->verdicts, CODE_NO_SPACE, "Insufficient system storage, try again later");
	case ENTRY_BROKEN:
		log_error("%s", why);
		return code_reply(sc->verdicts, CODE_DISK_FAILS, "The disk fails: no mail can be taken now");
	case ENTRY_READY:
		break;
	}
	return NULL;
}

void smtp_front_want_mail(struct smtp_conn *sc)
{
	struct smtp_front *f = sc->f;
	struct slice login = smtp_session_user(sc->session);
	char id[QUEUE_ID_MAX];
	struct err e = ERR_INIT;
	bool close = false;
	const char *refusal;

	smtp_conn_drop_large(sc);
	arena_reset(sc->verdicts);
	refusal = spool_refusal(sc, &close);
	sc->drac = proxy_is_listed(f->proxies, &sc->peer) ? RELAY_DRAC_OFF : RELAY_DRAC_NOT_ASKED;
	sc->drac_user = SLICE("");
	sc->logged_client = false;
	if (refusal == NULL && (sc->listener->flags & LISTENER_MUST_LOGIN) != 0 && login.n == 0 && f->drac == NULL)
		refusal = code_reply(sc->verdicts, CODE_MUST_LOGIN, "Authentication required: log in to send");
	if (refusal == NULL && policy_sender_init(f->policy, &sc->sender, &sc->client, smtp_session_ask(sc->session)->path, login, sc->verdicts, &e) != 0) {
		log_error("%s", e.text);
		refusal = maps_unreadable(sc);
	}
	if (refusal != NULL) {
		refuse_now(sc, "MAIL", refusal, close);
		return;
	}
	queue_id_new(id, loop_wall_us(f->l), proc_index(f->p));
	smtp_conn_answer(sc, &(struct smtp_answer){ .ok = true, .id = id });
}

/* ---- RCPT ---- */

/* A further recipient for another reason than the first: "ID: permit=drac:u1@office.example for <b@elsewhere.example>". */
static void log_other_rule(struct smtp_conn *sc, const struct policy_verdict *v)
{
	if (v->relay == sc->logged_rule)
		return;
	sc->logged_rule = v->relay;
	log_info("%s: permit=%s%s%.*s%s%s for <%.*s>", smtp_session_envelope(sc->session)->id, v->rule, v->relay == RELAY_BY_DRAC && sc->drac_user.n > 0 ? ":" : "",
	    SLICE_FMT(v->relay == RELAY_BY_DRAC ? sc->drac_user : SLICE("")), v->where[0] != '\0' ? " by " : "", v->where,
	    SLICE_FMT(path_text(smtp_session_ask(sc->session)->path, sc->verdicts)));
}

static void log_client(struct smtp_conn *sc, const struct policy_verdict *v)
{
	struct slice login = smtp_session_user(sc->session), method = smtp_session_method(sc->session);

	if (sc->logged_client) {
		log_other_rule(sc, v);
		return;
	}
	sc->logged_client = true;
	sc->logged_rule = v->relay;
	log_info("%s: client=" SC_WHO "%s%.*s%s%.*s, permit=%s%s%.*s%s%s", smtp_session_envelope(sc->session)->id, SC_WHO_ARGS(sc), login.n > 0 ? ", sasl_method=" : "",
	    SLICE_FMT(method), login.n > 0 ? ", sasl_username=" : "", SLICE_FMT(login), v->rule, sc->drac_user.n > 0 ? ":" : "", SLICE_FMT(sc->drac_user),
	    v->where[0] != '\0' ? " by " : "", v->where);
}

static void ask_drac(struct smtp_conn *sc);
static void ask_dns(struct smtp_conn *sc);
static void ask_rcpt_dns(struct smtp_conn *sc);
static void ask_room(struct smtp_conn *sc, const struct policy_verdict *v);

static void say_no(struct smtp_conn *sc, const struct policy_verdict *v)
{
	smtp_front_log_reject(sc, sc->logged_client ? smtp_session_envelope(sc->session)->id : "NOQUEUE", "RCPT", v->reply, smtp_session_ask(sc->session)->path);
	if (v->where[0] != '\0')
		log_info("reject: RCPT from " SC_WHO ": by %s", SC_WHO_ARGS(sc), v->where);
	smtp_conn_answer(sc, &(struct smtp_answer){ .reply = v->reply, .close = slice_starts(v->reply, SLICE("421")) || slice_starts(v->reply, SLICE("521")) });
}

static void judge_rcpt(struct smtp_conn *sc)
{
	struct smtp_front *f = sc->f;
	struct policy_ask ask = {
		.listener = sc->listener, .client = &sc->client, .sender = &sc->sender, .rcpt = smtp_session_ask(sc->session)->path, .drac = sc->drac,
		.rcpt_dns = sc->rcpt_dns,
	};
	struct policy_verdict v;
	struct err e = ERR_INIT;

	if (sc->drac == RELAY_DRAC_LIVE && loop_wall_us(f->l) / CLOCK_US_PER_S >= sc->drac_until)
		ask.drac = sc->drac = RELAY_DRAC_NOT_ASKED;           /* a transaction does not outlive the grant */
	if (f->closed[0] != '\0') {
		refuse_now(sc, "RCPT", code_reply(sc->verdicts, CODE_OPEN_RELAY, "%s Server configuration error: the postmaster has been told", f->s->myhostname), true);
	} else if (policy_rcpt(f->policy, &ask, sc->verdicts, &v, &e) != 0) {
		log_error("%s", e.text);
		refuse_now(sc, "RCPT", maps_unreadable(sc), false);
	} else if (v.answer == POLICY_ASK_DRAC) {
		ask_drac(sc);
	} else if (v.answer == POLICY_NO) {
		say_no(sc, &v);
	} else if ((sc->listener->flags & LISTENER_LMTP) == 0 && sc->sender.dns == POLICY_DNS_NOT_ASKED && policy_wants_dns(f->policy, &sc->client, &sc->sender)) {
		ask_dns(sc);
	} else if (policy_wants_rcpt_dns(f->policy, &ask, sc->verdicts)) {
		ask_rcpt_dns(sc);
	} else {
		ask_room(sc, &v);
	}
}

void smtp_front_want_rcpt(struct smtp_conn *sc)
{
	sc->rcpt_dns = POLICY_DNS_NOT_ASKED;
	judge_rcpt(sc);
}

/* ---- room in the mailboxes that it leads to ---- */

static void say_yes(struct smtp_conn *sc, const struct policy_verdict *v)
{
	log_client(sc, v);
	smtp_conn_answer(sc, &(struct smtp_answer){ .ok = true, .discard = v->discard, .hold = v->hold,
	    .voucher = v->relay == RELAY_BY_DRAC ? sc->drac_user : SLICE_NONE });
}

static void on_room(void *ctx, enum room_verdict verdict)
{
	struct smtp_conn *sc = ctx;
	struct policy_verdict v = sc->room_verdict;

	sc->room = NULL;
	sc->state = SC_DIALOGUE;
	policy_room_answer(&v, verdict, smtp_session_ask(sc->session)->path, sc->verdicts);
	if (v.answer == POLICY_NO)
		say_no(sc, &v);
	else
		say_yes(sc, &v);
}

static void ask_room(struct smtp_conn *sc, const struct policy_verdict *v)
{
	struct room_ask ask;

	if (!policy_room_asks(v, smtp_session_sender(sc->session), smtp_session_size(sc->session), sc->verdicts, &ask)) {
		say_yes(sc, v);
		return;
	}
	sc->room_verdict = *v;
	smtp_conn_wait(sc);
	sc->room = room_client_ask(sc->f->room, &ask, FRONT_SMTP_ROOM_MS, on_room, sc);
}

/* ---- dracd: only here, only when everything else said no ---- */

static void on_drac(void *ctx, const struct drac_grant *g)
{
	struct smtp_conn *sc = ctx;
	struct smtp_front *f = sc->f;

	sc->drac_asked = false;
	sc->drac_until = loop_wall_us(f->l) / CLOCK_US_PER_S + 1;     /* never now: this answer is to be used */
	if (g->verdict == DRAC_LIVE && g->expires_at > sc->drac_until)
		sc->drac_until = g->expires_at;
	sc->drac = policy_judge_drac(f->policy, g, sc->sender.path, sc->verdicts, &sc->drac_user);
	if (sc->drac == RELAY_DRAC_DOWN && !f->s->drac_match_sender)
		sc->drac = policy_read_drac_table(f->policy, &sc->peer, loop_wall_us(f->l) / CLOCK_US_PER_S, sc->verdicts);
	if (sc->drac == RELAY_DRAC_DOWN)
		log_warn("dracd did not answer for " SC_WHO ": %s", SC_WHO_ARGS(sc), g->text == NULL ? "" : g->text);
	sc->state = SC_DIALOGUE;
	judge_rcpt(sc);
}

static void ask_drac(struct smtp_conn *sc)
{
	smtp_conn_wait(sc);
	sc->drac_asked = true;
	drac_query(sc->f->drac, &sc->peer, FRONT_SMTP_DRAC_MS, on_drac, sc);
}

/* ---- the domains of sender and recipient ---- */

static enum policy_dns dns_of(enum names_domain state)
{
	static const enum policy_dns dns[] = { [NAMES_DOMAIN_FINE] = POLICY_DNS_FINE, [NAMES_DOMAIN_NONE] = POLICY_DNS_NONE, [NAMES_DOMAIN_TEMP] = POLICY_DNS_TEMP };

	return dns[state];
}

static void on_domain(void *ctx, enum names_domain state)
{
	struct smtp_conn *sc = ctx;

	sc->query = NULL;
	sc->sender.dns = dns_of(state);
	sc->state = SC_DIALOGUE;
	judge_rcpt(sc);
}

static void on_rcpt_domain(void *ctx, enum names_domain state)
{
	struct smtp_conn *sc = ctx;

	sc->query = NULL;
	sc->rcpt_dns = dns_of(state);
	sc->state = SC_DIALOGUE;
	judge_rcpt(sc);
}

static void ask_domain(struct smtp_conn *sc, struct slice domain, names_domain_fn *fn)
{
	struct names_query *query;

	smtp_conn_wait(sc);
	/* An answer from memory comes at once, and the dialogue may be at the next question when this returns. */
	query = names_domain(sc->f->names, domain, FRONT_SMTP_DOMAIN_MS, fn, sc);
	if (query != NULL)
		sc->query = query;
}

static void ask_dns(struct smtp_conn *sc)
{
	ask_domain(sc, smtp_session_sender(sc->session)->domain, on_domain);
}

static void ask_rcpt_dns(struct smtp_conn *sc)
{
	ask_domain(sc, smtp_session_ask(sc->session)->path->domain, on_rcpt_domain);
}
