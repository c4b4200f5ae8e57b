#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "conf/conf.h"
#include "conf/expand.h"
#include "io/net.h"

static char dir[] = "/tmp/test_conf.XXXXXX";

static int make_dir(void **state UNUSED)
{
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int drop_dir(void **state UNUSED)
{
	char path[100];

	snprintf(path, sizeof(path), "%s/posthouse.conf", dir);
	unlink(path);
	return rmdir(dir);
}

/* Loads `text` from a file; NULL and *e where that fails. The caller frees. */
static struct settings *load(const char *text, struct err *e)
{
	struct settings *s = NULL;
	char path[100];

	snprintf(path, sizeof(path), "%s/posthouse.conf", dir);
	assert_int_equal(file_replace(path, slice_of(text), 0600, e), 0);
	if (conf_load(&s, path, NULL, NULL, e) < 0)
		assert_null(s);
	return s;
}

static void every_default_is_valid(void **state UNUSED)
{
	struct settings *s = NULL;
	struct err e = ERR_INIT;
	const struct conf_param *p = NULL;
	char host[256] = "";

	assert_int_equal(conf_load(&s, NULL, NULL, NULL, &e), 0);
	while ((p = conf_next(p)) != NULL) {
		assert_true(conf_is_default(s, p));
		assert_int_equal(p->prose[strlen(p->prose) - 1], '.');
		assert_ptr_equal(conf_find(p->name), p);
		assert_string_equal(conf_nearest(p->name), p->name);
	}
	gethostname(host, sizeof(host) - 1);
	assert_string_equal(s->myhostname, host);
	assert_string_equal(s->config_directory, PATH_SYSCONF);
	assert_string_equal(s->users_db, PATH_STATE "/secret/users.db");
	assert_string_equal(s->mynetworks, "127.0.0.0/8 [::1]/128");
	assert_string_equal(s->listen_lmtp, "");
	assert_string_equal(s->plaintext_login_from, "");
	assert_int_equal(s->drac_lifetime, 1800);
	assert_true(s->message_size_limit == 50u << 20);
	assert_true(s->drac);
	conf_free(&s);
	assert_null(s);
	conf_free(&s);
}

static void values_are_read_by_type(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct settings *s = load("# comment\n\n  # indented comment\nmyhostname=mail.office.example\r\n"
	    "mydestination = $mydomain,\n\t${myhostname} ,localhost\n# between\n  more.example\n"
	    "drac_lifetime = 6s\nmessage_size_limit = 1M\ndrac = no\nlog_level = debug\nclient_port = 2525\nmynetworks =\n"
	    "relayhost = a$$b\n", &e);

	assert_string_equal(e.text, "");
	assert_non_null(s);
	assert_string_equal(s->myhostname, "mail.office.example");
	assert_string_equal(s->mydomain, "office.example");
	assert_string_equal(s->mydestination, "office.example mail.office.example localhost more.example");
	assert_string_equal(s->config_directory, dir);
	assert_int_equal(s->drac_lifetime, 6);
	assert_true(s->message_size_limit == 1u << 20);
	assert_false(s->drac);
	assert_string_equal(s->log_level, "debug");
	assert_int_equal(s->client_port, 2525);
	assert_string_equal(s->mynetworks, "");
	assert_string_equal(s->relayhost, "a$b");
	conf_free(&s);
}

static void errors_name_file_and_line(void **state UNUSED)
{
	static const struct { const char *text, *error; } cases[] = {
		{ "\nmynetwork = x\n", "2: there is no setting 'mynetwork'; did you mean 'mynetworks'?" },
		{ "drac-lifetime = 1m\n", "1: there is no setting 'drac-lifetime'; did you mean 'drac_lifetime'?" },
		{ "just words\n", "1: a setting is written 'name = value'" },
		{ "drac = no\n\ndrac = yes\n", "3: drac was set in line 1 already" },
		{ " x\n", "1: a line that begins with a blank goes on with a value, but there is none to go on with" },
		{ "drac = no # not now\n", "1: a comment stands on a line of its own, not behind a value" },
		{ "mynetworks = 10.0.0.0/8\n  # fine\n  x #y\n", "3: a comment stands on a line of its own, not behind a value" },
		{ "myhostname = a\x01\n", "1: octet 0x01 does not belong into a settings file" },
		{ "myhostname = \xff\n", "1: this is not UTF-8 text" },
		{ "myhostname =\n", "1: myhostname is empty; give the name that this machine greets with" },
		{ "drac = maybe\n", "1: drac = maybe: it is either yes or no" },
		{ "log_level = loud\n", "1: log_level = loud: it is one of: error warn info debug" },
		{ "drac_lifetime = 5 minutes\n", "1: drac_lifetime = 5 minutes: a time is written as 90s, 30m, 2h or 7d" },
		{ "drac_lifetime = 0\n", "1: drac_lifetime = 0: it must be at least 1s" },
		{ "drac_lifetime = 2d\n", "1: drac_lifetime = 2d: it must be at most 1d" },
		{ "message_size_limit = lots\n", "1: message_size_limit = lots: a size is written as 500, 64K, 25M or 2G" },
		{ "message_size_limit = 1K\n", "1: message_size_limit = 1K: it must be at least 64K" },
		{ "client_port = x\n", "1: client_port = x: a number is written in decimal digits" },
		{ "client_port = 65536\n", "1: client_port = 65536: it must be at most 65535" },
		{ "quota_messages = 4294967296\n", "1: quota_messages = 4294967296: it must be at most 4294967295" },
		{ "relayhost = $nothing\n", "1: there is no setting 'nothing'; did you mean 'pam_timeout'?" },
		{ "relayhost = $\n", "1: '$' stands before the name of a setting; a dollar sign itself is written '$$'" },
		{ "relayhost = ${mydomain\n", "1: '${mydomain' needs its '}'" },
		{ "drac = no\nmydomain = $myorigin\nmyorigin = $mydomain\n", "2: mydomain refers to itself, by way of the settings in its value" },
		{ "myhostname = $parent_domain\n", "1: myhostname refers to itself, by way of the settings in its value" },
		{ "minimal_backoff_time = 2h\n", "1: minimal_backoff_time = 2h is more than maximal_backoff_time = 1h" },
		{ "\ndrac_max_age = 1m\n", "2: drac_lifetime = 30m is more than drac_max_age = 1m" },
	};
	char want[400];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct err e = ERR_INIT;
		struct settings *s = load(cases[i].text, &e);

		assert_null(s);
		snprintf(want, sizeof(want), "%s/posthouse.conf:%s", dir, cases[i].error);
		if (strstr(cases[i].error, "pam_timeout") != NULL)            /* which name is nearest to nothing is not the point */
			assert_int_equal(strncmp(e.text, want, strlen(want) - 20), 0);
		else
			assert_string_equal(e.text, want);
	}
}

static void values_have_an_end(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct buf text;

	buf_init(&text, BUF_UNBOUNDED);
	buf_puts(&text, "mydestination = x\n");
	for (int i = 0; i < 7000; i++)
		buf_puts(&text, " 0123456789\n");
	assert_null(load(buf_str(&text), &e));
	assert_non_null(strstr(e.text, "mydestination is longer than 65536 octets"));
	buf_reset(&text);
	buf_puts(&text, "mydomain = ");
	for (int i = 0; i < 1000; i++)
		buf_puts(&text, "0123456789");
	buf_puts(&text, "\nmyorigin = $mydomain$mydomain$mydomain$mydomain\nrelayhost = $myorigin$myorigin$myorigin$myorigin\n");
	assert_null(load(buf_str(&text), &e));
	assert_non_null(strstr(e.text, "posthouse.conf:3: longer than 65536 octets when expanded"));
	buf_reset(&text);
	for (int i = 0; i < 200000; i++)
		buf_puts(&text, "# 67\n\n\n");
	assert_null(load(buf_str(&text), &e));
	assert_int_equal(e.kind, ERR_LIMIT);
	buf_done(&text);
}

static void a_missing_file_is_an_error(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct settings *s = NULL;

	assert_int_equal(conf_load(&s, "/nowhere/posthouse.conf", NULL, NULL, &e), -1);
	assert_string_equal(e.text, "/nowhere/posthouse.conf: No such file or directory");
	assert_int_equal(e.kind, ERR_NOTFOUND);
	assert_int_equal(conf_load(&s, "/nowhere/posthouse.conf", NULL, NULL, NULL), -1);
}

static void overrides_win(void **state UNUSED)
{
	static const char *const good[] = { "drac_lifetime=6s", "drac_lifetime = 7s", NULL }, *const bad[] = { "drac_lifetime=x", NULL }, *const odd[] = { "x=y", NULL };
	struct err e = ERR_INIT;
	struct settings *s = load("drac_lifetime = 5s\n", &e);
	char path[100];

	snprintf(path, sizeof(path), "%s", s->path);
	conf_free(&s);
	assert_int_equal(conf_load(&s, path, good, NULL, &e), 0);
	assert_int_equal(s->drac_lifetime, 7);
	conf_free(&s);
	assert_int_equal(conf_load(&s, path, bad, NULL, &e), -1);
	assert_string_equal(e.text, "command line: drac_lifetime = x: a time is written as 90s, 30m, 2h or 7d");
	assert_int_equal(conf_load(&s, path, odd, NULL, &e), -1);
	assert_non_null(strstr(e.text, "command line: there is no setting 'x'; did you mean '"));
}

static void warnings_go_to_the_caller(void **state UNUSED)
{
	static const char *const bare[] = { "myhostname=mail", NULL }, *const full[] = { "myhostname=mail.office.example", NULL };
	struct settings *s = NULL;
	struct buf warnings;

	buf_init(&warnings, BUF_UNBOUNDED);
	assert_int_equal(conf_load(&s, NULL, full, &warnings, NULL), 0);
	assert_string_equal(buf_str(&warnings), "");
	conf_free(&s);
	assert_int_equal(conf_load(&s, NULL, bare, &warnings, NULL), 0);
	assert_string_equal(buf_str(&warnings), "settings: myhostname = mail has no domain; other servers may refuse its greeting\n");
	assert_string_equal(s->mydomain, "mail");
	conf_free(&s);
	buf_done(&warnings);
}

/* What the dump prints is a file that loads to the same. */
static void dump_round_trip(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct settings *s = load("relayhost = a$$b\nmynetworks =\ndrac_lifetime = 90\nmyhostname = h.office.example\nlisten_smtp = 1.2.3.4:25\n", &e);
	struct buf first, second;

	assert_non_null(s);
	buf_init(&first, BUF_UNBOUNDED);
	buf_init(&second, BUF_UNBOUNDED);
	conf_dump(s, true, &first);
	assert_string_equal(buf_str(&first), "myhostname = h.office.example\nlisten_smtp = 1.2.3.4:25\nmynetworks =\nrelayhost = a$$b\ndrac_lifetime = 90s\n");
	buf_reset(&first);
	conf_dump(s, false, &first);
	conf_free(&s);
	s = load(buf_str(&first), &e);
	assert_string_equal(e.text, "");
	assert_non_null(s);
	conf_dump(s, false, &second);
	assert_string_equal(buf_str(&first), buf_str(&second));
	conf_free(&s);
	buf_done(&first);
	buf_done(&second);
}

static void defaults_follow_what_they_name(void **state UNUSED)
{
	struct err e = ERR_INIT;
	struct settings *s = load("myhostname = h.office.example\nmydestination = h.office.example localhost\nstate_directory = /srv\n", &e);

	assert_true(conf_is_default(s, conf_find("mydestination")));
	assert_true(conf_is_default(s, conf_find("mydomain")));
	assert_false(conf_is_default(s, conf_find("myhostname")));
	assert_string_equal(s->mail_directory, "/srv/mail");
	assert_true(conf_is_default(s, conf_find("mail_directory")));
	conf_free(&s);
}

static void nearest_names(void **state UNUSED)
{
	assert_string_equal(conf_nearest("MyHostName"), "myhostname");
	assert_string_equal(conf_nearest("message-size-limit"), "message_size_limit");
	assert_string_equal(conf_nearest("pop_timeout"), "pop3_timeout");
	assert_string_equal(conf_nearest("relay_host"), "relayhost");
	assert_non_null(conf_nearest(""));
	assert_null(conf_find("relay_host"));
}

static void manual_has_every_row(void **state UNUSED)
{
	struct buf out;
	const struct conf_param *p = NULL;
	char want[100];

	buf_init(&out, BUF_UNBOUNDED);
	conf_print_mdoc(&out);
	while ((p = conf_next(p)) != NULL) {
		snprintf(want, sizeof(want), "\n.It Ic %s\n", p->name);
		assert_true(slice_find(buf_view(&out), slice_of(want)) > 0);
		assert_false(p->prose[0] == '.' || p->prose[0] == '\'' || strchr(p->prose, '\\') != NULL);
	}
	buf_done(&out);
}

static void words_of_a_list(void **state UNUSED)
{
	struct slice rest = SLICE("a b"), word;

	assert_true(conf_word(&rest, &word) && slice_eqs(word, "a"));
	assert_true(conf_word(&rest, &word) && slice_eqs(word, "b"));
	assert_false(conf_word(&rest, &word));
}

static void assert_networks(const char *list)
{
	struct slice rest = slice_of(list), word;
	struct net_prefix prefix;

	while (conf_word(&rest, &word))
		assert_int_equal(net_prefix_parse(word, &prefix), 0);
}

/* What the defaults say is what their readers read. */
static void default_networks_are_networks(void **state UNUSED)
{
	struct settings *s = NULL;

	assert_int_equal(conf_load(&s, NULL, NULL, NULL, NULL), 0);
	assert_networks(s->mynetworks);
	assert_networks(s->drac_never);
	assert_networks(s->plaintext_login_from);
	conf_free(&s);
}

static void the_shipped_file_loads(void **state UNUSED)
{
	struct settings *s = NULL;
	struct err e = ERR_INIT;

	assert_int_equal(conf_load(&s, "etc/posthouse.conf", NULL, NULL, &e), 0);
	conf_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_default_is_valid), cmocka_unit_test(values_are_read_by_type), cmocka_unit_test(errors_name_file_and_line),
		cmocka_unit_test(values_have_an_end), cmocka_unit_test(a_missing_file_is_an_error), cmocka_unit_test(overrides_win),
		cmocka_unit_test(warnings_go_to_the_caller), cmocka_unit_test(dump_round_trip), cmocka_unit_test(defaults_follow_what_they_name),
		cmocka_unit_test(nearest_names), cmocka_unit_test(manual_has_every_row), cmocka_unit_test(words_of_a_list),
		cmocka_unit_test(default_networks_are_networks), cmocka_unit_test(the_shipped_file_loads),
	};

	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
