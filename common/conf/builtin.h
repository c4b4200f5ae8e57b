/*
 * conf/builtin.h - the names that a value may use besides settings: what the machine and the place of the file say.
 */
#ifndef CONF_BUILTIN_H
#define CONF_BUILTIN_H

#include "base/buf.h"
#include "conf/settings.h"

/* Fills s->system_hostname and s->settings_directory from the system and `path` (NULL: the directory of the build). */
void conf_builtin_init(struct settings *s, const char *path);

/* Appends the value of $system_hostname, $settings_directory or $parent_domain (of `myhostname`). false: no such name, or cut at out->max. */
bool conf_builtin_put(const struct settings *s, const char *myhostname, struct slice name, struct buf *out);

#endif
