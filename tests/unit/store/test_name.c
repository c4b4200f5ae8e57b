/*
 * tests/unit/store/test_name.c - names of message files and folders, there and back.
 */
#include "store_env.h"

#include "store/name.h"

static void test_message_names(void **state)
{
	static const struct { const char *name; struct mname want; } cases[] = {
		{ "1700000000.Q1.mx.office.test,S=93,U=t1abc.1z:2,FSab",
		  { .date = 1700000000, .size = 93, .has_size = true, .file_size = 93, .has_uid = true, .uidvalidity = 48768888, .uid = 71,
		    .flags = MSG_FLAGGED | MSG_SEEN, .keywords = 3 } },
		{ "1700000000.M1P2.host,S=14,W=17,D=yz,K=1f:2,DPRT",
		  { .date = 1259, .size = 17, .has_size = true, .has_lf = true, .file_size = 14, .flags = MSG_DRAFT | MSG_FORWARDED | MSG_ANSWERED | MSG_DELETED,
		    .keywords = 51ull << 26 } },
		{ "strange", { .date = -1 } },
		{ "17.x.y,S=,U=0.1,U=1.0,U=zzzzzzzz.1,K=zzzzzzzzzzzzzz:1,SF", { .date = 17 } },
	};
	static const char *const bad[] = { "", ".x", "a/b" };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct mname *w = &cases[i].want;
		struct mname n;

		assert_int_equal(mname_parse(slice_of(cases[i].name), &n), 0);
		assert_int_equal(n.date, w->date);
		assert_int_equal(n.size, w->size);
		assert_int_equal(n.has_size, w->has_size);
		assert_int_equal(n.has_lf, w->has_lf);
		assert_int_equal(n.file_size, w->file_size);
		assert_int_equal(n.has_uid, w->has_uid);
		assert_int_equal(n.uidvalidity, w->uidvalidity);
		assert_int_equal(n.uid, w->uid);
		assert_int_equal(n.flags, w->flags);
		assert_int_equal(n.keywords, w->keywords);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct mname n;

		assert_int_equal(mname_parse(slice_of(bad[i]), &n), -1);
	}
}

static void test_round_trip(void **state)
{
	struct mname n = { .stem = SLICE("1700000000.Q1.mx"), .date = 1600000000, .size = 20, .file_size = 18, .has_size = true, .has_lf = true, .has_uid = true,
		.uidvalidity = UINT32_MAX, .uid = UINT32_MAX - 1, .flags = 63, .keywords = UINT64_MAX }, again;
	char most[300];
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(mname_put(&n, &b), 0);
	assert_int_equal(mname_parse(buf_view(&b), &again), 0);
	assert_int_equal(again.flags, 63);
	assert_true(again.keywords == UINT64_MAX);
	assert_int_equal(again.date, 1600000000);
	assert_int_equal(again.uid, UINT32_MAX - 1);
	for (size_t cut = 1; cut < b.len; cut++)                      /* every shorter name is read as something, or refused */
		(void)!mname_parse(slice_head(buf_view(&b), cut), &again);
	memset(most, 'x', sizeof most);
	n.stem = slice_mem(most, 250);
	buf_reset(&b);
	assert_int_equal(mname_put(&n, &b), -1);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void test_folders(void **state)
{
	static const struct { const char *name, *disk; } cases[] = {
		{ "INBOX", "" }, { "Sent", ".Sent" }, { "a/b.c", ".a.b&AC4-c" }, { "Gr\xc3\xbc\xc3\x9f" "e", ".Gr&APwA3w-e" }, { "R&D", ".R&-D" },
		{ "...x", ".&AC4-&AC4-&AC4-x" }, { "INBOX/x", ".INBOX.x" }, { "a b", ".a b" },
	};
	static const char *const refused[] = { ".new", "x", ".", "..", ".a..b", ".&AC8-", ".&bad", ".a.", ".a/b" };
	struct buf name, disk;
	struct err e;

	(void)state;
	buf_init(&name, 1000);
	buf_init(&disk, 1000);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		buf_reset(&disk);
		buf_reset(&name);
		assert_int_equal(folder_name_to_disk(slice_of(cases[i].name), &disk, &e), 0);
		assert_string_equal(buf_str(&disk), cases[i].disk);
		if (i > 0) {
			assert_int_equal(folder_name_from_disk(buf_view(&disk), &name), 0);
			assert_string_equal(buf_str(&name), cases[i].name);
		}
	}
	for (size_t i = 1; i < sizeof refused / sizeof *refused; i++)
		assert_int_equal(folder_name_from_disk(slice_of(refused[i]), &name), -1);
	buf_reset(&name);
	assert_int_equal(folder_name_check(SLICE("iNbOx/a"), &name, &e), 0);
	assert_string_equal(buf_str(&name), "INBOX/a");
	buf_done(&name);
	buf_done(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_message_names), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_folders) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
