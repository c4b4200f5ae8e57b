/*
 * The text of notifications: RFC 3464's fields, and nothing that a peer can smuggle into them (weaknesses.md row 46).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mail/header.h"
#include "queue/bounce.h"

static const struct settings s = { .myhostname = "mail.office.test", .maximal_queue_lifetime = 432000 };

static void make(struct buf *out, unsigned flags, enum bounce_action action, struct slice original, struct slice text)
{
	struct rcpt r = { .address = SLICE("b@x.test"), .orcpt = SLICE("rfc822;B+2B1@x.test") };
	struct envelope env = { .id = "ORIG1", .arrived = 1795312087123456, .sender = SLICE("a@office.test"), .envid = SLICE("QQ+3D1"), .flags = flags,
		.rcpts = &r, .n_rcpts = 1 };
	struct bounce_rcpt rcpts[] = { { &r, action, SLICE("5.1.1"), SLICE("mx.x.test[192.0.2.1]:25"), text } };
	struct bounce b = { .env = &env, .id = "DSN1", .rcpts = rcpts, .n_rcpts = 1, .to = SLICE("a@office.test"), .original = original,
		.now = 1795312999, .retry_until = 1795999999 };

	buf_init(out, BUF_UNBOUNDED);
	bounce_put(&b, &s, out);
}

static bool has(const struct buf *b, const char *text)
{
	return strstr(buf_str(b), text) != NULL;
}

static void test_fields(void **state)
{
	struct buf b;

	(void)state;
	make(&b, 0, BOUNCE_FAILED, SLICE("Subject: hi\r\n\r\nbody text\r\n"), SLICE("host mx said: 550 5.1.1 no such user (in reply to RCPT TO)"));
	assert_true(has(&b, "Content-Type: multipart/report; report-type=delivery-status;\r\n"));
	assert_true(has(&b, "Auto-Submitted: auto-replied\r\n"));
	assert_true(has(&b, "Reporting-MTA: dns; mail.office.test\r\n"));
	assert_true(has(&b, "Original-Envelope-Id: QQ=1\r\n"));
	assert_true(has(&b, "Original-Recipient: rfc822;B+1@x.test\r\nFinal-Recipient: rfc822;b@x.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"));
	assert_true(has(&b, "Remote-MTA: dns; mx.x.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
	assert_true(has(&b, "Content-Type: message/rfc822\r\n") && has(&b, "body text"));
	assert_true(has(&b, "--=_DSN1--\r\n"));
	buf_done(&b);
}

static void test_headers_only(void **state)
{
	char *large = calloc(1, BOUNCE_FULL_MAX + 100);
	struct buf b;

	(void)state;
	make(&b, ENV_RET_HDRS, BOUNCE_FAILED, SLICE("Subject: hi\r\n\r\nbody text\r\n"), SLICE("x"));
	assert_true(has(&b, "text/rfc822-headers") && has(&b, "Subject: hi") && !has(&b, "body text"));
	buf_done(&b);
	make(&b, 0, BOUNCE_FAILED, SLICE("Precedence: bulk\r\nSubject: hi\r\n\r\nbody text\r\n"), SLICE("x"));
	assert_false(has(&b, "body text"));
	buf_done(&b);
	memcpy(large, "Subject: big\r\n\r\n", 16);
	memset(large + 16, 'y', BOUNCE_FULL_MAX);
	make(&b, ENV_RET_FULL, BOUNCE_FAILED, slice_mem(large, BOUNCE_FULL_MAX + 16), SLICE("x"));
	assert_true(has(&b, "Subject: big") && !has(&b, "yyyy"));
	buf_done(&b);
	free(large);
}

static void test_delay_says_until_when(void **state)
{
	struct buf b;

	(void)state;
	make(&b, 0, BOUNCE_DELAYED, SLICE(""), SLICE("busy"));
	assert_true(has(&b, "Action: delayed\r\n") && has(&b, "Will-Retry-Until: ") && has(&b, "Subject: Delayed mail"));
	buf_done(&b);
}

/* Every line ends in CRLF, and a reply with line ends in it stays one field. */
static void test_nothing_gets_out_of_its_line(void **state)
{
	struct buf b;

	(void)state;
	make(&b, 0, BOUNCE_FAILED, SLICE("Subject: hi\r\n\r\nbody\r\n"), SLICE("bad\r\nStatus: 2.0.0\r\n\r\n--=_DSN1--\r\nX: y"));
	assert_false(has(&b, "\r\nStatus: 2.0.0"));
	assert_true(has(&b, "bad\\x0d\\x0aStatus: 2.0.0"));
	for (size_t i = 0; i < b.len; i++)
		assert_true(b.p[i] != '\n' || (i > 0 && b.p[i - 1] == '\r'));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_fields), cmocka_unit_test(test_headers_only), cmocka_unit_test(test_delay_says_until_when),
		cmocka_unit_test(test_nothing_gets_out_of_its_line) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
