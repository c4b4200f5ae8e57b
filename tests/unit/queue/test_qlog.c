/*
 * What queue.log says after a crash, and what of it is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/hash.h"
#include "queue/qlog.h"

static void line(struct buf *b, const char *text)
{
	buf_putf(b, "%08x %s\n", hash_crc32c(0, text, strlen(text)), text);
}

static struct qlog_story *story(const char *const *lines, const char *boot)
{
	struct qlog_story *s;
	struct buf b;

	buf_init(&b, BUF_UNBOUNDED);
	for (; *lines != NULL; lines++)
		line(&b, *lines);
	s = qlog_parse(buf_view(&b), boot);
	buf_done(&b);
	return s;
}

static void test_same_boot_believes_everything(void **state)
{
	static const char *const lines[] = { "boot AAAA", "done M1", "checkpoint", "done M2", "moved M3", "rcpt M4 local a@b", NULL };
	struct qlog_story *s = story(lines, "AAAA");

	(void)state;
	assert_true(qlog_story_done(s, "M1") && qlog_story_done(s, "M2") && qlog_story_moved(s, "M3") && qlog_story_rcpt(s, "M4", SLICE("a@b")));
	assert_false(qlog_story_done(s, "M3") || qlog_story_rcpt(s, "M4", SLICE("a@c")) || qlog_story_done(s, "M9") || qlog_story_is_unclean(s));
	qlog_story_free(&s);
}

static void test_unclean_boot_believes_the_checkpoint(void **state)
{
	static const char *const lines[] = { "boot AAAA", "done M1", "rcpt M5 local a@b", "checkpoint", "done M2", "moved M3", "rcpt M4 local a@b",
		"rcpt M4 remote c@d", NULL };
	struct qlog_story *s = story(lines, "BBBB");

	(void)state;
	assert_true(qlog_story_done(s, "M1") && qlog_story_rcpt(s, "M5", SLICE("a@b")) && qlog_story_is_unclean(s));
	assert_false(qlog_story_done(s, "M2") || qlog_story_moved(s, "M3") || qlog_story_rcpt(s, "M4", SLICE("a@b")));
	assert_true(qlog_story_rcpt(s, "M4", SLICE("c@d")));          /* it went to another server; that does not come back */
	qlog_story_free(&s);
}

static void test_crash_again_after_an_unclean_boot(void **state)
{
	static const char *const lines[] = { "boot AAAA", "done M1", "boot BBBB", "done M2", NULL };
	struct qlog_story *s = story(lines, "BBBB");

	(void)state;
	assert_false(qlog_story_done(s, "M1"));
	assert_true(qlog_story_done(s, "M2"));
	qlog_story_free(&s);
}

static void test_unknown_boot_id_believes_only_checkpoints(void **state)
{
	static const char *const lines[] = { "boot ", "done M1", "checkpoint", "done M2", NULL };
	struct qlog_story *s = story(lines, "");

	(void)state;
	assert_true(qlog_story_done(s, "M1"));
	assert_false(qlog_story_done(s, "M2"));
	qlog_story_free(&s);
}

/* Torn at every octet: a line counts whole or not at all. */
static void test_torn_and_flipped(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	line(&b, "boot AAAA");
	size_t start = b.len;

	line(&b, "done M1");
	for (size_t n = start; n < b.len - 1; n++) {
		struct qlog_story *s = qlog_parse(slice_head(buf_view(&b), n), "AAAA");

		assert_false(qlog_story_done(s, "M1"));
		qlog_story_free(&s);
	}
	for (size_t i = start * 8; i < (b.len - 1) * 8; i++) {
		struct qlog_story *s;

		b.p[i / 8] ^= (char)(1 << i % 8);
		s = qlog_parse(buf_view(&b), "AAAA");
		assert_false(qlog_story_done(s, "M1") && (i / 8 >= start + 9));
		qlog_story_free(&s);
		b.p[i / 8] ^= (char)(1 << i % 8);
	}
	buf_done(&b);
}

static void test_written_and_read_back(void **state)
{
	char dir[] = "/tmp/test_qlog.XXXXXX", command[100];
	struct loop *l = loop_new();
	struct qlog_story *s;
	struct qlog *q;
	struct err e = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(qlog_open(&q, l, dir, "AAAA", &e), 0);
	qlog_done(q, "M1");
	qlog_rcpt(q, "M2", true, SLICE("odd\nname@x"));
	qlog_checkpoint(q);
	qlog_close(&q);
	assert_int_equal(qlog_open(&q, l, dir, "BBBB", &e), 0);
	assert_true(qlog_must_renew(q));                              /* the last run's: no checkpoint may stand behind its lines */
	qlog_rewrite_begin(q);
	qlog_done(q, "M3");
	qlog_checkpoint(q);
	qlog_rcpt(q, "M2", true, SLICE("odd\nname@x"));
	assert_int_equal(qlog_rewrite_end(q, &e), 0);
	qlog_moved(q, "M4");
	qlog_close(&q);
	assert_int_equal(qlog_read(&s, dir, "BBBB", &e), 0);
	assert_true(qlog_story_done(s, "M3") && qlog_story_moved(s, "M4") && qlog_story_rcpt(s, "M2", SLICE("odd\nname@x")));
	assert_false(qlog_story_done(s, "M1"));
	qlog_story_free(&s);
	loop_free(&l);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* Writes fail at `at` octets of a file, as on a full disk: half a line gets there. */
static void limit_files(rlim_t at)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = at;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void test_no_room_then_room(void **state)
{
	char dir[] = "/tmp/test_qlog.XXXXXX", command[100];
	struct loop *l = loop_new();
	struct qlog_story *s;
	struct qlog *q;
	struct err e = ERR_INIT;
	uint64_t size;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(qlog_open(&q, l, dir, "AAAA", &e), 0);
	qlog_done(q, "M1");
	assert_int_equal(qlog_write(q, &e), 0);
	size = qlog_size(q);
	limit_files((rlim_t)size + 5);
	qlog_done(q, "M2");
	assert_int_equal(qlog_write(q, &e), -1);
	assert_int_equal(lseek(qlog_fd(q), 0, SEEK_END), size);       /* not half a line */
	qlog_moved(q, "M3");
	assert_int_equal(qlog_write(q, &e), -1);
	assert_true(qlog_is_stuck(q) && !qlog_has_failed(q));
	limit_files(RLIM_INFINITY);
	assert_int_equal(qlog_write(q, &e), 0);
	assert_false(qlog_is_stuck(q));
	qlog_close(&q);
	assert_int_equal(qlog_read(&s, dir, "AAAA", &e), 0);
	assert_true(qlog_story_done(s, "M1") && qlog_story_done(s, "M2") && qlog_story_moved(s, "M3"));
	qlog_story_free(&s);
	loop_free(&l);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

/* A rewrite that fails leaves the old file and what waits as they were; one that succeeds takes the place of a spoilt file. */
static void test_rewrite_fails_then_succeeds(void **state)
{
	char dir[] = "/tmp/test_qlog.XXXXXX", command[100];
	struct loop *l = loop_new();
	struct qlog_story *s;
	struct qlog *q;
	struct err e = ERR_INIT;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(qlog_open(&q, l, dir, "AAAA", &e), 0);
	assert_false(qlog_must_renew(q));
	qlog_spoil(q);
	qlog_done(q, "M1");
	limit_files(3);
	qlog_rewrite_begin(q);
	qlog_done(q, "M1");
	assert_int_equal(qlog_rewrite_end(q, &e), -1);
	assert_true(qlog_must_renew(q) && !qlog_has_failed(q));
	limit_files(RLIM_INFINITY);
	snprintf(command, sizeof(command), "! ls %s/queue.log.new 2>/dev/null", dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(qlog_write(q, &e), 0);                       /* still counts after kill -9 */
	assert_int_equal(qlog_read(&s, dir, "AAAA", &e), 0);
	assert_true(qlog_story_done(s, "M1"));
	qlog_story_free(&s);
	qlog_rewrite_begin(q);
	qlog_moved(q, "M2");
	assert_int_equal(qlog_rewrite_end(q, &e), 0);
	assert_false(qlog_must_renew(q) || qlog_is_stuck(q));
	qlog_done(q, "M3");
	qlog_close(&q);
	assert_int_equal(qlog_read(&s, dir, "AAAA", &e), 0);
	assert_true(qlog_story_moved(s, "M2") && qlog_story_done(s, "M3") && !qlog_story_done(s, "M1"));
	qlog_story_free(&s);
	loop_free(&l);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_boot_believes_everything), cmocka_unit_test(test_unclean_boot_believes_the_checkpoint),
		cmocka_unit_test(test_crash_again_after_an_unclean_boot), cmocka_unit_test(test_unknown_boot_id_believes_only_checkpoints),
		cmocka_unit_test(test_torn_and_flipped), cmocka_unit_test(test_written_and_read_back),
		cmocka_unit_test(test_no_room_then_room), cmocka_unit_test(test_rewrite_fails_then_succeeds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
