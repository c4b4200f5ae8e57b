/* Unique-ids by format (RFC 1939 7: 1 to 70 octets, 0x21 to 0x7e). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "conf/settings.h"
#include "pop3d/pop3.h"
#include "pop3d/pop3d.h"

static void formats(void **state)
{
	static const struct { const char *format, *want; } cases[] = {
		{ "%v.%u",           "1700000000.42" },
		{ "%08Xu%08Xv",      "0000002a6553f100" },             /* what Dovecot 2.3 answers: in small letters */
		{ "%08xu",           "0000002a" },
		{ "%u",              "42" },
		{ "%5u",             "42" },                           /* blanks are no unique-id */
		{ "UID%u-%v",        "UID42-1700000000" },             /* Dovecot for Courier */
		{ "%v.%u%%",         "1700000000.42%" },
		{ "%f",              "s44we8.16" },
		{ "a b\x01" "c",     "abc" },
		{ "%",               "" },
		{ "%q",              "" },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&b);
		pop3_put_uidl(cases[i].format, 1700000000, 42, &b);
		assert_string_equal(buf_str(&b), cases[i].want);
	}
	buf_reset(&b);
	pop3_put_uidl("%099999u%070u%s%n", 1, 2, &b);
	assert_int_equal(b.len, 70);
	buf_done(&b);
}

static void words_stand_for_formats(void **state)
{
	static const struct { const char *word, *want; } cases[] = {
		{ "dovecot", "0000002a6553f100" },
		{ "courier", "UID42-1700000000" },
		{ "cyrus",   "1700000000.42" },
		{ "uw",      "6553f1000000002a" },
		{ "%u",      "42" },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&b);
		pop3_put_uidl(pop3_uidl_format(cases[i].word), 1700000000, 42, &b);
		assert_string_equal(buf_str(&b), cases[i].want);
	}
	buf_done(&b);
}

static void a_format_tells_messages_apart(void **state)
{
	static const struct { const char *format; bool good; } cases[] = {
		{ "dovecot", true }, { "qpopper", true }, { "%u", true }, { "x%f", true }, { "%08Xu%08Xv", true }, { "%v.%u%%", true },
		{ "", false }, { "dovecott", false }, { "%v", false }, { "%%u", false }, { "%q%u", false }, { "%u%", false },
	};
	struct settings s = { .path = "posthouse.conf" };
	struct err e = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s.pop3_uidl_format = cases[i].format;
		assert_int_equal(pop3_uidl_check(&s, &e), cases[i].good ? 0 : -1);
	}
}

static void an_id_in_the_header_is_believed_where_no_stranger_wrote_it(void **state)
{
	static const struct { const char *message, *want; } cases[] = {
		{ "X-UIDL: $f\"!!l5M\"!b~9\r\nSubject: x\r\n\r\n",                                                   "$f\"!!l5M\"!b~9" },
		{ "Received: from a by old.example (8.9)\r\nX-UIDL:  1f2e \r\n\r\n",                                "1f2e" },
		{ "Received: from a\r\n\tby mail.office.test (Posthouse) with ESMTP id 1\r\nX-UIDL: 1f2e\r\n\r\n", NULL },
		{ "X-UIDL: two words\r\n\r\n",                                                                       NULL },
		{ "X-UIDL:\r\n\r\n",                                                                                 NULL },
		{ "Subject: x\r\n\r\nX-UIDL: 1\r\n",                                                                 NULL },
		{ "X-UIDL: 12345678901234567890123456789012345678901234567890123456789012345678901\r\n\r\n",         NULL },
	};
	struct slice id;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(pop3_uidl_of_header(slice_of(cases[i].message), &id), cases[i].want != NULL);
		if (cases[i].want != NULL)
			assert_true(slice_eqs(id, cases[i].want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats),
		cmocka_unit_test(words_stand_for_formats),
		cmocka_unit_test(a_format_tells_messages_apart),
		cmocka_unit_test(an_id_in_the_header_is_believed_where_no_stranger_wrote_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
