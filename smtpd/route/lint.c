/*
 * route/lint.c - every alias and virtual user followed once, when the maps are loaded and by posthouse check: loops and dead ends, with their lines.
 */
#include <stdlib.h>

#include "route/route_in.h"

struct lint {
	struct router *r;
	struct buf *out;
	size_t n;
	const char *file;
	bool is_virtual;
};

static const char *base_name(const char *path)
{
	const char *last = path;

	for (const char *p = path; *p != '\0'; p++)
		if (*p == '/')
			last = p + 1;
	return last;
}

static int lint_entry(void *ctx, unsigned line, struct slice key, struct slice value, struct err *e)
{
	struct lint *l = ctx;
	struct arena *a;
	struct final *finals = NULL;
	struct buf steps;
	size_t n = 0;

	(void)value;
	(void)e;
	if (slice_ieqs(key, "decode") || slice_ieqs(key, "uudecode"))
		buf_putf(l->out, "%s:%u: the alias %.*s runs a program for strangers: remove it\n", l->file, line, SLICE_FMT(key)), l->n++;
	if (l->is_virtual && (slice_rchr(key, '@') <= 0 || slice_chr(key, '*') >= 0 || slice_find(key, SLICE("++")) >= 0))
		return 0;                                             /* catch-alls stand for many */
	a = arena_new(0);
	buf_init(&steps, BUF_UNBOUNDED);
	if (route_explain(l->r, key, &steps, a, &finals, &n, e) != 0)
		buf_putf(l->out, "%s:%u: %s\n", l->file, line, e->text), l->n++;
	for (size_t i = 0; i < n; i++)
		if (finals[i].kind == FINAL_ERROR && !slice_starts(finals[i].text, SLICE("551")) && !slice_istarts(slice_trim(value), SLICE("error:")))
			buf_putf(l->out, "%s:%u: %.*s: %.*s: %.*s\n", l->file, line, SLICE_FMT(key), SLICE_FMT(finals[i].address), SLICE_FMT(finals[i].text)), l->n++;
	buf_done(&steps);
	arena_free(&a);
	return 0;
}

size_t route_lint(struct router *r, struct buf *out)
{
	struct lint l = { .r = r, .out = out, .file = base_name(r->alias_path) };
	struct err e = ERR_INIT;

	if (map_text_each(r->alias_path, MAP_TEXT_ALIASES, lint_entry, &l, &e) != 0 && e.kind != ERR_NOTFOUND)
		buf_putf(out, "%s\n", e.text), l.n++;
	l.file = base_name(r->virtual_path);
	l.is_virtual = true;
	if (map_text_each(r->virtual_path, MAP_TEXT_TABLE, lint_entry, &l, &e) != 0 && e.kind != ERR_NOTFOUND)
		buf_putf(out, "%s\n", e.text), l.n++;
	return l.n;
}

void router_warnings(const struct router *r, struct buf *out)
{
	const struct map *const maps[] = { r->aliases, r->virt, r->transport, r->generics, r->local_file, r->relay_file };

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		if (map_warning(maps[i])[0] != '\0')
			buf_putf(out, "%s\n", map_warning(maps[i]));
}
