/*
 * tests/unit/deliver/test_boxes.c - open mailboxes stay open, and are never older than a second.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/users.h"
#include "conf/conf.h"
#include "deliver/boxes.h"

#define MESSAGE "Subject: hello\r\n\r\ntext\r\n"

static char dir[] = "/tmp/test_boxes.XXXXXX";
static struct settings *conf;
static struct boxes *boxes;
static struct arena *arena;

static const char *path(const char *name)
{
	return arena_printf(arena, "%s/%s", dir, name);
}

static void save_user(uint64_t quota_messages)
{
	struct user u = { .name = SLICE("u1@office.test"), .quota_messages = quota_messages };
	struct err e = ERR_INIT;

	assert_int_equal(users_set(path("users.db"), path("accounts.db"), &u, &e), 0);
}

static int deliver(int64_t now_ms, const char *id, struct err *e)
{
	struct delivery d = { .queue_id = id, .octets = SLICE(MESSAGE), .internaldate = 1700000000 };
	const char *where;
	struct box *b;

	return boxes_get(boxes, SLICE("u1@office.test"), true, now_ms, &b, e) == 0 ? box_deliver(b, SLICE("INBOX"), &d, arena, &where, e) : -1;
}

static bool is_file(const char *mailbox, const char *id)
{
	return system(arena_printf(arena, "ls %s/mail/office.test/%s/cur | grep -q %s", dir, mailbox, id)) == 0;
}

static int begin(void **state)
{
	const char *const text = "config_directory = %s\nstate_directory = %s\nmail_directory = %s/mail\naccounts_db = %s/accounts.db\nmyhostname = mail.office.test\n"
	    "mydestination = office.test\nspecial_folders =\n";
	struct err e = ERR_INIT;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	arena = arena_new(0);
	f = fopen(path("posthouse.conf"), "w");
	fprintf(f, text, dir, dir, dir, dir);
	fclose(f);
	assert_int_equal(conf_load(&conf, path("posthouse.conf"), NULL, NULL, &e), 0);
	save_user(0);
	boxes = boxes_new(conf, true);
	return 0;
}

static int end(void **state)
{
	(void)state;
	boxes_free(&boxes);
	conf_free(&conf);
	assert_int_equal(system(arena_printf(arena, "rm -rf %s", dir)), 0);
	arena_free(&arena);
	return 0;
}

static void test_stays_open_and_takes_mail(void **state)
{
	struct box *first, *second;
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(boxes_get(boxes, SLICE("u1@office.test"), true, 0, &first, &e), 0);
	assert_int_equal(boxes_get(boxes, SLICE("u1@office.test"), true, 5000, &second, &e), 0);
	assert_ptr_equal(first, second);
	assert_int_equal(deliver(5000, "Q1AAAAAAAAAA", &e), 0);
	assert_true(is_file("u1", "Q1AAAAAAAAAA"));
	assert_int_equal(boxes_get(boxes, SLICE("../../etc@office.test"), true, 0, &second, &e), -1);
	assert_int_equal(e.kind, ERR_DENIED);
}

/* An admin moves a mailbox away, or puts a backup in its place. */
static void test_a_directory_that_was_moved_is_noticed(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(deliver(10000, "Q2AAAAAAAAAA", &e), 0);
	assert_int_equal(rename(path("mail/office.test/u1"), path("mail/office.test/away")), 0);
	assert_int_equal(deliver(11000, "Q3AAAAAAAAAA", &e), 0);
	assert_true(is_file("u1", "Q3AAAAAAAAAA"));
	assert_false(is_file("away", "Q3AAAAAAAAAA"));
}

static void test_a_new_quota_counts_within_a_second(void **state)
{
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(deliver(20000, "Q4AAAAAAAAAA", &e), 0);
	save_user(1);
	assert_int_equal(deliver(21000, "Q5AAAAAAAAAA", &e), -1);
	assert_int_equal(e.kind, ERR_LIMIT);
	assert_non_null(strstr(e.text, "over quota"));
	save_user(100);
	e = (struct err)ERR_INIT;
	assert_int_equal(deliver(22000, "Q6AAAAAAAAAA", &e), 0);
}

static void test_more_users_than_stay_open(void **state)
{
	struct box *b;
	struct err e = ERR_INIT;
	char name[40];

	(void)state;
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned i = 0; i < 210; i++) {
			snprintf(name, sizeof(name), "many%u@office.test", i);
			assert_int_equal(boxes_get(boxes, slice_of(name), true, 30000, &b, &e), 0);
		}
	boxes_forget(boxes, SLICE("many209@office.test"));
	boxes_forget(boxes, SLICE("nobody@office.test"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stays_open_and_takes_mail), cmocka_unit_test(test_a_directory_that_was_moved_is_noticed),
		cmocka_unit_test(test_a_new_quota_counts_within_a_second), cmocka_unit_test(test_more_users_than_stay_open),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
