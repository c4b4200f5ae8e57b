/*
 * A segment whose flush failed stays suspect over kill -9: what was refused does not come back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "queue/segments.h"
#include "queue/spool.h"

enum { SEG_SIZE = 64 << 10 };

/* A segment in use with a record in each of blocks 1 and 2. */
static void make_segment(const char *dir, uint64_t generation)
{
	struct segment_head h = { 1, generation, SEG_SIZE, true };
	char *octets = calloc(1, SEG_SIZE), path[100];
	struct buf b;
	FILE *f;

	segment_head_put(&h, octets);
	for (unsigned i = 1; i <= 2; i++) {
		buf_init(&b, BUF_UNBOUNDED);
		record_put(&b, i == 1 ? "GOOD" : "REFUSED", SLICE("envelope"), NULL, 0, 0);
		record_seal(b.p, generation, (uint64_t)i * SEGMENT_BLOCK);
		memcpy(octets + i * SEGMENT_BLOCK, b.p, b.len);
		buf_done(&b);
	}
	snprintf(path, sizeof(path), "%s/journal/1.jnl", dir);
	f = fopen(path, "w");
	assert_true(f != NULL && fwrite(octets, SEG_SIZE, 1, f) == 1 && fclose(f) == 0);
	free(octets);
}

static void on_record(void *ctx, const struct record *r)
{
	strcat(strcat(ctx, r->id), " ");
}

/* What a queue process that starts now finds. */
static void scan(const char *dir, bool mark, const char *expect)
{
	struct loop *l = loop_new();
	struct err e = ERR_INIT;
	struct record_scan result;
	char found[100] = "";
	struct segs *s;
	struct seg *seg;

	assert_int_equal(segs_open(&s, l, dir, SEG_SIZE, &e), 0);
	seg = segs_find(s, 1);
	assert_non_null(seg);
	if (mark)
		assert_int_equal(segs_mark_suspect(s, seg, 2 * SEGMENT_BLOCK, &e), 0);
	assert_int_equal(segs_scan(s, seg, on_record, found, &result, &e), 0);
	assert_string_equal(found, expect);
	segs_close(&s);
	loop_free(&l);
}

static void recycle(const char *dir)
{
	struct loop *l = loop_new();
	struct err e = ERR_INIT;
	struct segs *s;
	char path[100];

	assert_int_equal(segs_open(&s, l, dir, SEG_SIZE, &e), 0);
	assert_true(segs_find(s, 1)->suspect);
	assert_int_equal(segs_write_free(s, segs_find(s, 1), &e), 0);
	segs_freed(s, segs_find(s, 1));
	segs_close(&s);
	loop_free(&l);
	snprintf(path, sizeof(path), "%s/journal/1.suspect", dir);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/journal/1.mark", dir);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_mark_outlives_the_process(void **state)
{
	char dir[] = "/tmp/test_segs.XXXXXX", command[100];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(command, sizeof(command), "%s/journal", dir);
	assert_int_equal(mkdir(command, 0700), 0);
	make_segment(dir, 7);
	scan(dir, false, "GOOD REFUSED ");
	scan(dir, true, "GOOD ");
	scan(dir, false, "GOOD ");
	make_segment(dir, 8);                                         /* the number used again: an old mark says nothing about it */
	scan(dir, false, "GOOD REFUSED ");
	make_segment(dir, 7);
	recycle(dir);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_mark_outlives_the_process) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
