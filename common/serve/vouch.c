/* serve/vouch.c - see the header. A ticket that was sent is never sent again: what a spawner took with it when it died is lost. */
#include "serve/vouch.h"

#include <stdlib.h>
#include <string.h>

#include "auth/auth_msg.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"

enum { VOUCH_TICKET_MS = 30000, VOUCH_WAITING = 256 };

struct vouch_link {
	struct list_node node;
	struct vouch *v;
	struct chan *c;
};

struct vouch_waiting {
	struct list_node node;
	uint8_t ticket[AUTH_TICKET_SIZE];
	int64_t until_ms;
	struct net_addr addr;
	size_t user_len;
	char user[LIMIT_USER_NAME];
};

struct vouch {
	struct loop *l;
	struct list_node links;                                       /* newest first */
	struct list_node waiting;                                     /* oldest first */
	size_t n_waiting;
};

struct vouch *vouch_new(struct loop *l)
{
	struct vouch *v = mem_new(sizeof(*v));

	v->l = l;
	list_init(&v->links);
	list_init(&v->waiting);
	return v;
}

static void waiting_free(struct vouch *v, struct vouch_waiting *w)
{
	list_remove(&w->node);
	v->n_waiting--;
	free(w);
}

static void link_free(struct vouch_link *k)
{
	list_remove(&k->node);
	chan_free(&k->c);
	free(k);
}

void vouch_free(struct vouch **vp)
{
	struct vouch *v = vp ? *vp : NULL;
	struct list_node *n;

	if (v == NULL)
		return;
	while ((n = list_first(&v->links)) != NULL)
		link_free(LIST_OF(n, struct vouch_link, node));
	while ((n = list_first(&v->waiting)) != NULL)
		waiting_free(v, LIST_OF(n, struct vouch_waiting, node));
	free(v);
	*vp = NULL;
}

static void say(struct vouch_link *k, const uint8_t *ticket, struct slice user, const struct net_addr *addr, int64_t ttl_ms)
{
	const struct auth_msg_vouch a = { .ticket = slice_mem(ticket, AUTH_TICKET_SIZE), .user = user, .addr = *addr, .ttl_ms = (uint32_t)ttl_ms };
	struct msg m;

	auth_msg_put_vouch(&m, &a);
	chan_send(k->c, &m);
}

static void on_close(void *ctx)
{
	link_free(ctx);
}

/* The spawner has nothing to say here. */
static void on_msg(void *ctx, struct msg *m)
{
	(void)m;
	link_free(ctx);
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_close = on_close };

void vouch_link(struct vouch *v, int fd)
{
	struct vouch_link *k = mem_new(sizeof(*k));

	k->v = v;
	k->c = chan_new(v->l, fd, &ops, k);
	list_prepend(&v->links, &k->node);
	LIST_EACH_SAFE(n, &v->waiting) {
		struct vouch_waiting *w = LIST_OF(n, struct vouch_waiting, node);

		if (w->until_ms > loop_now(v->l))
			say(k, w->ticket, slice_mem(w->user, w->user_len), &w->addr, w->until_ms - loop_now(v->l));
		waiting_free(v, w);
	}
}

static void drop_expired(struct vouch *v)
{
	LIST_EACH_SAFE(n, &v->waiting) {
		struct vouch_waiting *w = LIST_OF(n, struct vouch_waiting, node);

		if (w->until_ms <= loop_now(v->l))
			waiting_free(v, w);
	}
}

static int wait_for_link(struct vouch *v, const uint8_t *ticket, struct slice user, const struct net_addr *addr)
{
	struct vouch_waiting *w;

	drop_expired(v);
	if (v->n_waiting >= VOUCH_WAITING)
		return -1;
	w = mem_new(sizeof(*w));
	memcpy(w->ticket, ticket, sizeof(w->ticket));
	memcpy(w->user, user.p, user.n);
	w->user_len = user.n;
	w->addr = *addr;
	w->until_ms = loop_now(v->l) + VOUCH_TICKET_MS;
	list_append(&v->waiting, &w->node);
	v->n_waiting++;
	return 0;
}

int vouch_for(struct vouch *v, struct slice user, const struct net_addr *addr, uint8_t ticket_out[AUTH_TICKET_SIZE])
{
	struct list_node *n = list_first(&v->links);
	struct vouch_link *k = n != NULL ? LIST_OF(n, struct vouch_link, node) : NULL;
	uint8_t ticket[AUTH_TICKET_SIZE];

	if (user.n == 0 || user.n > LIMIT_USER_NAME || (k != NULL && chan_is_full(k->c)))
		return -1;
	text_random(ticket, sizeof(ticket));
	if (k != NULL)
		say(k, ticket, user, addr, VOUCH_TICKET_MS);
	else if (wait_for_link(v, ticket, user, addr) < 0)
		return -1;
	memcpy(ticket_out, ticket, sizeof(ticket));
	return 0;
}
