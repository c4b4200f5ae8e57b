/*
 * The access map against what was watched on a running sendmail 8.17.
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
#include "server/access.h"

static const char map[] =
	"# addresses by octet, and networks\n"
	"Connect:10.3\tOK\n"
	"Connect:10.3.9\tRELAY\n"
	"192.168.0 relay\n"
	"192.168.0.7 REJECT\n"
	"Connect:172.16.0.0/12 RELAY\n"
	"Connect:172.16.5.0/24 REJECT\n"
	"Connect:172.16.5 HOLD\n"
	"Connect:IPv6:2001:db8:1 RELAY\n"
	"Connect:2001:db8:2::/48 DISCARD\n"
	"Connect:[203.0.113.9] ERROR:5.7.1:550 no name, no entry\n"
	"abc.com relay\n"
	"bad.abc.com SKIP\n"
	"From:spam@dom1.com REJECT\n"
	"From:joe+list@dom2.com ERROR:450 later\n"
	"From:joe+*@dom2.com OK\n"
	"From:joe@dom2.com DISCARD\n"
	"From:robot@ ERROR:550 bad name\n"
	"From:dom3.com 553 5.1.8 we do not know you\n"
	"From:<> OK\n"
	"To:nobody@ REJECT\n"
	"To:user@dom9.com ERROR:4.2.1:450 on holiday\n"
	"To:def.com Relay\n"
	"To:typo.com RELYA\n"
	"dom5.com \"550 quoted\"\n";

enum which { NAME, ADDR, FROM, TO, TO_REMOTE, RELAY };

static const struct { enum which which; const char *what; enum access_verb verb; const char *code, *text; } cases[] = {
	{ ADDR, "10.3.1.1", ACCESS_OK, "", "" }, { ADDR, "10.3.9.1", ACCESS_RELAY, "", "" }, { ADDR, "10.4.1.1", ACCESS_NONE, "", "" },
	{ ADDR, "192.168.0.1", ACCESS_RELAY, "", "" }, { ADDR, "192.168.0.7", ACCESS_REJECT, "550 5.7.1", "Access denied" }, { ADDR, "192.168.1.1", ACCESS_NONE, "", "" },
	{ ADDR, "172.20.1.1", ACCESS_RELAY, "", "" }, { ADDR, "172.16.5.1", ACCESS_HOLD, "", "" }, { ADDR, "172.32.0.1", ACCESS_NONE, "", "" },
	{ ADDR, "2001:db8:1::7", ACCESS_RELAY, "", "" }, { ADDR, "2001:db8:2::7", ACCESS_DISCARD, "", "" }, { ADDR, "2001:db8:3::7", ACCESS_NONE, "", "" },
	{ NAME, "host.abc.com", ACCESS_RELAY, "", "" }, { NAME, "abc.com", ACCESS_RELAY, "", "" }, { NAME, "bad.abc.com", ACCESS_NONE, "", "" },
	{ NAME, "x.bad.abc.com", ACCESS_NONE, "", "" }, { NAME, "xabc.com", ACCESS_NONE, "", "" }, { NAME, "com", ACCESS_NONE, "", "" },
	{ NAME, "[203.0.113.9]", ACCESS_REJECT, "550 5.7.1", "no name, no entry" },
	{ FROM, "spam@dom1.com", ACCESS_REJECT, "550 5.7.1", "Access denied" }, { FROM, "SPAM@DOM1.com", ACCESS_REJECT, "550 5.7.1", "Access denied" },
	{ FROM, "ham@dom1.com", ACCESS_NONE, "", "" }, { FROM, "joe+list@dom2.com", ACCESS_DEFER, "450 4.0.0", "later" }, { FROM, "joe+x@dom2.com", ACCESS_OK, "", "" },
	{ FROM, "joe@dom2.com", ACCESS_DISCARD, "", "" }, { FROM, "robot@any.where", ACCESS_REJECT, "550 5.0.0", "bad name" },
	{ FROM, "a@sub.dom3.com", ACCESS_REJECT, "553 5.1.8", "we do not know you" }, { FROM, "a@abc.com", ACCESS_RELAY, "", "" }, { FROM, "", ACCESS_OK, "", "" },
	{ TO, "nobody@office.test", ACCESS_REJECT, "550 5.7.1", "Access denied" }, { TO_REMOTE, "nobody@office.test", ACCESS_NONE, "", "" },
	{ TO, "user@dom9.com", ACCESS_DEFER, "450 4.2.1", "on holiday" }, { TO, "x@typo.com", ACCESS_BROKEN, "451 4.3.5", NULL },
	{ RELAY, "x@def.com", ACCESS_RELAY, "", "" }, { RELAY, "x@sub.def.com", ACCESS_RELAY, "", "" }, { RELAY, "x@sub.abc.com", ACCESS_RELAY, "", "" },
	{ RELAY, "x@elsewhere.com", ACCESS_NONE, "", "" },
};

static void check(struct access *a, size_t i, struct arena *ar)
{
	struct access_hit hit = { .verb = ACCESS_NONE };
	struct path path = { .is_null = true };
	struct net_addr addr;
	struct err e = ERR_INIT;
	int r = 0;

	if (cases[i].which >= FROM && cases[i].what[0] != '\0')
		assert_int_equal(path_from_text(slice_of(cases[i].what), ar, &path), 0);
	switch (cases[i].which) {
	case NAME:
		r = access_client_name(a, slice_of(cases[i].what), ar, &hit, &e);
		break;
	case ADDR:
		assert_int_equal(net_addr_parse(slice_of(cases[i].what), &addr), 0);
		r = access_client_addr(a, &addr, ar, &hit, &e);
		break;
	case FROM:
		r = access_sender(a, &path, ar, &hit, &e);
		break;
	case TO:
	case TO_REMOTE:
		r = access_rcpt_block(a, &path, cases[i].which == TO, ar, &hit, &e);
		break;
	case RELAY:
		r = access_rcpt_relay(a, &path, ar, &hit, &e);
		break;
	}
	assert_int_equal(r, 0);
	if (hit.verb != cases[i].verb || (hit.verb != ACCESS_NONE && !slice_eqs(slice_of(hit.status), cases[i].code)) || (cases[i].text != NULL && hit.verb != ACCESS_NONE && !slice_eqs(hit.text, cases[i].text)))
		fail_msg("%s: verb %d \"%s\" \"%.*s\" (%s)", cases[i].what, hit.verb, hit.status, SLICE_FMT(hit.text), hit.where);
	if (hit.verb != ACCESS_NONE)
		assert_non_null(strstr(hit.where, "access"));
}

static void test_map(void **state)
{
	char dir[] = "/tmp/test_access.XXXXXX", path[64], command[64];
	struct arena *ar = arena_new(0);
	struct access *a;
	struct err e = ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/access", dir);
	if (file_replace(path, slice_of(map), 0644, &e) != 0 || access_open(&a, path, &e) != 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(a, i, ar);
	assert_true(access_has_names(a));
	/* A change is seen at the next refresh. */
	if (file_replace(path, SLICE("Connect:198.51.100.0/24 RELAY\n"), 0644, &e) != 0 || access_refresh(a, &e) != 0)
		fail_msg("%s", e.text);
	{
		struct access_hit hit;
		struct net_addr addr;

		assert_int_equal(net_addr_parse(SLICE("198.51.100.3"), &addr), 0);
		assert_int_equal(access_client_addr(a, &addr, ar, &hit, &e), 0);
		assert_int_equal(hit.verb, ACCESS_RELAY);
		assert_non_null(strstr(hit.where, "access:1"));
	}
	assert_false(access_has_names(a));
	access_close(&a);
	arena_free(&ar);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void test_values(void **state)
{
	static const struct { const char *value; enum access_verb verb; const char *code, *text; } values[] = {
		{ "ok", ACCESS_OK, "", "" }, { " Relay ", ACCESS_RELAY, "", "" }, { "1795312087", ACCESS_OK, "", "" }, { "550", ACCESS_REJECT, "550 5.0.0", "Access denied" },
		{ "ERROR:5.2.2:450 full", ACCESS_DEFER, "450 4.2.2", "full" }, { "ERROR:\"550 5.1.1 gone, for good\"", ACCESS_REJECT, "550 5.1.1", "gone, for good" },
		{ "error:421 4.3.2 bye", ACCESS_DEFER, "421 4.3.2", "bye" }, { "QUARANTINE:looks odd", ACCESS_HOLD, "", "" }, { "defer", ACCESS_DEFER, "450 4.7.1", NULL },
		{ "", ACCESS_BROKEN, "451 4.3.5", NULL }, { "ERROR:", ACCESS_BROKEN, "451 4.3.5", NULL }, { "250 fine", ACCESS_BROKEN, "451 4.3.5", NULL }, { "OKAY", ACCESS_BROKEN, "451 4.3.5", NULL },
	};
	struct arena *ar = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct access_hit hit = { .verb = ACCESS_NONE };

		access_read_value(slice_of(values[i].value), ar, &hit);
		if (hit.verb != values[i].verb || !slice_eqs(slice_of(hit.status), values[i].code) || (values[i].text != NULL && !slice_eqs(hit.text, values[i].text)))
			fail_msg("\"%s\": %d \"%s\" \"%.*s\"", values[i].value, hit.verb, hit.status, SLICE_FMT(hit.text));
	}
	arena_free(&ar);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_map), cmocka_unit_test(test_values) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
