/*
 * admin/commands.c - finding a command by its words, and the one shape of its errors.
 */
#include "admin/commands.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How many words of `name` argv starts with; 0: argv does not start with the whole name. */
static int words_matched(const char *name, int argc, char **argv)
{
	int words = 0;

	while (*name != '\0') {
		size_t n = strcspn(name, " ");

		if (words >= argc || strlen(argv[words]) != n || memcmp(argv[words], name, n) != 0)
			return 0;
		words++;
		name += n;
		name += strspn(name, " ");
	}
	return words;
}

const struct command *command_find(int argc, char **argv, int *used_out)
{
	const struct command *best = NULL;
	int best_words = 0;

	for (size_t t = 0; command_tables[t] != NULL; t++) {
		for (size_t i = 0; i < command_tables[t]->n; i++) {
			int words = words_matched(command_tables[t]->rows[i].name, argc, argv);

			if (words > best_words) {
				best = &command_tables[t]->rows[i];
				best_words = words;
			}
		}
	}
	if (best != NULL)
		*used_out = best_words;
	return best;
}

const char *command_nearest(int argc, char **argv)
{
	const char *best = NULL;
	size_t best_common = 1;

	for (size_t t = 0; argc > 0 && command_tables[t] != NULL; t++) {
		for (size_t i = 0; i < command_tables[t]->n; i++) {
			const char *name = command_tables[t]->rows[i].name;
			size_t common = 0;

			while (name[common] != '\0' && name[common] == argv[0][common])
				common++;
			if (common > best_common) {
				best = name;
				best_common = common;
			}
		}
	}
	return best;
}

void command_usage(const struct command *c)
{
	fprintf(stderr, "usage: posthouse %s %s\n", c->name, c->usage);
}

int command_fail(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("posthouse: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return status;
}
