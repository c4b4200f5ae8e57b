/* deliver/room_msg.c - see the header. */
#include "deliver/room_msg.h"

void room_msg_ask(struct chan *c, const struct room_ask *q)
{
	struct msg m;

	msg_init(&m, ROOM_ASK);
	msg_put_u64(&m, q->token);
	msg_put_u64(&m, q->octets);
	msg_put_u32(&m, q->n);
	for (uint32_t i = 0; i < q->n; i++)
		msg_put_slice(&m, q->users[i]);
	chan_send(c, &m);
}

int room_msg_read_ask(struct msg *m, struct room_ask *out)
{
	struct room_ask q = { .token = msg_get_u64(m), .octets = msg_get_u64(m), .n = msg_get_u32(m) };

	if (q.n == 0 || q.n > ROOM_USERS_MAX)
		return -1;
	for (uint32_t i = 0; i < q.n; i++)
		q.users[i] = msg_get_slice(m, LIMIT_USER_NAME);
	if (m->type != ROOM_ASK || !msg_done(m))
		return -1;
	*out = q;
	return 0;
}

void room_msg_said(struct chan *c, uint64_t token, enum room_verdict v)
{
	struct msg m;

	msg_init(&m, ROOM_SAID);
	msg_put_u64(&m, token);
	msg_put_u32(&m, (uint32_t)v);
	chan_send(c, &m);
}

int room_msg_read_said(struct msg *m, uint64_t *token_out, enum room_verdict *out)
{
	uint64_t token = msg_get_u64(m);
	uint32_t v = msg_get_u32(m);

	if (m->type != ROOM_SAID || !msg_done(m) || v > ROOM_NEVER)
		return -1;
	*token_out = token;
	*out = (enum room_verdict)v;
	return 0;
}
