/* RFC 5256 2.1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "imapd/subject.h"

static const struct { const char *in, *base; bool reply; } rows[] = {
	{ "Hello", "Hello", false },
	{ "Re: Hello", "Hello", true },
	{ "RE:  Fwd : [list] re[2]: Hello  (fwd) (FWD)", "Hello", true },
	{ "[list] Re: Hello", "Hello", true },
	{ "[a] [b] Hello", "Hello", false },
	{ "[a]", "[a]", false },
	{ "[Fwd: Hello]", "Hello", true },
	{ "[fwd: Re: [x] Hello (fwd)]", "Hello", true },
	{ "Regarding: Hello", "Regarding: Hello", false },
	{ "re", "re", false },
	{ " \t Hello\r\n  world ", "Hello world", false },
	{ "", "", false },
	{ "Re:", "", true },
};

static void bases(void **state)
{
	struct arena *a = arena_new(0);

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		bool reply;
		struct slice base = subject_base(slice_of(rows[i].in), a, &reply);

		if (!slice_eqs(base, rows[i].base) || reply != rows[i].reply)
			fail_msg("\"%s\" became \"%.*s\"", rows[i].in, SLICE_FMT(base));
	}
	arena_free(&a);
}

static void bounded(void **state)
{
	struct arena *a = arena_new(0);
	struct buf b;
	bool reply;
	int64_t start = clock_mono_ms();

	(void)state;
	buf_init(&b, BUF_UNBOUNDED);
	for (int i = 0; i < 300000; i++)
		buf_puts(&b, "[a]");
	subject_base(buf_view(&b), a, &reply);
	assert_true(clock_mono_ms() - start < 500);
	buf_done(&b);
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(bases), cmocka_unit_test(bounded) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
