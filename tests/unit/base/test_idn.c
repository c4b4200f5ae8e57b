/*
 * Domains in letters beyond ASCII, and the keys of maps that hold them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/idn.h"

static void test_to_ascii(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "Example.COM", "example.com" }, { "[192.0.2.1]", "[192.0.2.1]" }, { "", "" },
		{ "b\xc3\xbc" "cher.example", "xn--bcher-kva.example" }, { "B\xc3\x9c" "CHER.Example", "xn--bcher-kva.example" },
		{ "bu\xcc\x88" "cher.example", "xn--bcher-kva.example" },          /* u and a combining diaeresis */
		{ "stra\xc3\x9f" "e.example", "xn--strae-oqa.example" },           /* not strasse: nontransitional */
		{ "\xe4\xbe\x8b\xe5\xad\x90.\xe4\xb8\xad\xe5\x9b\xbd", "xn--fsqu00a.xn--fiqs8s" },
		{ "\xe4\xbe\x8b\xe5\xad\x90\xe3\x80\x82\xe4\xb8\xad\xe5\x9b\xbd", "xn--fsqu00a.xn--fiqs8s" },  /* an ideographic full stop */
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "b\xc3\xbc" "cher\xe3\x80\x82", "xn--bcher-kva" },                /* a full stop at the end */
		{ "a\xef\xbc\xa0" "b.example", NULL }, { "a\xe3\x80\x80" "b.example", NULL }, { "\xef\xbc\x8d" "a.example", NULL },     /* fullwidth @, blank, hyphen */
		{ "a\xc3\xbc..example", NULL }, { "\xe3\x80\x82", NULL }, { "\xc3\xbc_.example", NULL },
		{ "b\xc3.example", NULL }, { "a\xc3\xbc" " b.example", NULL }, { "\xc3\xbc\n.example", NULL },
	};
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice out = SLICE_NONE;
		int r = idn_to_ascii(slice_of(cases[i].in), a, &out);

		if (r != (cases[i].out == NULL ? -1 : 0))
			fail_msg("%s: %d", cases[i].in, r);
		if (r == 0 && !slice_eqs(out, cases[i].out))
			fail_msg("%s: %.*s", cases[i].in, SLICE_FMT(out));
	}
	arena_free(&a);
}

static void test_fold_key(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "Joe@Example.COM.", "joe@example.com" }, { ".", "." }, { "", "" }, { "To:B\xc3\xbc" "cher.example", "to:xn--bcher-kva.example" },
		{ "J\xc3\xb6rg@B\xc3\xbc" "cher.example", "j\xc3\xb6rg@xn--bcher-kva.example" }, { "@b\xc3\xbc" "cher.example", "@xn--bcher-kva.example" },
		{ ".b\xc3\xbc" "cher.example", ".xn--bcher-kva.example" }, { "From:j\xc3\xb6rg@", "from:j\xc3\xb6rg@" },
		{ "j\xc3\xb6rg", "j\xc3\xb6rg" }, { "To:j\xc3\xb6rg", "to:j\xc3\xb6rg" }, { "IPv6:2001:DB8", "ipv6:2001:db8" }, { "a\xff.b", "a\xff.b" },
	};
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!slice_eqs(idn_fold_key(slice_of(cases[i].in), a), cases[i].out))
			fail_msg("%s: %.*s", cases[i].in, SLICE_FMT(idn_fold_key(slice_of(cases[i].in), a)));
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_to_ascii), cmocka_unit_test(test_fold_key) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
