/* base64 and quoted-printable of bodies: lenient, bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mail/mime.h"

static const struct { const char *encoding, *in, *out; } rows[] = {
	{ "BASE64", "SGVsbG8=", "Hello" },
	{ "base64", "SGVs\r\nbG8=\r\n", "Hello" },
	{ "BASE64", "SGVsbG8=SGVsbG8=", "HelloHello" },
	{ "BASE64", "S*G-V.sbG8", "Hello" },
	{ "BASE64", "", "" },
	{ "QUOTED-PRINTABLE", "a=3D=\r\nb  \r\nc", "a=b\r\nc" },
	{ "QUOTED-PRINTABLE", "a=20\r\nb", "a \r\nb" },
	{ "QUOTED-PRINTABLE", "=C3=a4 =ZZ =", "\xc3\xa4 =ZZ " },
	{ "QUOTED-PRINTABLE", "soft= \t\r\nend=4", "softend=4" },
	{ "8BIT", "a=3D", "a=3D" },
};

static void decodes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct buf b;

		buf_init(&b, 1000);
		assert_int_equal(mime_decode(slice_of(rows[i].in), slice_of(rows[i].encoding), &b), 0);
		assert_string_equal(buf_str(&b), rows[i].out);
		buf_done(&b);
	}
}

static void is_bounded(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 2);
	assert_int_equal(mime_decode(SLICE("SGVsbG8="), SLICE("BASE64"), &b), -1);
	assert_int_equal(mime_decode(SLICE("abc"), SLICE("QUOTED-PRINTABLE"), &b), -1);
	assert_int_equal(mime_decode(SLICE("abc"), SLICE("7BIT"), &b), -1);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(decodes), cmocka_unit_test(is_bounded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
