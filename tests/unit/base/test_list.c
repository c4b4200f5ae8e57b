#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/list.h"

struct item {
	int number;
	struct list_node node;
};

static int sum(struct list_node *head)
{
	int n = 0;

	LIST_EACH(at, head)
		n = n * 10 + LIST_OF(at, struct item, node)->number;
	return n;
}

static void keeps_order(void **state UNUSED)
{
	struct item items[4] = { { .number = 1 }, { .number = 2 }, { .number = 3 }, { .number = 4 } };
	struct list_node head;

	list_init(&head);
	assert_true(list_is_empty(&head));
	assert_null(list_first(&head));
	assert_false(list_is_linked(&items[0].node));
	list_remove(&items[0].node);
	list_append(&head, &items[1].node);
	list_append(&head, &items[2].node);
	list_prepend(&head, &items[0].node);
	assert_int_equal(sum(&head), 123);
	assert_true(list_is_linked(&items[1].node));
	assert_ptr_equal(list_first(&head), &items[0].node);
	list_remove(&items[1].node);
	list_remove(&items[1].node);
	assert_false(list_is_linked(&items[1].node));
	list_append(&head, &items[3].node);
	assert_int_equal(sum(&head), 134);
	LIST_EACH_SAFE(at, &head)
		list_remove(at);
	assert_true(list_is_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(keeps_order) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
