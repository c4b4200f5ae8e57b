/*
 * auth/auth_msg.c - see the header. Reader and writer of each message stand beside each other, in the same order.
 */
#include "auth/auth_msg.h"

#include <string.h>

#include "base/limits.h"

#define SMALL 255u

static void put_addr(struct msg *m, const struct net_addr *a)
{
	msg_put_slice(m, slice_mem(a->octets, a->len));
	msg_put_u32(m, a->port);
}

static int get_addr(struct msg *m, struct net_addr *out)
{
	struct slice s = msg_get_slice(m, sizeof(out->octets));
	uint32_t port = msg_get_u32(m);

	if ((s.n != 0 && s.n != 4 && s.n != 16) || port > UINT16_MAX)
		return -1;
	memset(out, 0, sizeof(*out));
	if (s.n != 0)
		memcpy(out->octets, s.p, s.n);
	out->len = (uint8_t)s.n;
	out->port = (uint16_t)port;
	return 0;
}

static void put_peer(struct msg *m, const struct auth_msg_call *c)
{
	msg_put_slice(m, c->service);
	msg_put_slice(m, c->session);
	put_addr(m, &c->addr);
	msg_put_u32(m, c->tls);
	msg_put_u32(m, c->grant);
	msg_put_slice(m, c->cb_type);
	msg_put_slice(m, c->cb_data);
	msg_put_slice(m, c->cb_end_point);
}

static int get_peer(struct msg *m, struct auth_msg_call *c)
{
	c->service = msg_get_slice(m, SMALL);
	c->session = msg_get_slice(m, SMALL);
	if (get_addr(m, &c->addr) != 0)
		return -1;
	c->tls = msg_get_u32(m) != 0;
	c->grant = msg_get_u32(m) != 0;
	c->cb_type = msg_get_slice(m, SMALL);
	c->cb_data = msg_get_slice(m, SMALL);
	c->cb_end_point = msg_get_slice(m, SMALL);
	return 0;
}

void auth_msg_put_call(struct msg *m, enum auth_msg_type type, const struct auth_msg_call *c)
{
	msg_init(m, type);
	msg_put_u64(m, c->id);
	switch (type) {
	case AUTH_MSG_START:
		msg_put_slice(m, c->mechanism);
		msg_put_u32(m, c->has_initial);
		msg_put_slice(m, c->initial);
		put_peer(m, c);
		break;
	case AUTH_MSG_LOGIN:
		msg_put_slice(m, c->user);
		msg_put_slice(m, c->password);
		put_peer(m, c);
		break;
	case AUTH_MSG_CONTINUE:
		msg_put_slice(m, c->initial);
		break;
	default:
		break;
	}
}

static int get_start(struct msg *m, struct auth_msg_call *c)
{
	c->mechanism = msg_get_slice(m, SMALL);
	c->has_initial = msg_get_u32(m) != 0;
	c->initial = msg_get_slice(m, LIMIT_AUTH_LINE);
	return get_peer(m, c);
}

static int get_login(struct msg *m, struct auth_msg_call *c)
{
	c->user = msg_get_slice(m, LIMIT_AUTH_LINE);
	c->password = msg_get_slice(m, LIMIT_AUTH_LINE);
	return get_peer(m, c);
}

int auth_msg_get_call(struct msg *m, struct auth_msg_call *out)
{
	struct auth_msg_call c = { .id = msg_get_u64(m) };
	int rc = 0;

	switch (m->type) {
	case AUTH_MSG_START: rc = get_start(m, &c); break;
	case AUTH_MSG_LOGIN: rc = get_login(m, &c); break;
	case AUTH_MSG_CONTINUE: c.initial = msg_get_slice(m, LIMIT_AUTH_LINE); break;
	case AUTH_MSG_CANCEL: break;
	default: rc = -1;
	}
	if (rc != 0 || !msg_done(m))
		return -1;
	*out = c;
	return 0;
}

void auth_msg_put_answer(struct msg *m, const struct auth_msg_answer *a)
{
	msg_init(m, AUTH_MSG_ANSWER);
	msg_put_u64(m, a->id);
	msg_put_u32(m, a->result);
	msg_put_slice(m, a->challenge);
	msg_put_slice(m, a->user);
	msg_put_slice(m, a->method);
	msg_put_slice(m, a->text);
	msg_put_u32(m, a->delay_ms);
	msg_put_slice(m, a->ticket);
	msg_put_u32(m, a->generation);
}

int auth_msg_get_answer(struct msg *m, struct auth_msg_answer *out)
{
	struct auth_msg_answer a = { .id = msg_get_u64(m) };
	uint32_t result = msg_get_u32(m);

	a.challenge = msg_get_slice(m, LIMIT_AUTH_LINE);
	a.user = msg_get_slice(m, LIMIT_USER_NAME);
	a.method = msg_get_slice(m, SMALL);
	a.text = msg_get_slice(m, SMALL);
	a.delay_ms = msg_get_u32(m);
	a.ticket = msg_get_slice(m, AUTH_TICKET_SIZE);
	a.generation = msg_get_u32(m);
	if (m->type != AUTH_MSG_ANSWER || result > AUTH_SYNTAX || !msg_done(m))
		return -1;
	a.result = (enum auth_result)result;
	*out = a;
	return 0;
}

void auth_msg_put_pam(struct msg *m, enum auth_msg_type type, const struct auth_msg_pam *p)
{
	msg_init(m, type);
	msg_put_u64(m, p->id);
	if (type == AUTH_MSG_PAM_CHECK) {
		msg_put_slice(m, p->user);
		msg_put_slice(m, p->password);
		msg_put_slice(m, p->service);
		put_addr(m, &p->addr);
		return;
	}
	msg_put_u32(m, p->result);
	msg_put_u32(m, p->delay_ms);
	msg_put_slice(m, p->text);
}

int auth_msg_get_pam(struct msg *m, struct auth_msg_pam *out)
{
	struct auth_msg_pam p = { .id = msg_get_u64(m) };
	uint32_t result = AUTH_OK;
	int rc = 0;

	if (m->type == AUTH_MSG_PAM_CHECK) {
		p.user = msg_get_slice(m, LIMIT_USER_NAME);
		p.password = msg_get_slice(m, LIMIT_AUTH_LINE);
		p.service = msg_get_slice(m, SMALL);
		rc = get_addr(m, &p.addr);
	} else if (m->type == AUTH_MSG_PAM_ANSWER) {
		result = msg_get_u32(m);
		p.delay_ms = msg_get_u32(m);
		p.text = msg_get_slice(m, SMALL);
	} else
		rc = -1;
	if (rc != 0 || result > AUTH_SYNTAX || !msg_done(m))
		return -1;
	p.result = (enum auth_result)result;
	*out = p;
	return 0;
}

void auth_msg_put_vouch(struct msg *m, const struct auth_msg_vouch *v)
{
	msg_init(m, AUTH_MSG_VOUCH);
	msg_put_slice(m, v->ticket);
	msg_put_slice(m, v->user);
	msg_put_u32(m, v->ttl_ms);
	put_addr(m, &v->addr);
}

int auth_msg_get_vouch(struct msg *m, struct auth_msg_vouch *out)
{
	struct auth_msg_vouch v;

	v.ticket = msg_get_slice(m, AUTH_TICKET_SIZE);
	v.user = msg_get_slice(m, LIMIT_USER_NAME);
	v.ttl_ms = msg_get_u32(m);
	if (get_addr(m, &v.addr) != 0)
		return -1;
	if (m->type != AUTH_MSG_VOUCH || v.ticket.n != AUTH_TICKET_SIZE || v.user.n == 0 || !msg_done(m))
		return -1;
	*out = v;
	return 0;
}
