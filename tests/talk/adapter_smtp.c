/*
 * tests/talk/adapter_smtp.c - smtpd in memory: the dialogue and the whole policy over real maps and a real users.db in the run's directory.
 *
 * Own directives, all before the dialogue but drac:
 *	port: submission           smtp (default), submission, submissions, lmtp
 *	map: access To:x REJECT    a line for that map file (access, aliases, virtusertable, mailertable, local-host-names, relay-domains)
 *	name: pc.partner.test      the client's name, confirmed by DNS both ways; "forged NAME", "temp"; without: none
 *	given: no-certificate      STARTTLS is not offered
 *	given: drac 192.0.2.7 u1 for 1800    a live grant from now; "drac down": dracd does not answer
 *	given: no-domain x.test    this domain (of a sender, or of a user's recipient) does not exist; "slow-domain x.test": DNS does not answer
 *	given: spool full, spool broken
 *	envelope: a@x.test|u1@office.test    what the last message had
 *	message: *text*            the last message matches (\r\n as in C-raw)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "server/policy.h"
#include "server/session.h"
#include "tests/talk/talk.h"

#define GRANTS 4

struct smtp_talk {
	const struct talk_env *env;
	struct arena *arena, *verdicts;
	const struct smtp_listener *listener;
	struct policy *policy;
	struct policy_client client;
	struct policy_sender sender;
	struct smtp_session *session;
	struct slice name;
	enum relay_name name_state;
	bool certificate, tls, drac_down, greeted;
	const char *spool;
	struct slice no_domain, slow_domain;
	struct { struct net_addr addr; struct slice user; int64_t until; } grants[GRANTS];
	size_t n_grants;
	unsigned messages;
	struct buf message, envelope;
};

static int put_user(const struct settings *s, const char *name, struct err *e)
{
	const struct user u = { .name = slice_of(name), .hash = SLICE("*"), .scram = SLICE("") };

	return users_set(s->users_db, s->accounts_db, &u, e);
}

static void *create(const struct talk_env *env, struct err *e)
{
	struct smtp_talk *t = mem_new(sizeof(*t));

	t->env = env;
	t->arena = arena_new(0);
	t->verdicts = arena_new(0);
	t->listener = smtp_listener_of(SMTP_ON_25);
	t->name_state = RELAY_NAME_FAIL;
	t->certificate = true;
	t->spool = "";
	buf_init(&t->message, BUF_UNBOUNDED);
	buf_init(&t->envelope, BUF_UNBOUNDED);
	for (int i = 1; i <= 3; i++)
		if (put_user(env->s, arena_printf(t->arena, "u%d@office.test", i), e) != 0)
			return NULL;
	return t;
}

/* ---- the world ---- */

static int add_line(struct smtp_talk *t, struct slice value, struct err *e)
{
	struct slice file;
	struct buf text;
	const char *path;
	int r;

	if (!slice_word(&value, &file))
		return err_set(e, ERR_SYNTAX, 0, "map: FILE LINE");
	path = arena_printf(t->arena, "%s/%.*s", t->env->s->config_directory, SLICE_FMT(file));
	buf_init(&text, 1 << 20);
	if (file_read(path, &text, e) != 0)
		buf_reset(&text);
	buf_put(&text, slice_trim(value));
	buf_putc(&text, '\n');
	r = file_replace(path, buf_view(&text), 0644, e);
	buf_done(&text);
	return r;
}

static int grant(struct smtp_talk *t, struct slice value, struct err *e)
{
	struct slice addr, user, word, secs;
	uint32_t n;

	if (slice_eqs(value, "down")) {
		t->drac_down = true;
		return 0;
	}
	if (t->n_grants == GRANTS || !slice_word(&value, &addr) || !slice_word(&value, &user) || !slice_word(&value, &word) || !slice_word(&value, &secs) ||
	    net_addr_parse(addr, &t->grants[t->n_grants].addr) != 0 || num_u32(secs, 1000000, &n) != 0)
		return err_set(e, ERR_SYNTAX, 0, "given: drac ADDRESS USER for SECONDS");
	t->grants[t->n_grants].user = slice_of(arena_printf(t->arena, "%.*s@office.test", SLICE_FMT(user)));
	t->grants[t->n_grants++].until = t->env->now + n;
	return 0;
}

static int given(struct smtp_talk *t, struct slice value, struct err *e)
{
	struct slice what;

	if (slice_eqs(value, "no-certificate")) {
		t->certificate = false;
		return 0;
	}
	if (!slice_word(&value, &what))
		return err_set(e, ERR_SYNTAX, 0, "given what?");
	value = arena_dup(t->arena, slice_trim(value));
	if (slice_eqs(what, "drac"))
		return grant(t, value, e);
	if (slice_eqs(what, "no-domain"))
		t->no_domain = value;
	else if (slice_eqs(what, "slow-domain"))
		t->slow_domain = value;
	else if (slice_eqs(what, "spool"))
		t->spool = value.p;
	else
		return err_set(e, ERR_SYNTAX, 0, "given: %.*s is unknown", SLICE_FMT(what));
	return 0;
}

static void set_name(struct smtp_talk *t, struct slice value)
{
	struct slice word, rest = value;

	t->name_state = RELAY_NAME_OK;
	t->name = arena_dup(t->arena, value);
	if (slice_eqs(value, "temp")) {
		t->name_state = RELAY_NAME_TEMP;
		t->name = SLICE("");
	} else if (slice_word(&rest, &word) && slice_eqs(word, "forged")) {
		t->name_state = RELAY_NAME_FORGED;
		t->name = arena_dup(t->arena, slice_trim(rest));
	}
}

/* '*' stands for anything. */
static bool matches(struct slice text, struct slice want)
{
	ptrdiff_t star = slice_chr(want, '*');

	if (star < 0)
		return slice_eq(text, want);
	if (!slice_starts(text, slice_head(want, (size_t)star)))
		return false;
	text = slice_from(text, (size_t)star);
	want = slice_from(want, (size_t)star + 1);
	if (want.n == 0)
		return true;
	for (size_t i = 0; i <= text.n; i++)
		if (matches(slice_from(text, i), want))
			return true;
	return false;
}

static struct slice unescape(struct smtp_talk *t, struct slice s)
{
	char *p = arena_alloc(t->arena, s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '\\' && i + 1 < s.n) {
			c = s.p[++i];
			c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		p[n++] = c;
	}
	return slice_mem(p, n);
}

static int expect(const struct buf *got, struct slice want, const char *what, struct err *e)
{
	return matches(buf_view(got), want) ? 0 : err_set(e, ERR_SYNTAX, 0, "the %s is: %s", what, buf_str(got));
}

static void tls_started(struct smtp_talk *t)
{
	t->tls = true;
	if (t->session != NULL)
		(void)smtp_session_tls_started(t->session, "TLSv1.3", "TLS_AES_256_GCM_SHA384", 256);
}

static int directive(void *ctx, struct slice name, struct slice value, struct buf *out, struct err *e)
{
	struct smtp_talk *t = ctx;

	(void)out;
	if (slice_eqs(name, "map"))
		return add_line(t, value, e);
	if (slice_eqs(name, "given"))
		return given(t, value, e);
	if (slice_eqs(name, "envelope"))
		return expect(&t->envelope, value, "envelope", e);
	if (slice_eqs(name, "message"))
		return expect(&t->message, unescape(t, value), "message", e);
	if (slice_eqs(name, "name"))
		set_name(t, value);
	else if (slice_eqs(name, "tls"))
		tls_started(t);
	else if (slice_eqs(name, "port") && smtp_listener_named(arena_str(t->arena, value)) != NULL)
		t->listener = smtp_listener_named(arena_str(t->arena, value));
	else
		return err_set(e, ERR_SYNTAX, 0, "unknown directive %.*s", SLICE_FMT(name));
	return 0;
}

static enum talk_state greet(void *ctx, struct buf *out)
{
	struct smtp_talk *t = ctx;
	const struct settings *s = t->env->s;
	bool auth = (t->listener->flags & LISTENER_AUTH) != 0 || (t->listener->kind == SMTP_ON_25 && s->smtpd_auth_on_port_25);
	struct err e = ERR_INIT;
	struct smtp_env env;

	if (policy_new(&t->policy, s, &e) != 0 || policy_client_init(t->policy, &t->client, &t->env->peer, t->name, t->name_state, t->arena, &e) != 0) {
		buf_putf(out, "adapter: %s\r\n", e.text);
		return TALK_CLOSED;
	}
	env = (struct smtp_env){
		.s = s, .listener = t->listener, .peer = t->env->peer, .peer_name = t->name.n > 0 ? t->name : SLICE("unknown"), .peer_forged = t->name_state == RELAY_NAME_FORGED,
		.peer_trusted = t->client.in_mynetworks, .starttls_ok = t->certificate && (t->listener->flags & LISTENER_TLS_AT_ONCE) == 0,
		.default_domain = router_default_domain(policy_router(t->policy)), .mechanisms = auth ? auth_mechanisms(s, false, &t->env->peer, t->arena) : "",
		.mechanisms_tls = auth ? auth_mechanisms(s, true, &t->env->peer, t->arena) : "",
	};
	t->session = smtp_session_new(&env);
	if (t->tls)
		tls_started(t);
	smtp_session_greet(t->session, out);
	return TALK_OPEN;
}

/* ---- the daemon's part ---- */

static struct smtp_answer no(struct smtp_talk *t, enum code c, const char *text)
{
	return (struct smtp_answer){ .reply = slice_of(code_reply(t->verdicts, c, "%s", text)), .close = c == CODE_DISK_FAILS };
}

static struct smtp_answer on_mail(struct smtp_talk *t)
{
	struct err e = ERR_INIT;

	arena_reset(t->verdicts);
	if (strcmp(t->spool, "full") == 0)
		return no(t, CODE_NO_SPACE, "Insufficient system storage, try again later");
	if (strcmp(t->spool, "broken") == 0)
		return no(t, CODE_DISK_FAILS, "The disk fails: no mail can be taken now");
	if ((t->listener->flags & LISTENER_MUST_LOGIN) != 0 && smtp_session_user(t->session).n == 0 && !t->env->s->drac)
		return no(t, CODE_MUST_LOGIN, "Authentication required: log in to send");
	if (policy_sender_init(t->policy, &t->sender, &t->client, smtp_session_ask(t->session)->path, smtp_session_user(t->session), t->verdicts, &e) != 0)
		return no(t, CODE_MAPS_UNREADABLE, e.text);
	return (struct smtp_answer){ .ok = true, .id = arena_printf(t->arena, "TALK%u", ++t->messages) };
}

static struct drac_grant ask_drac(const struct smtp_talk *t)
{
	struct drac_grant g = { .verdict = t->drac_down ? DRAC_UNREACHABLE : DRAC_NO_GRANT, .text = "" };

	for (size_t i = 0; i < t->n_grants && !t->drac_down; i++)
		if (net_addr_eq(&t->grants[i].addr, &t->env->peer) && t->grants[i].until > t->env->now) {
			g.verdict = DRAC_LIVE;
			g.users[g.n_users++] = t->grants[i].user;
		}
	return g;
}

static void ask_dns(struct smtp_talk *t)
{
	struct slice domain = t->sender.path->domain;

	t->sender.dns = slice_eq(domain, t->no_domain) ? POLICY_DNS_NONE : slice_eq(domain, t->slow_domain) ? POLICY_DNS_TEMP : POLICY_DNS_FINE;
}

static struct smtp_answer on_rcpt(struct smtp_talk *t)
{
	struct policy_ask ask = { .listener = t->listener, .client = &t->client, .sender = &t->sender, .rcpt = smtp_session_ask(t->session)->path, .drac = RELAY_DRAC_NOT_ASKED };
	struct policy_verdict v;
	struct drac_grant g;
	struct slice user = SLICE_NONE;
	struct err e = ERR_INIT;

	if (policy_wants_dns(t->policy, &t->client, &t->sender))
		ask_dns(t);
	if (policy_wants_rcpt_dns(t->policy, &ask, t->verdicts))
		ask.rcpt_dns = slice_eq(ask.rcpt->domain, t->no_domain) ? POLICY_DNS_NONE : slice_eq(ask.rcpt->domain, t->slow_domain) ? POLICY_DNS_TEMP : POLICY_DNS_FINE;
	if (policy_rcpt(t->policy, &ask, t->verdicts, &v, &e) != 0)
		return no(t, CODE_MAPS_UNREADABLE, e.text);
	if (v.answer == POLICY_ASK_DRAC) {
		g = ask_drac(t);
		ask.drac = policy_judge_drac(t->policy, &g, t->sender.path, t->verdicts, &user);
		if (policy_rcpt(t->policy, &ask, t->verdicts, &v, &e) != 0)
			return no(t, CODE_MAPS_UNREADABLE, e.text);
	}
	return (struct smtp_answer){ .ok = v.answer == POLICY_YES, .reply = v.reply, .discard = v.discard, .hold = v.hold,
		.voucher = v.relay == RELAY_BY_DRAC ? user : SLICE_NONE };
}

static void collect(struct smtp_talk *t)
{
	const struct slice *pieces;
	size_t n = smtp_session_pieces(t->session, &pieces);

	for (size_t i = 0; i < n; i++)
		buf_put(&t->message, pieces[i]);
}

static struct smtp_answer on_queue(struct smtp_talk *t)
{
	const struct envelope *env = smtp_session_envelope(t->session);
	struct slice refusal = SLICE_NONE;
	struct err e = ERR_INIT;

	if (!smtp_session_has_spilled(t->session))
		buf_reset(&t->message);
	collect(t);
	if (policy_header_from(t->policy, smtp_session_header(t->session), smtp_session_user(t->session), t->verdicts, &refusal, &e) != 0)
		return no(t, CODE_MAPS_UNREADABLE, e.text);
	if (refusal.n > 0)
		return (struct smtp_answer){ .reply = refusal };
	buf_reset(&t->envelope);
	buf_putf(&t->envelope, "%s%.*s|", smtp_session_is_discard(t->session) ? "discarded " : (env->flags & ENV_HELD) != 0 ? "held " : "", SLICE_FMT(env->sender));
	for (size_t i = 0; i < env->n_rcpts; i++) {
		const struct rcpt *r = &env->rcpts[i];

		buf_putf(&t->envelope, "%s%.*s%s%.*s", i > 0 ? "," : "", SLICE_FMT(r->address), r->orcpt.n > 0 ? " orcpt=" : "", SLICE_FMT(r->orcpt));
	}
	if (env->envid.n > 0)
		buf_putf(&t->envelope, " envid=%.*s", SLICE_FMT(env->envid));
	return (struct smtp_answer){ .ok = true };
}

static struct auth_answer check(struct slice response)
{
	struct slice rest = response, authzid, user, name;

	if (!slice_next(&rest, '\0', &authzid) || !slice_next(&rest, '\0', &user))
		return (struct auth_answer){ .result = AUTH_SYNTAX };
	name = slice_iends(user, SLICE("@office.test")) ? slice_head(user, user.n - 12) : user;
	if (!slice_eqs(rest, "secret") || name.n != 2 || name.p[0] != 'u' || name.p[1] < '1' || name.p[1] > '3')
		return (struct auth_answer){ .result = AUTH_DENIED };
	return (struct auth_answer){ .result = AUTH_OK, .user = name.p[1] == '1' ? SLICE("u1@office.test") : name.p[1] == '2' ? SLICE("u2@office.test") : SLICE("u3@office.test"),
	    .method = SLICE("PLAIN") };
}

static void answer_auth(struct smtp_talk *t, enum smtp_want want, struct buf *out)
{
	const struct smtp_ask *ask = smtp_session_ask(t->session);
	struct auth_answer a = { .result = AUTH_MORE };

	if (want == SMTP_RESPONSE || ask->has_initial)
		a = check(want == SMTP_RESPONSE ? ask->response : ask->initial);
	(void)smtp_session_answer(t->session, &(struct smtp_answer){ .ok = true, .auth = &a }, out);
}

static enum smtp_want serve(struct smtp_talk *t, enum smtp_want want, struct buf *out)
{
	struct smtp_answer a = { .ok = true };

	while (want != SMTP_INPUT && want != SMTP_TLS && want != SMTP_CLOSE) {
		if (want == SMTP_AUTH || want == SMTP_RESPONSE) {
			answer_auth(t, want, out);
			want = smtp_session_want(t->session);
			continue;
		}
		if (want == SMTP_SPILL)
			collect(t);
		a = want == SMTP_MAIL ? on_mail(t) : want == SMTP_RCPT ? on_rcpt(t) : want == SMTP_QUEUE ? on_queue(t) : (struct smtp_answer){ .ok = true };
		want = smtp_session_answer(t->session, &a, out);
	}
	return want;
}

/* In the daemon the answer comes when the octets of the command are gone: what the session still needs of them, it must have copied. */
static enum smtp_want feed(struct smtp_talk *t, struct slice in, size_t *used_out, struct buf *out)
{
	char *own = mem_array(in.n, 1);
	enum smtp_want want;

	memcpy(own, in.p, in.n);
	want = smtp_session_input(t->session, slice_mem(own, in.n), used_out, out);
	explicit_bzero(own, in.n);                                        /* a memset before free() is optimised away */
	free(own);
	return want;
}

/* Every refusal ends in a code that posthouse explain knows; one that does not makes any dialogue fail. */
static void check_codes(struct buf *out, size_t from)
{
	struct slice rest = slice_from(buf_view(out), from), line;
	bool coded = true;

	while (coded && slice_next(&rest, '\n', &line))
		coded = line.n == 0 || (line.p[0] != '4' && line.p[0] != '5') || (slice_ends(slice_trim(line), SLICE("]")) && code_find(slice_trim(line)) != CODE_NONE);
	if (!coded)
		buf_puts(out, "adapter: a refusal without its code\r\n");
}

static enum talk_state input(void *ctx, struct slice in, size_t *used_out, struct buf *out)
{
	struct smtp_talk *t = ctx;
	enum smtp_want want;
	size_t before = out->len;

	*used_out = 0;
	if (t->session == NULL || smtp_session_want(t->session) == SMTP_TLS)
		return TALK_OPEN;
	smtp_session_set_time(t->session, t->env->now * 1000000);
	want = serve(t, feed(t, in, used_out, out), out);
	check_codes(out, before);
	return want == SMTP_CLOSE ? TALK_CLOSED : TALK_OPEN;
}

static void destroy(void *ctx)
{
	struct smtp_talk *t = ctx;

	smtp_session_free(&t->session);
	policy_free(&t->policy);
	buf_done(&t->message);
	buf_done(&t->envelope);
	arena_free(&t->arena);
	arena_free(&t->verdicts);
	free(t);
}

static const struct talk_adapter adapter = { .name = "smtp", .live = "port tls", .create = create, .directive = directive, .greet = greet, .input = input, .destroy = destroy };

AT_START static void smtp_register(void)
{
	talk_register(&adapter);
}
