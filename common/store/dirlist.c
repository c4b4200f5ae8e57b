/*
 * store/dirlist.c - see dirlist.h.
 */
#include "store/dirlist.h"

#include <string.h>

int dirlist_add(void *ctx, const char *name)
{
	struct dirlist *l = ctx;
	struct found f = { .bay = l->bay };

	f.name = arena_dup(l->a, slice_of(name));
	if (mname_parse(f.name, &f.n) != 0)
		return 0;
	if (l->n == l->cap) {                                         /* doubled in the arena: what is left behind is as much again at most */
		struct found *more = arena_array(l->a, l->cap == 0 ? 64 : l->cap * 2, sizeof *more);

		if (l->n > 0)
			memcpy(more, l->v, l->n * sizeof *more);
		l->v = more;
		l->cap = l->cap == 0 ? 64 : l->cap * 2;
	}
	l->v[l->n++] = f;
	return 0;
}

int dirlist(struct shelf *h, enum bay bay, struct arena *a, struct found **list_out, size_t *n_out, struct err *e)
{
	struct dirlist l = { .a = a, .bay = bay };

	if (store_blob_list(h, bay, dirlist_add, &l, e) != 0)
		return -1;
	*list_out = l.v;
	*n_out = l.n;
	return 0;
}

struct count { uint64_t bare; char last; };

static int count_bare_lf(void *ctx, struct slice s)
{
	struct count *c = ctx;

	for (size_t i = 0; i < s.n; c->last = s.p[i++])
		c->bare += s.p[i] == '\n' && c->last != '\r';
	return 0;
}

int message_measure(struct shelf *h, enum bay bay, const char *name, uint64_t *file_size_out, uint64_t *size_out, int64_t *mtime_out, struct err *e)
{
	struct blob_info info;
	struct count c = { 0 };

	if (store_blob_pour(h, bay, name, count_bare_lf, &c, &info, e) != 0)
		return -1;
	*file_size_out = info.size;
	*size_out = info.size + c.bare;
	*mtime_out = info.mtime;
	return 0;
}
