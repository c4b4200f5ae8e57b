#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

static void crc32c_matches_rfc3720(void **state UNUSED)
{
	unsigned char p[100];

	assert_int_equal(hash_crc32c(0, "123456789", 9), 0xe3069283);
	memset(p, 0, 32);
	assert_int_equal(hash_crc32c(0, p, 32), 0x8a9136aa);
	memset(p, 0xff, 32);
	assert_int_equal(hash_crc32c(0, p, 32), 0x62a8ab43);
	for (unsigned i = 0; i < sizeof(p); i++)
		p[i] = (unsigned char)i;
	assert_int_equal(hash_crc32c(0, p, 32), 0x46dd794e);
	for (size_t n = 0; n <= sizeof(p); n++) {
		uint32_t whole = hash_crc32c_portable(0, p, n);

		assert_int_equal(hash_crc32c(0, p, n), whole);
		assert_int_equal(hash_crc32c(hash_crc32c(0, p, n / 3), p + n / 3, n - n / 3), whole);
	}
}

static void siphash_matches_its_paper(void **state UNUSED)
{
	static const uint64_t key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	char p[15];

	for (int i = 0; i < 15; i++)
		p[i] = (char)i;
	assert_true(hash_siphash(key, slice_mem(p, 15)) == 0xa129ca6149be45e5u);
	assert_true(hash_siphash(key, SLICE("")) == 0x726fdb47dd0e0e31u);
	assert_true(hash_stable(SLICE("a")) != hash_keyed(SLICE("a")));
	assert_true(hash_keyed(SLICE("a")) == hash_keyed(SLICE("a")));
	assert_true(hash_keyed(SLICE("a")) != hash_keyed(SLICE("b")));
}

static struct slice key_of(int i, char room[16])
{
	return slice_mem(room, (size_t)snprintf(room, 16, "key %d", i));
}

static void map_keeps_what_was_put(void **state UNUSED)
{
	static int values[1000], other;
	struct hmap *m = hmap_new();
	char room[16];

	assert_null(hmap_get(m, SLICE("nothing")));
	assert_null(hmap_del(m, SLICE("nothing")));
	for (int i = 0; i < 1000; i++)
		assert_null(hmap_put(m, key_of(i, room), &values[i]));
	memset(room, 'x', sizeof(room));                              /* keys are copies */
	assert_int_equal(hmap_count(m), 1000);
	for (int i = 0; i < 1000; i++)
		assert_ptr_equal(hmap_get(m, key_of(i, room)), &values[i]);
	assert_ptr_equal(hmap_put(m, SLICE("key 5"), &other), &values[5]);
	assert_ptr_equal(hmap_get(m, SLICE("key 5")), &other);
	assert_int_equal(hmap_count(m), 1000);
	assert_null(hmap_put(m, SLICE("key 5\0"), &values[5]));       /* the NUL belongs to the key */
	assert_ptr_equal(hmap_get(m, SLICE("key 5")), &other);
	assert_null(hmap_put(m, SLICE_NONE, &other));
	assert_ptr_equal(hmap_get(m, SLICE("")), &other);
	hmap_free(&m);
	assert_null(m);
	hmap_free(&m);
}

static void map_survives_churn(void **state UNUSED)
{
	struct hmap *m = hmap_new();
	char room[16];
	int v;

	for (int i = 0; i < 100000; i++) {
		hmap_put(m, key_of(i, room), &v);
		if (i >= 10)
			assert_ptr_equal(hmap_del(m, key_of(i - 10, room)), &v);
	}
	assert_int_equal(hmap_count(m), 10);
	assert_ptr_equal(hmap_get(m, SLICE("key 99999")), &v);
	assert_null(hmap_get(m, SLICE("key 99989")));
	hmap_free(&m);
}

static void walk_may_delete_what_it_sees(void **state UNUSED)
{
	struct hmap *m = hmap_new();
	char room[16], seen[500] = { 0 };
	int values[500];
	struct slice key;
	size_t at = 0;
	void *value;

	for (int i = 0; i < 500; i++)
		hmap_put(m, key_of(i, room), &values[i]);
	while (hmap_next(m, &at, &key, &value)) {
		ptrdiff_t i = (int *)value - values;

		assert_true(slice_eq(key, key_of((int)i, room)));
		assert_int_equal(seen[i]++, 0);
		if (i % 2 == 0)
			assert_ptr_equal(hmap_del(m, key), value);
	}
	for (int i = 0; i < 500; i++)
		assert_int_equal(seen[i], 1);
	assert_int_equal(hmap_count(m), 250);
	hmap_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_matches_rfc3720), cmocka_unit_test(siphash_matches_its_paper), cmocka_unit_test(map_keeps_what_was_put),
		cmocka_unit_test(map_survives_churn), cmocka_unit_test(walk_may_delete_what_it_sees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
