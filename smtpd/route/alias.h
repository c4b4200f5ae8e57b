/*
 * route/alias.h - the right side of an alias, of a virtual user or of a line in an :include: file, taken apart. Pure.
 *
 *	ann, joe@elsewhere.test     addresses; quotes and <> are taken off
 *	\ann                        the mailbox, without looking at aliases again
 *	|/usr/bin/prog arg          a program; with blanks or commas inside: "|/usr/bin/prog arg, arg"
 *	/path/file                  a file; /dev/null swallows
 *	:include:/path              a file of such lists
 *	joe@new.test.REDIRECT       551: please send there
 *	error:nouser 550 text       a refusal; error:5.1.1:550 text
 */
#ifndef ROUTE_ALIAS_H
#define ROUTE_ALIAS_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

enum alias_kind { ALIAS_ADDRESS, ALIAS_MAILBOX, ALIAS_PROGRAM, ALIAS_FILE, ALIAS_DISCARD, ALIAS_INCLUDE, ALIAS_REDIRECT, ALIAS_ERROR };

struct alias_target {
	enum alias_kind kind;
	struct slice text;                                            /* address, name, command, path; ERROR: "550 5.1.1 text" */
};

/* Everything lives in the arena or is borrowed from `in`. -1: an open quote, an empty command, an address with control octets. */
int alias_parse(struct slice in, struct arena *a, struct alias_target **targets_out, size_t *n_out, struct err *e) WARN_UNUSED;

/* "error:D.S.N:nnn text", "error:word nnn text" as virtusertable and mailertable write it: "550 5.1.1 text". */
struct slice alias_error_text(struct slice value, struct arena *a);

#endif
