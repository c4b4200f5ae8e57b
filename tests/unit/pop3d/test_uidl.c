/* Unique-ids by format (RFC 1939 7: 1 to 70 octets, 0x21 to 0x7e). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "pop3d/pop3.h"

static void formats(void **state)
{
	static const struct { const char *format, *want; } cases[] = {
		{ "%v.%u",           "1700000000.42" },
		{ "%08Xu%08Xv",      "0000002A6553F100" },             /* Dovecot's default */
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(formats) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
