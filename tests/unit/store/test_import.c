/*
 * tests/unit/store/test_import.c - Maildirs that Dovecot and Courier left.
 */
#include "store_env.h"

static void put(struct env *v, const char *name, const char *text)
{
	char path[512], *slash;
	FILE *f;

	snprintf(path, sizeof path, "%s/office.test/u1/%s", v->dir, name);
	for (slash = path + strlen(v->dir) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_dovecot(void **state)
{
	struct env *v = *state;
	struct folder *list;
	struct mbox *m;
	struct view *x;
	struct buf b;
	struct mbody body;
	size_t n, hits = 0;

	put(v, "tmp/.keep", "");
	put(v, "new/1500000003.M3P3.old", "Subject: c\n\nc\n");
	put(v, "cur/1500000001.M1P1.old,S=14,W=17:2,Sb", "Subject: a\n\na\n");
	put(v, "cur/1500000002.M2P2.old,S=14,W=17:2,FTa", "Subject: b\n\nb\n");
	put(v, "cur/1500000009.M9P9.old,S=14,W=17:2,", "Subject: z\n\nz\n");
	put(v, "dovecot-uidlist", "3 V1234567890 N120 G0011223344556677\n17 :1500000001.M1P1.old,S=14,W=17\n90 W17 :1500000002.M2P2.old,S=14,W=17\n110 :1500000003.M3P3.old\n");
	put(v, "dovecot-keywords", "0 $Label1\n1 Work\n");
	put(v, "subscriptions", "V\t2\n\nSent\nWork\tOld\n");
	put(v, ".Work.Old/cur/1500000001.M1P1.old:2,", "Subject: w\r\n\r\nw\r\n");
	put(v, ".Sent/cur/1500000001.M1P1.old:2,S", "Subject: s\r\n\r\ns\r\n");
	put(v, ".Work.Old/courierimapuiddb", "1 777 9\n8 1500000001.M1P1.old\n");
	env_open(v);
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	assert_int_equal(mbox_uidvalidity(m), 1234567890);
	assert_int_equal(view_count(x), 4);
	assert_int_equal(view_get(x, 1)->uid, 17);
	assert_int_equal(view_get(x, 2)->uid, 90);
	assert_int_equal(view_get(x, 3)->uid, 110);
	assert_true(view_get(x, 4)->uid >= 120);
	assert_int_equal(view_get(x, 1)->size, 17);
	buf_init(&b, BUF_UNBOUNDED);
	mrec_put_flags(m, view_get(x, 1), false, &b);
	assert_string_equal(buf_str(&b), "\\Seen Work");
	buf_reset(&b);
	mrec_put_flags(m, view_get(x, 2), false, &b);
	assert_string_equal(buf_str(&b), "\\Flagged \\Deleted $Label1");
	buf_done(&b);
	OK(v, view_read(x, 2, &body, &v->e));
	assert_true(slice_eqs(body.octets, "Subject: b\r\n\r\nb\r\n"));
	mbody_done(&body);
	view_close(&x);
	mbox_close(&m);
	m = env_folder(v, "Work/Old");
	x = view_open(m, false);
	assert_int_equal(mbox_uidvalidity(m), 777);
	assert_int_equal(view_get(x, 1)->uid, 8);
	view_close(&x);
	mbox_close(&m);
	OK(v, box_list(v->b, v->a, &list, &n, &v->e));
	for (size_t i = 0; i < n; i++)
		hits += (slice_eqs(list[i].name, "Work/Old") && list[i].attrs == FOLDER_SUBSCRIBED) ||
		    (slice_eqs(list[i].name, "Sent") && list[i].attrs == (FOLDER_SUBSCRIBED | FOLDER_SENT));
	assert_int_equal(hits, 2);
}

/* A Maildir without any list: UIDs in the order of dates. */
static void test_plain(void **state)
{
	struct env *v = *state;
	struct mbox *m;
	struct view *x;
	struct slice text;

	put(v, "cur/1500000002.b:2,S", "Subject: b\r\n\r\nb\r\n");
	put(v, "cur/not a message name at all", "Subject: x\r\n\r\nx\r\n");
	put(v, "new/1500000001.a", "Subject: a\n\na\n");
	env_open(v);
	m = env_folder(v, "INBOX");
	x = view_open(m, false);
	assert_int_equal(view_count(x), 3);
	for (uint32_t i = 1; i <= 3; i++)
		OK(v, view_cached(x, i, MCACHE_HEADERS, v->a, &text, &v->e));
	view_close(&x);
	mbox_close(&m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, env_setup, env_teardown)
	const struct CMUnitTest tests[] = { T(test_dovecot), T(test_plain) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
