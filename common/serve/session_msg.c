/* serve/session_msg.c - the one writer and reader of the messages among front, spawner and session process. */
#include "serve/session_msg.h"

#include <string.h>

enum { CARD_TLS = 1, CARD_PARKED = 2, CARD_IN_USE = 4 };

static void put_addr(struct msg *m, const struct net_addr *a)
{
	msg_put_slice(m, slice_mem(a->octets, a->len));
	msg_put_u32(m, a->port);
}

static void get_addr(struct msg *m, struct net_addr *a)
{
	struct slice octets = msg_get_slice(m, sizeof(a->octets));

	memset(a, 0, sizeof(*a));
	if (octets.n != 4 && octets.n != sizeof(a->octets) && octets.n != 0)
		m->broken = true;
	else if (octets.n > 0)
		memcpy(a->octets, octets.p, octets.n);
	a->len = m->broken ? 0 : (uint8_t)octets.n;
	a->port = (uint16_t)msg_get_u32(m);
}

void session_msg_card(struct chan *c, enum session_msg type, const struct session_card *card, int fd)
{
	struct msg m;

	msg_init(&m, type);
	msg_put_u64(&m, card->id);
	msg_put_u32(&m, card->front);
	msg_put_u32(&m, card->idle_left_s);
	msg_put_u32(&m, card->parked_others);
	msg_put_u32(&m, card->linger_ms);
	msg_put_u64(&m, card->quota_octets);
	msg_put_u64(&m, card->quota_messages);
	msg_put_u32(&m, (card->tls ? CARD_TLS : 0u) | (card->parked ? CARD_PARKED : 0u) | (card->in_use ? CARD_IN_USE : 0u));
	put_addr(&m, &card->peer);
	msg_put_slice(&m, card->user);
	msg_put_slice(&m, card->session_id);
	msg_put_slice(&m, card->method);
	msg_put_slice(&m, card->state);
	msg_put_slice(&m, card->left);
	msg_put_slice(&m, card->ticket);
	m.fd = fd;
	chan_send(c, &m);
}

int session_msg_read_card(struct msg *m, struct session_card *out)
{
	struct session_card card;
	uint32_t bits;

	card.id = msg_get_u64(m);
	card.front = msg_get_u32(m);
	card.idle_left_s = msg_get_u32(m);
	card.parked_others = msg_get_u32(m);
	card.linger_ms = msg_get_u32(m);
	card.quota_octets = msg_get_u64(m);
	card.quota_messages = msg_get_u64(m);
	bits = msg_get_u32(m);
	card.tls = (bits & CARD_TLS) != 0;
	card.parked = (bits & CARD_PARKED) != 0;
	card.in_use = (bits & CARD_IN_USE) != 0;
	get_addr(m, &card.peer);
	card.user = msg_get_slice(m, LIMIT_USER_NAME);
	card.session_id = msg_get_slice(m, 64);
	card.method = msg_get_slice(m, 64);
	card.state = msg_get_slice(m, SESSION_STATE_MAX);
	card.left = msg_get_slice(m, SESSION_LEFT_MAX);
	card.ticket = msg_get_slice(m, AUTH_TICKET_SIZE);
	if (!msg_done(m))
		return -1;
	*out = card;
	return 0;
}

void session_msg_id(struct chan *c, enum session_msg type, uint64_t id)
{
	struct msg m;

	msg_init(&m, type);
	msg_put_u64(&m, id);
	chan_send(c, &m);
}

int session_msg_read_id(struct msg *m, uint64_t *id_out)
{
	uint64_t id = msg_get_u64(m);

	if (!msg_done(m))
		return -1;
	*id_out = id;
	return 0;
}
