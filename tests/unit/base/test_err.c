#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void carries_kind_and_words(void **state UNUSED)
{
	struct err e = ERR_INIT;

	assert_int_equal(err_set(&e, ERR_NOTFOUND, ENOENT, "mailbox %s", "x"), -1);
	assert_int_equal(e.kind, ERR_NOTFOUND);
	assert_int_equal(e.sys, ENOENT);
	assert_string_equal(e.text, "mailbox x: No such file or directory");
	assert_int_equal(err_context(&e, "user %d", 7), -1);
	assert_string_equal(e.text, "user 7: mailbox x: No such file or directory");
	assert_int_equal(e.kind, ERR_NOTFOUND);
	assert_int_equal(err_set(&e, ERR_TEMP, 0, "again: %s", e.text), -1);
	assert_string_equal(e.text, "again: user 7: mailbox x: No such file or directory");
	assert_int_equal(err_set(NULL, ERR_TEMP, 0, "nobody listens"), -1);
	assert_int_equal(err_context(NULL, "nobody listens"), -1);
}

static void long_words_are_cut(void **state UNUSED)
{
	struct err e = ERR_INIT;
	char text[600];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	err_set(&e, ERR_TEMP, EIO, "%s", text);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	err_context(&e, "front");
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
	assert_int_equal(strncmp(e.text, "front: aaa", 10), 0);
	err_context(&e, "%s", text);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

static void kinds_of_errno(void **state UNUSED)
{
	assert_int_equal(err_kind_of(ENOENT), ERR_NOTFOUND);
	assert_int_equal(err_kind_of(EPERM), ERR_DENIED);
	assert_int_equal(err_kind_of(ENOSPC), ERR_LIMIT);
	assert_int_equal(err_kind_of(EEXIST), ERR_EXISTS);
	assert_int_equal(err_kind_of(EIO), ERR_TEMP);
	assert_int_equal(err_kind_of(EMFILE), ERR_TEMP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(carries_kind_and_words), cmocka_unit_test(long_words_are_cut), cmocka_unit_test(kinds_of_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
