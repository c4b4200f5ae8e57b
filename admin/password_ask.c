/*
 * admin/password_ask.c - see the header.
 */
#include "admin/password_ask.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#include "admin/commands.h"
#include "base/limits.h"

/* One line of standard input, without its end. */
int password_read_line(char *line, size_t size)
{
	size_t n;

	if (fgets(line, (int)size, stdin) == NULL)
		return command_fail(EX_NOINPUT, "no password came on standard input");
	n = strcspn(line, "\r\n");
	if (line[n] == '\0' && !feof(stdin))
		return command_fail(EX_DATAERR, "the password is longer than %d octets", LIMIT_PASSWORD);
	line[n] = '\0';
	return 0;
}

int password_ask(const char *prompt, const char *instead, char *line, size_t size)
{
	struct termios before, quiet;

	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return command_fail(EX_USAGE, "standard input is no terminal: give %s", instead);
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	fputs(prompt, stderr);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	int rc = password_read_line(line, size);

	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	fputc('\n', stderr);
	return rc;
}
