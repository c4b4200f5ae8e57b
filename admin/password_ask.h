/*
 * admin/password_ask.h - a password from the terminal, which does not show it, or from standard input. 0, or an exit status with its error told.
 */
#ifndef ADMIN_PASSWORD_ASK_H
#define ADMIN_PASSWORD_ASK_H

#include <stddef.h>

/* instead: the option that reads it from elsewhere, told to whom has no terminal. */
int password_ask(const char *prompt, const char *instead, char *line, size_t size);
int password_read_line(char *line, size_t size);                      /* the next line, without its end */

#endif
