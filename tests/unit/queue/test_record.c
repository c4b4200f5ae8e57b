/*
 * The journal's octets: what is whole is found, what is torn, stale or flipped never is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "queue/record.h"

#define GEN UINT64_C(0x1122334455667788)
enum { SEG = 64 << 10 };

struct seen { unsigned n; char ids[8][QUEUE_ID_MAX]; uint64_t offsets[8]; size_t message[8]; };

static void on_record(void *ctx, const struct record *r)
{
	struct seen *s = ctx;

	assert_true(s->n < 8);
	memcpy(s->ids[s->n], r->id, QUEUE_ID_MAX);
	s->offsets[s->n] = r->offset;
	s->message[s->n++] = r->message.n;
}

/* Puts one record at `at`, returns where the next one may begin. */
static uint64_t put(char *seg, uint64_t gen, uint64_t at, const char *id, size_t msg_len)
{
	char *msg = malloc(msg_len + 1);
	struct slice pieces[2];
	struct buf b;

	memset(msg, 'm', msg_len);
	pieces[0] = slice_mem(msg, msg_len / 2);
	pieces[1] = slice_mem(msg + msg_len / 2, msg_len - msg_len / 2);
	buf_init(&b, BUF_UNBOUNDED);
	record_put(&b, id, SLICE("envelope\n"), pieces, 2, 0);
	record_seal(b.p, gen, at);
	memcpy(seg + at, b.p, b.len);
	at += record_padded(b.len);
	buf_done(&b);
	free(msg);
	return at;
}

static void test_head(void **state)
{
	struct segment_head h = { 7, GEN, SEG, true }, got;
	char block[SEGMENT_BLOCK];

	(void)state;
	segment_head_put(&h, block);
	assert_int_equal(segment_head_parse(slice_mem(block, sizeof(block)), &got), 0);
	assert_true(got.number == 7 && got.generation == GEN && got.size == SEG && got.in_use);
	for (size_t i = 0; i < 40; i++) {
		block[i] ^= 4;
		assert_int_equal(segment_head_parse(slice_mem(block, sizeof(block)), &got), -1);
		block[i] ^= 4;
	}
	assert_int_equal(segment_head_parse(slice_mem(block, 39), &got), -1);
}

static void test_scan_finds_all(void **state)
{
	char *seg = calloc(1, SEG);
	struct seen s = { 0 };
	uint64_t at = put(seg, GEN, SEGMENT_BLOCK, "A1", 100), third;

	(void)state;
	at = put(seg, GEN, at, "A2", 0);
	third = (at / SEGMENT_BLOCK + 1) * SEGMENT_BLOCK;             /* the next flush */
	at = put(seg, GEN, third, "A3", 9000);

	struct record_scan r = record_scan(slice_mem(seg, SEG), GEN, 0, on_record, &s);

	assert_int_equal(s.n, 3);
	assert_string_equal(s.ids[2], "A3");
	assert_true(s.offsets[2] == third && s.message[2] == 9000 && s.message[1] == 0);
	assert_true(r.end == at && r.good == 3 && r.damaged == 0);
	s.n = 0;
	record_scan(slice_mem(seg, SEG), GEN, third, on_record, &s);
	assert_int_equal(s.n, 1);
	free(seg);
}

/* A write that stopped at any octet: the records before are found, the torn one is not. */
static void test_torn_at_every_octet(void **state)
{
	char *seg = calloc(1, SEG), *whole = calloc(1, SEG);
	uint64_t second = put(whole, GEN, SEGMENT_BLOCK, "A1", 50), end = put(whole, GEN, second, "A2", 300);

	(void)state;
	for (uint64_t cut = second; cut < end; cut++) {
		struct seen s = { 0 };
		struct record_scan r;

		memset(seg, 0, SEG);
		memcpy(seg, whole, cut);
		r = record_scan(slice_mem(seg, SEG), GEN, 0, on_record, &s);
		assert_int_equal(s.n, cut < end - record_padded(0) && memcmp(seg, whole, end) != 0 ? 1 : 2);
		assert_int_equal(r.damaged, 0);
	}
	free(seg);
	free(whole);
}

static void test_flipped_bit_is_never_a_record(void **state)
{
	char *seg = calloc(1, SEG);
	uint64_t len = 0;

	(void)state;
	put(seg, GEN, SEGMENT_BLOCK, "A1", 64);
	len = RECORD_HEAD + 9 + 64;
	for (uint64_t i = 0; i < len * 8; i++) {
		struct seen s = { 0 };

		seg[SEGMENT_BLOCK + i / 8] ^= (char)(1 << i % 8);
		record_scan(slice_mem(seg, SEG), GEN, 0, on_record, &s);
		assert_int_equal(s.n, 0);
		seg[SEGMENT_BLOCK + i / 8] ^= (char)(1 << i % 8);
	}
	free(seg);
}

static void test_stale_generation_is_zeros(void **state)
{
	char *seg = calloc(1, SEG);
	struct seen s = { 0 };
	uint64_t at = SEGMENT_BLOCK;

	(void)state;
	for (int i = 0; i < 5; i++)
		at = put(seg, GEN - 1, at, "OLD", 3000);
	put(seg, GEN, SEGMENT_BLOCK, "NEW", 10);
	record_scan(slice_mem(seg, SEG), GEN, 0, on_record, &s);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.ids[0], "NEW");
	free(seg);
}

static void test_record_moved_elsewhere_is_refused(void **state)
{
	char *seg = calloc(1, SEG);
	struct seen s = { 0 };

	(void)state;
	put(seg, GEN, SEGMENT_BLOCK, "A1", 10);
	memcpy(seg + 3 * SEGMENT_BLOCK, seg + SEGMENT_BLOCK, 200);
	memset(seg + SEGMENT_BLOCK, 0, 200);
	record_scan(slice_mem(seg, SEG), GEN, 0, on_record, &s);
	assert_int_equal(s.n, 0);
	free(seg);
}

static void test_damage_before_a_good_one_is_told(void **state)
{
	char *seg = calloc(1, SEG);
	struct seen s = { 0 };
	struct record_scan r;

	(void)state;
	put(seg, GEN, SEGMENT_BLOCK, "A1", 10);
	put(seg, GEN, 2 * SEGMENT_BLOCK, "A2", 10);
	seg[SEGMENT_BLOCK + RECORD_HEAD + 2] ^= 1;
	r = record_scan(slice_mem(seg, SEG), GEN, 0, on_record, &s);
	assert_true(s.n == 1 && r.damaged == 1);
	free(seg);
}

static void test_lengths_past_the_end(void **state)
{
	char *seg = calloc(1, SEG);
	struct record r;
	uint64_t at = SEG - 100;

	(void)state;
	put(seg, GEN, SEGMENT_BLOCK, "A1", 200);
	memcpy(seg + at, seg + SEGMENT_BLOCK, 100);
	record_seal(seg + at, GEN, at);
	assert_int_equal(record_parse(slice_mem(seg + at, 100), GEN, at, &r), RECORD_DAMAGED);
	assert_int_equal(record_parse(slice_mem(seg + at, RECORD_HEAD - 1), GEN, at, &r), RECORD_NONE);
	free(seg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_scan_finds_all),
		cmocka_unit_test(test_torn_at_every_octet),
		cmocka_unit_test(test_flipped_bit_is_never_a_record),
		cmocka_unit_test(test_stale_generation_is_zeros),
		cmocka_unit_test(test_record_moved_elsewhere_is_refused),
		cmocka_unit_test(test_damage_before_a_good_one_is_told),
		cmocka_unit_test(test_lengths_past_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
