/*
 * The front's side of the journal against a disk that fails: 250 only after a flush that returned 0, nothing after one that did not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "queue/journal.h"
#include "queue/record.h"

enum { SEG_SIZE = 64 << 10, SEGS = 4 };

struct fixture {
	struct loop *loop;
	struct journal *j;
	char dir[64];
	int fds[SEGS];                                                /* ours, to look into */
	unsigned given, asked, released, suspects;
	uint64_t good_to;
	unsigned done, failed, expect;
	struct journal_place last;
	struct loop_timer guard;
};

/* What the disk does, read by the flusher thread: set before a run only. */
static struct { int fail_write_at, fail_sync_at, short_write, writes, syncs; } disk;

static ssize_t disk_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	if (++disk.writes == disk.fail_write_at) {
		errno = ENOSPC;
		return -1;
	}
	if (disk.short_write)
		return pwrite(fd, iov[0].iov_base, iov[0].iov_len > 7 ? 7 : iov[0].iov_len, at);
	return pwritev(fd, iov, n, at);
}

static int disk_fdatasync(int fd)
{
	(void)fd;
	if (++disk.syncs == disk.fail_sync_at) {
		errno = EIO;
		return -1;
	}
	return 0;
}

static const struct journal_ops ops = { disk_pwritev, disk_fdatasync, disk_fdatasync };

static void make_segment(struct fixture *f, unsigned i)
{
	struct segment_head h = { i + 1, 0x1000 + i, SEG_SIZE, true };
	char block[SEGMENT_BLOCK], path[100];

	snprintf(path, sizeof(path), "%s/%u", f->dir, i);
	f->fds[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(f->fds[i] >= 0 && ftruncate(f->fds[i], SEG_SIZE) == 0);
	segment_head_put(&h, block);
	assert_int_equal(pwrite(f->fds[i], block, sizeof(block), 0), sizeof(block));
}

static void give(struct fixture *f)
{
	struct err e = ERR_INIT;
	unsigned i = f->given++;

	assert_true(i < SEGS);
	make_segment(f, i);
	assert_int_equal(journal_give_segment(f->j, i + 1, dup(f->fds[i]), &e), 0);
}

static void on_ask(void *ctx)
{
	((struct fixture *)ctx)->asked++;
}

static void on_released(void *ctx, uint64_t segment)
{
	(void)segment;
	((struct fixture *)ctx)->released++;
}

static void on_suspect(void *ctx, uint64_t segment, uint64_t good_to, const struct err *e)
{
	struct fixture *f = ctx;

	(void)segment;
	assert_int_not_equal(e->kind, ERR_NONE);
	f->suspects++;
	f->good_to = good_to;
}

static const struct journal_events events = { on_ask, on_released, on_suspect };

static void on_done(void *ctx, const struct journal_place *place, const struct err *err)
{
	struct fixture *f = ctx;

	if (err == NULL) {
		f->done++;
		f->last = *place;
	} else {
		assert_null(place);
		f->failed++;
	}
	if (f->done + f->failed == f->expect)
		loop_stop(f->loop);
}

static void on_guard(void *ctx)
{
	(void)ctx;
	fail_msg("the journal never answered");
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	memset(&disk, 0, sizeof(disk));
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_journal.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->loop = loop_new();
	f->j = journal_new_with(f->loop, &events, &ops, f);
	loop_timer_start(f->loop, &f->guard, 9000, on_guard, f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[100];

	journal_free(&f->j);
	loop_timer_stop(f->loop, &f->guard);
	loop_free(&f->loop);
	for (unsigned i = 0; i < f->given; i++)
		close(f->fds[i]);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void append(struct fixture *f, const char *id, size_t len)
{
	struct rcpt rcpt = { .address = SLICE("b@example.net") };
	struct envelope env = { .arrived = 1, .sender = SLICE("a@example.org"), .rcpts = &rcpt, .n_rcpts = 1 };
	char *text = calloc(1, len + 1);
	struct slice piece = slice_mem(text, len);

	memset(text, 'm', len);
	snprintf(env.id, sizeof(env.id), "%s", id);
	journal_append(f->j, &env, &piece, 1, on_done, f);
	free(text);                                                   /* copied before it returned */
}

static void count(void *ctx, const struct record *r)
{
	(void)ctx;
	(void)r;
}

static unsigned good_records(struct fixture *f, unsigned i)
{
	char *p = malloc(SEG_SIZE);
	unsigned n;

	assert_int_equal(pread(f->fds[i], p, SEG_SIZE, 0), SEG_SIZE);
	n = record_scan(slice_mem(p, SEG_SIZE), 0x1000 + i, 0, count, NULL).good;
	free(p);
	return n;
}

static void test_group_commit(void **state)
{
	struct fixture *f = *state;
	char id[8];

	give(f);
	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "A%d", i);
		append(f, id, 300);
	}
	f->expect = 20;
	loop_run(f->loop);
	assert_int_equal(f->done, 20);
	assert_int_equal(good_records(f, 0), 20);
	assert_true(disk.syncs <= 2);                                 /* the first one alone, the other nineteen together */
	assert_true(f->asked >= 1);
}

static void test_place_can_be_read_back(void **state)
{
	struct fixture *f = *state;
	struct arena *a = arena_new(0);
	struct slice text, message;
	struct envelope env;
	struct err e = ERR_INIT;

	give(f);
	append(f, "A1", 5000);
	f->expect = 1;
	loop_run(f->loop);
	assert_int_equal(journal_read(f->fds[0], &f->last, a, &text, &message, &e), 0);
	assert_int_equal(message.n, 5000);
	assert_int_equal(envelope_parse(text, a, &env, &e), 0);
	assert_string_equal(env.id, "A1");
	f->last.generation++;
	assert_int_equal(journal_read(f->fds[0], &f->last, a, &text, &message, &e), -1);
	arena_free(&a);
}

/* No two flushes share a block: what was acknowledged is never written again. */
static void test_each_flush_begins_a_block(void **state)
{
	struct fixture *f = *state;

	give(f);
	for (unsigned i = 1; i <= 3; i++) {
		append(f, "A1", 100);
		f->expect = i;
		loop_run(f->loop);
		assert_int_equal(f->last.offset, (uint64_t)i * SEGMENT_BLOCK);
	}
}

static void test_full_segment_moves_on(void **state)
{
	struct fixture *f = *state;

	give(f);
	give(f);
	f->expect = 20;
	for (int i = 0; i < 20; i++)
		append(f, "A1", 5000);
	loop_run(f->loop);
	assert_int_equal(f->done, 20);
	assert_int_equal(good_records(f, 0) + good_records(f, 1), 20);
	assert_int_equal(f->released, 1);
}

static void test_failed_flush_is_451_and_the_end_of_the_segment(void **state)
{
	struct fixture *f = *state;

	give(f);
	give(f);
	append(f, "A1", 100);
	f->expect = 1;
	loop_run(f->loop);
	disk.fail_sync_at = disk.syncs + 1;
	append(f, "A2", 100);
	f->expect = 2;
	loop_run(f->loop);
	assert_true(f->done == 1 && f->failed == 1 && f->suspects == 1);
	assert_int_equal(f->good_to, SEGMENT_BLOCK + f->last.length + (8 - f->last.length % 8) % 8);
	assert_true(journal_is_ready(f->j));
	append(f, "A3", 100);                                         /* goes to the second segment, the first is never touched again */
	f->expect = 3;
	loop_run(f->loop);
	assert_true(f->done == 2 && f->last.segment == 2);
}

static void test_second_failure_is_the_end(void **state)
{
	struct fixture *f = *state;

	give(f);
	give(f);
	disk.fail_sync_at = 1;
	append(f, "A1", 100);
	f->expect = 1;
	loop_run(f->loop);
	disk.fail_sync_at = 2;
	append(f, "A2", 100);
	f->expect = 2;
	loop_run(f->loop);
	assert_true(f->done == 0 && f->failed == 2 && f->suspects == 2);
	assert_true(journal_is_broken(f->j) && !journal_is_ready(f->j));
	append(f, "A3", 100);
	f->expect = 3;
	loop_run(f->loop);
	assert_int_equal(f->failed, 3);
}

static void test_failed_write_is_451(void **state)
{
	struct fixture *f = *state;

	give(f);
	disk.fail_write_at = 1;
	append(f, "A1", 100);
	f->expect = 1;
	loop_run(f->loop);
	assert_true(f->failed == 1 && disk.syncs == 0);
}

static void test_short_writes_go_on(void **state)
{
	struct fixture *f = *state;

	give(f);
	disk.short_write = 1;
	append(f, "A1", 1000);
	append(f, "A2", 1000);
	f->expect = 2;
	loop_run(f->loop);
	assert_int_equal(f->done, 2);
	assert_int_equal(good_records(f, 0), 2);
}

static void test_large_message_is_flushed_first(void **state)
{
	struct fixture *f = *state;
	struct envelope env = { .id = "L1", .arrived = 1, .sender = SLICE(""), .size = 99 };
	struct arena *a = arena_new(0);
	struct slice text, message;

	give(f);
	f->expect = 1;
	journal_append_file(f->j, &env, dup(f->fds[0]), -1, on_done, f);
	loop_run(f->loop);
	assert_true(f->done == 1 && disk.syncs == 2);
	assert_int_equal(journal_read(f->fds[0], &f->last, a, &text, &message, NULL), 0);
	assert_null(message.p);
	disk.fail_sync_at = 3;
	f->expect = 2;
	journal_append_file(f->j, &env, dup(f->fds[0]), -1, on_done, f);
	loop_run(f->loop);
	assert_true(f->failed == 1 && f->suspects == 0 && good_records(f, 0) == 1);
	arena_free(&a);
}

static void on_other(void *ctx, const struct journal_place *place, const struct err *err)
{
	struct fixture *f = ctx;

	assert_true(place != NULL && err == NULL);
	loop_stop(f->loop);
}

static void test_forgotten_session_hears_nothing(void **state)
{
	struct fixture *f = *state;
	struct envelope env = { .id = "A3", .arrived = 1 };
	struct fixture other = { .loop = f->loop };

	give(f);
	append(f, "A1", 100);
	append(f, "A2", 100);
	journal_forget(f->j, f);
	journal_append(f->j, &env, NULL, 0, on_other, &other);
	loop_run(f->loop);
	assert_true(f->done == 0 && f->failed == 0 && good_records(f, 0) == 3);      /* yet all are there */
}

static void test_waits_for_a_segment(void **state)
{
	struct fixture *f = *state;

	append(f, "A1", 100);
	assert_true(f->asked == 1 && !journal_is_ready(f->j));
	give(f);
	f->expect = 1;
	loop_run(f->loop);
	assert_int_equal(f->done, 1);
}

static void test_envelope_larger_than_a_segment(void **state)
{
	struct fixture *f = *state;

	give(f);
	append(f, "A1", SEG_SIZE);
	append(f, "A2", 10);
	f->expect = 2;
	loop_run(f->loop);
	assert_true(f->failed == 1 && f->done == 1);
}

static void test_ids_differ(void **state)
{
	char a[QUEUE_ID_MAX], b[QUEUE_ID_MAX];

	(void)state;
	queue_id_new(a, 1795312087123456, 0);
	queue_id_new(b, 1795312087123456, 0);
	assert_string_not_equal(a, b);
	assert_int_equal(strspn(a, "0123456789BCDFGHJKLMNPQRSTVWXYZ"), strlen(a));
	assert_true(strlen(a) < QUEUE_ID_MAX);
	queue_id_new(b, 1795312087123457, 0);
	assert_true(strncmp(a, b, 11) < 0);                           /* sorted by time */
}

#define T(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_group_commit), T(test_place_can_be_read_back), T(test_each_flush_begins_a_block), T(test_full_segment_moves_on),
		T(test_failed_flush_is_451_and_the_end_of_the_segment), T(test_second_failure_is_the_end), T(test_failed_write_is_451),
		T(test_short_writes_go_on), T(test_large_message_is_flushed_first), T(test_forgotten_session_hears_nothing), T(test_waits_for_a_segment),
		T(test_envelope_larger_than_a_segment), cmocka_unit_test(test_ids_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
