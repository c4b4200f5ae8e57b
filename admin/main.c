/*
 * admin/main.c - posthouse(8): finds the command's row and runs it; under the names sendmail, mailq, newaliases and makemap it is these.
 *
 *	posthouse [-C FILE] [-o name=value] COMMAND ...
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "admin/commands.h"
#include "conf/conf.h"

enum { MAX_OVERRIDES = 64 };

struct options {
	const char *path;
	const char *overrides[MAX_OVERRIDES + 1];
	int used;                                                     /* words of argv before the command, argv[0] included */
};

static void print_help(void)
{
	puts("usage: posthouse [-C FILE] [-o name=value]... COMMAND ...\n");
	for (size_t t = 0; command_tables[t] != NULL; t++) {
		printf("%s\n", command_tables[t]->title);
		for (size_t i = 0; i < command_tables[t]->n; i++)
			printf("  %-18s %s\n", command_tables[t]->rows[i].name, command_tables[t]->rows[i].usage);
	}
	puts("\nposthouse help COMMAND says more; so does man 8 posthouse.");
}

static int no_command(int argc, char **argv)
{
	const char *near = command_nearest(argc, argv);

	return command_fail(EX_USAGE, "no command '%s'%s%s%s: posthouse --help lists what there is", argv[0],
	    near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'" : "");
}

static void print_command(const struct command *c)
{
	printf("usage: posthouse %s%s%s\n\n%s\n", c->name, c->usage[0] != '\0' ? " " : "", c->usage, c->prose);
}

/* Does `name` begin with the words of argv? */
static bool begins_with(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		size_t n = strlen(argv[i]);

		if (strncmp(name, argv[i], n) != 0 || (name[n] != ' ' && name[n] != '\0'))
			return false;
		name += n + (name[n] == ' ');
	}
	return true;
}

/* `posthouse help`, `posthouse help queue`, `posthouse help queue list`. */
static int help(int argc, char **argv)
{
	const struct command *c;
	int words = 0, found = 0;

	if (argc == 0) {
		print_help();
		return EX_OK;
	}
	if ((c = command_find(argc, argv, &words)) != NULL && words == argc) {
		print_command(c);
		found++;
	}
	for (size_t t = 0; command_tables[t] != NULL; t++)
		for (size_t i = 0; i < command_tables[t]->n; i++)
			if (&command_tables[t]->rows[i] != c && begins_with(command_tables[t]->rows[i].name, argc, argv)) {
				printf("%s", found++ > 0 ? "\n" : "");
				print_command(&command_tables[t]->rows[i]);
			}
	return found > 0 ? EX_OK : no_command(argc, argv);
}

static int read_options(int argc, char **argv, struct options *opt)
{
	size_t n = 0;
	int i = 1;

	memset(opt, 0, sizeof(*opt));
	opt->path = PATH_SYSCONF "/posthouse.conf";
	if (getenv("POSTHOUSE_CONF") != NULL)
		opt->path = getenv("POSTHOUSE_CONF");
	for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (strcmp(argv[i], "-C") == 0)
			opt->path = argv[i + 1];
		else if (strcmp(argv[i], "-o") == 0 && n < MAX_OVERRIDES)
			opt->overrides[n++] = argv[i + 1];
		else
			break;
	}
	if (i < argc && argv[i][0] == '-' && strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0)
		return command_fail(EX_USAGE, "unknown option %s: posthouse --help lists what there is", argv[i]);
	opt->used = i;
	return 0;
}

static int run_command(const struct command *c, const struct options *opt, int argc, char **argv)
{
	struct command_env env = { .settings_path = opt->path, .overrides = opt->overrides, .argc = argc, .argv = argv };
	struct settings *s = NULL;
	struct buf warnings;
	struct err e = ERR_INIT;
	int status;

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		print_command(c);
		return EX_OK;
	}
	if (argc > 1 && c->usage[0] == '\0')
		return command_fail(EX_USAGE, "%s takes no arguments: '%s' is one too many", c->name, argv[1]);
	if (c->needs_settings) {
		buf_init(&warnings, BUF_UNBOUNDED);
		if (conf_load(&s, opt->path, opt->overrides, &warnings, &e) < 0)
			return command_fail(EX_CONFIG, "%s", e.text);
		buf_done(&warnings);
		env.s = s;
	}
	status = c->run(&env);
	conf_free(&s);
	return status;
}

static const struct alias_program *alias_of(const char *argv0)
{
	const char *base = strrchr(argv0, '/');

	base = base != NULL ? base + 1 : argv0;
	for (const struct alias_program *p = alias_programs; p->name != NULL; p++)
		if (strcmp(p->name, base) == 0)
			return p;
	return NULL;
}

int main(int argc, char **argv)
{
	const struct alias_program *alias = alias_of(argv[0]);
	const struct command *c;
	struct options opt;
	int words = 0, status;

	if (alias != NULL)
		return alias->run(argc, argv);
	status = read_options(argc, argv, &opt);
	if (status != 0)
		return status;
	argc -= opt.used;
	argv += opt.used;
	if (argc == 0 || strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
		print_help();
		return argc == 0 ? EX_USAGE : EX_OK;
	}
	if (strcmp(argv[0], "help") == 0)
		return help(argc - 1, argv + 1);
	c = command_find(argc, argv, &words);
	if (c == NULL)
		return no_command(argc, argv);
	return run_command(c, &opt, argc - (words - 1), argv + (words - 1));
}
