/*
 * base/err.h - errors are values that gain context on the way up.
 *
 * A function that can fail takes `struct err *e` last and returns -1 by err_set(). Kinds answer the one question that mail asks:
 * try again or give up? When in doubt ERR_TEMP: mail is never lost to a full disk. common/ never logs an error, it returns it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/attr.h"

enum err_kind { ERR_NONE, ERR_SYNTAX, ERR_NOTFOUND, ERR_DENIED, ERR_LIMIT, ERR_TEMP, ERR_EXISTS, ERR_KINDS };

struct err {
	enum err_kind kind;
	int sys;                                                      /* errno, 0 where no system call failed */
	char text[256];                                               /* plain words, one line, no peer octet unescaped */
};

#define ERR_INIT { ERR_NONE, 0, "" }

/* Sets *e and returns -1. Where sys is not 0, ": " and its strerror text are appended. e may be NULL. */
int err_set(struct err *e, enum err_kind kind, int sys, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Puts "context: " before the text that is there; returns -1. */
int err_context(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ENOENT, ENOTDIR: NOTFOUND; EACCES, EPERM: DENIED; ENOSPC, EDQUOT, EFBIG: LIMIT; EEXIST: EXISTS; all else: TEMP. */
enum err_kind err_kind_of(int sys);

#endif
