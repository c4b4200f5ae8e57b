/*
 * admin/commands.h - `posthouse`: a command is a row. Help, the manual page posthouse(8) and the dispatcher come from the rows.
 *
 * A family of commands lives in one file, admin/cmd_<family>.c, which exports one table; admin/tables.c lists the tables.
 */
#ifndef ADMIN_COMMANDS_H
#define ADMIN_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "conf/settings.h"

/* What every command gets. Exit status as sysexits.h; main prints nothing after it. */
struct command_env {
	const struct settings *s;                                     /* NULL for commands with needs_settings == false */
	const char *settings_path;
	const char *const *overrides;                                 /* -o name=value of the command line, NULL-terminated */
	int argc;                                                     /* of the rest, argv[0] is the last word of the command's name */
	char **argv;
};

struct command {
	const char *name;                                             /* "user add" */
	int (*run)(const struct command_env *env);
	const char *usage;                                            /* "[--quota SIZE] NAME" */
	const char *prose;                                            /* one to four sentences, mdoc-safe */
	bool needs_settings;
};

struct command_table {
	const char *title;                                            /* "Accounts" */
	const struct command *rows;
	size_t n;
};
extern const struct command_table *const command_tables[];            /* NULL-terminated: admin/tables.c */

/* Longest name that argv starts with; *used_out words. NULL: none. */
const struct command *command_find(int argc, char **argv, int *used_out);
const char *command_nearest(int argc, char **argv);
void command_usage(const struct command *c);                          /* one line to stderr */

/* "error: ..." to stderr in the one shape that all commands use; returns `status`. */
int command_fail(int status, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Program names that people's hands know: sendmail, mailq, newaliases, makemap. NULL: argv0 is none of them. */
struct alias_program {
	const char *name;
	int (*run)(int argc, char **argv);
};
extern const struct alias_program alias_programs[];                   /* ends with name NULL: admin/tables.c */

#endif
