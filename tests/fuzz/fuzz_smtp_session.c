/*
 * The dialogue against anything: the first octet picks the port and the size of the pieces, every want is answered.
 */
#include <stdint.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "reply/codes.h"
#include "server/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct settings *settings(void)
{
	static struct settings *s;                                    /* read once: the settings never change */
	struct err e = ERR_INIT;

	if (s == NULL && conf_load(&s, NULL, (const char *const[]){ "myhostname=mx.office.test", "message_size_limit=64K", NULL }, NULL, &e) != 0)
		abort();
	return s;
}

static enum smtp_want answer(struct smtp_session *s, enum smtp_want want, unsigned dice, struct buf *out)
{
	const struct slice *pieces;
	const struct auth_answer auth = {
		.result = (enum auth_result)(dice % 6), .challenge = SLICE("more"), .user = SLICE("u1@office.test"), .method = SLICE("PLAIN"),
	};
	const struct smtp_answer a = { .ok = dice % 4 != 0, .reply = SLICE("450 4.2.0 not now [PH-A04]"), .id = "ID", .close = dice % 16 == 0, .auth = &auth };
	size_t sum = 0;

	for (size_t n = smtp_session_pieces(s, &pieces); n > 0; n--)
		sum += pieces[n - 1].n;
	if (want == SMTP_TLS)
		return smtp_session_tls_started(s, "TLSv1.3", "X", 256);
	return smtp_session_answer(s, &(struct smtp_answer){ .ok = a.ok || sum == SIZE_MAX, .reply = a.ok ? SLICE_NONE : a.reply, .id = a.id, .close = !a.ok && a.close, .auth = a.auth }, out);
}

/* Whatever comes in, a refusal ends in a code that can be explained. */
static void check_codes(struct slice rest)
{
	struct slice line;

	while (slice_next(&rest, '\n', &line))
		if (line.n > 0 && (line.p[0] == '4' || line.p[0] == '5') && code_find(slice_trim(line)) == CODE_NONE)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_env env = { .s = settings(), .peer_name = SLICE("unknown"), .default_domain = SLICE("office.test"), .mechanisms = "PLAIN", .mechanisms_tls = "PLAIN" };
	struct smtp_session *s;
	struct slice in = slice_mem(data, size);
	struct buf out;
	size_t piece;
	unsigned dice = 1;

	if (size == 0)
		return 0;
	env.listener = smtp_listener_of(data[0] % SMTP_LISTENERS);
	env.starttls_ok = (data[0] & 4) != 0;
	env.peer_trusted = (data[0] & 8) != 0;
	piece = data[0] < 128 ? SIZE_MAX : 1u + data[0] % 7u;
	in = slice_from(in, 1);
	buf_init(&out, 1 << 20);
	s = smtp_session_new(&env);
	smtp_session_greet(s, &out);
	for (size_t from = 0, to = 0; to < in.n && smtp_session_want(s) != SMTP_CLOSE;) {
		size_t used = 1;

		to = in.n - to < piece ? in.n : to + piece;
		while (used > 0 && smtp_session_want(s) != SMTP_CLOSE) {
			enum smtp_want want = smtp_session_input(s, slice_mem(in.p + from, to - from), &used, &out);

			from += used;
			if (from > to)
				abort();
			while (want != SMTP_INPUT && want != SMTP_CLOSE)
				want = answer(s, want, dice = dice * 1103515245 + 12345 + (unsigned)from, &out);
			check_codes(buf_view(&out));
			buf_reset(&out);
		}
	}
	smtp_session_free(&s);
	buf_done(&out);
	return 0;
}
