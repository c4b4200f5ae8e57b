/*
 * The readers of the messages between front, auth and PAM process: the first octet is the type. What is read and written again reads the same.
 */
#include <stdlib.h>

#include "auth/auth_msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct msg reading(const struct msg *written)
{
	return (struct msg){ .type = written->type, .rest = buf_view(&written->body), .fd = -1 };
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct auth_msg_call c, c2;
	struct auth_msg_answer a, a2;
	struct auth_msg_pam q, q2;
	struct auth_msg_vouch v, v2;
	struct msg m, w, r;

	if (n == 0)
		return 0;
	m = (struct msg){ .type = p[0] % 10, .rest = slice_mem(p + 1, n - 1), .fd = -1 };
	struct msg m2 = m, m3 = m, m4 = m;
	if (auth_msg_get_call(&m, &c) == 0) {
		auth_msg_put_call(&w, (enum auth_msg_type)m.type, &c);
		r = reading(&w);
		if (auth_msg_get_call(&r, &c2) != 0 || c2.id != c.id || !slice_eq(c.initial, c2.initial) || !slice_eq(c.user, c2.user))
			abort();
		msg_free(&w);
	}
	if (auth_msg_get_answer(&m2, &a) == 0) {
		auth_msg_put_answer(&w, &a);
		r = reading(&w);
		if (auth_msg_get_answer(&r, &a2) != 0 || a2.result != a.result || !slice_eq(a.challenge, a2.challenge) || !slice_eq(a.ticket, a2.ticket))
			abort();
		msg_free(&w);
	}
	if (auth_msg_get_pam(&m3, &q) == 0) {
		auth_msg_put_pam(&w, (enum auth_msg_type)m3.type, &q);
		r = reading(&w);
		if (auth_msg_get_pam(&r, &q2) != 0 || q2.id != q.id || !slice_eq(q.password, q2.password))
			abort();
		msg_free(&w);
	}
	if (auth_msg_get_vouch(&m4, &v) == 0) {
		auth_msg_put_vouch(&w, &v);
		r = reading(&w);
		if (auth_msg_get_vouch(&r, &v2) != 0 || !slice_eq(v.ticket, v2.ticket) || !slice_eq(v.user, v2.user) || v.ttl_ms != v2.ttl_ms)
			abort();
		msg_free(&w);
	}
	return 0;
}
