/*
 * auth/auth.c - a front's side of a login: spreads the requests over the auth processes, waits for answers, and holds back refusals.
 *
 * Requests of one user go to one process, so that its cache knows the password. A process that dies takes its requests with it (AUTH_TEMP);
 * a request that comes before the first link waits for it.
 */
#include "auth/auth.h"

#include <stdlib.h>
#include <string.h>

#include "auth/auth_msg.h"
#include "base/arena.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"

#define AUTH_LINKS 64u
#define WAIT_FOR_LINK_MS 5000
#define ANSWER_MS 45000                                                   /* over the slowest hash; PAM's deadline is added */

struct link {
	struct auth_client *client;
	struct chan *chan;
	unsigned index;
	struct list_node requests;
	struct list_node node;
};

struct auth_client {
	struct loop *loop;
	int64_t answer_ms;
	unsigned n_links, next_link;
	uint64_t next_id;
	struct link *links[AUTH_LINKS];                               /* for new work; older ones finish what they hold (serve/super.h) */
	struct list_node all_links;
	struct list_node waiting;                                     /* requests without a link */
	struct hmap *by_id;
};

struct auth_request {
	struct auth_client *client;
	struct link *link;
	struct list_node node;                                        /* of link->requests or client->waiting */
	uint64_t id;
	uint64_t spread;
	struct msg first;                                             /* while waiting for a link */
	bool has_first;
	struct loop_timer timer;
	void (*fn)(void *ctx, const struct auth_answer *a);
	void *ctx;
	struct arena *arena;                                          /* of a refusal that is held back */
	struct auth_answer held;
};

static struct slice id_key(const uint64_t *id)
{
	return slice_mem(id, sizeof(*id));
}

static void request_free(struct auth_request *r)
{
	loop_timer_stop(r->client->loop, &r->timer);
	list_remove(&r->node);
	hmap_del(r->client->by_id, id_key(&r->id));
	if (r->has_first)
		msg_free(&r->first);
	arena_free(&r->arena);
	free(r);
}

static void finish(struct auth_request *r, const struct auth_answer *a)
{
	void (*fn)(void *ctx, const struct auth_answer *a) = r->fn;
	void *ctx = r->ctx;
	struct arena *arena = r->arena;                                   /* *a may live in it */

	r->arena = NULL;
	request_free(r);
	fn(ctx, a);
	arena_free(&arena);
}

static void finish_temp(struct auth_request *r, const char *text)
{
	const struct auth_answer a = { .result = AUTH_TEMP, .text = text };

	finish(r, &a);
}

static void on_no_link(void *ctx)
{
	finish_temp(ctx, "no auth process is running");
}

static void on_no_answer(void *ctx)
{
	struct auth_request *r = ctx;
	struct auth_msg_call c = { .id = r->id };
	struct msg m;

	if (r->link != NULL) {
		auth_msg_put_call(&m, AUTH_MSG_CANCEL, &c);
		chan_send(r->link->chan, &m);
	}
	finish_temp(r, "the auth process does not answer");
}

static void on_held(void *ctx)
{
	struct auth_request *r = ctx;
	struct auth_answer a = r->held;

	finish(r, &a);
}

/* The process is done with a refusal; the client hears it later. */
static void hold_back(struct auth_request *r, const struct auth_answer *a, uint32_t delay_ms)
{
	r->arena = arena_new(0);
	r->held = *a;
	r->held.user = arena_dup(r->arena, a->user);
	r->held.method = arena_dup(r->arena, a->method);
	r->held.text = arena_str(r->arena, slice_of(a->text));
	r->held.challenge = SLICE_NONE;
	list_remove(&r->node);
	r->link = NULL;
	loop_timer_start(r->client->loop, &r->timer, delay_ms, on_held, r);
}

static void answer(struct auth_request *r, const struct auth_msg_answer *am)
{
	char text[256];
	size_t n = am->text.n < sizeof(text) ? am->text.n : sizeof(text) - 1;
	struct auth_answer a = { .result = am->result, .challenge = am->challenge, .user = am->user, .method = am->method, .text = text,
		.ticket = am->ticket, .generation = am->generation };

	if (n != 0)
		memcpy(text, am->text.p, n);
	text[n] = '\0';
	if (a.result == AUTH_MORE) {
		loop_timer_stop(r->client->loop, &r->timer);              /* the connection's own deadline rules now */
		r->fn(r->ctx, &a);
	} else if (am->delay_ms != 0)
		hold_back(r, &a, am->delay_ms);
	else
		finish(r, &a);
}

static void link_down(struct link *l)
{
	struct list_node gone;
	struct list_node *n;

	if (l->client->links[l->index] == l)
		l->client->links[l->index] = NULL;
	list_remove(&l->node);
	chan_free(&l->chan);
	list_init(&gone);
	while ((n = list_first(&l->requests)) != NULL) {
		LIST_OF(n, struct auth_request, node)->link = NULL;
		list_remove(n);
		list_append(&gone, n);
	}
	free(l);
	while ((n = list_first(&gone)) != NULL)
		finish_temp(LIST_OF(n, struct auth_request, node), "the auth process ended");
}

static void on_close(void *ctx)
{
	link_down(ctx);
}

static void on_msg(void *ctx, struct msg *m)
{
	struct link *l = ctx;
	struct auth_client *c = l->client;
	struct auth_msg_answer a;
	struct auth_request *r;

	if (auth_msg_get_answer(m, &a) != 0) {
		link_down(l);
		return;
	}
	r = hmap_get(c->by_id, id_key(&a.id));
	if (r != NULL && r->link == l)
		answer(r, &a);
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_close = on_close };

struct auth_client *auth_client_new(struct loop *l, const struct settings *s)
{
	struct auth_client *c = mem_new(sizeof(*c));

	c->loop = l;
	c->answer_ms = ANSWER_MS + (int64_t)s->pam_timeout * 1000;
	c->next_id = 1;
	c->by_id = hmap_new();
	list_init(&c->waiting);
	list_init(&c->all_links);
	return c;
}

void auth_client_free(struct auth_client **cp)
{
	struct auth_client *c = cp ? *cp : NULL;
	struct slice key;
	void *r;
	size_t at = 0;

	if (c == NULL)
		return;
	while (hmap_next(c->by_id, &at, &key, &r))
		request_free(r);
	LIST_EACH_SAFE(n, &c->all_links) {
		struct link *l = LIST_OF(n, struct link, node);
		chan_free(&l->chan);
		free(l);
	}
	hmap_free(&c->by_id);
	free(c);
	*cp = NULL;
}

static struct link *pick(struct auth_client *c, uint64_t spread)
{
	unsigned i, n = c->n_links;

	for (i = 0; i < n; i++) {
		struct link *l = c->links[(spread + i) % n];
		if (l != NULL && !chan_is_full(l->chan))
			return l;
	}
	return NULL;
}

static void dispatch(struct auth_request *r, struct link *l, struct msg *m)
{
	list_remove(&r->node);
	list_append(&l->requests, &r->node);
	r->link = l;
	loop_timer_start(r->client->loop, &r->timer, r->client->answer_ms, on_no_answer, r);
	chan_send(l->chan, m);
}

void auth_client_link(struct auth_client *c, unsigned index, int fd)
{
	struct list_node *n;
	struct link *l = mem_new(sizeof(*l));

	l->client = c;
	l->index = index % AUTH_LINKS;
	list_init(&l->requests);
	list_append(&c->all_links, &l->node);
	l->chan = chan_new(c->loop, fd, &ops, l);
	c->links[l->index] = l;
	if (l->index >= c->n_links)
		c->n_links = l->index + 1;
	while ((n = list_first(&c->waiting)) != NULL) {
		struct auth_request *r = LIST_OF(n, struct auth_request, node);
		r->has_first = false;
		dispatch(r, l, &r->first);
	}
}

/* Who it is about, where the first response says it: the same user goes to the same process. */
static struct slice user_hint(struct slice mechanism, const struct slice *initial)
{
	struct slice rest = initial ? *initial : SLICE_NONE, field;
	ptrdiff_t at;

	if (slice_ieqs(mechanism, "PLAIN"))
		return slice_next(&rest, '\0', &field) && slice_next(&rest, '\0', &field) ? field : SLICE_NONE;
	at = slice_find(rest, SLICE(",n="));
	if (at < 0)
		return SLICE_NONE;
	rest = slice_from(rest, (size_t)at + 3);
	return slice_next(&rest, ',', &field) ? field : SLICE_NONE;
}

static uint64_t spread_of(struct auth_client *c, struct slice user)
{
	char low[LIMIT_LOCAL_PART];
	ptrdiff_t at = slice_chr(user, '@');
	struct slice local = slice_head(at < 0 ? user : slice_head(user, (size_t)at), sizeof(low));

	if (local.n == 0)
		return c->next_link++;
	for (size_t i = 0; i < local.n; i++)
		low[i] = ascii_lower(local.p[i]);
	return hash_stable(slice_mem(low, local.n));
}

static struct auth_request *start(struct auth_client *c, enum auth_msg_type type, struct auth_msg_call *call, const struct auth_peer *peer, struct slice user,
    void (*fn)(void *ctx, const struct auth_answer *a), void *ctx)
{
	struct auth_request *r = mem_new(sizeof(*r));

	*r = (struct auth_request){ .client = c, .id = c->next_id++, .fn = fn, .ctx = ctx };
	call->id = r->id;
	call->service = slice_of(peer->service);
	call->session = slice_of(peer->session);
	call->addr = peer->addr;
	call->tls = peer->tls;
	call->grant = peer->grant;
	call->cb_type = peer->cb_type;
	call->cb_data = peer->cb_data;
	call->cb_end_point = peer->cb_end_point;
	auth_msg_put_call(&r->first, type, call);
	hmap_put(c->by_id, id_key(&r->id), r);
	struct link *l = pick(c, spread_of(c, user));
	if (l != NULL) {
		dispatch(r, l, &r->first);
		return r;
	}
	r->has_first = true;
	list_append(&c->waiting, &r->node);
	loop_timer_start(c->loop, &r->timer, WAIT_FOR_LINK_MS, on_no_link, r);
	return r;
}

static void on_too_long(void *ctx)
{
	const struct auth_answer a = { .result = AUTH_SYNTAX, .text = "response too long" };

	finish(ctx, &a);
}

/* More than a message of ours may carry: refused from the loop, like every answer. */
static void refuse_long(struct auth_request *r)
{
	loop_timer_start(r->client->loop, &r->timer, 0, on_too_long, r);
}

struct auth_request *auth_start(struct auth_client *c, struct slice mechanism, const struct slice *initial_response,
    const struct auth_peer *peer, void (*fn)(void *ctx, const struct auth_answer *a), void *ctx)
{
	bool too_long = mechanism.n > 64 || (initial_response != NULL && initial_response->n > LIMIT_AUTH_LINE);
	struct auth_msg_call call = { .mechanism = slice_head(mechanism, 64), .has_initial = initial_response != NULL && !too_long };

	if (call.has_initial)
		call.initial = *initial_response;
	struct auth_request *r = start(c, AUTH_MSG_START, &call, peer, user_hint(mechanism, call.has_initial ? &call.initial : NULL), fn, ctx);

	if (too_long)
		refuse_long(r);
	return r;
}

struct auth_request *auth_login(struct auth_client *c, struct slice user, struct slice password,
    const struct auth_peer *peer, void (*fn)(void *ctx, const struct auth_answer *a), void *ctx)
{
	bool too_long = user.n > LIMIT_AUTH_LINE || password.n > LIMIT_AUTH_LINE;
	struct auth_msg_call call = { .user = too_long ? SLICE_NONE : user, .password = too_long ? SLICE_NONE : password };
	struct auth_request *r = start(c, AUTH_MSG_LOGIN, &call, peer, call.user, fn, ctx);

	if (too_long)
		refuse_long(r);
	return r;
}

void auth_continue(struct auth_request *r, struct slice response)
{
	struct auth_msg_call call = { .id = r->id, .initial = response };
	struct msg m;

	if (response.n > LIMIT_AUTH_LINE || r->link == NULL) {
		refuse_long(r);
		return;
	}
	loop_timer_start(r->client->loop, &r->timer, r->client->answer_ms, on_no_answer, r);
	auth_msg_put_call(&m, AUTH_MSG_CONTINUE, &call);
	chan_send(r->link->chan, &m);
}

void auth_cancel(struct auth_request *r)
{
	struct auth_msg_call call = { .id = r->id };
	struct msg m;

	if (r->link != NULL) {
		auth_msg_put_call(&m, AUTH_MSG_CANCEL, &call);
		chan_send(r->link->chan, &m);
	}
	request_free(r);
}
