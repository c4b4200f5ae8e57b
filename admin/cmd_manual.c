/*
 * admin/cmd_manual.c - prints the bodies of manual pages from the tables that the programs run by, so the two cannot differ.
 */
#include <stdio.h>
#include <sysexits.h>

#include "admin/commands.h"
#include "admin/tables.h"
#include "conf/conf.h"
#include "reply/codes.h"

static int run_manual_settings(const struct command_env *env)
{
	struct buf out;

	(void)env;
	buf_init(&out, BUF_UNBOUNDED);
	conf_print_mdoc(&out);
	fwrite(out.p, 1, out.len, stdout);
	buf_done(&out);
	return EX_OK;
}

/* mdoc wants each sentence on a line of its own. */
static void print_sentences(const char *prose)
{
	for (const char *p = prose; *p != '\0'; p++) {
		bool ends = p[0] == ' ' && p > prose && p[-1] == '.';

		putchar(ends ? '\n' : *p);
	}
	putchar('\n');
}

static void print_table(const struct command_table *t)
{
	printf(".Ss %s\n.Bl -tag -width Ds\n", t->title);
	for (size_t i = 0; i < t->n; i++) {
		const struct command *c = &t->rows[i];

		printf(".It Cm %s%s%s\n", c->name, c->usage[0] != '\0' ? " No " : "", c->usage);
		print_sentences(c->prose);
	}
	puts(".El");
}

static int run_manual_commands(const struct command_env *env)
{
	(void)env;
	for (size_t t = 0; command_tables[t] != NULL; t++)
		print_table(command_tables[t]);
	return EX_OK;
}

static int run_manual_codes(const struct command_env *env)
{
	(void)env;
	puts(".Bl -tag -width Ds");
	for (unsigned c = CODE_NONE + 1; c < CODES; c++) {
		const struct code_row *row = code_row((enum code)c);

		printf(".It Sy %s%s No \"%s, %s\"\n", CODE_PREFIX, row->name, row->title, row->status);
		print_sentences(row->meaning);
		puts(".Pp");
		print_sentences(row->cure);
	}
	puts(".El");
	return EX_OK;
}

static const struct command rows[] = {
	{ "manual settings", run_manual_settings, "", "Prints the settings in mdoc, for the build of posthouse.conf(5).", false },
	{ "manual commands", run_manual_commands, "", "Prints this list of commands in mdoc, for the build of posthouse(8).", false },
	{ "manual codes", run_manual_codes, "", "Prints the codes of refusals in mdoc, for the build of posthouse-codes(7).", false },
};

const struct command_table cmd_manual_table = { "For the build", rows, sizeof(rows) / sizeof(rows[0]) };
