#include "conf/builtin.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"

#define HOST_NAME_ROOM 256

void conf_builtin_init(struct settings *s, const char *path)
{
	char host[HOST_NAME_ROOM] = "", here[PATH_MAX] = ".";
	const char *slash = path == NULL ? NULL : strrchr(path, '/');

	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		strncpy(host, "localhost", sizeof(host) - 1);
	s->system_hostname = arena_str(s->arena, slice_of(host));
	if (path == NULL)
		s->settings_directory = PATH_SYSCONF;
	else if (path[0] == '/')
		s->settings_directory = arena_str(s->arena, slice_mem(path, slash == path ? 1 : (size_t)(slash - path)));
	else if (getcwd(here, sizeof(here)) == NULL || slash == NULL)
		s->settings_directory = arena_str(s->arena, slice_of(here));
	else
		s->settings_directory = arena_printf(s->arena, "%s/%.*s", here, (int)(slash - path), path);
}

/* "mail.office.example" to "office.example"; a name of one or two labels is its own domain. */
static struct slice parent_domain(struct slice host)
{
	ptrdiff_t dot = slice_chr(host, '.');
	struct slice parent = dot < 0 ? host : slice_from(host, (size_t)dot + 1);

	return slice_chr(parent, '.') < 0 ? host : parent;
}

bool conf_builtin_put(const struct settings *s, const char *myhostname, struct slice name, struct buf *out)
{
	if (slice_eqs(name, "system_hostname"))
		return buf_adds(out, s->system_hostname) == 0;
	if (slice_eqs(name, "settings_directory"))
		return buf_adds(out, s->settings_directory) == 0;
	if (slice_eqs(name, "parent_domain"))
		return buf_add(out, parent_domain(slice_of(myhostname))) == 0;
	return false;
}
