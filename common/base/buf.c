#include "base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BUF_FIRST 64

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_done(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

void buf_wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	buf_done(b);
}

void buf_reset(struct buf *b)
{
	buf_cut(b, 0);
}

void buf_shrink(struct buf *b)
{
	if (b->len == 0)
		buf_done(b);
}

/* cap counts the NUL, so a buffer that holds `max` octets has cap max + 1. */
char *buf_room(struct buf *b, size_t n)
{
	size_t need, cap;

	if (b->max < b->len || n > b->max - b->len || n >= SIZE_MAX / 2 - b->len)
		return NULL;
	need = b->len + n + 1;
	if (need > b->cap) {
		cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap * 2;
		if (cap - 1 > b->max)
			cap = b->max + 1;
		b->cap = cap < need ? need : cap;
		b->p = mem_grow(b->p, b->cap);
		b->p[b->len] = '\0';
	}
	return b->p + b->len;
}

void buf_filled(struct buf *b, size_t n)
{
	assert(n == 0 || n < b->cap - b->len);
	if (n == 0)
		return;
	b->len += n;
	b->p[b->len] = '\0';
}

int buf_add(struct buf *b, struct slice s)
{
	char *to;

	assert(s.n == 0 || b->p == NULL || s.p + s.n <= b->p || s.p >= b->p + b->cap);     /* not of ourselves: we may move */
	to = buf_room(b, s.n);
	if (to == NULL)
		return -1;
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	buf_filled(b, s.n);
	return 0;
}

int buf_adds(struct buf *b, const char *str)
{
	return buf_add(b, slice_of(str));
}

int buf_addc(struct buf *b, char c)
{
	return buf_add(b, slice_mem(&c, 1));
}

/* Into the room that is there first: most of what is printed is short, and counting costs as much as printing. */
int buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *to;
	size_t room;
	int n;

	if (b->cap - b->len < BUF_FIRST && b->max - b->len >= BUF_FIRST && buf_room(b, BUF_FIRST) == NULL)
		return -1;
	room = b->cap > b->len ? b->cap - b->len : 0;
	va_copy(again, ap);
	n = vsnprintf(room > 0 ? b->p + b->len : NULL, room, fmt, again);
	va_end(again);
	if (n >= 0 && (size_t)n < room) {
		b->len += (size_t)n;
		return 0;
	}
	if (room > 0)
		b->p[b->len] = '\0';
	to = n < 0 ? NULL : buf_room(b, (size_t)n);
	if (to == NULL)
		return -1;
	vsnprintf(to, (size_t)n + 1, fmt, ap);
	buf_filled(b, (size_t)n);
	return 0;
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = buf_vaddf(b, fmt, ap);
	va_end(ap);
	return rc;
}

static void must(int rc)
{
	if (rc < 0)
		abort();
}

void buf_put(struct buf *b, struct slice s)
{
	must(buf_add(b, s));
}

void buf_puts(struct buf *b, const char *str)
{
	must(buf_adds(b, str));
}

void buf_putf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	must(buf_vaddf(b, fmt, ap));
	va_end(ap);
}

void buf_take(struct buf *b, size_t n)
{
	assert(n <= b->len);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->len - n);
	buf_cut(b, b->len - n);
}

void buf_cut(struct buf *b, size_t len)
{
	assert(len <= b->len);
	b->len = len;
	if (b->p != NULL)
		b->p[len] = '\0';
}

struct slice buf_view(const struct buf *b)
{
	return (struct slice){ buf_str(b), b->len };
}

const char *buf_str(const struct buf *b)
{
	return b->p == NULL ? "" : b->p;
}
