/* The POP3 dialogue before login (RFC 1939 4 and 7, RFC 5034, RFC 2595), whole and an octet at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "auth/auth.h"
#include "base/limits.h"
#include "base/text.h"
#include "conf/settings.h"
#include "pop3d/pop3d.h"

struct talk {
	struct arena *arena;
	struct settings settings;
	struct login_info info;
	void *s;
	struct buf out;
	struct login_ask ask;
};

static void talk_open(struct talk *t)
{
	memset(t, 0, sizeof(*t));
	t->arena = arena_new(0);
	t->settings.recipient_delimiter = "+";
	t->info.s = &t->settings;
	t->info.session_id = "s1";
	t->info.mechanisms = "SCRAM-SHA-256 PLAIN LOGIN";
	t->info.plaintext_ok = true;
	t->info.starttls_ok = true;
	buf_init(&t->out, 1 << 20);
	t->s = pop3_login.open(t->arena, &t->info, &t->out);
}

static void talk_close(struct talk *t)
{
	arena_free(&t->arena);
	buf_done(&t->out);
}

/* Feeds one or more lines; returns the want of the last. */
static enum login_want say(struct talk *t, struct slice in)
{
	enum login_want want = LOGIN_INPUT;
	size_t used;

	buf_reset(&t->out);
	while (in.n > 0) {
		want = pop3_login.input(t->s, in, &used, &t->out, &t->ask);
		if (used == 0)
			break;
		in = slice_from(in, used);
		if (want != LOGIN_INPUT)
			break;
	}
	return want;
}

#define SAYS(t, lit) say(t, SLICE(lit))
#define assert_reply(t, start) assert_memory_equal(buf_str(&(t)->out), start, strlen(start))

static void user_and_password(void **state)
{
	struct talk t;

	(void)state;
	talk_open(&t);
	assert_reply(&t, "+OK ");
	assert_int_equal(SAYS(&t, "USER anna\r\n"), LOGIN_INPUT);
	assert_reply(&t, "+OK");
	assert_int_equal(SAYS(&t, "pass  two words \r\n"), LOGIN_PASSWORD);
	assert_true(slice_eqs(t.ask.user, "anna"));
	assert_true(slice_eqs(t.ask.password, " two words "));
	talk_close(&t);
}

static void denied_is_auth_code_and_needs_user_again(void **state)
{
	struct auth_answer no = { .result = AUTH_DENIED }, temp = { .result = AUTH_TEMP };
	struct talk t;

	(void)state;
	talk_open(&t);
	assert_int_equal(SAYS(&t, "USER anna\r\nPASS x\r\n"), LOGIN_PASSWORD);
	buf_reset(&t.out);
	assert_int_equal(pop3_login.answer(t.s, &no, &t.out), LOGIN_INPUT);
	assert_reply(&t, "-ERR [AUTH] ");
	assert_int_equal(SAYS(&t, "PASS x\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR USER comes first");
	buf_reset(&t.out);
	assert_int_equal(pop3_login.answer(t.s, &temp, &t.out), LOGIN_INPUT);
	assert_reply(&t, "-ERR [SYS/TEMP] ");
	for (int i = 0; i < 2; i++)
		assert_int_equal(pop3_login.answer(t.s, &no, &t.out), LOGIN_INPUT);
	assert_int_equal(pop3_login.answer(t.s, &no, &t.out), LOGIN_CLOSE);
	talk_close(&t);
}

static void no_password_without_tls(void **state)
{
	struct talk t;

	(void)state;
	talk_open(&t);
	t.info.plaintext_ok = false;
	assert_int_equal(SAYS(&t, "USER anna\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR A password needs TLS");
	assert_int_equal(SAYS(&t, "PASS x\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR A password needs TLS");
	talk_close(&t);
}

static void sasl_with_and_without_initial_response(void **state)
{
	struct auth_answer more = { .result = AUTH_MORE, .challenge = SLICE_INIT("r=x") }, empty = { .result = AUTH_MORE };
	struct talk t;

	(void)state;
	talk_open(&t);
	assert_int_equal(SAYS(&t, "AUTH plain AGFubmEAc2VjcmV0\r\n"), LOGIN_AUTH);
	assert_true(t.ask.has_initial);
	assert_true(slice_eq(t.ask.initial, SLICE("\0anna\0secret")));
	assert_int_equal(SAYS(&t, "AUTH PLAIN\r\n"), LOGIN_AUTH);
	assert_false(t.ask.has_initial);
	buf_reset(&t.out);
	assert_int_equal(pop3_login.answer(t.s, &empty, &t.out), LOGIN_INPUT);
	assert_string_equal(buf_str(&t.out), "+ \r\n");
	buf_reset(&t.out);
	assert_int_equal(pop3_login.answer(t.s, &more, &t.out), LOGIN_INPUT);
	assert_string_equal(buf_str(&t.out), "+ cj14\r\n");
	assert_int_equal(SAYS(&t, "AGFubmEAc2VjcmV0\r\n"), LOGIN_RESPONSE);
	assert_true(slice_eq(t.ask.response, SLICE("\0anna\0secret")));
	talk_close(&t);
}

static void sasl_garbage_ends_the_exchange_only(void **state)
{
	struct auth_answer more = { .result = AUTH_MORE };
	struct talk t;

	(void)state;
	talk_open(&t);
	assert_int_equal(SAYS(&t, "AUTH PLAIN not*base64\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR The initial response is not base64");
	assert_int_equal(SAYS(&t, "AUTH PLAIN\r\n"), LOGIN_AUTH);
	(void)pop3_login.answer(t.s, &more, &t.out);
	assert_int_equal(SAYS(&t, "*\r\n"), LOGIN_CANCEL);
	assert_int_equal(SAYS(&t, "AUTH PLAIN\r\n"), LOGIN_AUTH);
	(void)pop3_login.answer(t.s, &more, &t.out);
	assert_int_equal(SAYS(&t, "a\tb\r\n"), LOGIN_CANCEL);
	assert_int_equal(SAYS(&t, "CAPA\r\n"), LOGIN_INPUT);
	assert_reply(&t, "+OK");
	assert_int_equal(SAYS(&t, "AUTH DIGEST-MD5\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR That mechanism is not offered");
	assert_int_equal(SAYS(&t, "AUTH\r\n"), LOGIN_INPUT);
	assert_string_equal(buf_str(&t.out), "+OK\r\nSCRAM-SHA-256\r\nPLAIN\r\nLOGIN\r\n.\r\n");
	talk_close(&t);
}

static void stls_forgets(void **state)
{
	struct talk t;

	(void)state;
	talk_open(&t);
	assert_int_equal(SAYS(&t, "USER anna\r\nSTLS\r\n"), LOGIN_STARTTLS);
	t.info.tls = true;
	t.info.starttls_ok = false;
	pop3_login.tls_started(t.s);
	assert_int_equal(SAYS(&t, "PASS x\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR USER comes first");
	assert_int_equal(SAYS(&t, "STLS\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR TLS is already active");
	talk_close(&t);
}

static void folder_travels(void **state)
{
	struct pop3_state st;
	struct talk t;
	struct buf b;

	(void)state;
	talk_open(&t);
	buf_init(&b, 4096);
	assert_int_equal(SAYS(&t, "UTF8\r\nUSER anna+Sent/2026@office.example\r\nPASS x\r\n"), LOGIN_PASSWORD);
	assert_true(slice_eqs(t.ask.user, "anna@office.example"));
	pop3_login.hand_over(t.s, &b);
	st = pop3_state_get(buf_view(&b));
	assert_true(st.utf8);
	assert_true(slice_eqs(st.folder, "Sent/2026"));
	/* The same inside PLAIN: "\0anna+Trash\0pw" */
	assert_int_equal(SAYS(&t, "AUTH PLAIN AGFubmErVHJhc2gAcHc=\r\n"), LOGIN_AUTH);
	assert_true(slice_eq(t.ask.initial, SLICE("\0anna\0pw")));
	buf_reset(&b);
	pop3_login.hand_over(t.s, &b);
	assert_true(slice_eqs(pop3_state_get(buf_view(&b)).folder, "Trash"));
	assert_int_equal(SAYS(&t, "AUTH LOGIN\r\n"), LOGIN_AUTH);
	buf_reset(&b);
	pop3_login.hand_over(t.s, &b);
	assert_int_equal(pop3_state_get(buf_view(&b)).folder.n, 0);
	buf_done(&b);
	talk_close(&t);
}

static void bad_input_is_answered_and_bounded(void **state)
{
	static char huge[LIMIT_AUTH_LINE];
	struct talk t;
	int n = 0;

	(void)state;
	talk_open(&t);
	assert_int_equal(SAYS(&t, "USER root\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR [AUTH] root may not log in");
	assert_int_equal(SAYS(&t, "NO\0OP\r\n"), LOGIN_INPUT);
	assert_reply(&t, "-ERR A line ends in CRLF");
	assert_int_equal(SAYS(&t, "GET / HTTP/1.1\r\n"), LOGIN_CLOSE);
	assert_reply(&t, "-ERR This is a mail server");
	memset(huge, 'x', sizeof(huge));
	assert_int_equal(say(&t, slice_mem(huge, sizeof(huge) - 1)), LOGIN_INPUT);
	assert_int_equal(say(&t, slice_mem(huge, sizeof(huge))), LOGIN_CLOSE);
	while (SAYS(&t, "%n%s\r\n") == LOGIN_INPUT)
		assert_in_range(++n, 1, 20);
	talk_close(&t);
}

static void an_octet_at_a_time(void **state)
{
	static const char in[] = "CAPA\r\nUSER anna\r\nPASS secret\r\n";
	struct buf whole;
	struct talk t;
	size_t start = 0;
	enum login_want want = LOGIN_INPUT;

	(void)state;
	talk_open(&t);
	assert_int_equal(SAYS(&t, "CAPA\r\nUSER anna\r\nPASS secret\r\n"), LOGIN_PASSWORD);
	buf_init(&whole, 1 << 20);
	buf_put(&whole, buf_view(&t.out));
	talk_close(&t);
	talk_open(&t);
	buf_reset(&t.out);
	for (size_t end = 1; end < sizeof(in); end++) {
		size_t used;

		want = pop3_login.input(t.s, slice_mem(in + start, end - start), &used, &t.out, &t.ask);
		start += used;
	}
	assert_int_equal(want, LOGIN_PASSWORD);
	assert_string_equal(buf_str(&t.out), buf_str(&whole));
	buf_done(&whole);
	talk_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(user_and_password),
		cmocka_unit_test(denied_is_auth_code_and_needs_user_again),
		cmocka_unit_test(no_password_without_tls),
		cmocka_unit_test(sasl_with_and_without_initial_response),
		cmocka_unit_test(sasl_garbage_ends_the_exchange_only),
		cmocka_unit_test(stls_forgets),
		cmocka_unit_test(folder_travels),
		cmocka_unit_test(bad_input_is_answered_and_bounded),
		cmocka_unit_test(an_octet_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
