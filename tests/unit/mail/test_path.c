#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "mail/path.h"

#define ALL (PATH_ALLOW_NULL | PATH_ALLOW_BARE | PATH_ALLOW_UTF8 | PATH_ALLOW_NO_DOMAIN)

static struct arena *arena;

static int make_arena(void **state UNUSED)
{
	arena = arena_new(0);
	return 0;
}

static int drop_arena(void **state UNUSED)
{
	arena_free(&arena);
	return 0;
}

static int parse(struct slice in, unsigned flags, struct path *out, size_t *used, size_t *where, const char **why)
{
	return path_parse(in, flags, arena, out, used, where, why);
}

static void reads_what_rfc5321_allows(void **state UNUSED)
{
	static const struct { const char *in; unsigned flags; const char *local, *domain, *text; size_t used; } cases[] = {
		{ "<a@b.example>", 0, "a", "b.example", "a@b.example", 13 },
		{ "<a@b.example> SIZE=1", 0, "a", "b.example", "a@b.example", 13 },
		{ "<A.b+c@B.Example.>", 0, "A.b+c", "b.example", "A.b+c@b.example", 18 },
		{ "<a!b%c#d$e&f'g*h/i=j?k^l_m`n{o|p}q~r@x>", 0, "a!b%c#d$e&f'g*h/i=j?k^l_m`n{o|p}q~r", "x", "a!b%c#d$e&f'g*h/i=j?k^l_m`n{o|p}q~r@x", 39 },
		{ "<\"a b\"@x>", 0, "a b", "x", "\"a b\"@x", 9 },
		{ "<\"a\\\"b\\\\c\"@x>", 0, "a\"b\\c", "x", "\"a\\\"b\\\\c\"@x", 13 },
		{ "<\"ab\"@x>", 0, "ab", "x", "ab@x", 8 },
		{ "<\"a.\"@x>", 0, "a.", "x", "\"a.\"@x", 8 },
		{ "<\"a@b\"@x>", 0, "a@b", "x", "\"a@b\"@x", 9 },
		{ "<a@[192.0.2.1]>", 0, "a", "[192.0.2.1]", "a@[192.0.2.1]", 15 },
		{ "<a@[IPv6:2001:DB8::1]>", 0, "a", "[ipv6:2001:db8::1]", "a@[ipv6:2001:db8::1]", 22 },
		{ "<@r.example,@s.example:a@b.example>", 0, "a", "b.example", "a@b.example", 35 },
		{ "<@[192.0.2.1]:a@b>", 0, "a", "b", "a@b", 18 },
		{ "<postmaster>", PATH_ALLOW_NO_DOMAIN, "postmaster", "", "postmaster", 12 },
		{ "a@b.example rest", PATH_ALLOW_BARE, "a", "b.example", "a@b.example", 11 },
		{ "root", PATH_ALLOW_BARE | PATH_ALLOW_NO_DOMAIN, "root", "", "root", 4 },
		{ "<a@1-2.3>", 0, "a", "1-2.3", "a@1-2.3", 9 },
		{ "<\xc3\xa9@\xc3\xa9.example>", PATH_ALLOW_UTF8, "\xc3\xa9", "xn--9ca.example", "\xc3\xa9@xn--9ca.example", 15 },
		{ "<\"\xc3\xa9 \"@x>", PATH_ALLOW_UTF8, "\xc3\xa9 ", "x", "\"\xc3\xa9 \"@x", 9 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct path p, again;
		size_t used = 0, where = 0;
		const char *why = "";

		if (parse(slice_of(cases[i].in), cases[i].flags, &p, &used, &where, &why) < 0)
			fail_msg("%s: %s at %zu", cases[i].in, why, where);
		assert_true(slice_eqs(p.local, cases[i].local));
		assert_true(slice_eqs(p.domain, cases[i].domain));
		assert_int_equal(used, cases[i].used);
		assert_false(p.is_null);
		assert_int_equal(p.is_utf8, strchr(cases[i].in, '\xc3') != NULL);
		assert_string_equal(path_text(&p, arena).p, cases[i].text);
		assert_int_equal(path_from_text(slice_of(cases[i].text), arena, &again), 0);
		assert_true(path_eq(&p, &again));
	}
}

static void the_null_path(void **state UNUSED)
{
	struct path p, q;
	size_t used, where;
	const char *why;

	assert_int_equal(parse(SLICE("<>x"), PATH_ALLOW_NULL, &p, &used, &where, &why), 0);
	assert_true(p.is_null);
	assert_int_equal(used, 2);
	assert_int_equal(path_text(&p, arena).n, 0);
	assert_int_equal(path_from_text(SLICE(""), arena, &q), 0);
	assert_true(path_eq(&p, &q));
	assert_int_equal(parse(SLICE("<>"), 0, &p, &used, &where, &why), -1);
	assert_int_equal(where, 1);
}

static void says_where_and_why(void **state UNUSED)
{
	static const struct { const char *in; size_t where; const char *why; } cases[] = {
		{ "", 0, "an address stands in angle brackets" },
		{ "a@b", 0, "an address stands in angle brackets" },
		{ "<", 1, "a local part is missing or has a character that needs quotes" },
		{ "< a@b>", 1, "a local part is missing or has a character that needs quotes" },
		{ "<@b>", 3, "a source route ends with ':'" },
		{ "<@b,c:a@b>", 4, "a source route needs '@' here" },
		{ "<a", 2, "'@' and a domain are missing" },
		{ "<a@", 3, "a domain is missing, or two dots follow each other" },
		{ "<a@>", 3, "a domain is missing, or two dots follow each other" },
		{ "<a@b", 4, "'>' is missing, or a character that does not belong here" },
		{ "<a@b c>", 4, "'>' is missing, or a character that does not belong here" },
		{ "<a@b_c>", 4, "'>' is missing, or a character that does not belong here" },
		{ "<a@b>>", 5, NULL },
		{ "<a@b..c>", 5, "'>' is missing, or a character that does not belong here" },
		{ "<a@.b>", 3, "a domain is missing, or two dots follow each other" },
		{ "<a@-b>", 5, "a label of the domain begins or ends with a hyphen" },
		{ "<a@b->", 5, "a label of the domain begins or ends with a hyphen" },
		{ "<.a@b>", 1, "a local part is missing or has a character that needs quotes" },
		{ "<a.@b>", 3, "two dots, or a dot at the end of the local part" },
		{ "<a..b@c>", 3, "two dots, or a dot at the end of the local part" },
		{ "<a b@c>", 2, "'@' and a domain are missing" },
		{ "<a(b)@c>", 2, "'@' and a domain are missing" },
		{ "<a\\b@c>", 2, "'@' and a domain are missing" },
		{ "<\"a@b>", 6, "the quoted string has no end" },
		{ "<\"a\\", 4, "the quoted string has no end" },
		{ "<\"a\tb\"@c>", 3, "a control character in a quoted string" },
		{ "<\"a\x7f\"@c>", 3, "a control character in a quoted string" },
		{ "<\"\"@c>", 3, "the local part is empty" },
		{ "<a@[1.2.3]>", 3, "this is no address literal" },
		{ "<a@[1.2.3.4>", 3, "this is no address literal" },
		{ "<a@[]>", 3, "this is no address literal" },
		{ "<a@[IPv6:1.2.3.4]>", 3, "this is no address literal" },
		{ "<a@[2001:db8::1]>", 3, "this is no address literal" },
		{ "<a@[x:y]>", 3, "this is no address literal" },
		{ "<\xc3\xa9@b>", 1, "a character beyond ASCII needs SMTPUTF8" },
		{ "<a@\xc3\xa9>", 3, "a character beyond ASCII needs SMTPUTF8" },
		{ "<a\xff@b>", 2, "not UTF-8" },
		{ "<a@b\r\n>", 4, "'>' is missing, or a character that does not belong here" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct path p;
		size_t used = 0, where = 0;
		const char *why = "accepted";
		int rc = parse(slice_of(cases[i].in), 0, &p, &used, &where, &why);

		assert_int_equal(rc, cases[i].why == NULL ? 0 : -1);
		if (rc == 0) {
			assert_int_equal(used, cases[i].where);
		} else {
			if (strcmp(why, cases[i].why) != 0 || where != cases[i].where)
				fail_msg("%s: %s at %zu", cases[i].in, why, where);
		}
	}
}

static void sizes_are_bounded(void **state UNUSED)
{
	char in[2000];
	struct path p;
	size_t used, where;
	const char *why;

	snprintf(in, sizeof(in), "<%0*d@b>", LIMIT_LOCAL_PART, 0);
	assert_int_equal(parse(slice_of(in), 0, &p, &used, &where, &why), 0);
	snprintf(in, sizeof(in), "<%0*d@b>", LIMIT_LOCAL_PART + 1, 0);
	assert_int_equal(parse(slice_of(in), 0, &p, &used, &where, &why), -1);
	assert_string_equal(why, "the local part is too long");
	snprintf(in, sizeof(in), "<a@%063d.b>", 0);
	assert_int_equal(parse(slice_of(in), 0, &p, &used, &where, &why), 0);
	snprintf(in, sizeof(in), "<a@%064d.b>", 0);
	assert_int_equal(parse(slice_of(in), 0, &p, &used, &where, &why), -1);
	snprintf(in, sizeof(in), "<a@%063d.%063d.%063d.%063d>", 0, 0, 0, 0);
	assert_int_equal(parse(slice_of(in), 0, &p, &used, &where, &why), 0);
	snprintf(in, sizeof(in), "<a@%063d.%063d.%063d.%062d.b>", 0, 0, 0, 0);
	assert_int_equal(parse(slice_of(in), 0, &p, &used, &where, &why), -1);
	assert_string_equal(why, "the domain is longer than 255 octets");
}

/* weaknesses.md row 11: every octet at every place of an address; no slice may point outside. */
static void every_octet_everywhere(void **state UNUSED)
{
	static const char *const seeds[] = { "<a@b.c>", "<\"a b\"@[192.0.2.1]>", "<@r:a@b>", "<>" };

	for (size_t i = 0; i < sizeof(seeds) / sizeof(*seeds); i++)
		for (size_t at = 0; at < strlen(seeds[i]); at++)
			for (int c = 0; c < 256; c++) {
				char in[40];
				struct path p, again;
				size_t used = 0, where = 0;
				const char *why;

				memcpy(in, seeds[i], strlen(seeds[i]));
				in[at] = (char)c;
				if (parse(slice_mem(in, strlen(seeds[i])), ALL, &p, &used, &where, &why) < 0) {
					assert_true(where <= strlen(seeds[i]));
					continue;
				}
				assert_int_equal(slice_chr(p.local, '\0'), -1);
				assert_int_equal(slice_chr(p.local, '\n'), -1);
				assert_int_equal(path_from_text(path_text(&p, arena), arena, &again), 0);
				assert_true(path_eq(&p, &again));
			}
}

/* An address that grows octet by octet is read or refused, never over-read; the whole one is read as a prefix of what follows. */
static void octet_by_octet(void **state UNUSED)
{
	static const char whole[] = "<@r.example:\"a\\\"b\"@[IPv6:2001:db8::1]>";

	for (size_t n = 0; n < sizeof(whole); n++) {
		char *copy = arena_alloc(arena, n + 1);
		struct path p;
		size_t used, where;
		const char *why;

		memcpy(copy, whole, n);
		copy[n] = 'Z';
		assert_int_equal(parse(slice_mem(copy, n), 0, &p, &used, &where, &why), n == sizeof(whole) - 1 ? 0 : -1);
	}
}

static void text_of_admins(void **state UNUSED)
{
	static const char *const bad[] = { "a b", "a@", "@b", "a@b>", "a@b x", "a@b,c@d", "|prog", "<a@b", "a@[x]" };
	struct path p, q;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (path_from_text(slice_of(bad[i]), arena, &p) == 0 && strcmp(bad[i], "|prog") != 0)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(path_from_text(SLICE("Ann@Office.Example"), arena, &p), 0);
	assert_int_equal(path_from_text(SLICE("<ann@office.example>"), arena, &q), 0);
	assert_true(path_eq(&p, &q));
	assert_int_equal(path_from_text(SLICE("ann@other.example"), arena, &q), 0);
	assert_false(path_eq(&p, &q));
}

static void domains(void **state UNUSED)
{
	assert_true(domain_is_valid(SLICE("a")));
	assert_true(domain_is_valid(SLICE("a.b-c.example.")));
	assert_true(domain_is_valid(SLICE("[192.0.2.1]")));
	assert_true(domain_is_valid(SLICE("[IPv6:::1]")));
	assert_true(domain_is_valid(SLICE("b\xc3\xbc" "cher.example")));
	assert_false(domain_is_valid(SLICE("")));
	assert_false(domain_is_valid(SLICE(".")));
	assert_false(domain_is_valid(SLICE("a..b")));
	assert_false(domain_is_valid(SLICE("a b")));
	assert_false(domain_is_valid(SLICE("a\0b")));
	assert_false(domain_is_valid(SLICE("a/b")));
	assert_false(domain_is_valid(SLICE("[192.0.2.1]x")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_rfc5321_allows), cmocka_unit_test(the_null_path), cmocka_unit_test(says_where_and_why),
		cmocka_unit_test(sizes_are_bounded), cmocka_unit_test(every_octet_everywhere), cmocka_unit_test(octet_by_octet),
		cmocka_unit_test(text_of_admins), cmocka_unit_test(domains),
	};

	return cmocka_run_group_tests(tests, make_arena, drop_arena);
}
