#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"

static void allocations_are_zeroed_apart_and_aligned(void **state UNUSED)
{
	struct arena *a = arena_new(0);

	for (int round = 0; round < 3; round++) {
		for (size_t n = 1; n < 3000; n += 7) {
			char *p = arena_alloc(a, n);

			assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xee, n);
		}
		arena_reset(a);
		assert_int_equal(arena_used(a), 0);
	}
	arena_free(&a);
	assert_null(a);
	arena_free(&a);
	arena_free(NULL);
}

static void copies_and_prints(void **state UNUSED)
{
	struct arena *a = arena_new(16);
	struct slice s = arena_dup(a, SLICE("ab"));

	assert_string_equal(s.p, "ab");
	assert_string_equal(arena_str(a, SLICE_NONE), "");
	assert_string_equal(arena_printf(a, "%d %s", 42, "words that are longer than the first block"), "42 words that are longer than the first block");
	assert_true(arena_used(a) >= 46);
	assert_non_null(arena_array(a, 100, 100));
	arena_free(&a);
}

struct step {
	struct buf *log;
	int number;
};

static void say(void *ctx)
{
	struct step *s = ctx;

	buf_putf(s->log, "%d", s->number);
}

static void reset_runs_what_was_registered_in_reverse(void **state UNUSED)
{
	struct arena *a = arena_new(0);
	struct buf log;
	struct step steps[3] = { { &log, 1 }, { &log, 2 }, { &log, 3 } };

	buf_init(&log, BUF_UNBOUNDED);
	for (int i = 0; i < 3; i++)
		arena_on_reset(a, say, &steps[i]);
	arena_reset(a);
	assert_string_equal(buf_str(&log), "321");
	arena_reset(a);
	assert_string_equal(buf_str(&log), "321");
	arena_on_reset(a, say, &steps[0]);
	arena_free(&a);
	assert_string_equal(buf_str(&log), "3211");
	buf_done(&log);
}

static void secrets_are_wiped(void **state UNUSED)
{
	struct arena *a = arena_new_secret(64);
	volatile char *p = arena_str(a, SLICE("secret"));

	arena_reset(a);
	assert_int_equal(p[0], 0);                                    /* the first block is kept, so it may be looked at */
	assert_int_equal(p[5], 0);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_zeroed_apart_and_aligned), cmocka_unit_test(copies_and_prints),
		cmocka_unit_test(reset_runs_what_was_registered_in_reverse), cmocka_unit_test(secrets_are_wiped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
