/*
 * admin/explain.h - what the files of `posthouse explain` share.
 */
#ifndef ADMIN_EXPLAIN_H
#define ADMIN_EXPLAIN_H

#include "admin/commands.h"

/* `posthouse explain CODE`: a code, or a whole reply that ends in one. Returns the exit status. */
int explain_code(const char *text);

#endif
