#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Into a copy first: an argument may be e->text itself. */
int err_set(struct err *e, enum err_kind kind, int sys, const char *fmt, ...)
{
	struct err made = { .kind = kind, .sys = sys };
	va_list ap;
	size_t n;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(made.text, sizeof(made.text), fmt, ap);
	va_end(ap);
	if (sys != 0) {
		char room[128];

		n = strlen(made.text);
		snprintf(made.text + n, sizeof(made.text) - n, "%s%s", n > 0 ? ": " : "",
		    sys == ELOOP ? "a symbolic link, which is not followed" : strerror_r(sys, room, sizeof(room)));
	}
	*e = made;
	return -1;
}

int err_context(struct err *e, const char *fmt, ...)
{
	char context[sizeof(e->text)], whole[2 * sizeof(e->text) + 2];
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(context, sizeof(context), fmt, ap);
	va_end(ap);
	snprintf(whole, sizeof(whole), "%s: %s", context, e->text);
	memcpy(e->text, whole, sizeof(e->text) - 1);                  /* the NUL at its end stays */
	return -1;
}

enum err_kind err_kind_of(int sys)
{
	switch (sys) {
	case ENOENT: case ENOTDIR:
		return ERR_NOTFOUND;
	case EACCES: case EPERM:
		return ERR_DENIED;
	case ENOSPC: case EDQUOT: case EFBIG:
		return ERR_LIMIT;
	case EEXIST:
		return ERR_EXISTS;
	default:
		return ERR_TEMP;
	}
}
