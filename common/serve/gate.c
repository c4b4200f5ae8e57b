/*
 * serve/gate.c - see the header. Tickets live for milliseconds, so the list is short and is searched whole: every compare takes the same time.
 */
#include "serve/gate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/auth_msg.h"
#include "base/arena.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

struct ticket {
	struct list_node node;
	uint8_t octets[AUTH_TICKET_SIZE];
	int64_t until_ms;
	struct net_addr addr;
	char *user;
	size_t user_len;
};

struct held {
	struct list_node node;
	struct gate *g;
	void *front;
	struct session_card card;
	struct arena *arena;                                          /* this struct and the card's texts */
	size_t octets;
	int fd;
	struct loop_timer timer;
};

struct gate_auth {
	struct list_node node;
	struct gate *g;
	struct chan *c;
};

struct gate {
	struct loop *l;
	const struct gate_ops *ops;
	void *ctx;
	struct list_node tickets, held;                               /* oldest first */
	struct list_node auths;
	size_t n_tickets, n_held, held_octets;
};

struct gate *gate_new(struct loop *l, const struct gate_ops *ops, void *ctx)
{
	struct gate *g = mem_new(sizeof(*g));

	g->l = l;
	g->ops = ops;
	g->ctx = ctx;
	list_init(&g->tickets);
	list_init(&g->held);
	list_init(&g->auths);
	return g;
}

static void ticket_free(struct gate *g, struct ticket *t)
{
	list_remove(&t->node);
	g->n_tickets--;
	free(t->user);
	free(t);
}

static void drop_expired(struct gate *g)
{
	LIST_EACH_SAFE(n, &g->tickets) {
		struct ticket *t = LIST_OF(n, struct ticket, node);

		if (t->until_ms <= loop_now(g->l))
			ticket_free(g, t);
	}
}

/* True once for a ticket, and the card is good: the address in it is the ticket's. One that is shown for another user is gone too: nobody honest does that. */
static bool take_ticket(struct gate *g, struct session_card *card)
{
	const struct slice octets = card->ticket;
	struct ticket *found = NULL;
	bool good;

	drop_expired(g);
	if (octets.n != AUTH_TICKET_SIZE)
		return false;
	LIST_EACH(n, &g->tickets) {
		struct ticket *t = LIST_OF(n, struct ticket, node);

		if (text_equal_secret(slice_mem(t->octets, sizeof(t->octets)), octets))
			found = t;
	}
	if (found == NULL)
		return false;
	good = slice_eq(card->user, slice_mem(found->user, found->user_len));
	if (good) {
		card->peer = found->addr;
		card->ticket = SLICE_NONE;
	}
	ticket_free(g, found);
	return good;
}

/*
 * Hand-overs that came first
 */

static void held_free(struct held *h)
{
	struct gate *g = h->g;
	struct arena *a = h->arena;

	loop_timer_stop(g->l, &h->timer);
	list_remove(&h->node);
	g->n_held--;
	g->held_octets -= h->octets;
	if (h->fd >= 0)
		close(h->fd);
	arena_free(&a);
}

static int take_fd(struct held *h)
{
	int fd = h->fd;

	h->fd = -1;
	return fd;
}

static void on_no_ticket(void *ctx)
{
	struct held *h = ctx;
	struct gate *g = h->g;

	g->ops->turn_away(g->ctx, h->front, &h->card, take_fd(h));
	held_free(h);
}

static void hold(struct gate *g, void *front, const struct session_card *card, int fd)
{
	struct arena *a = arena_new(1024);
	struct held *h = arena_alloc(a, sizeof(*h));

	*h = (struct held){ .g = g, .front = front, .card = *card, .arena = a, .fd = fd, .octets = card->state.n + card->left.n };
	h->card.user = arena_dup(a, card->user);
	h->card.session_id = arena_dup(a, card->session_id);
	h->card.method = arena_dup(a, card->method);
	h->card.state = arena_dup(a, card->state);
	h->card.left = arena_dup(a, card->left);
	h->card.ticket = arena_dup(a, card->ticket);
	list_append(&g->held, &h->node);
	g->n_held++;
	g->held_octets += h->octets;
	loop_timer_start(g->l, &h->timer, GATE_HOLD_MS, on_no_ticket, h);
}

static bool has_room(const struct gate *g, const struct session_card *card)
{
	return g->n_held < GATE_HELD && g->held_octets + card->state.n + card->left.n <= GATE_HELD_OCTETS;
}

void gate_come(struct gate *g, void *front, struct session_card *card, int fd)
{
	if (take_ticket(g, card)) {
		g->ops->pass(g->ctx, front, card, fd);
	} else if (card->ticket.n == AUTH_TICKET_SIZE && has_room(g, card)) {
		hold(g, front, card, fd);
	} else {
		g->ops->turn_away(g->ctx, front, card, fd);
	}
}

void gate_forget(struct gate *g, const void *front)
{
	LIST_EACH_SAFE(n, &g->held) {
		struct held *h = LIST_OF(n, struct held, node);

		if (h->front == front)
			held_free(h);
	}
}

/*
 * From the auth processes
 */

/* Nobody else has seen the ticket yet, so the first in the line that shows it is the one; a wrong user's is turned away when its time is over. */
static struct held *held_with(struct gate *g, struct slice ticket)
{
	LIST_EACH(n, &g->held) {
		struct held *h = LIST_OF(n, struct held, node);

		if (text_equal_secret(h->card.ticket, ticket))
			return h;
	}
	return NULL;
}

static void ticket_add(struct gate *g, struct slice octets, struct slice user, const struct net_addr *addr, uint32_t ttl_ms)
{
	struct ticket *t = mem_new(sizeof(*t));

	drop_expired(g);
	if (g->n_tickets >= GATE_TICKETS)
		ticket_free(g, LIST_OF(list_first(&g->tickets), struct ticket, node));
	memcpy(t->octets, octets.p, sizeof(t->octets));
	t->until_ms = loop_now(g->l) + (ttl_ms < GATE_TICKET_MS ? ttl_ms : GATE_TICKET_MS);
	t->user = mem_new(user.n + 1);
	memcpy(t->user, user.p, user.n);
	t->user_len = user.n;
	t->addr = *addr;
	list_append(&g->tickets, &t->node);
	g->n_tickets++;
}

void gate_vouch(struct gate *g, struct slice ticket, struct slice user, const struct net_addr *addr, uint32_t ttl_ms)
{
	struct held *h;

	if (ticket.n != AUTH_TICKET_SIZE || user.n == 0)
		return;
	ticket_add(g, ticket, user, addr, ttl_ms);
	h = held_with(g, ticket);
	if (h == NULL || !take_ticket(g, &h->card))
		return;
	g->ops->pass(g->ctx, h->front, &h->card, take_fd(h));
	held_free(h);
}

static void auth_free(struct gate_auth *a)
{
	list_remove(&a->node);
	chan_free(&a->c);
	free(a);
}

static void on_auth_close(void *ctx)
{
	auth_free(ctx);
}

static void on_auth_msg(void *ctx, struct msg *m)
{
	struct gate_auth *a = ctx;
	struct auth_msg_vouch v;

	if (auth_msg_get_vouch(m, &v) == 0) {
		gate_vouch(a->g, v.ticket, v.user, &v.addr, v.ttl_ms);
		return;
	}
	log_error("a message of an auth process is broken");
	auth_free(a);
}

static const struct chan_ops auth_ops = { .on_msg = on_auth_msg, .on_close = on_auth_close };

void gate_link(struct gate *g, int fd)
{
	struct gate_auth *a = mem_new(sizeof(*a));

	a->g = g;
	a->c = chan_new(g->l, fd, &auth_ops, a);
	list_append(&g->auths, &a->node);
}

void gate_free(struct gate **gp)
{
	struct gate *g = gp ? *gp : NULL;
	struct list_node *n;

	if (g == NULL)
		return;
	while ((n = list_first(&g->held)) != NULL)
		held_free(LIST_OF(n, struct held, node));
	while ((n = list_first(&g->auths)) != NULL)
		auth_free(LIST_OF(n, struct gate_auth, node));
	while ((n = list_first(&g->tickets)) != NULL)
		ticket_free(g, LIST_OF(n, struct ticket, node));
	free(g);
	*gp = NULL;
}
