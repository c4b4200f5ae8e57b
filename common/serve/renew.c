/*
 * serve/renew.c - see the header. Whatever a session process says, it makes four calls to dracd at most in the time that is due.
 */
#include "serve/renew.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "drac/drac.h"
#include "drac/drac_msg.h"

enum { ANSWER_MS = 5000 };

struct login {
	struct list_node node;                                        /* of the owner; not listed while it sleeps */
	struct renew *r;
	uint64_t key[2];                                              /* front, id */
	struct net_addr addr;
	bool tls, is_cut;                                             /* dracd has no such grant (any more): another login must make one */
	int64_t told_at;
	struct loop_timer timer;                                      /* while it sleeps and counts */
	struct slice user, session;
	char text[];
};

struct renew {
	struct loop *l;
	const struct settings *s;
	const char *service;
	struct drac_client *drac;
	struct hmap *logins;
	bool is_down;                                                 /* dracd did not answer last time: one line in the log */
};

int64_t renew_every_ms(const struct settings *s)
{
	int64_t ms = (int64_t)s->drac_lifetime * 1000 / 3;

	return !s->drac ? 0 : ms > 0 ? ms : 1;
}

struct renew *renew_new(struct loop *l, const struct settings *s, const char *service)
{
	struct renew *r;

	if (!s->drac)
		return NULL;
	r = mem_new(sizeof(*r));
	r->l = l;
	r->s = s;
	r->service = service;
	r->drac = drac_client_new(l, s->drac_socket);
	r->logins = hmap_new();
	return r;
}

static struct slice key_of(const uint64_t key[2])
{
	return slice_mem(key, 2 * sizeof(key[0]));
}

static struct login *find(const struct renew *r, uint32_t front, uint64_t id)
{
	const uint64_t key[2] = { front, id };

	return r != NULL ? hmap_get(r->logins, key_of(key)) : NULL;
}

static void login_free(struct login *g)
{
	struct renew *r = g->r;

	drac_forget(r->drac, g);
	loop_timer_stop(r->l, &g->timer);
	list_remove(&g->node);
	(void)hmap_del(r->logins, key_of(g->key));
	free(g);
}

void renew_free(struct renew **rp)
{
	struct renew *r = rp != NULL ? *rp : NULL;
	struct slice key;
	void *value;
	size_t at = 0;

	if (r == NULL)
		return;
	while (hmap_next(r->logins, &at, &key, &value))
		login_free(value);
	hmap_free(&r->logins);
	drac_client_free(&r->drac);
	free(r);
	*rp = NULL;
}

/*
 * Telling
 */

static void on_answer(void *ctx, const struct drac_grant *a)
{
	struct login *g = ctx;
	bool is_down = a->verdict == DRAC_UNREACHABLE;

	if (a->verdict == DRAC_NO_GRANT)
		g->is_cut = true;
	if (is_down && !g->r->is_down)
		log_warn("drac: grants of open sessions are not renewed for now: %s", a->text);
	g->r->is_down = is_down;
}

static void tell(struct login *g)
{
	struct renew *r = g->r;

	if (g->is_cut)
		return;
	g->told_at = loop_now(r->l);
	drac_send_grant(r->drac, &g->addr, g->user, r->service, r->s->myhostname, g->session, DRAC_WHO_RENEWAL | (g->tls ? DRAC_WHO_TLS : 0u), ANSWER_MS,
	    on_answer, g);
}

void renew_used(struct renew *r, uint32_t front, uint64_t id, struct slice user)
{
	struct login *g = find(r, front, id);

	if (g != NULL && slice_eq(g->user, user) && loop_now(r->l) - g->told_at >= renew_every_ms(r->s) / 4)
		tell(g);
}

static void on_due(void *ctx)
{
	struct login *g = ctx;

	tell(g);
	loop_timer_start(g->r->l, &g->timer, renew_every_ms(g->r->s), on_due, g);
}

/*
 * Keeping the list
 */

void renew_begin(struct renew *r, const struct renew_login *login, struct list_node *owner)
{
	struct login *g = find(r, login->front, login->id);

	if (r == NULL || login->addr.len == 0)
		return;
	if (g != NULL)
		login_free(g);
	g = mem_new(sizeof(*g) + login->user.n + login->session.n);
	g->r = r;
	g->key[0] = login->front;
	g->key[1] = login->id;
	g->addr = login->addr;
	g->tls = login->tls;
	g->told_at = loop_now(r->l);                                      /* by the auth process, just now */
	memcpy(g->text, login->user.p, login->user.n);
	if (login->session.n > 0)
		memcpy(g->text + login->user.n, login->session.p, login->session.n);
	g->user = slice_mem(g->text, login->user.n);
	g->session = slice_mem(g->text + login->user.n, login->session.n);
	(void)hmap_put(r->logins, key_of(g->key), g);
	list_append(owner, &g->node);
}

void renew_sleep(struct renew *r, uint32_t front, uint64_t id, struct slice user, uint32_t new_front, bool counts)
{
	struct login *g = find(r, front, id);

	if (g == NULL || !slice_eq(g->user, user))
		return;
	list_remove(&g->node);
	if (new_front != front) {
		(void)hmap_del(r->logins, key_of(g->key));
		g->key[0] = new_front;
		(void)hmap_put(r->logins, key_of(g->key), g);
	}
	int64_t left = g->told_at + renew_every_ms(r->s) - loop_now(r->l);

	if (counts)
		loop_timer_start(r->l, &g->timer, left > 0 ? left : 0, on_due, g);
}

void renew_wake(struct renew *r, uint32_t front, uint64_t id, struct list_node *owner)
{
	struct login *g = find(r, front, id);

	if (g == NULL)
		return;
	loop_timer_stop(r->l, &g->timer);
	list_remove(&g->node);
	list_append(owner, &g->node);
}

void renew_end(struct renew *r, uint32_t front, uint64_t id, struct slice user)
{
	struct login *g = find(r, front, id);

	if (g != NULL && slice_eq(g->user, user))
		login_free(g);
}

void renew_end_all(struct renew *r, struct list_node *owner)
{
	if (r == NULL)
		return;
	LIST_EACH_SAFE(n, owner)
		login_free(LIST_OF(n, struct login, node));
}
