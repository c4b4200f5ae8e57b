/*
 * users.db: names, records, passwords and verifiers; changes by rename that open readers see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/password.h"
#include "auth/saslprep.h"
#include "auth/users.h"
#include "auth/users_record.h"
#include "base/clock.h"
#include "base/text.h"

static void names_are_canonical(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "u1", "u1@office.example" }, { "U1", "u1@office.example" }, { "U1@Other.Example", "u1@other.example" },
		{ "a.b+c@x", "a.b+c@x" }, { "j\xc3\xb6rg@x.example", "j\xc3\xb6rg@x.example" },
		{ "", NULL }, { "@x", NULL }, { "a@", NULL }, { "a@b@c", NULL }, { "..", NULL }, { "../x", NULL }, { "a/b", NULL }, { ".a", NULL },
		{ "a@..", NULL }, { "a@.x", NULL }, { "a@x/y", NULL }, { "a\tb", NULL }, { "a\nb@x", NULL }, { "a b", NULL }, { "a\xff@x", NULL },
		{ "!secret", "!secret@office.example" }, { "a..b", NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
	};
	struct arena *a = arena_new(0);
	struct slice name;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = users_canonical(slice_of(cases[i].in), "office.example", a, &name);
		if (rc != (cases[i].out ? 0 : -1))
			fail_msg("%s: %d", cases[i].in, rc);
		if (rc == 0)
			assert_string_equal(arena_str(a, name), cases[i].out);
	}
	assert_int_equal(users_canonical(SLICE("a\0b"), "x", a, &name), -1);
	assert_int_equal(users_canonical(SLICE("a"), "", a, &name), -1);
	arena_free(&a);
}

static void scram_verifier_is_the_rfcs(void **state)
{
	struct arena *a = arena_new(0);
	struct buf salt;

	(void)state;
	buf_init(&salt, 64);
	assert_int_equal(text_unbase64(SLICE("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt), 0);      /* RFC 7677 section 3: user, pencil, 4096 */
	struct slice v = password_scram(SLICE("pencil"), buf_view(&salt), 4096, a);
	assert_string_equal(arena_str(a, v), "4096:W22ZaJ0SNY7soEsUEjb6gQ==:WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
	assert_string_equal(arena_str(a, password_scram_property(v, a)),
	    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
	assert_true(slice_is_empty(password_scram_property(SLICE("4096:x"), a)));
	struct slice n1 = password_scram_nobody(SLICE("a@x"), SLICE("key"), a), n2 = password_scram_nobody(SLICE("a@x"), SLICE("key"), a);
	assert_true(slice_eq(n1, n2));
	assert_int_equal(n1.n, v.n);
	assert_false(slice_eq(n1, password_scram_nobody(SLICE("b@x"), SLICE("key"), a)));
	assert_false(slice_eq(n1, password_scram_nobody(SLICE("a@x"), SLICE("kez"), a)));
	buf_done(&salt);
	arena_free(&a);
}

static void saslprep_table(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "I\xc2\xadX", "IX" }, { "user", "user" }, { "USER", "USER" }, { "\xc2\xaa", "a" }, { "\xe2\x85\xa8", "IX" },   /* RFC 4013 section 3 */
		{ "\x07", NULL }, { "a\xc2\xa0z", "a z" }, { "e\xcc\x81", "\xc3\xa9" }, { "\xee\x80\x80", NULL }, { "\xff", NULL }, { "", "" },
	};
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_init(&b, 64);
		assert_int_equal(saslprep(slice_of(cases[i].in), &b), cases[i].out ? 0 : -1);
		if (cases[i].out)
			assert_string_equal(buf_str(&b), cases[i].out);
		buf_done(&b);
	}
}

static void passwords(void **state)
{
	struct arena *a = arena_new(0);
	struct user u = { .name = SLICE("a@x") };
	struct err e = ERR_INIT;
	char big[600];

	(void)state;
	memset(big, 'x', sizeof(big));
	assert_int_equal(users_hash_password(SLICE("geh\xc3\xa9im"), a, &u, &e), 0);
	assert_true(slice_starts(u.hash, SLICE("$y$")));
	assert_int_equal(password_check(u.hash, SLICE("geh\xc3\xa9im"), &e), 1);
	assert_int_equal(password_check(u.hash, SLICE("gehe\xcc\x81im"), &e), 1);           /* another spelling of the same text */
	assert_int_equal(password_check(u.hash, SLICE("geheim"), &e), 0);
	assert_int_equal(password_check(u.hash, SLICE(""), &e), 0);
	assert_int_equal(password_check(u.hash, SLICE("geh\xc3\xa9im\0x"), &e), 0);
	assert_int_equal(password_check(u.hash, slice_mem(big, sizeof(big)), &e), 0);
	static const char *const odd[] = { "!", "*", "$9$x$y", "", "secret" };
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_int_equal(password_check(slice_of(odd[i]), SLICE("secret"), &e), -1);
		assert_int_equal(e.kind, ERR_TEMP);
	}
	assert_int_equal(users_hash_password(SLICE(""), a, &u, &e), -1);
	assert_int_equal(users_hash_password(slice_mem(big, sizeof(big)), a, &u, &e), -1);
	assert_int_equal(users_hash_password(SLICE("a\nb"), a, &u, &e), -1);
	arena_free(&a);
}

static int64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * CLOCK_US_PER_S + t.tv_nsec / 1000;
}

static void nobody_takes_as_long(void **state)
{
	struct arena *a = arena_new(0);
	struct user u = { .name = SLICE("a@x") };
	struct err e;
	int64_t t0, t1, t2;

	(void)state;
	assert_int_equal(users_hash_password(SLICE("secret"), a, &u, &e), 0);
	t0 = cpu_us();
	for (int i = 0; i < 10; i++)
		assert_int_equal(password_check(u.hash, SLICE("wrong"), &e), 0);
	t1 = cpu_us();
	for (int i = 0; i < 10; i++)
		password_check_nobody(SLICE("wrong"));
	t2 = cpu_us();
	assert_true(t2 - t1 > (t1 - t0) / 2 && t2 - t1 < (t1 - t0) * 2);
	arena_free(&a);
}

static void records_round_trip(void **state)
{
	struct user in = { .hash = SLICE("$y$x"), .scram = SLICE("4096:a:b:c"), .quota_storage = 1u << 30, .quota_messages = 7, .flags = USER_NO_RELAY };
	struct user out = { .name = SLICE("n") };
	struct buf b;

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	users_record_write(&in, &b);
	assert_int_equal(users_record_read(buf_view(&b), &out), 0);
	assert_true(slice_eq(out.hash, in.hash) && slice_eq(out.scram, in.scram) && slice_eqs(out.name, "n"));
	assert_true(out.quota_storage == in.quota_storage && out.quota_messages == 7 && out.flags == USER_NO_RELAY);
	assert_int_equal(users_record_read(SLICE("hash"), &out), -1);
	assert_int_equal(users_record_read(SLICE("flags x\n"), &out), -1);
	assert_int_equal(users_record_read(SLICE("newer field\nhash y\n"), &out), 0);
	buf_done(&b);
}

static int count_one(void *ctx, const struct user *u)
{
	(void)u;
	++*(int *)ctx;
	return 0;
}

static void the_table(void **state)
{
	char dir[] = "/tmp/test_users.XXXXXX", path[64], cmd[64];
	struct arena *a = arena_new(0);
	struct users *u = NULL;
	struct user got, new = { .name = SLICE("a@x"), .hash = SLICE("h1"), .scram = SLICE("s") };
	struct err e = ERR_INIT;
	int n = 0;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/users.db", dir);
	assert_int_equal(users_open(&u, path, &e), 0);                    /* not there: empty */
	assert_int_equal(users_get(u, SLICE("a@x"), a, &got, &e), 0);
	assert_int_equal(users_set(path, NULL, &new, &e), 0);
	assert_int_equal(users_get(u, SLICE("a@x"), a, &got, &e), 1);
	assert_true(slice_eqs(got.hash, "h1") && slice_eqs(got.name, "a@x"));
	unsigned g = users_generation(u);
	char secret[32];
	memcpy(secret, users_secret(u).p, 32);
	new.hash = SLICE("h2");
	assert_int_equal(users_set(path, NULL, &new, &e), 0);
	new.name = SLICE("b@x");
	assert_int_equal(users_set(path, NULL, &new, &e), 0);
	assert_int_equal(users_get(u, SLICE("a@x"), a, &got, &e), 1);
	assert_true(slice_eqs(got.hash, "h2"));
	assert_int_not_equal(users_generation(u), g);
	assert_memory_equal(secret, users_secret(u).p, 32);               /* the same for ever: a salt that changed would tell */
	assert_int_equal(users_get(u, SLICE("!secret"), a, &got, &e), 0);
	assert_int_equal(users_each(u, count_one, &n, &e), 0);
	assert_int_equal(n, 2);
	new.name = SLICE("!secret");
	assert_int_equal(users_set(path, NULL, &new, &e), -1);
	new.name = SLICE("A@x");
	assert_int_equal(users_set(path, NULL, &new, &e), -1);
	assert_int_equal(users_delete(path, NULL, SLICE("a@x"), &e), 0);
	assert_int_equal(users_delete(path, NULL, SLICE("a@x"), &e), -1);
	assert_int_equal(e.kind, ERR_NOTFOUND);
	assert_int_equal(users_delete(path, NULL, SLICE("!secret"), &e), -1);
	assert_int_equal(users_get(u, SLICE("a@x"), a, &got, &e), 0);
	assert_int_equal(users_get(u, SLICE("b@x"), a, &got, &e), 1);
	users_close(&u);
	arena_free(&a);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

static bool accounts_have(const char *path, const char *name)
{
	struct arena *a = arena_new(0);
	struct users *u = NULL;
	struct user got;
	struct err e = ERR_INIT;

	assert_int_equal(users_open(&u, path, &e), 0);
	int found = users_get(u, slice_of(name), a, &got, &e);

	assert_true(found >= 0 && (found == 0 || (got.hash.n == 0 && got.scram.n == 0 && got.quota_storage == 7 && got.flags == USER_NO_RELAY)));
	users_close(&u);
	arena_free(&a);
	return found == 1;
}

/* Each state that a crash between the two renames leaves, and both files gone or strange. */
static void accounts_follow_users(void **state)
{
	char dir[] = "/tmp/test_users.XXXXXX", db[64], accounts[64], kept[64], cmd[64];
	struct user u = { .name = SLICE("a@x"), .hash = SLICE("h1"), .scram = SLICE("s"), .quota_storage = 7, .flags = USER_NO_RELAY };
	struct stat before, after;
	struct err e = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(db, sizeof(db), "%s/secret/users.db", dir);
	snprintf(accounts, sizeof(accounts), "%s/names/accounts.db", dir);
	snprintf(kept, sizeof(kept), "%s/kept.db", dir);
	assert_int_equal(users_accounts_mend(db, accounts, &e), 0);       /* nothing there: nothing made */
	assert_int_equal(access(db, F_OK), -1);
	assert_int_equal(users_set(db, accounts, &u, &e), 0);
	assert_true(accounts_have(accounts, "a@x"));
	assert_int_equal(rename(accounts, kept), 0);
	assert_int_equal(users_accounts_mend(db, accounts, &e), 0);       /* missing */
	assert_true(accounts_have(accounts, "a@x"));
	u.name = SLICE("b@x");
	assert_int_equal(users_set(db, accounts, &u, &e), 0);
	assert_int_equal(rename(kept, accounts), 0);
	assert_false(accounts_have(accounts, "b@x"));
	assert_int_equal(users_accounts_mend(db, accounts, &e), 0);       /* older: one is missing */
	assert_true(accounts_have(accounts, "b@x"));
	assert_int_equal(link(accounts, kept), 0);
	assert_int_equal(users_delete(db, accounts, SLICE("a@x"), &e), 0);
	assert_false(accounts_have(accounts, "a@x"));
	assert_int_equal(rename(kept, accounts), 0);
	assert_int_equal(users_accounts_mend(db, accounts, &e), 0);       /* older: one is too many */
	assert_false(accounts_have(accounts, "a@x"));
	assert_int_equal(stat(accounts, &before), 0);
	u.hash = SLICE("h2");
	assert_int_equal(users_set(db, accounts, &u, &e), 0);             /* a new password changes nothing there */
	assert_int_equal(users_accounts_mend(db, accounts, &e), 0);
	assert_int_equal(stat(accounts, &after), 0);
	assert_true(before.st_ino == after.st_ino);
	assert_int_equal(truncate(accounts, 100), 0);
	assert_int_equal(users_accounts_mend(db, accounts, &e), 0);       /* damaged */
	assert_true(accounts_have(accounts, "b@x"));
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

/* The change of accounts.db comes first; where users.db then can't be written it is taken back. */
static void a_failed_change_changes_neither(void **state)
{
	char dir[] = "/tmp/test_users.XXXXXX", db[64], accounts[64], cmd[64];
	struct user u = { .name = SLICE("a@x"), .hash = SLICE("h1"), .scram = SLICE("s"), .quota_storage = 7, .flags = USER_NO_RELAY };
	struct users_edit *x = NULL;
	struct err e = ERR_INIT;
	char tmp[96];

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(db, sizeof(db), "%s/users.db", dir);
	snprintf(accounts, sizeof(accounts), "%s/accounts.db", dir);
	assert_int_equal(users_set(db, accounts, &u, &e), 0);
	u.name = SLICE("b@x");
	assert_int_equal(users_edit_begin(&x, db, accounts, &e), 0);
	assert_int_equal(users_edit_put(x, &u, &e), 0);
	snprintf(tmp, sizeof(tmp), "%s.tmp.%ld", db, (long)getpid());
	assert_int_equal(mkdir(tmp, 0700), 0);                            /* where the new file should be */
	assert_int_equal(users_edit_commit(&x, &e), -1);
	assert_true(accounts_have(accounts, "a@x"));
	assert_false(accounts_have(accounts, "b@x"));
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(system(cmd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_canonical),
		cmocka_unit_test(scram_verifier_is_the_rfcs),
		cmocka_unit_test(saslprep_table),
		cmocka_unit_test(passwords),
		cmocka_unit_test(nobody_takes_as_long),
		cmocka_unit_test(records_round_trip),
		cmocka_unit_test(the_table),
		cmocka_unit_test(accounts_follow_users),
		cmocka_unit_test(a_failed_change_changes_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
