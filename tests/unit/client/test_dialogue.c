/*
 * The client's dialogue against scripts of what a server says. In a script "S: " lines are fed, "C: " lines must have been said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>

#include "client/dialogue.h"

struct run {
	struct dialogue d;
	struct dialogue_mail mail;
	struct dialogue_rcpt rcpts[2];
	struct qjob_rcpt job_rcpts[2];
	struct qjob job;
	struct buf said;
	enum dialogue_want want;
	bool begun, octets;
};

static void begin(struct run *r, bool lmtp, bool may_tls, bool must_tls)
{
	memset(r, 0, sizeof(*r));
	dialogue_init(&r->d, "mail.office.test", "mx[192.0.2.1]:25", lmtp, may_tls, must_tls);
	buf_init(&r->said, BUF_UNBOUNDED);
	r->job = (struct qjob){ .sender = SLICE("a@office.test"), .size = 1000, .n_rcpts = 2 };
	r->job_rcpts[0].address = SLICE("b@x.test");
	r->job_rcpts[1].address = SLICE("c@x.test");
	r->rcpts[0].rcpt = &r->job_rcpts[0];
	r->rcpts[1].rcpt = &r->job_rcpts[1];
	r->mail = (struct dialogue_mail){ &r->job, r->rcpts, 2, false, false };
}

static void end(struct run *r)
{
	dialogue_done(&r->d);
	buf_done(&r->said);
}

static void act(struct run *r)
{
	for (;;) {
		if (r->want == DIALOGUE_TLS)
			r->want = dialogue_tls_done(&r->d, &r->said);
		else if (r->want == DIALOGUE_READY && !r->begun) {
			r->begun = true;
			r->want = dialogue_begin(&r->d, &r->mail, &r->said);
		} else if (r->want == DIALOGUE_BODY) {
			buf_puts(&r->said, "body\r\n.\r\n");
			r->want = dialogue_body_sent(&r->d);
		} else {
			return;
		}
	}
}

static void feed(struct run *r, struct slice in)
{
	size_t used;

	while (in.n > 0) {
		struct slice part = r->octets ? slice_head(in, 1) : in;

		for (size_t n = part.n; ; n++) {                      /* grows until something is taken */
			r->want = dialogue_input(&r->d, slice_head(in, n), &used, &r->said);
			if (used > 0 || n >= in.n)
				break;
		}
		if (used == 0)
			return;
		in = slice_from(in, used);
		act(r);
		if (r->want == DIALOGUE_CLOSE)
			return;
	}
}

static void play(struct run *r, const char *script)
{
	struct slice rest = slice_of(script), line;

	while (slice_next(&rest, '\n', &line)) {
		char text[600];
		int n = snprintf(text, sizeof(text), "%.*s\r\n", SLICE_FMT(slice_from(line, 3)));

		if (line.n == 0)
			continue;
		if (line.p[0] == 'S') {
			feed(r, slice_mem(text, (size_t)n));
		} else {
			if (r->said.len < (size_t)n || memcmp(r->said.p, text, (size_t)n) != 0)
				fail_msg("wanted \"%.*s\", said \"%s\"", n - 2, text, buf_str(&r->said));
			buf_take(&r->said, (size_t)n);
		}
	}
	assert_string_equal(buf_str(&r->said), "");
}

static void test_pipelined(void **state)
{
	(void)state;
	for (int octets = 0; octets < 2; octets++) {
		struct run r;

		begin(&r, false, false, false);
		r.octets = octets != 0;
		play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250-PIPELINING\nS: 250-SIZE 5000\nS: 250 8BITMIME\n"
		    "C: MAIL FROM:<a@office.test> SIZE=1000\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\n"
		    "S: 250 2.1.0 ok\nS: 250 2.1.5 ok\nS: 550 5.1.1 no such user\nC: DATA\nS: 354 go\nC: body\nC: .\nS: 250 2.0.0 queued as X1\n");
		assert_int_equal(r.want, DIALOGUE_READY);
		assert_int_equal(r.rcpts[0].outcome, QRESULT_SENT);
		assert_string_equal(r.rcpts[0].text, "250 2.0.0 queued as X1");
		assert_int_equal(r.rcpts[1].outcome, QRESULT_FAILED);
		assert_string_equal(r.rcpts[1].dsn, "5.1.1");
		assert_string_equal(r.rcpts[1].text, "host mx[192.0.2.1]:25 said: 550 5.1.1 no such user (in reply to RCPT TO)");
		end(&r);
	}
}

static void test_helo_and_one_by_one(void **state)
{
	struct run r;

	(void)state;
	begin(&r, false, true, false);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 502 what\nC: HELO mail.office.test\nS: 250 mx\nC: MAIL FROM:<a@office.test>\n"
	    "S: 250 ok\nC: RCPT TO:<b@x.test>\nS: 451 busy\nC: RCPT TO:<c@x.test>\nS: 250 ok\nC: DATA\nS: 354 go\nC: body\nC: .\nS: 452 disk full\n");
	assert_true(r.rcpts[0].outcome == QRESULT_DEFERRED && r.rcpts[1].outcome == QRESULT_DEFERRED && r.want == DIALOGUE_READY);
	end(&r);
}

static void test_nobody_accepted_means_no_data(void **state)
{
	struct run r;

	(void)state;
	begin(&r, false, false, false);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<a@office.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\n"
	    "S: 553 5.1.7 not you\nS: 503 no\nS: 503 no\nC: RSET\nS: 250 ok\n");
	assert_true(r.want == DIALOGUE_READY && r.rcpts[0].outcome == QRESULT_FAILED);
	assert_string_equal(r.rcpts[1].dsn, "5.1.7");                 /* MAIL's reply, not the ones to RCPT */
	end(&r);
}

static void test_starttls_forgets_and_says_ehlo_again(void **state)
{
	struct run r;

	(void)state;
	begin(&r, false, true, true);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250-PIPELINING\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nC: EHLO mail.office.test\n"
	    "S: 250 mx\nC: MAIL FROM:<a@office.test>\n");             /* no PIPELINING, no SIZE: what was said before TLS does not count */
	end(&r);
}

/* weaknesses.md row 5 */
static void test_octets_behind_the_220(void **state)
{
	struct run r;
	size_t used;

	(void)state;
	begin(&r, false, true, false);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\n");
	assert_int_equal(dialogue_input(&r.d, SLICE("220 go\r\n250 injected\r\n"), &used, &r.said), DIALOGUE_CLOSE);
	assert_string_equal(r.d.trouble_dsn, "4.7.5");
	assert_non_null(strstr(r.d.trouble, "server spoke before TLS"));
	end(&r);
}

static void test_tls_required(void **state)
{
	struct run r;

	(void)state;
	begin(&r, false, true, true);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250 mx\n");
	assert_int_equal(r.want, DIALOGUE_CLOSE);
	assert_string_equal(r.d.trouble_dsn, "4.7.4");
	end(&r);
}

static void test_smtputf8_and_size_are_settled_at_once(void **state)
{
	struct run r;

	(void)state;
	begin(&r, false, false, false);
	r.job.env_flags = ENV_SMTPUTF8;
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250 SIZE 10\n");
	assert_true(r.want == DIALOGUE_READY && r.rcpts[1].outcome == QRESULT_FAILED);
	assert_string_equal(r.rcpts[1].dsn, "5.6.7");
	end(&r);
	begin(&r, false, false, false);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250 SIZE 10\n");
	assert_string_equal(r.rcpts[0].dsn, "5.3.4");
	end(&r);
}

static void test_dsn_is_passed_on(void **state)
{
	struct run r;

	(void)state;
	begin(&r, false, false, false);
	r.job.envid = SLICE("QQ314159");
	r.job.env_flags = ENV_RET_HDRS;
	r.job_rcpts[0].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	r.job_rcpts[0].orcpt = SLICE("rfc822;b+40x.test");
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250-PIPELINING\nS: 250 DSN\nC: MAIL FROM:<a@office.test> RET=HDRS ENVID=QQ314159\n"
	    "C: RCPT TO:<b@x.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b+40x.test\nC: RCPT TO:<c@x.test>\n");
	assert_true(r.mail.dsn_passed_on);
	end(&r);
}

static void test_lmtp_answers_each(void **state)
{
	struct run r;

	(void)state;
	begin(&r, true, false, false);
	play(&r, "S: 220 hello\nC: LHLO mail.office.test\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<a@office.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\n"
	    "S: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\nC: body\nC: .\nS: 250 2.0.0 in\nS: 552 5.2.2 full\n");
	assert_true(r.want == DIALOGUE_READY && r.rcpts[0].outcome == QRESULT_SENT && r.rcpts[1].outcome == QRESULT_FAILED);
	end(&r);
}

static void test_421_and_lost_connection_defer(void **state)
{
	struct run r;

	(void)state;
	begin(&r, false, false, false);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<a@office.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\n"
	    "S: 250 ok\nS: 421 4.3.2 going down\n");
	assert_true(r.want == DIALOGUE_CLOSE && r.rcpts[0].outcome == QRESULT_DEFERRED && r.rcpts[1].settled);
	end(&r);
	begin(&r, false, false, false);
	play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250-mx\nS: 250 PIPELINING\nC: MAIL FROM:<a@office.test>\nC: RCPT TO:<b@x.test>\nC: RCPT TO:<c@x.test>\n");
	dialogue_lost(&r.d, "4.4.2", "the connection broke");
	assert_true(r.rcpts[0].outcome == QRESULT_DEFERRED && r.rcpts[1].settled);
	assert_string_equal(r.rcpts[1].dsn, "4.4.2");
	end(&r);
}

/* Another server may be asked at once, except where this one may have the message. */
static void test_what_it_heard_before_the_end(void **state)
{
	static const char mail[] = "S: 220 hello\nC: EHLO mail.office.test\nS: 250 mx\nC: MAIL FROM:<a@office.test>\n";
	static const char rcpts[] = "S: 250 ok\nC: RCPT TO:<b@x.test>\nS: 250 ok\nC: RCPT TO:<c@x.test>\nS: 250 ok\nC: DATA\n";
	static const struct { const char *said; bool unheard, may_be_in; } ends[] = {
		{ "S: 421 4.3.2 going down", true, false },
		{ "S: 250 ok\nC: RCPT TO:<b@x.test>\nS: 421 4.3.2 going down", false, false },
		{ "S: 354 go\nC: body\nC: .\nS: 421 4.3.2 going down", false, false },
		{ "S: 354 go\nC: body\nC: .\nS: 452 4.3.1 full", false, false },
		{ "S: 354 go\nC: body\nC: .\nS: what?", false, true },
		{ "S: 354 go\nC: body\nC: .", false, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct run r;

		begin(&r, false, false, false);
		play(&r, mail);
		if (i >= 2)
			play(&r, rcpts);
		play(&r, ends[i].said);
		dialogue_lost(&r.d, "4.4.2", "the connection broke");
		assert_int_equal(r.d.unheard, ends[i].unheard);
		assert_int_equal(r.mail.may_be_in, ends[i].may_be_in);
		assert_true(r.rcpts[0].settled && r.rcpts[0].outcome == QRESULT_DEFERRED);
		end(&r);
	}
}

/* weaknesses.md row 15: whatever it says, the message waits and the words say what it was. */
static void test_nonsense_defers(void **state)
{
	static const char *const nonsense[] = { "S: hello", "S: 5.7.2", "S: 999 x", "S: 250-a\nS: 450 b" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct run r;

		begin(&r, false, false, false);
		play(&r, "S: 220 hello\nC: EHLO mail.office.test\nS: 250 mx\nC: MAIL FROM:<a@office.test>\n");
		play(&r, nonsense[i]);
		assert_int_equal(r.want, DIALOGUE_CLOSE);
		assert_true(r.rcpts[0].outcome == QRESULT_DEFERRED && strcmp(r.rcpts[0].dsn, "4.4.2") == 0);
		assert_non_null(strstr(r.rcpts[0].text, "reply not understood"));
		end(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipelined), cmocka_unit_test(test_helo_and_one_by_one), cmocka_unit_test(test_nobody_accepted_means_no_data),
		cmocka_unit_test(test_starttls_forgets_and_says_ehlo_again), cmocka_unit_test(test_octets_behind_the_220), cmocka_unit_test(test_tls_required),
		cmocka_unit_test(test_smtputf8_and_size_are_settled_at_once), cmocka_unit_test(test_dsn_is_passed_on), cmocka_unit_test(test_lmtp_answers_each),
		cmocka_unit_test(test_421_and_lost_connection_defer), cmocka_unit_test(test_what_it_heard_before_the_end), cmocka_unit_test(test_nonsense_defers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
