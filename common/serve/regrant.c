/*
 * serve/regrant.c - see the header. One timer for all: dracd is away for everybody.
 */
#include "serve/regrant.h"

#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "drac/drac_msg.h"

enum { EVERY_MS = 1000, ANSWER_MS = 900, AT_ONCE = 64 };

struct late {
	struct list_node node;
	struct regrant *r;
	struct net_addr addr;
	bool tls, is_asked;
	int64_t until_ms;
	struct slice user, session;
	const char *service;
	char text[];
};

struct regrant {
	struct loop *l;
	struct drac_client *drac;
	const char *hostname;
	struct list_node all;                                         /* oldest first */
	size_t n;
	struct loop_timer timer;
};

struct regrant *regrant_new(struct loop *l, struct drac_client *drac, const char *hostname)
{
	struct regrant *r = mem_new(sizeof(*r));

	r->l = l;
	r->drac = drac;
	r->hostname = hostname;
	list_init(&r->all);
	return r;
}

static void late_free(struct late *g)
{
	drac_forget(g->r->drac, g);
	list_remove(&g->node);
	g->r->n--;
	free(g);
}

void regrant_free(struct regrant **rp)
{
	struct regrant *r = rp != NULL ? *rp : NULL;

	if (r == NULL)
		return;
	LIST_EACH_SAFE(n, &r->all)
		late_free(LIST_OF(n, struct late, node));
	loop_timer_stop(r->l, &r->timer);
	free(r);
	*rp = NULL;
}

static void on_answer(void *ctx, const struct drac_grant *a)
{
	struct late *g = ctx;
	char addr[NET_TEXT_MAX];

	g->is_asked = false;
	if (a->verdict == DRAC_UNREACHABLE)
		return;
	log_info("drac: late grant, dracd is there again: user=<%.*s>, addr=%s: %s", SLICE_FMT(g->user), net_addr_text(&g->addr, addr), a->text);
	late_free(g);
}

static void on_time(void *ctx)
{
	struct regrant *r = ctx;
	unsigned n_asked = 0;

	LIST_EACH_SAFE(n, &r->all) {
		struct late *g = LIST_OF(n, struct late, node);

		if (g->is_asked)
			continue;
		if (g->until_ms <= loop_now(r->l)) {
			late_free(g);
			continue;
		}
		if (++n_asked > AT_ONCE)
			break;
		g->is_asked = true;
		drac_send_grant(r->drac, &g->addr, g->user, g->service, r->hostname, g->session, g->tls ? DRAC_WHO_TLS : 0u, ANSWER_MS, on_answer, g);
	}
	if (r->n > 0)
		loop_timer_start(r->l, &r->timer, EVERY_MS, on_time, r);
}

void regrant_add(struct regrant *r, const struct auth_login_fact *f)
{
	struct late *g;
	char *p;

	if (r->n >= REGRANT_MAX)
		return;
	g = mem_new(sizeof(*g) + f->user.n + f->session.n + f->service.n + 1);
	g->r = r;
	g->addr = f->addr;
	g->tls = f->tls;
	g->until_ms = loop_now(r->l) + REGRANT_FOR_MS;
	p = g->text;
	memcpy(p, f->user.p, f->user.n);
	g->user = slice_mem(p, f->user.n);
	p += f->user.n;
	if (f->session.n > 0)
		memcpy(p, f->session.p, f->session.n);
	g->session = slice_mem(p, f->session.n);
	p += f->session.n;
	if (f->service.n > 0)
		memcpy(p, f->service.p, f->service.n);
	g->service = p;
	list_append(&r->all, &g->node);
	r->n++;
	if (!loop_timer_is_running(&r->timer))
		loop_timer_start(r->l, &r->timer, EVERY_MS, on_time, r);
}
