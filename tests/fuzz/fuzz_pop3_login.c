/* POP3 before login: any octets, in two cuts, every want answered. The first octet chooses what the connection offers and how answers turn out. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "auth/auth.h"
#include "base/limits.h"
#include "conf/settings.h"
#include "pop3d/pop3d.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum login_want answer(void *s, uint8_t bits, enum login_want want, struct buf *out)
{
	struct auth_answer a = { .result = AUTH_DENIED, .challenge = SLICE("challenge") };

	if (want == LOGIN_AUTH || (want == LOGIN_RESPONSE && (bits & 4)))
		a.result = AUTH_MORE;
	else if (bits & 8)
		a.result = AUTH_TEMP;
	return pop3_login.answer(s, &a, out);
}

static void run(struct slice in, uint8_t bits, size_t cut)
{
	struct settings set = { .recipient_delimiter = "+" };
	struct login_info info = { .s = &set, .session_id = "s", .mechanisms = "SCRAM-SHA-256 PLAIN LOGIN", .plaintext_ok = bits & 1, .starttls_ok = bits & 2 };
	struct arena *a = arena_new(0);
	enum login_want want = LOGIN_INPUT;
	struct buf out;
	void *s;

	buf_init(&out, BUF_UNBOUNDED);
	s = pop3_login.open(a, &info, &out);
	for (size_t at = 0, end = cut; want != LOGIN_CLOSE; ) {
		struct login_ask ask;
		size_t used = 0;

		want = pop3_login.input(s, slice_from(slice_head(in, end), at), &used, &out, &ask);
		at += used;
		assert(at <= end);
		assert(ask.user.n <= LIMIT_USER_NAME && ask.password.n <= LIMIT_PASSWORD);
		if (want == LOGIN_AUTH || want == LOGIN_RESPONSE || want == LOGIN_PASSWORD)
			want = answer(s, bits, want, &out);
		else if (want == LOGIN_STARTTLS)
			pop3_login.tls_started(s);
		if (used == 0 && end == in.n)
			break;
		if (used == 0)
			end = in.n;
	}
	buf_reset(&out);
	pop3_login.hand_over(s, &out);
	(void)pop3_state_get(buf_view(&out));
	buf_done(&out);
	arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 65536)
		return 0;
	run(slice_mem(data + 2, size - 2), data[0], size - 2);
	run(slice_mem(data + 2, size - 2), data[0], data[1] < size - 2 ? data[1] : size - 2);
	return 0;
}
