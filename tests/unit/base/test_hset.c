/*
 * base/hset.c against an array: what is in, what is out, through growth.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hset.h"

struct thing {
	char name[16];
	struct hset_node node;
	bool in;
};

static struct slice key_of(struct hset_node *n)
{
	return slice_of(HSET_OF(n, struct thing, node)->name);
}

static void agrees_with_an_array(void **state)
{
	enum { N = 1000 };
	static struct thing things[N];
	struct hset s;
	unsigned seed = 7;
	size_t n = 0;

	(void)state;
	hset_init(&s, key_of);
	assert_null(hset_get(&s, SLICE("t1")));
	for (unsigned i = 0; i < N; i++)
		snprintf(things[i].name, sizeof(things[i].name), "t%u", i);
	for (int round = 0; round < 20000; round++) {
		seed = seed * 1103515245u + 12345u;
		struct thing *t = &things[seed >> 8 & 1023 ? (seed >> 8 & 1023) % N : 0];
		struct hset_node *found = hset_get(&s, slice_of(t->name));
		assert_true(found == (t->in ? &t->node : NULL));
		if (t->in)
			hset_del(&s, &t->node);
		else
			hset_add(&s, &t->node);
		t->in = !t->in;
		n += t->in ? 1 : (size_t)-1;
		assert_int_equal(s.n, n);
	}
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(hset_get(&s, slice_of(things[i].name)) != NULL, things[i].in);
	hset_done(&s);
	assert_null(hset_get(&s, SLICE("t1")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
