/*
 * Where addresses lead: a table over real maps and a real users.db.
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

#include "base/file.h"
#include "conf/conf.h"
#include "route/alias.h"
#include "route/route.h"

static char dir[] = "/tmp/test_route.XXXXXX";
static struct settings *conf;
static struct router *router;

static const char aliases[] =
	"postmaster: u1\n"
	"boss: u1, helper@elsewhere.test\n"
	"all: it, cw,\n\tu3\n"
	"it: u1,u2\n"
	"cw: u2\n"
	"u2: u2, u1\n"
	"a: b\n"
	"b: a\n"
	"c: d, u1\n"
	"d: c\n"
	"moved: u9@new.test.REDIRECT\n"
	"prog: \"|/usr/bin/prog a, b\"\n"
	"file: /var/mail/archive\n"
	"void: /dev/null\n"
	"direct: \\u2\n"
	"sales+*: u3\n"
	"sales: u1\n"
	"list: :include:@@@/list\n"
	"owner-list: u3\n"
	"gone: error:5.1.6:551 moved away, sorry\n"
	"dangling: nouser\n"
	"full2: q1, q2\n"
	"room1: q1, u1\n"
	"away1: q1, x@elsewhere.test\n"
	"stale1: q1, nouser\n"
	"qlist: q1, :include:@@@/list\n"
	"deep0: deep1\n";

static const char virtual[] =
	"info@shop.test u1\n"
	"info+*@shop.test u2+%2\n"
	"@catch.test %1@office.test\n"
	"+*@catch.test %1-%2@elsewhere.test\n"
	"@moved.test @office.test\n"
	"no@shop.test error:nouser 550 not with us\n"
	"two@shop.test u1, x@elsewhere.test\n"
	"x@loop.test y@loop.test\n"
	"y@loop.test x@loop.test\n"
	"self@shop.test self@shop.test\n";

static const char transport[] =
	"direct.test smtp:[gw.test]:2525\n"
	".wild.test relay:%1.inside.test\n"
	"lmtp.test lmtp:/run/x.sock\n"
	"never.test error:5.1.2:550 we do not write there\n"
	"sink.test discard:\n"
	"here.test local:u3\n";

/* finals as text: "mailbox user folder", "remote address next_hop", ... joined by ' | ' */
static const struct { const char *rcpt, *want; } cases[] = {
	{ "u1@office.test", "mailbox u1@office.test" }, { "U1@Office.Test", "mailbox u1@office.test" }, { "u1", "mailbox u1@office.test" }, { "u1@localhost", "mailbox u1@office.test" },
	{ "u1+lists@office.test", "mailbox u1@office.test lists" }, { "nobody@office.test", "error 550 5.1.1 User unknown [PH-U01]" },
	{ "boss@office.test", "mailbox u1@office.test | remote helper@elsewhere.test elsewhere.test" },
	{ "all@office.test", "mailbox u1@office.test | mailbox u2@office.test | mailbox u3@office.test" }, { "u2@office.test", "mailbox u2@office.test | mailbox u1@office.test" },
	{ "a@office.test", "error 554 5.4.6 aliasing/forwarding loop [PH-U06]" }, { "c@office.test", "mailbox u1@office.test" },
	{ "moved@office.test", "error 551 5.1.6 User not local; please try <u9@new.test> [PH-U04]" }, { "prog@office.test", "error 550 5.3.5 This server does not deliver to programs [PH-U16]" },
	{ "file@office.test", "error 550 5.3.5 This server does not deliver to files [PH-U16]" }, { "void@office.test", "discard" }, { "direct@office.test", "mailbox u2@office.test" },
	{ "sales+x@office.test", "mailbox u3@office.test" }, { "sales@office.test", "mailbox u1@office.test" },
	{ "list@office.test", "mailbox u1@office.test owner u3@office.test | remote far@elsewhere.test elsewhere.test owner u3@office.test | error 550 5.7.1 Programs and files are not taken from :include: lists [PH-U09] owner u3@office.test" },
	{ "gone@office.test", "error 551 5.1.6 moved away, sorry [PH-U08]" }, { "dangling@office.test", "error 550 5.1.1 User unknown [PH-U01]" },
	{ "postmaster@office.test", "mailbox u1@office.test" }, { "postmaster", "mailbox u1@office.test" }, { "abuse@office.test", "mailbox u1@office.test" }, { "postmaster@shop.test", "mailbox u1@office.test" },
	{ "MAILER-DAEMON@office.test", "mailbox u1@office.test" },
	{ "info@shop.test", "mailbox u1@office.test" }, { "info+spam@shop.test", "mailbox u2@office.test spam | mailbox u1@office.test" }, { "other@shop.test", "error 550 5.1.1 User unknown [PH-U01]" },
	{ "u3@catch.test", "mailbox u3@office.test" }, { "u3+x@catch.test", "remote u3-x@elsewhere.test elsewhere.test" }, { "u1@moved.test", "mailbox u1@office.test" },
	{ "no@shop.test", "error 550 5.1.1 not with us [PH-U08]" }, { "two@shop.test", "mailbox u1@office.test | remote x@elsewhere.test elsewhere.test" },
	{ "x@loop.test", "error 554 5.4.6 aliasing/forwarding loop [PH-U06]" }, { "self@shop.test", "mailbox self@shop.test" },
	{ "x@elsewhere.test", "remote x@elsewhere.test elsewhere.test" }, { "x@direct.test", "remote x@direct.test [gw.test]:2525" }, { "x@sub.wild.test", "remote x@sub.wild.test sub.inside.test" },
	{ "x@wild.test", "remote x@wild.test wild.test" }, { "x@lmtp.test", "remote x@lmtp.test lmtp:/run/x.sock" }, { "x@never.test", "error 550 5.1.2 we do not write there [PH-U08]" },
	{ "x@sink.test", "discard" }, { "x@here.test", "mailbox u3@office.test" }, { "x@backup.test", "remote x@backup.test backup.test" },
	{ "off@office.test", "error 550 5.2.1 This mailbox is disabled [PH-U05]" },
};

static void put(const char *name, const char *text)
{
	char path[256];
	struct err e = ERR_INIT;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (file_replace(path, slice_of(text), 0644, &e) != 0)
		fail_msg("%s", e.text);
}

static void add_user_with(const char *name, unsigned flags, uint64_t quota)
{
	char path[256], accounts[256];
	struct err e = ERR_INIT;
	struct user u = { .name = slice_of(name), .hash = SLICE("*"), .scram = SLICE(""), .flags = flags, .quota_storage = quota };

	snprintf(path, sizeof(path), "%s/secret/users.db", dir);
	snprintf(accounts, sizeof(accounts), "%s/accounts/accounts.db", dir);
	if (users_set(path, accounts, &u, &e) != 0)
		fail_msg("%s", e.text);
}

static void add_user(const char *name, unsigned flags)
{
	add_user_with(name, flags, 0);
}

static void print_final(const struct final *f, struct buf *out)
{
	static const char *const kinds[] = { [FINAL_MAILBOX] = "mailbox", [FINAL_REMOTE] = "remote", [FINAL_UNREAD] = "unread",
	    [FINAL_DISCARD] = "discard", [FINAL_ERROR] = "error" };

	if (out->len > 0)
		buf_puts(out, " | ");
	buf_puts(out, kinds[f->kind]);
	if (f->kind == FINAL_MAILBOX)
		buf_putf(out, f->folder.n > 0 ? " %.*s %.*s" : " %.*s%.*s", SLICE_FMT(f->user), SLICE_FMT(f->folder));
	else if (f->kind == FINAL_REMOTE)
		buf_putf(out, " %.*s %.*s", SLICE_FMT(f->address), SLICE_FMT(f->next_hop));
	else if (f->text.n > 0)
		buf_putf(out, " %.*s", SLICE_FMT(f->text));
	if (f->owner.p != NULL)
		buf_putf(out, " owner %.*s", SLICE_FMT(f->owner));
}

static void test_expand(void **state)
{
	struct arena *a = arena_new(0);
	struct buf got;

	(void)state;
	buf_init(&got, BUF_UNBOUNDED);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice rcpt = slice_of(cases[i].rcpt);
		struct final *finals = NULL;
		struct err e = ERR_INIT;
		size_t n = 0;

		buf_reset(&got);
		if (route_expand(router, &rcpt, 1, a, &finals, &n, &e) != 0)
			fail_msg("%s: %s", cases[i].rcpt, e.text);
		for (size_t k = 0; k < n; k++)
			print_final(&finals[k], &got);
		if (strcmp(buf_str(&got), cases[i].want) != 0) {
			struct buf steps;

			buf_init(&steps, BUF_UNBOUNDED);
			if (route_explain(router, rcpt, &steps, a, &finals, &n, &e) != 0)
				print_error("%s\n", e.text);
			print_error("%s", buf_str(&steps));
			buf_done(&steps);
			fail_msg("%s: \"%s\", not \"%s\"", cases[i].rcpt, buf_str(&got), cases[i].want);
		}
	}
	buf_done(&got);
	arena_free(&a);
}

static void test_from_index(void **state)
{
	struct slice rcpts[3] = { SLICE("u1@office.test"), SLICE("all@office.test"), SLICE("x@elsewhere.test") };
	struct arena *a = arena_new(0);
	struct final *finals;
	struct err e = ERR_INIT;
	size_t n = 0;

	(void)state;
	assert_int_equal(route_expand(router, rcpts, 3, a, &finals, &n, &e), 0);
	assert_int_equal(n, 5);
	assert_int_equal(finals[0].from, 0);
	assert_int_equal(finals[3].from, 1);
	assert_int_equal(finals[4].from, 2);
	arena_free(&a);
}

static void test_check(void **state)
{
	static const struct { const char *rcpt, *code; } checks[] = {
		{ "u1@office.test", "" }, { "nobody@office.test", "550 5.1.1" }, { "moved@office.test", "551 5.1.6" }, { "a@office.test", "554 5.4.6" }, { "list@office.test", "" },
		{ "prog@office.test", "550 5.3.5" }, { "file@office.test", "550 5.3.5" }, { "x@elsewhere.test", "" }, { "x@never.test", "550 5.1.2" }, { "no@shop.test", "550 5.1.1" }, { "off@office.test", "550 5.2.1" },
	};
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct route_verdict v;
		struct path p;
		struct err e = ERR_INIT;

		assert_int_equal(path_from_text(slice_of(checks[i].rcpt), a, &p), 0);
		assert_int_equal(route_check(router, &p, a, &v, &e), 0);
		assert_int_equal(v.ok, checks[i].code[0] == '\0');
		assert_string_equal(v.code, checks[i].code);
	}
	arena_free(&a);
}

/* Who must have room: nobody, as soon as one place takes it anyway. */
static void test_with_quota(void **state)
{
	static const struct { const char *rcpt; size_t most, n; } asks[] = {
		{ "q1@office.test", 16, 1 }, { "q1+lists@office.test", 16, 1 }, { "u1@office.test", 16, 0 }, { "full2@office.test", 16, 2 }, { "full2@office.test", 1, 0 },
		{ "room1@office.test", 16, 0 }, { "away1@office.test", 16, 0 }, { "stale1@office.test", 16, 1 }, { "qlist@office.test", 16, 0 },
		{ "x@elsewhere.test", 16, 0 }, { "nobody@office.test", 16, 0 }, { "prog@office.test", 16, 0 },
	};
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		struct slice users[16];
		struct route_verdict v;
		struct path p;
		struct err e = ERR_INIT;

		assert_int_equal(path_from_text(slice_of(asks[i].rcpt), a, &p), 0);
		assert_int_equal(route_check(router, &p, a, &v, &e), 0);
		if (route_with_quota(v.finals, v.n, asks[i].most, users) != asks[i].n)
			fail_msg("%s, at most %zu", asks[i].rcpt, asks[i].most);
		if (asks[i].n > 0)
			assert_true(slice_ieqs(users[0], "q1@office.test"));
	}
	arena_free(&a);
}

static void test_owns(void **state)
{
	static const struct { const char *user, *sender; int owns; } owners[] = {
		{ "u1@office.test", "u1@office.test", 1 }, { "u1@office.test", "u1+x@office.test", 1 }, { "u1@office.test", "boss@office.test", 1 }, { "u1@office.test", "info@shop.test", 1 },
		{ "u1@office.test", "u3@office.test", 0 }, { "u3@office.test", "boss@office.test", 0 }, { "u1@office.test", "x@elsewhere.test", 0 }, { "u1@office.test", "helper@elsewhere.test", 0 },
		{ "u1@office.test", "nobody@office.test", 0 }, { "u3@office.test", "u3@catch.test", 1 }, { "u1@office.test", "u1@localhost", 1 }, { "u2@office.test", "list@office.test", 0 },
	};
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		struct path p;
		struct err e = ERR_INIT;

		assert_int_equal(path_from_text(slice_of(owners[i].sender), a, &p), 0);
		if (route_owns(router, slice_of(owners[i].user), &p, &e) != owners[i].owns)
			fail_msg("%s and %s", owners[i].user, owners[i].sender);
	}
	arena_free(&a);
}

static void test_classes(void **state)
{
	struct net_addr a;

	(void)state;
	assert_int_equal(route_class_of(router, SLICE("office.test")), ROUTE_LOCAL);
	assert_int_equal(route_class_of(router, SLICE("DOTTED.test")), ROUTE_LOCAL);
	assert_int_equal(route_class_of(router, SLICE("sub.office.test")), ROUTE_REMOTE);
	assert_int_equal(route_class_of(router, SLICE("shop.test")), ROUTE_VIRTUAL);
	assert_int_equal(route_class_of(router, SLICE("a.backup.test")), ROUTE_RELAY);
	assert_int_equal(route_class_of(router, SLICE("xbackup.test")), ROUTE_REMOTE);
	assert_int_equal(net_addr_parse(SLICE("203.0.113.9"), &a), 0);
	assert_true(route_is_relay_client(router, SLICE_NONE, &a));
	assert_true(route_is_relay_client(router, SLICE("pc.backup.test"), NULL));
	assert_false(route_is_relay_client(router, SLICE("pc.office.test"), NULL));
}

static void test_generic(void **state)
{
	static const struct { const char *from, *to; } generics[] = { { "u1@office.test", "joe@isp.test" }, { "u1+x@office.test", "joe@isp.test" }, { "u2@office.test", "second@isp.test" },
		{ "u3@office.test", "" }, { "any@shop.test", "shop@isp.test" } };
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(generics) / sizeof(generics[0]); i++) {
		struct slice out = SLICE_NONE;
		struct path p;
		struct err e = ERR_INIT;

		assert_int_equal(path_from_text(slice_of(generics[i].from), a, &p), 0);
		assert_int_equal(route_generic(router, &p, a, &out, &e), generics[i].to[0] != '\0');
		assert_true(slice_eqs(out, generics[i].to));
	}
	arena_free(&a);
}

static void test_lint_and_reload(void **state)
{
	struct arena *a = arena_new(0);
	struct slice rcpt = SLICE("fresh@office.test");
	struct final *finals;
	struct buf out;
	struct err e = ERR_INIT;
	size_t n = 0;

	(void)state;
	buf_init(&out, BUF_UNBOUNDED);
	assert_true(route_lint(router, &out) >= 5);
	assert_non_null(strstr(buf_str(&out), "aliases:8: a: a: 554 5.4.6"));
	assert_non_null(strstr(buf_str(&out), "dangling"));
	assert_non_null(strstr(buf_str(&out), "virtusertable:8: "));
	put("aliases", "fresh: u2\nu2: \\u2\n");
	assert_int_equal(router_refresh(router, &e), 0);
	assert_int_equal(route_expand(router, &rcpt, 1, a, &finals, &n, &e), 0);
	assert_int_equal(finals[0].kind, FINAL_MAILBOX);
	buf_reset(&out);
	put("virtusertable", "@fresh.test u1\n");
	assert_int_equal(router_refresh(router, &e), 0);
	assert_int_equal(route_class_of(router, SLICE("fresh.test")), ROUTE_VIRTUAL);
	assert_int_equal(route_class_of(router, SLICE("shop.test")), ROUTE_REMOTE);
	assert_int_equal(route_lint(router, &out), 0);
	buf_done(&out);
	arena_free(&a);
}

static void test_alias_parse(void **state)
{
	static const struct { const char *in; int n; enum alias_kind kind; const char *text; } parses[] = {
		{ "a, b", 2, ALIAS_ADDRESS, "a" }, { "\"joe x\"@y.test", 1, ALIAS_ADDRESS, "\"joe x\"@y.test" }, { "Ann X <ann@x.test>", 1, ALIAS_ADDRESS, "ann@x.test" },
		{ "\"|prog \\\"a b\\\", c\"", 1, ALIAS_PROGRAM, "prog \"a b\", c" }, { "a,,b,", 2, ALIAS_ADDRESS, "a" }, { "error:550 no, never", 1, ALIAS_ERROR, "550 5.0.0 no, never [PH-U08]" },
		{ "\"open", -1, 0, "" }, { "|", -1, 0, "" }, { "\\", 1, ALIAS_ADDRESS, "\\" }, { ":include:", -1, 0, "" }, { "", 0, 0, NULL },
	};
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(parses) / sizeof(parses[0]); i++) {
		struct alias_target *t = NULL;
		struct err e = ERR_INIT;
		size_t n = 0;
		int r = alias_parse(slice_of(parses[i].in), a, &t, &n, &e);

		assert_int_equal(r == 0 ? (int)n : -1, parses[i].n);
		if (r == 0 && n > 0 && (t[0].kind != parses[i].kind || !slice_eqs(t[0].text, parses[i].text)))
			fail_msg("\"%s\": %d \"%.*s\"", parses[i].in, t[0].kind, SLICE_FMT(t[0].text));
	}
	arena_free(&a);
}

static void put_aliases(void)
{
	struct buf text;
	const char *at = strstr(aliases, "@@@");

	buf_init(&text, BUF_UNBOUNDED);
	buf_put(&text, slice_mem(aliases, (size_t)(at - aliases)));
	buf_putf(&text, "%s%s", dir, at + 3);
	for (int i = 1; i < 30; i++)
		buf_putf(&text, "deep%d: deep%d\n", i, i + 1);
	put("aliases", buf_str(&text));
	buf_done(&text);
}

static int set_up(void **state)
{
	static char words[2][128];
	const char *list[] = { words[0], words[1], "mydestination=office.test localhost", "myhostname=mx.office.test", "relay_domains=backup.test", NULL };
	struct err e = ERR_INIT;

	(void)state;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(words[0], sizeof(words[0]), "config_directory=%s", dir);
	snprintf(words[1], sizeof(words[1]), "state_directory=%s", dir);
	put_aliases();
	put("virtusertable", virtual);
	put("mailertable", transport);
	put("genericstable", "u1@office.test joe@isp.test\nu2 second@isp.test\n@shop.test shop@isp.test\n");
	put("list", "# a list\nu1\n\nfar@elsewhere.test\n\"|/bin/sh\"\n");
	put("local-host-names", "dotted.test.\n");
	put("relay-domains", "203.0.113\n");
	add_user("u1@office.test", 0);
	add_user_with("q1@office.test", 0, 1000);
	add_user_with("q2@office.test", 0, 1000);
	add_user("u2@office.test", 0);
	add_user("u3@office.test", 0);
	add_user("self@shop.test", 0);
	add_user("off@office.test", USER_DISABLED);
	if (conf_load(&conf, NULL, list, NULL, &e) != 0 || router_new(&router, conf, &e) != 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	char command[300];

	(void)state;
	router_free(&router);
	conf_free(&conf);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return getenv("KEEP") != NULL ? 0 : system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand), cmocka_unit_test(test_from_index), cmocka_unit_test(test_check), cmocka_unit_test(test_with_quota), cmocka_unit_test(test_owns), cmocka_unit_test(test_classes),
		cmocka_unit_test(test_generic), cmocka_unit_test(test_lint_and_reload), cmocka_unit_test(test_alias_parse),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
