/*
 * auth/auth_server.c - see the header. A login goes through
 *
 *   dialogue (SASL) -> claim -> cache, or slow hash, or PAM -> grant -> answered
 *
 * and can be cancelled at each arrow.
 */
#include "auth/auth_server.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "auth/auth_cache.h"
#include "auth/auth_sasl.h"
#include "auth/password.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "conf/conf.h"

struct front {
	struct auth_server *server;
	struct chan *chan;
	struct hmap *logins;                                          /* by the front's id */
	struct list_node node;
};

struct pam_link {                                                     /* an older one, of a PAM process that retires, still answers what it was asked */
	struct auth_server *server;
	struct chan *chan;
	struct hmap *logins;                                          /* by pam_id */
	struct list_node node;
};

struct auth_ticket {                                                  /* one login */
	struct front *front;
	struct pam_link *pam;                                         /* that was asked; NULL: none is waited for */
	uint64_t id, pam_id;
	struct arena *arena;                                          /* secret */
	struct auth_dialogue *dialogue;                               /* NULL: USER and PASS */
	struct auth_login_fact fact;
	bool wants_grant, waits_for_grant;
	bool blocked;                                                 /* too many failures: refused whatever the password, in the time of a check */
	bool bad_name;                                                /* no user can be called so; refused like any unknown one, in the same time */
	struct slice password;
	const char *method;
	struct slice last_challenge;                                  /* SCRAM's proof of the server, sent with OK */
	struct list_node slow;
};

struct auth_server {
	struct loop *loop;
	const struct settings *s;
	const struct auth_server_hooks *hooks;
	void *ctx;
	struct arena *arena;
	const char *default_domain;
	struct users *users;
	unsigned users_generation;
	struct auth_sasl *sasl;
	struct auth_cache *cache;
	bool use_users, use_pam;
	struct pam_link *pam;                                         /* for new questions */
	uint64_t next_pam_id;
	struct list_node fronts, pams, slow;
	size_t n_slow, n_logins;
	struct loop_task slow_task;
};

static void login_free(struct auth_ticket *t)
{
	struct auth_server *s = t->front->server;

	if (t->waits_for_grant)
		s->hooks->forget(s->ctx, t);
	if (t->pam != NULL)
		hmap_del(t->pam->logins, slice_mem(&t->pam_id, sizeof(t->pam_id)));
	if (list_is_linked(&t->slow)) {
		list_remove(&t->slow);
		s->n_slow--;
	}
	hmap_del(t->front->logins, slice_mem(&t->id, sizeof(t->id)));
	auth_dialogue_free(&t->dialogue);
	arena_free(&t->arena);
	s->n_logins--;
	free(t);
}

static void send_answer(struct auth_ticket *t, struct auth_msg_answer *a)
{
	struct msg m;

	a->id = t->id;
	a->user = slice_head(t->fact.user, LIMIT_USER_NAME);
	a->method = slice_of(t->method);
	auth_msg_put_answer(&m, a);
	chan_send(t->front->chan, &m);
}

static void finish(struct auth_ticket *t, enum auth_result result, struct slice challenge, const char *text, uint32_t delay_ms)
{
	struct auth_msg_answer a = { .result = result, .challenge = challenge, .text = slice_head(slice_of(text), 200), .delay_ms = delay_ms };

	send_answer(t, &a);
	login_free(t);
}

static void deny(struct auth_ticket *t, const char *text, uint32_t extra_ms)
{
	struct auth_server *s = t->front->server;
	uint32_t delay = s->s->auth_failure_delay * 1000;

	if (s->hooks->failed != NULL)
		delay = s->hooks->failed(s->ctx, &t->fact, loop_wall_us(s->loop));
	finish(t, AUTH_DENIED, SLICE_NONE, text, delay > extra_ms ? delay : extra_ms);
}

/* Who guards the mailboxes hears of it from us, not from the front. */
static void welcome(struct auth_ticket *t)
{
	struct auth_server *s = t->front->server;
	struct auth_msg_answer a = { .result = AUTH_OK, .challenge = t->last_challenge };
	uint8_t ticket[AUTH_TICKET_SIZE];
	int rc = s->hooks->vouch != NULL ? s->hooks->vouch(s->ctx, &t->fact, ticket, &a.generation) : 0;

	if (rc < 0) {
		finish(t, AUTH_TEMP, SLICE_NONE, "the spawner cannot be told of the login", 0);
		return;
	}
	if (rc > 0)
		a.ticket = slice_mem(ticket, sizeof(ticket));
	send_answer(t, &a);
	login_free(t);
}

const struct auth_login_fact *auth_server_fact(const struct auth_ticket *t, void **hooks_ctx_out)
{
	*hooks_ctx_out = t->front->server->ctx;
	return &t->fact;
}

void auth_server_granted(struct auth_ticket *t)
{
	t->waits_for_grant = false;
	welcome(t);
}

static void accept_login(struct auth_ticket *t)
{
	struct auth_server *s = t->front->server;

	if (s->hooks->succeeded != NULL)
		s->hooks->succeeded(s->ctx, &t->fact, loop_wall_us(s->loop));
	if (t->wants_grant && s->hooks->grant != NULL && t->fact.addr.len != 0) {
		t->waits_for_grant = true;
		s->hooks->grant(s->ctx, t, &t->fact);
		return;
	}
	welcome(t);
}

/* What the cache knows is of the present users.db only. */
static void follow_users(struct auth_server *s)
{
	struct arena *a = arena_new(0);
	struct user u;

	if (users_get(s->users, SLICE("-@-"), a, &u, NULL) >= 0 && users_generation(s->users) != s->users_generation) {
		s->users_generation = users_generation(s->users);
		auth_cache_clear(s->cache);
	}
	arena_free(&a);
}

static void ask_pam(struct auth_ticket *t)
{
	struct auth_server *s = t->front->server;
	struct auth_msg_pam p = { .id = ++s->next_pam_id, .user = t->fact.user, .password = t->password, .service = t->fact.service, .addr = t->fact.addr };
	struct slice at_default = slice_of(arena_printf(t->arena, "@%s", s->default_domain));
	struct msg m;

	if (s->pam == NULL || chan_is_full(s->pam->chan)) {
		finish(t, AUTH_TEMP, SLICE_NONE, "the PAM process is not there", 0);
		return;
	}
	if (slice_iends(p.user, at_default))
		p.user.n -= at_default.n;                                 /* system accounts have no domain */
	t->pam_id = p.id;
	t->pam = s->pam;
	hmap_put(t->pam->logins, slice_mem(&t->pam_id, sizeof(t->pam_id)), t);
	auth_msg_put_pam(&m, AUTH_MSG_PAM_CHECK, &p);
	chan_send(t->pam->chan, &m);
}

static void deny_nobody(struct auth_ticket *t)
{
	password_check_nobody(t->password);
	deny(t, "unknown user", 0);
}

/* The slow part, for one login. */
static void verify(struct auth_ticket *t)
{
	struct auth_server *s = t->front->server;
	struct user u = { .name = SLICE_NONE };
	struct err e = ERR_INIT;

	if (t->blocked) {
		password_check_nobody(t->password);
		deny(t, "too many failures, refused unheard", 0);
		return;
	}
	int rc = s->use_users && !t->bad_name ? users_get(s->users, t->fact.user, t->arena, &u, &e) : 0;

	if (rc < 0) {
		finish(t, AUTH_TEMP, SLICE_NONE, e.text, 0);
		return;
	}
	if (rc == 0) {
		if (s->use_pam && !t->bad_name)
			ask_pam(t);
		else
			deny_nobody(t);
		return;
	}
	rc = password_check(u.hash, t->password, &e);
	if (rc < 0)
		finish(t, AUTH_TEMP, SLICE_NONE, e.text, 0);
	else if (rc == 0)
		deny(t, "wrong password", 0);
	else if (u.flags & USER_DISABLED)
		deny(t, "the account is disabled", 0);
	else {
		auth_cache_put(s->cache, t->fact.user, t->password, loop_now(s->loop));
		accept_login(t);
	}
}

static void run_slow(void *ctx)
{
	struct auth_server *s = ctx;
	struct list_node *n = list_first(&s->slow);

	if (n == NULL)
		return;
	struct auth_ticket *t = LIST_OF(n, struct auth_ticket, slow);
	list_remove(n);
	s->n_slow--;
	follow_users(s);
	verify(t);
	if (!list_is_empty(&s->slow))
		loop_task_queue(s->loop, &s->slow_task, run_slow, s);
}

/* User and password are known: cached, or into the line. */
static void check_claim(struct auth_ticket *t)
{
	struct auth_server *s = t->front->server;

	t->blocked = s->hooks->may_try != NULL && !s->hooks->may_try(s->ctx, &t->fact, loop_wall_us(s->loop));
	follow_users(s);
	if (!t->blocked && auth_cache_has(s->cache, t->fact.user, t->password, loop_now(s->loop))) {
		accept_login(t);
		return;
	}
	if (s->n_slow >= AUTH_SLOW_QUEUE) {
		finish(t, AUTH_TEMP, SLICE_NONE, "too many logins wait for their password check", 0);
		return;
	}
	list_append(&s->slow, &t->slow);
	s->n_slow++;
	loop_task_queue(s->loop, &s->slow_task, run_slow, s);
}

/* SCRAM has proved the password; the account may still be closed. */
static void check_proved(struct auth_ticket *t)
{
	struct auth_server *s = t->front->server;
	struct user u;
	struct err e = ERR_INIT;
	int rc = users_get(s->users, t->fact.user, t->arena, &u, &e);

	if (rc < 0)
		finish(t, AUTH_TEMP, SLICE_NONE, e.text, 0);
	else if (rc == 0 || (u.flags & USER_DISABLED))
		deny(t, "the account is disabled", 0);
	else if (s->hooks->may_try != NULL && !s->hooks->may_try(s->ctx, &t->fact, loop_wall_us(s->loop)))
		deny(t, "too many failures, refused unheard", 0);
	else
		accept_login(t);
}

static void after_step(struct auth_ticket *t, enum auth_step step, struct slice challenge)
{
	struct auth_msg_answer more = { .result = AUTH_MORE, .challenge = challenge };

	t->fact.user = auth_dialogue_user(t->dialogue);
	switch (step) {
	case AUTH_STEP_MORE:
		send_answer(t, &more);
		break;
	case AUTH_STEP_PROVED:
		t->last_challenge = arena_dup(t->arena, challenge);
		check_proved(t);
		break;
	case AUTH_STEP_CLAIMED:
		t->password = auth_dialogue_password(t->dialogue);
		check_claim(t);
		break;
	case AUTH_STEP_DENIED:
		deny(t, auth_dialogue_why(t->dialogue), 0);
		break;
	case AUTH_STEP_SYNTAX:
		finish(t, AUTH_SYNTAX, SLICE_NONE, auth_dialogue_why(t->dialogue), 0);
		break;
	case AUTH_STEP_TEMP:
		finish(t, AUTH_TEMP, SLICE_NONE, auth_dialogue_why(t->dialogue), 0);
		break;
	}
}

static struct auth_ticket *login_new(struct front *f, const struct auth_msg_call *c)
{
	struct auth_ticket *t = mem_new(sizeof(*t));

	t->front = f;
	t->id = c->id;
	t->arena = arena_new_secret(0);
	t->method = "";
	t->fact = (struct auth_login_fact){ .addr = c->addr, .service = arena_dup(t->arena, c->service), .session = arena_dup(t->arena, c->session), .tls = c->tls };
	t->wants_grant = c->grant;
	hmap_put(f->logins, slice_mem(&t->id, sizeof(t->id)), t);
	f->server->n_logins++;
	return t;
}

static bool has_word(const char *list, struct slice word)
{
	struct slice rest = slice_of(list), w;

	while (conf_word(&rest, &w))
		if (slice_ieq(w, word))
			return true;
	return false;
}

static void on_start(struct front *f, const struct auth_msg_call *c)
{
	struct auth_server *s = f->server;
	struct auth_ticket *t = login_new(f, c);
	const char *offered = auth_mechanisms(s->s, c->tls, &c->addr, t->arena);
	struct auth_dialogue_spec spec = { .mechanism = c->mechanism, .cb_type = c->cb_type, .cb_data = c->cb_data, .cb_end_point = c->cb_end_point, .tls = c->tls,
		.plus_offered = (c->cb_data.n != 0 || c->cb_end_point.n != 0) && has_word(offered, SLICE("SCRAM-SHA-256-PLUS")) };
	struct slice challenge = SLICE_NONE;

	t->dialogue = has_word(offered, c->mechanism) ? auth_dialogue_new(s->sasl, &spec) : NULL;
	if (t->dialogue == NULL) {
		finish(t, AUTH_SYNTAX, SLICE_NONE, "mechanism not offered here", 0);
		return;
	}
	t->method = auth_dialogue_method(t->dialogue);
	after_step(t, auth_dialogue_start(t->dialogue, c->has_initial ? &c->initial : NULL, &challenge), challenge);
}

static void on_login(struct front *f, const struct auth_msg_call *c)
{
	struct auth_ticket *t = login_new(f, c);
	struct slice name;

	t->method = "PLAINTEXT";
	t->password = arena_dup(t->arena, c->password);
	if (!auth_plaintext_ok(f->server->s, c->tls, &c->addr)) {
		finish(t, AUTH_SYNTAX, SLICE_NONE, "no password without TLS", 0);
		return;
	}
	if (users_canonical(c->user, f->server->default_domain, t->arena, &name) != 0) {
		name = arena_dup(t->arena, slice_head(c->user, LIMIT_USER_NAME));
		t->bad_name = true;
	}
	t->fact.user = name;
	check_claim(t);
}

static void on_continue(struct auth_ticket *t, struct slice response)
{
	struct slice challenge = SLICE_NONE;

	if (t->dialogue == NULL || t->password.p != NULL || t->last_challenge.p != NULL)
		return;                                                   /* it is under way already */
	enum auth_step step = auth_dialogue_step(t->dialogue, response, &challenge);

	after_step(t, step, challenge);
}

static void front_free(struct front *f)
{
	struct slice key;
	void *t;
	size_t at = 0;

	while (hmap_next(f->logins, &at, &key, &t))
		login_free(t);
	list_remove(&f->node);
	hmap_free(&f->logins);
	chan_free(&f->chan);
	free(f);
}

static void on_front_close(void *ctx)
{
	front_free(ctx);
}

static void on_front_msg(void *ctx, struct msg *m)
{
	struct front *f = ctx;
	struct auth_msg_call c;
	struct auth_ticket *t;

	if (auth_msg_get_call(m, &c) != 0) {
		front_free(f);
		return;
	}
	t = hmap_get(f->logins, slice_mem(&c.id, sizeof(c.id)));
	if (m->type == AUTH_MSG_START && t == NULL)
		on_start(f, &c);
	else if (m->type == AUTH_MSG_LOGIN && t == NULL)
		on_login(f, &c);
	else if (m->type == AUTH_MSG_CONTINUE && t != NULL)
		on_continue(t, c.initial);
	else if (m->type == AUTH_MSG_CANCEL && t != NULL)
		login_free(t);
}

static const struct chan_ops front_ops = { .on_msg = on_front_msg, .on_close = on_front_close };

void auth_server_front(struct auth_server *s, int fd)
{
	struct front *f = mem_new(sizeof(*f));

	f->server = s;
	f->logins = hmap_new();
	list_append(&s->fronts, &f->node);
	f->chan = chan_new(s->loop, fd, &front_ops, f);
}

static void pam_down(struct pam_link *p)
{
	struct auth_server *s = p->server;
	struct slice key;
	void *v;
	size_t at = 0;

	if (s->pam == p)
		s->pam = NULL;
	chan_free(&p->chan);
	while (hmap_next(p->logins, &at, &key, &v)) {
		struct auth_ticket *t = v;
		hmap_del(p->logins, key);
		t->pam = NULL;
		finish(t, AUTH_TEMP, SLICE_NONE, "the PAM process ended", 0);
	}
	list_remove(&p->node);
	hmap_free(&p->logins);
	free(p);
}

static void on_pam_close(void *ctx)
{
	pam_down(ctx);
}

static void on_pam_msg(void *ctx, struct msg *m)
{
	struct pam_link *link = ctx;
	struct auth_msg_pam p;

	if (auth_msg_get_pam(m, &p) != 0 || m->type != AUTH_MSG_PAM_ANSWER) {
		pam_down(link);
		return;
	}
	struct auth_ticket *t = hmap_del(link->logins, slice_mem(&p.id, sizeof(p.id)));
	if (t == NULL)
		return;
	t->pam = NULL;
	if (p.result == AUTH_OK)
		accept_login(t);
	else if (p.result == AUTH_DENIED)
		deny(t, arena_str(t->arena, p.text), p.delay_ms);
	else
		finish(t, AUTH_TEMP, SLICE_NONE, arena_str(t->arena, p.text), 0);
}

static const struct chan_ops pam_ops = { .on_msg = on_pam_msg, .on_close = on_pam_close };

void auth_server_pam(struct auth_server *s, int fd)
{
	struct pam_link *p = mem_new(sizeof(*p));

	p->server = s;
	p->logins = hmap_new();
	list_append(&s->pams, &p->node);
	p->chan = chan_new(s->loop, fd, &pam_ops, p);
	s->pam = p;
}

const char *auth_default_domain(const struct settings *s, struct arena *a)
{
	struct slice rest = slice_of(s->mydestination), word;

	if (s->default_domain[0] != '\0')
		return s->default_domain;
	return conf_word(&rest, &word) ? arena_str(a, word) : s->myhostname;
}

int auth_server_new(struct auth_server **s_out, struct loop *l, const struct settings *set, const struct auth_server_hooks *hooks, void *ctx, struct err *e)
{
	struct auth_server *s = mem_new(sizeof(*s));

	s->loop = l;
	s->s = set;
	s->hooks = hooks;
	s->ctx = ctx;
	s->arena = arena_new(0);
	s->default_domain = auth_default_domain(set, s->arena);
	s->use_users = has_word(set->passdb, SLICE("users"));
	s->use_pam = has_word(set->passdb, SLICE("pam"));
	s->cache = auth_cache_new((int64_t)set->auth_cache_time * 1000);
	list_init(&s->fronts);
	list_init(&s->pams);
	list_init(&s->slow);
	if (users_open(&s->users, set->users_db, e) != 0 || auth_sasl_init(&s->sasl, s->users, s->default_domain, e) != 0) {
		auth_server_free(&s);
		return -1;
	}
	s->users_generation = users_generation(s->users);
	*s_out = s;
	return 0;
}

void auth_server_free(struct auth_server **sp)
{
	struct auth_server *s = sp ? *sp : NULL;
	struct list_node *n;

	if (s == NULL)
		return;
	while ((n = list_first(&s->fronts)) != NULL)
		front_free(LIST_OF(n, struct front, node));
	loop_task_cancel(&s->slow_task);
	while ((n = list_first(&s->pams)) != NULL)
		pam_down(LIST_OF(n, struct pam_link, node));
	auth_cache_free(&s->cache);
	auth_sasl_done(&s->sasl);
	users_close(&s->users);
	arena_free(&s->arena);
	free(s);
	*sp = NULL;
}

size_t auth_server_busy(const struct auth_server *s)
{
	return s->n_logins;
}
