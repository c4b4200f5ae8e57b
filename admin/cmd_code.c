/*
 * admin/cmd_code.c - the short code at the end of a refusal, in words: `posthouse explain CODE`, `posthouse explain list`, and posthouse-codes(7).
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "admin/explain.h"
#include "admin/tables.h"
#include "reply/codes.h"

/* Words of a paragraph on lines of up to 80 columns, indented. */
static void print_filled(const char *text)
{
	struct slice rest = slice_of(text), word;
	size_t column = 0;

	while (slice_word(&rest, &word)) {
		if (column > 0 && column + 1 + word.n > 78) {
			putchar('\n');
			column = 0;
		}
		printf("%s%.*s", column == 0 ? "  " : " ", SLICE_FMT(word));
		column += word.n + (column == 0 ? 2 : 1);
	}
	putchar('\n');
}

int explain_code(const char *text)
{
	enum code c = code_find(slice_of(text));
	const struct code_row *row = code_row(c);

	if (row == NULL)
		return command_fail(EX_DATAERR, "there is no code '%s'; posthouse explain list shows them all", text);
	printf("%s%s  %s\nreply: %s\n\nwhat it means\n", CODE_PREFIX, row->name, row->title, row->status);
	print_filled(row->meaning);
	puts("\nwhat to do");
	print_filled(row->cure);
	return EX_OK;
}

static int run_list(const struct command_env *env)
{
	(void)env;
	for (unsigned c = CODE_NONE + 1; c < CODES; c++)
		printf("%s%s  %-10s  %s\n", CODE_PREFIX, code_row((enum code)c)->name, code_row((enum code)c)->status, code_row((enum code)c)->title);
	return EX_OK;
}

static const struct command rows[] = {
	{ "explain list", run_list, "", "Lists the codes at the end of smtpd's refusals.", false },
};

const struct command_table cmd_code_table = { "Codes", rows, sizeof(rows) / sizeof(rows[0]) };
